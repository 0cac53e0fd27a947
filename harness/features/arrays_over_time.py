"""Features over time as plain NumPy arrays: values of all clips end to end, and where clips begin. Knows no torch."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from avbench.harness.errors import DataError, UsageError
from avbench.harness.features.archive_files import MAX_RATIO, RATIO_BYTES
from avbench.harness.features.arrays import TextFile, grouped, read_clips, read_texts, refuse_unfit
from avbench.harness.features.draft import differences, forgiven
from avbench.harness.features.temporal_draft import SequenceGroup, TemporalDraft, refuse_bad_offsets
from avbench.harness.printable import printable
from avbench.harness.tracks import Track
from avbench.splits import load_split

MAX_NPZ_BYTES = 16 * 2**30
"""An array in a ``.npz`` is read into memory whole; what is larger comes as ``.npy``, which is mapped."""


@dataclass(frozen=True)
class SequenceFiles:
    """The features of one modality: ``values`` a ``.npz`` with the arrays values, offsets and, if not given here,
    seconds; or a ``.npy`` with the values, and ``offsets`` another one."""

    values: Path
    offsets: Path | None = None
    seconds: float | None = None

    @property
    def over_time(self) -> bool:
        """Whether anything here speaks of time."""
        return self.values.suffix == ".npz" or self.offsets is not None or self.seconds is not None


@dataclass(frozen=True)
class PackedArray:
    """What such files hold: values (sum of T, D), offsets (clips + 1,), and the length of a step in seconds."""

    values: NDArray[Any]
    offsets: NDArray[Any]
    seconds: float


def read_sequences(files: SequenceFiles, clips: int, option: str) -> PackedArray:
    """The features of one modality. Raises :class:`DataError` for files that do not hold them, pickles among them;
    :class:`UsageError` where ``--<option>-offsets`` or ``--<option>-step`` is missing."""
    where, offsets, seconds = files.values, None, files.seconds
    if where.suffix == ".npz":
        arrays = _npz(where)
        values, offsets = arrays.get("values"), arrays.get("offsets")
        if values is None or (offsets is None and files.offsets is None):
            raise DataError(f"{where}: needs arrays 'values' and 'offsets', has {', '.join(arrays) or 'none'}")
        if seconds is None and "seconds" in arrays and arrays["seconds"].size == 1:
            seconds = _number(arrays["seconds"], where)
    else:
        values = _npy(where)
    if files.offsets is not None:
        offsets = _npy(files.offsets)
    if offsets is None:
        raise UsageError(f"{where}: features over time need --{option}-offsets, or a .npz with values and offsets")
    if seconds is None:
        raise UsageError(f"{where}: features over time need --{option}-step, the seconds of one step")
    if not 0 < seconds <= 3600:
        raise UsageError(f"{where}: a step of {seconds} seconds; steps are longer than 0 and at most 3600")
    if values.ndim != 2 or not values.size or (values.dtype.kind != "f" and values.dtype != np.uint8):
        raise DataError(
            f"{where}: holds {values.dtype} values of shape {values.shape}, expected floats or bytes (steps, width)"
        )
    refuse_bad_offsets(offsets, clips, len(values), str(files.offsets or where))
    return PackedArray(values, offsets.astype(np.int64), seconds)


def read_arrays_over_time(
    name: str,
    dataset: str,
    partition: str,
    *,
    audio: SequenceFiles,
    visual: SequenceFiles,
    clips: Path,
    text: Path | Sequence[TextFile],
    text_names: Path | None = None,
    source: str = "arrays of the user",
    simulated: bool = False,
    dtype: Literal["float32", "float16"] = "float32",
    allow_missing: bool = False,
) -> TemporalDraft:
    """A feature set over time; ``clips`` and ``text`` as for :func:`avbench.harness.features.arrays.read_arrays`.

    Raises the errors of that function, and :class:`DataError` for offsets that do not ascend or a clip without a step.
    """
    refuse_unfit(name, source)
    split = load_split(dataset, partition)
    rows = read_clips(clips, split)
    if not rows:
        raise DataError(f"{clips}: lists no clips")
    sounds, images = (read_sequences(f, len(rows), o) for f, o in ((audio, "audio"), (visual, "visual")))
    groups = tuple(_group(part, owner, ids, places, sounds, images) for part, owner, ids, places in grouped(rows))
    vectors, texts, notes = read_texts(text, text_names, split)
    return TemporalDraft(
        track=Track(dataset, name),
        split=split,
        source=source,
        simulated=simulated,
        audio_dim=sounds.values.shape[1],
        visual_dim=images.values.shape[1],
        audio_step=sounds.seconds,
        visual_step=images.seconds,
        dtype=dtype,
        vectors=vectors,
        groups=groups,
        texts=texts,
        notes=notes,
        warnings=forgiven(differences(split, groups, clips), allow_missing=allow_missing, what=clips),
    )


def _group(
    part: str, owner: Any, ids: tuple[str, ...], places: list[int], audio: PackedArray, visual: PackedArray
) -> SequenceGroup:
    heard, seen = (np.diff(packed.offsets)[places] for packed in (audio, visual))
    return SequenceGroup(part, owner, ids, heard, seen, partial(_read, audio, visual, places))


def _read(
    audio: PackedArray, visual: PackedArray, places: Sequence[int]
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    for place in places:
        sound, image = (p.values[p.offsets[place] : p.offsets[place + 1]] for p in (audio, visual))
        yield np.asarray(sound), np.asarray(image)


def _number(array: NDArray[Any], where: Path) -> float:
    if array.dtype.kind not in "fiu":
        raise DataError(f"{where}: 'seconds' is {array.dtype}, not a number")
    return float(array.reshape(()))


def _npy(path: Path) -> NDArray[Any]:
    """An array, memory-mapped. Pickled objects are refused."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a broken header can make NumPy raise nearly anything
        raise DataError(f"{path}: not a plain NumPy .npy file ({error})") from None
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path}: holds several arrays; name a .npz file with the ending .npz")
    return array


def _npz(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a ``.npz`` file. One that would unpack to far more than it has is refused."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.file_size > min(MAX_NPZ_BYTES, max(RATIO_BYTES, MAX_RATIO * member.compress_size)):
                    raise DataError(
                        f"{path}: refused, {printable(member.filename)!r} unpacks from {member.compress_size:,} to "
                        f"{member.file_size:,} bytes; give larger features as .npy, which is mapped"
                    )
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in ("values", "offsets", "seconds") if name in arrays.files}
    except DataError:
        raise
    except Exception as error:  # as for .npy
        raise DataError(f"{path}: not a plain NumPy .npz file ({error})") from None
