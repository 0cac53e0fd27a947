"""A copy of features on a node's own disk: read from there, however many jobs of the node want them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from avbench.harness.atomic import writing
from avbench.harness.errors import DataError
from avbench.harness.features.store import Store
from avbench.harness.tracks import Track


def stage(tracks: Iterable[Track], place: str) -> Path:
    """Copy the stored ones of these tracks below ``place`` and let this process read them there; gives the new home.

    ``place`` may name variables, such as ``$TMPDIR``. What is there already stays: a file of features is named by its
    content, which is verified when it is loaded. Raises :class:`DataError` where nothing can be written.
    """
    folder = Path(os.path.expandvars(place)).expanduser()
    if "$" in str(folder) or not folder.is_absolute():
        raise DataError(f"--stage-store {place}: is {folder} on this node; name an absolute path, or a variable of it")
    home, store = folder / f"avbench-{os.getuid()}", Store()
    installed = set(store.tracks())
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if home.is_symlink() or home.stat().st_uid != os.getuid():
            raise DataError(f"{home}: belongs to somebody else; name another folder with --stage-store")
        for track in sorted(set(tracks) & installed):
            for path in reversed(store.files(track)):  # the manifest, which decides, comes last
                _copy(path, home / "features" / path.relative_to(store.root))
    except OSError as error:
        raise DataError(f"{home}: features cannot be copied there ({error.strerror or error})") from None
    os.environ["AVBENCH_HOME"] = str(home)
    return home


def _copy(source: Path, target: Path) -> None:
    if target.exists() and target.stat().st_size == source.stat().st_size and source.suffix == ".safetensors":
        return
    with source.open("rb") as stream, writing(target) as copy:
        shutil.copyfileobj(stream, copy, 2**24)
