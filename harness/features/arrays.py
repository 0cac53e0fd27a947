"""Features of any encoder as plain NumPy arrays: a new feature set of a data set (``avbench data add``). No torch."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avbench.harness.errors import DataError, UsageError
from avbench.harness.features.draft import ClipGroup, Draft, NamedText, differences, forgiven, unit_vectors_checked
from avbench.harness.features.label_vectors import read_label_vectors
from avbench.harness.features.temporal_draft import MEAN
from avbench.harness.tracks import PUBLIC, SIMULATED, Track
from avbench.splits import ARCHIVE_NAMES, PARTS, Split, SplitClass, SplitError, load_split

RESERVED = (*PUBLIC, *SIMULATED)
TEXT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
COLUMNS = ("id", "class", "part")
MAX_SOURCE = 300
"""Characters that tell where features come from."""
MAX_LIST_BYTES = 256 * 2**20


def read_arrays(
    name: str,
    dataset: str,
    partition: str,
    *,
    audio: Path,
    visual: Path,
    clips: Path,
    text: Path | Sequence[TextFile],
    text_names: Path | None = None,
    source: str = "arrays of the user",
    simulated: bool = False,
    allow_missing: bool = False,
) -> Draft:
    """A feature set from ``audio`` (N, Da), ``visual`` (N, Dv), label vectors with their names, and a table of N clips.

    ``clips`` is a CSV with columns id, class, part, one row per row of the arrays. The splits are shipped as counts
    and digests, not as lists of ids, so class and part must come with the id; they are verified against the digests.
    ``text`` and ``text_names``: see :func:`~avbench.harness.features.label_vectors.read_label_vectors`; vectors are
    scaled to unit norm. Several named files are several text vectors per class (:func:`read_texts`). ``source``: where
    the features come from, in words; every record repeats it. ``simulated``: they are made up, and results on them
    stand beside no real ones. Raises :class:`DataError` as the import of the archive does, :class:`UsageError` for a
    reserved name or an unfit source.
    """
    refuse_unfit(name, source)
    split = load_split(dataset, partition)
    sounds, images = _array(audio), _array(visual)
    rows = read_clips(clips, split)
    for path, array in ((audio, sounds), (visual, images)):
        if len(array) != len(rows):
            raise DataError(f"{path}: {len(array):,} rows, but {clips} lists {len(rows):,} clips")
    groups = tuple(
        ClipGroup(part, owner, ids, partial(_take, sounds, images, places))
        for part, owner, ids, places in grouped(rows)
    )
    vectors, texts, notes = read_texts(text, text_names, split)
    return Draft(
        track=Track(dataset, name),
        split=split,
        source=source,
        simulated=simulated,
        audio_dim=sounds.shape[1],
        visual_dim=images.shape[1],
        vectors=vectors,
        groups=groups,
        notes=notes,
        warnings=forgiven(differences(split, groups, clips), allow_missing=allow_missing, what=clips),
        texts=texts,
    )


def refuse_unfit(name: str, source: str) -> None:
    """Raise :class:`UsageError` for a name of built-in features, and for a source that is not one line."""
    if name in RESERVED or name.endswith(MEAN):
        raise UsageError(f"feature set name {name!r} is reserved; choose another one")
    if not (0 < len(source) <= MAX_SOURCE) or not source.isprintable():
        raise UsageError(f"--source: one line of 1 to {MAX_SOURCE} printable characters, not {source[:40]!r}")


@dataclass(frozen=True)
class TextFile:
    """A file with one of several text vectors per class. ``unit``: to be scaled to unit norm."""

    name: str
    path: Path
    unit: bool = True


def read_texts(
    given: Path | Sequence[TextFile], names: Path | None, split: Split
) -> tuple[NDArray[np.float32], dict[str, NamedText], tuple[str, ...]]:
    """Label vectors (source classes, Dt) of unit norm, the named text vectors that they are made of, and what was done.

    One file without a name has the label vectors. Of several named ones the label vector of a class is the row of all
    its text vectors, in the order given, scaled to unit norm; methods that know the names get them as they are.
    ``names``: the classes of the rows of .npy files.
    """
    if isinstance(given, Path):
        vectors, notes = read_label_vectors(given, names, split)
        unit_vectors_checked(vectors, split, str(given))
        return vectors, {}, notes
    called = [text.name for text in given]
    for name in called:
        if not TEXT_NAME.fullmatch(name):
            raise UsageError(f"text vectors {name!r}: names are lower-case letters, digits, '_' and '-'")
        if called.count(name) > 1:
            raise UsageError(f"text vectors {name!r} are given twice")
    read = {text.name: read_label_vectors(text.path, names, split, unit=text.unit, kind=text.name) for text in given}
    texts = {text.name: NamedText(read[text.name][0], text.unit) for text in given}
    label = joined(texts)
    unit_vectors_checked(label, split, ", ".join(str(text.path) for text in given))
    return label, texts, tuple(f"{name}: {note}" for name, (_, notes) in read.items() for note in notes)


def joined(texts: Mapping[str, NamedText]) -> NDArray[np.float32]:
    """Label vectors: the row of all text vectors of a class, in their order, scaled to unit norm."""
    rows = np.concatenate([text.vectors for text in texts.values()], axis=1, dtype=np.float64)
    label: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return label


def _array(path: Path) -> NDArray[np.floating]:
    """A (rows, width) array of floats, memory-mapped. Pickled objects are refused."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a broken header can make NumPy raise nearly anything
        raise DataError(f"{path}: not a plain NumPy .npy file ({error})") from None
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind != "f" or not array.size:
        what = f"{array.dtype} values of shape {array.shape}" if isinstance(array, np.ndarray) else "several arrays"
        raise DataError(f"{path}: holds {what}, expected floats of shape (rows, width)")
    return array


