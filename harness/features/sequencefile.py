"""One file of the temporal archive: a pickled dict with the features over time of one class in one part and modality.

``features``: n arrays (T, D), one a clip; ``video_names``: n names as bytes; ``fps``: n numbers. It is read by the
restricted reader of :mod:`avbench.harness.features.pickled`, which runs nothing; arrays are views of the mapped file.
"""

from __future__ import annotations

import mmap
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avbench.harness.errors import DataError
from avbench.harness.features.archive_files import MAX_SEQUENCE_FILE_BYTES, READ_ERRORS, reading
from avbench.harness.features.classfile import MAX_CLIPS, MAX_ID_BYTES, video_id
from avbench.harness.features.draft import sample
from avbench.harness.features.pickled import Content, RefusedError, StatedArray, StatedDtype, read_pickled
from avbench.harness.features.temporal_draft import MAX_STEPS
from avbench.harness.printable import printable

WHAT = "class files"
MAX_OPCODES = 5_000_000
FRAME_RATE = 25
"""That of the archive, on which the length of a step rests where it is so many frames."""
NUMBER = re.compile(r"[iu][1248]|f[248]")
BYTES = re.compile(r"S[1-9][0-9]{0,3}")


@dataclass(frozen=True)
class SequenceFile:
    """What a class file holds. ``ids`` (n); ``features``: n arrays (T, D) of floats or bytes; ``odd_rates``: clips
    whose frame rate is another than the archive's, or is not told."""

    ids: tuple[str, ...]
    features: tuple[NDArray[Any], ...]
    odd_rates: int


@contextmanager
def opened_sequences(entry: Traversable, where: str, width: int) -> Iterator[SequenceFile]:
    """A class file whose features have ``width`` columns. Its arrays are to be used inside the block only.

    Raises :class:`DataError` for anything that is not such a file: a pickle that asks for more, clips without a step,
    features of another width or type, ids that are empty or occur twice.
    """
    with _content(entry, where) as content:
        try:
            value = read_pickled(content, WHAT, MAX_OPCODES)
            found = _checked(value, where, width)
        except DataError:
            raise
        except (ValueError, *READ_ERRORS) as error:
            raise DataError(f"{where}: not a class file of features over time ({error})") from None
        yield found


@contextmanager
def _content(entry: Traversable, where: str) -> Iterator[Content]:
    """The bytes of a file: mapped, or of a member of a zip in memory."""
    try:
        if isinstance(entry, Path):
            with reading(entry, MAX_SEQUENCE_FILE_BYTES) as stream:
                pages = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            yield pages  # type: ignore[misc]  # views of it may outlive the block: it is closed with the last of them
        else:
            with reading(entry, MAX_SEQUENCE_FILE_BYTES) as stream:
                content = stream.read()
            yield content
    except READ_ERRORS as error:
        raise DataError(f"{where}: cannot be read ({error})") from None


def _checked(value: Any, where: str, width: int) -> SequenceFile:
    if not isinstance(value, dict) or not {"features", "video_names"} <= value.keys():
        raise RefusedError("it holds no dict with features and video_names")
    clips = value["features"]
    if isinstance(clips, StatedArray):  # an object array, which NumPy makes of lists
        clips = clips.content
    if not isinstance(clips, list) or not 0 < len(clips) <= MAX_CLIPS:
        raise RefusedError(f"its features are no list of 1 to {MAX_CLIPS:,} arrays")
    ids = tuple(video_id(name, where) for name in _names(value["video_names"]))
    if len(ids) != len(clips):
        raise DataError(f"{where}: {len(clips):,} clips, but {len(ids):,} names")
    if len(set(ids)) < len(ids):
        repeated = sorted(video for video, count in Counter(ids).items() if count > 1)
        raise DataError(f"{where}: {len(repeated)} clip ids occur more than once ({sample(repeated)})")
    features = []
    for video, clip in zip(ids, clips, strict=True):
        array = numbers(clip, f"{where}: clip {video}")
        if array.ndim != 2 or array.shape[1] != width:
            raise DataError(f"{where}: clip {video} has features of shape {array.shape}, expected (steps, {width})")
        if not 0 < len(array) <= MAX_STEPS:
            raise DataError(f"{where}: clip {video} has {len(array):,} steps; 1 to {MAX_STEPS:,} are taken")
        features.append(array)
    return SequenceFile(ids, tuple(features), _odd_rates(value.get("fps"), len(ids), where))


