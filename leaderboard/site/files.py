"""Writing the files of a site, and the manifest that says what was written."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from avbench.harness.errors import UsageError
from avbench.harness.records.record import Sha256
from avbench.leaderboard.site.exchange import recover
from avbench.leaderboard.site.page import File, Page
from avbench.leaderboard.site.text import environment

MANIFEST = "avbench-site.json"
"""Written last: a folder with it is a whole site, made by avbench."""
MAX_MANIFEST_BYTES = 64 * 2**20

Count = Annotated[int, Field(ge=0)]


class Manifest(BaseModel):
    """What a built site holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    avbench: str
    records: Count
    """Runs on the boards."""
    failed: Count
    rejected: Count
    updated: str
    """When the latest run started, UTC; the same for the same input."""
    files: dict[str, Sha256]
    """Every file but this one, by path."""


def write(out: Path, item: Page | File, url: str | None = None) -> None:
    """Write one page or file below ``out``. ``url``: see :func:`render`."""
    content = render(item, url) if isinstance(item, Page) else item.content
    data = content if isinstance(content, bytes) else content.encode()
    path = out / item.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def render(page: Page, url: str | None = None) -> str:
    """The HTML of a page. ``url``: where the site will be published, for the address that a page tells of itself.

    Pages tell a title and a sentence to those who show previews of links (Open Graph), and a picture where the site's
    address is known: a preview takes none by a relative address.
    """
    template = environment().get_template(page.template)
    return template.render(page=page, root="../" * page.path.count("/"), url=base_of(url), **page.context)


def base_of(url: str | None) -> str:
    """The address of a site with one slash at its end; empty where it is not known."""
    return f"{url.rstrip('/')}/" if url else ""


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder but the manifest, by path with forward slashes. Links count as files."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name == MANIFEST or (path.is_dir() and not path.is_symlink()):
            continue
        found[name] = hashlib.sha256(path.readlink().as_posix().encode() if path.is_symlink() else path.read_bytes())
    return {name: digest.hexdigest() for name, digest in found.items()}


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a built site, after what a killed build left is put right.

    Raises :class:`UsageError` for a folder that is none.
    """
    recover(folder)
    path = folder / MANIFEST
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise UsageError(f"{path}: too large for a manifest; build the site again")
        return Manifest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        raise UsageError(f"{folder} holds no built site; 'avbench leaderboard build' makes one") from None
