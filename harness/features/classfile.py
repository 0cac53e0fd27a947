"""One HDF5 file of the archive: the features of one class in one part and modality. Knows no torch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath

import h5py
import numpy as np
from numpy.typing import NDArray

from avbench.harness.errors import DataError
from avbench.harness.features.archive_files import READ_ERRORS, reading
from avbench.harness.features.draft import sample

FEATURES = "data"
VIDEOS = "video_urls"
MAX_CLIPS = 10_000
"""No class of the three data sets has more than about 1,000."""
MAX_CHUNK_BYTES = 256 * 2**20
"""HDF5 unpacks a compressed chunk whole, whatever the shape of its dataset."""
MAX_ID_BYTES = 4_096
MEDIA = frozenset([".avi", ".mp4", ".mkv", ".webm", ".mov", ".flv", ".mpg", ".wav", ".mp3", ".flac", ".m4a", ".ogg"])


def read_ids(entry: Traversable, where: str, width: int) -> list[str]:
    """The ids of the clips in a file whose features have ``width`` columns; the features themselves are not read.

    Raises :class:`DataError` for a file that is no HDF5 file or cut short, for features of a wrong shape or type, and
    for ids that are empty or occur twice.
    """
    with _datasets(entry, where) as (features, videos):
        if features.dtype.kind != "f" or features.ndim != 2:
            raise DataError(
                f"{where}: {FEATURES!r} holds {features.dtype} values of shape {features.shape}, expected one row of "
                "floats a clip; features over time come as .pkl files, in folders of their own"
            )
        if features.shape[1] != width:
            raise DataError(f"{where}: the features have {features.shape[1]} dimensions, expected {width}")
        if videos.dtype.kind != "S" or videos.shape != features.shape[:1] or videos.dtype.itemsize > MAX_ID_BYTES:
            raise DataError(
                f"{where}: {VIDEOS!r} holds {videos.dtype} values of shape {videos.shape}, expected one byte string "
                f"for each of the {features.shape[0]} clips"
            )
        if videos.shape[0] > MAX_CLIPS:
            raise DataError(f"{where}: {videos.shape[0]:,} clips, more than a class can have ({MAX_CLIPS:,})")
        urls = videos[:].tolist()
    ids = [video_id(url, where) for url in urls]
    if len(set(ids)) < len(ids):
        repeated = sorted(video for video, count in Counter(ids).items() if count > 1)
        raise DataError(f"{where}: {len(repeated)} clip ids occur more than once ({sample(repeated)})")
    return ids


def read_features(entry: Traversable, where: str) -> NDArray[np.float32]:
    """The features of a file that :func:`read_ids` has accepted, (clips, width)."""
    with _datasets(entry, where) as (features, _), np.errstate(over="ignore"):
        values: NDArray[np.float32] = features[:].astype(np.float32, copy=False)
        return values


def video_id(url: bytes, where: str) -> str:
    """The id of a clip as the video lists of the split write it.

    ``video_urls`` may hold the bare id or a path to the video: folders and the extension of a media file are taken off.
    """
    try:
        text = url.decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{where}: the clip id {url!r} is not UTF-8") from None
    name = text.replace("\\", "/").rpartition("/")[2].strip()
    path = PurePosixPath(name)
    if path.suffix.lower() in MEDIA:
        name = path.stem
    if not name or not name.isprintable():
        raise DataError(f"{where}: {text!r} is no clip id")
    return name


@contextmanager
def _datasets(entry: Traversable, where: str) -> Iterator[tuple[h5py.Dataset, h5py.Dataset]]:
    """The two datasets of a file. Links to other files and data kept in other files are refused."""
    try:
        with reading(entry) as stream, h5py.File(stream, "r") as file:
            found = [_dataset(file, name, where) for name in (FEATURES, VIDEOS)]
            yield found[0], found[1]
    except READ_ERRORS as error:
        raise DataError(f"{where}: not an HDF5 file, or damaged or cut short ({error})") from None


def _dataset(file: h5py.File, name: str, where: str) -> h5py.Dataset:
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):  # asked first: it follows no link
        raise DataError(f"{where}: no dataset {name!r} (a link to one does not count)")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise DataError(f"{where}: {name!r} is not a plain dataset: it keeps its values elsewhere")
    if dataset.chunks is not None and math.prod(dataset.chunks) * dataset.dtype.itemsize > MAX_CHUNK_BYTES:
        raise DataError(f"{where}: {name!r} has chunks {dataset.chunks}, larger than any feature file needs")
    return dataset