def numbers(stated: Any, where: str) -> NDArray[Any]:
    """The array that a pickle states: floats, or bytes as VGGish gives them. A view of its content."""
    if not isinstance(stated, StatedArray) or not isinstance(stated.dtype, StatedDtype):
        raise DataError(f"{where}: its features are no array")
    code, shape = stated.dtype.code, stated.shape
    if code not in ("f2", "f4", "f8", "u1"):
        raise DataError(f"{where}: its features are {printable(code, 20)!r}, expected floats or bytes")
    if not isinstance(shape, tuple) or not all(isinstance(n, int) and 0 <= n < 2**40 for n in shape):
        raise DataError(f"{where}: its features have no sound shape")
    return _array(stated, code, shape, where)


def _array(stated: StatedArray, code: str, shape: tuple[int, ...], where: str) -> NDArray[Any]:
    content = stated.content.encode("latin1") if isinstance(stated.content, str) else stated.content
    dtype = np.dtype((stated.dtype.order if code[0] != "S" and code != "u1" else "") + code)
    size = dtype.itemsize
    for n in shape:
        size *= n
    if not isinstance(content, bytes | bytearray | memoryview) or len(content) != size:
        raise DataError(f"{where}: the content of an array does not fit its shape {shape}")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if stated.fortran is True else "C")


def _names(stated: Any) -> list[bytes]:
    """Names as bytes: a list of bytes or of NumPy's scalars, or one array of them."""
    if isinstance(stated, StatedArray) and isinstance(stated.content, list):
        stated = stated.content
    if isinstance(stated, StatedArray):
        shape = stated.shape
        if not isinstance(shape, tuple) or len(shape) != 1 or not isinstance(shape[0], int) or shape[0] > MAX_CLIPS:
            raise RefusedError("its names are no row")
        return list(_bytes_array(stated, shape).tolist())
    if not isinstance(stated, list) or len(stated) > MAX_CLIPS:
        raise RefusedError("its names are no list")
    return [_name(entry) for entry in stated]


def _name(entry: Any) -> bytes:
    if isinstance(entry, StatedArray) and entry.shape == ():
        found: bytes = _bytes_array(entry, ()).reshape(1).tolist()[0]
        return found
    if isinstance(entry, str):
        return entry.encode()
    if isinstance(entry, bytes | bytearray | memoryview) and len(entry) <= MAX_ID_BYTES:
        return bytes(entry)
    raise RefusedError("a name is no bytes")


def _bytes_array(stated: StatedArray, shape: tuple[int, ...]) -> NDArray[np.bytes_]:
    if not isinstance(stated.dtype, StatedDtype) or not BYTES.fullmatch(stated.dtype.code):
        raise RefusedError("names are no bytes")
    return _array(stated, stated.dtype.code, shape, "names")


def _odd_rates(stated: Any, clips: int, where: str) -> int:
    """How many clips have another frame rate than the archive's; all of them where no rates are told."""
    if stated is None:
        return clips
    if isinstance(stated, StatedArray):
        stated = stated.content if isinstance(stated.content, list) else _rates(stated, (clips,)).tolist()
    if not isinstance(stated, list) or len(stated) != clips:
        raise DataError(f"{where}: the frame rates are not one a clip")
    rates = [_rates(r, ()).tolist() if isinstance(r, StatedArray) else r for r in stated]
    if not all(isinstance(rate, int | float) for rate in rates):
        raise DataError(f"{where}: a frame rate is no number")
    return sum(rate != FRAME_RATE for rate in rates)


def _rates(stated: StatedArray, shape: tuple[int, ...]) -> NDArray[Any]:
    if not isinstance(stated.dtype, StatedDtype) or not NUMBER.fullmatch(stated.dtype.code) or stated.shape != shape:
        raise RefusedError("frame rates are no numbers")
    return _array(stated, stated.dtype.code, shape, "frame rates")
