"""Label vectors of the user's own text encoder, paired with the classes by name, never by position. Knows no torch."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avbench.harness.errors import DataError
from avbench.harness.features.draft import NORM_TOLERANCE, sample
from avbench.splits import Split, SplitError

MEMBERS = ("names", "vectors")
MAX_NAMES_BYTES = 2**20
MAX_VECTORS_BYTES = 2**30
HOW = (
    "label vectors are paired by name: give a .npz file with the arrays 'names' (classes,) and 'vectors' "
    "(classes, width), or a .npy file and --text-names FILE with a class name per line, in the order of its rows"
)


def read_label_vectors(
    path: Path, names: Path | None, split: Split, *, unit: bool = True, kind: str = "label"
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Label vectors (source classes, Dt), of unit norm if so asked, with NaN rows for classes that are not named; and
    what was done to them.

    ``path``: a .npz file with ``names`` and ``vectors``, or a .npy file of vectors with ``names``, a text file.
    ``kind``: what they are called in errors. Raises :class:`DataError` for vectors without names, for names that are
    unknown or doubled, and for vectors without length.
    """
    packed = zipfile.is_zipfile(path)
    if packed and names is not None:
        raise DataError(f"{path}: brings its own names; leave out --text-names")
    if not packed and names is None:
        raise DataError(f"{path}: vectors without names, or no NumPy file; {HOW}")
    given = _packed(path) if packed else {"vectors": _plain(path), "names": np.array(_lines(names))}
    owners, vectors = _owners(given["names"], names or path, split), given["vectors"]
    if vectors.ndim != 2 or vectors.dtype.kind != "f" or not vectors.size:
        raise DataError(f"{path}: holds {vectors.dtype} values of shape {vectors.shape}, expected floats (rows, width)")
    if len(owners) != len(vectors):
        raise DataError(f"{names or path}: {len(owners)} names for the {len(vectors)} vectors of {path}")
    exact = np.asarray(vectors, np.float64)
    norms = np.linalg.norm(exact, axis=1, keepdims=True)
    for what, bad in (("zero", norms == 0), ("NaN or infinite", ~np.isfinite(norms))):
        if bad.any():
            lacking = sample([split.classes[owners[row]].name for row in np.flatnonzero(bad)])
            raise DataError(
                f"{path}: the {kind} vectors of {int(bad.sum())} of {len(owners)} classes are {what} ({lacking}); "
                "every class needs one of some length: make them anew"
            )
    placed = np.full((len(split.classes), exact.shape[1]), np.nan, np.float32)
    if not unit:
        placed[owners] = exact
        return placed, ()
    placed[owners] = exact / norms
    scaled = int((np.abs(norms - 1) > NORM_TOLERANCE).sum())
    said = f"{scaled} label vectors were scaled to unit norm (norms {norms.min():.3g} to {norms.max():.3g})"
    return placed, (said,) if scaled else ()


def _owners(names: NDArray[np.generic], where: Path, split: Split) -> list[int]:
    """The class id of each name."""
    if names.ndim != 1 or names.dtype.kind != "U":
        raise DataError(f"{where}: names are {names.dtype} values of shape {names.shape}, expected text (classes,)")
    try:
        ids = [split.find(str(name).strip()).id for name in names]
    except SplitError as error:
        raise DataError(f"{where}: {error}") from None
    if twice := [split.classes[i].name for i in dict.fromkeys(ids) if ids.count(i) > 1]:
        raise DataError(f"{where}: {len(twice)} classes are named more than once ({sample(twice)})")
    return ids


def _packed(path: Path) -> dict[str, NDArray[np.generic]]:
    """The two arrays of a .npz file. What unpacks to too much is refused before it is unpacked; so are pickles."""
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {info.filename.removesuffix(".npy"): info.file_size for info in archive.infolist()}
        if not set(MEMBERS) <= sizes.keys():
            raise DataError(f"{path}: has no arrays {' and '.join(MEMBERS)}; {HOW}")
        if sizes["names"] > MAX_NAMES_BYTES or sizes["vectors"] > MAX_VECTORS_BYTES:
            raise DataError(f"{path}: larger than label vectors can be")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in MEMBERS}
    except DataError:
        raise
    except Exception as error:  # a broken header can make NumPy or zipfile raise nearly anything
        raise DataError(f"{path}: not a plain NumPy .npz file ({error})") from None


def _plain(path: Path) -> NDArray[np.generic]:
    try:
        array: NDArray[np.generic] = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # as above
        raise DataError(f"{path}: not a plain NumPy .npy file ({error})") from None
    return array


def _lines(path: Path | None) -> list[str]:
    """A name per line; empty lines at the end do not count."""
    assert path is not None
    try:
        if path.stat().st_size > MAX_NAMES_BYTES:
            raise DataError(f"{path}: larger than {MAX_NAMES_BYTES:,} bytes, which no list of classes is")
        return path.read_text("utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