def read_clips(path: Path, split: Split) -> list[tuple[str, str, SplitClass]]:
    """Id, part and class of every clip, in the order of the file."""
    parts = {**{part: part for part in PARTS}, **{ARCHIVE_NAMES[part]: part for part in PARTS}}
    members = {part: set(split.classes_of(part)) for part in PARTS}
    found = []
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise DataError(f"{path}: larger than {MAX_LIST_BYTES:,} bytes, which no list of clips is")
        with path.open(encoding="utf-8-sig", newline="") as stream:
            table = csv.DictReader(stream)
            if not set(COLUMNS) <= set(table.fieldnames or ()):
                raise DataError(f"{path}: needs the columns {', '.join(COLUMNS)}")
            for row in table:
                where = f"{path}, line {table.line_num}"
                video, part = (row["id"] or "").strip(), parts.get((row["part"] or "").strip())
                if not video or not video.isprintable():
                    raise DataError(f"{where}: no clip id")
                if part is None:
                    raise DataError(f"{where}: unknown part {row['part']!r}; parts are {', '.join(PARTS)}")
                owner = split.find((row["class"] or "").strip())
                if owner not in members[part]:
                    raise DataError(f"{where}: class {owner.name!r} ({owner.role}) has no clips in {part}")
                found.append((video, part, owner))
    except SplitError as error:
        raise DataError(f"{where}: {error}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    return found


def grouped(
    rows: list[tuple[str, str, SplitClass]],
) -> list[tuple[str, SplitClass, tuple[str, ...], list[int]]]:
    """Part, class, ids in ascending order and the rows of these clips, ordered by part and class id."""
    places: dict[tuple[int, int], list[tuple[str, int]]] = defaultdict(list)
    owners = {owner.id: owner for _, _, owner in rows}
    for row, (video, part, owner) in enumerate(rows):
        places[PARTS.index(part), owner.id].append((video, row))
    groups = []
    for (part_number, class_id), clips in sorted(places.items()):
        ids, order = zip(*sorted(clips), strict=True)
        groups.append((PARTS[part_number], owners[class_id], ids, list(order)))
    return groups


def _take(
    audio: NDArray[np.floating], visual: NDArray[np.floating], rows: list[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is refused for that
        return audio[rows].astype(np.float32), visual[rows].astype(np.float32)
