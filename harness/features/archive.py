"""Import of the public feature archive: finds its feature sets and makes a draft of each. No torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources.abc import Traversable
from itertools import product
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from avbench.harness.errors import DataError
from avbench.harness.features.archive_files import READ_ERRORS, reading
from avbench.harness.features.archive_lists import list_differences, refuse_other_prompts, spelling
from avbench.harness.features.classfile import read_features, read_ids
from avbench.harness.features.draft import (
    ClipGroup,
    Draft,
    ListedClips,
    Report,
    differences,
    forgiven,
    sample,
    silent,
    unit_vectors_checked,
)
from avbench.harness.features.legacy import MAX_BYTES, read_label_vectors
from avbench.harness.tracks import Track
from avbench.harness.untrusted import is_litter
from avbench.splits import ARCHIVE_NAMES, DATASETS, PARTITIONS, PARTS, Split, SplitClass, SplitError, load_split

DIMENSIONS = {"main": (512, 512), "cls": (128, 4096)}
"""Audio and visual dimensions of the two feature sets."""
TEXT_DIMENSION = 300
DEPTH = 2
"""The data set folders may lie this many folders below the top."""
MODALITIES = ("audio", "video")
FOLDERS = (
    ("{}", "{}_features"),
    ("{}-temporal", "{}_features_non_averaged"),
    ("{}-temporal", "{}_features_no_averaged"),
)
"""Feature set of a partition, and the folder where it lies: averaged over time, and over time in two spellings."""


@dataclass(frozen=True)
class ArchiveSet:
    """A feature set found in an archive. ``lists``: the folder of its class lists, where there is one."""

    track: Track
    folder: Traversable
    lists: Traversable | None
    partition: str
    """Class partition of the split that the clips follow."""

    @property
    def over_time(self) -> bool:
        """Whether its features are those over time."""
        return self.track.features != self.partition


class Listed(Protocol):
    """Files of one class and the ids in them."""

    @property
    def files(self) -> tuple[Traversable, ...]: ...

    @property
    def ids(self) -> tuple[str, ...]: ...


Files = TypeVar("Files", bound=Listed)


@dataclass(frozen=True)
class Pair(ListedClips, Generic[Files]):
    """The clips of one class in one part that have both modalities, and the files where they lie."""

    heard: Files
    seen: Files


@dataclass(frozen=True)
class ClassFiles:
    """The files of one class in one part and modality, and the ids in them, one after the other.

    There is more than one file only where names differ in case (UCF's ``HandStandPushups``).
    """

    files: tuple[Traversable, ...] = ()
    ids: tuple[str, ...] = ()

    def read(self, wanted: Sequence[str]) -> NDArray[np.float32]:
        """Features (len(wanted), width) in the order of ``wanted``."""
        rows = {video: row for row, video in enumerate(self.ids)}
        features = np.concatenate([read_features(file, str(file)) for file in self.files])
        return features[[rows[video] for video in wanted]]


def find_sets(root: Traversable) -> list[ArchiveSet]:
    """The feature sets with features in them, in the order of their tracks.

    Raises :class:`DataError` when there is none, or one twice.
    """
    found: dict[Track, ArchiveSet] = {}
    try:
        folders = list(_dataset_folders(root, DEPTH))
    except OSError as error:
        raise DataError(f"{root}: cannot be searched ({error})") from None
    for dataset, folder in folders:
        lists = next((p for n in ("class-split", "class_split") if (p := folder / n).is_dir()), None)
        for partition, (features, name) in product(PARTITIONS, FOLDERS):
            track = Track(dataset, features.format(partition))
            place = folder / "features" / name.format(partition)
            if not any((place / modality).is_dir() for modality in MODALITIES):
                continue
            if track in found:
                raise DataError(f"{track} is there twice: {found[track].folder} and {place}; name one of the folders")
            found[track] = ArchiveSet(track, place, lists, partition)
    if not found:
        raise DataError(
            f"{root}: no features found; expected folders such as UCF/features/main_features/audio, "
            f"at most {DEPTH} folders down"
        )
    return [found[track] for track in sorted(found)]


def _dataset_folders(folder: Traversable, depth: int) -> Iterator[tuple[str, Traversable]]:
    dataset = folder.name.lower()
    if dataset in DATASETS and (folder / "features").is_dir():
        yield dataset, folder
    elif depth >= 0:
        for child in _entries(folder, ""):
            if child.is_dir():
                yield from _dataset_folders(child, depth - 1)


def _entries(folder: Traversable, suffix: str) -> list[Traversable]:
    """What lies in a folder under names with that ending, by name; nothing where there is no such folder."""
    if not folder.is_dir():
        return []
    found = (e for e in folder.iterdir() if e.name.endswith(suffix) and not is_litter(e.name))
    return sorted(found, key=lambda e: e.name)


def read_set(found: ArchiveSet, *, allow_missing: bool = False, report: Report = silent) -> Draft:
    """A feature set of the archive, checked against the split: ids of all files, counts, digests, label vectors.

    Raises :class:`DataError`, naming the file, for what cannot be trusted; for differences from the split too, unless
    ``allow_missing`` turns them into warnings.
    """
    track = found.track
    split = load_split(track.dataset, found.partition)
    pairs, problems, notes = paired(found, split, _class_files, ClassFiles(), report)
    audio_dim, visual_dim = DIMENSIONS[found.partition]
    return Draft(
        track=track,
        split=split,
        source="public feature archive (avgzsl_benchmark_datasets)",
        audio_dim=audio_dim,
        visual_dim=visual_dim,
        vectors=labelled(found, split),
        groups=tuple(ClipGroup(p.part, p.owner, p.ids, partial(_read_both, p.heard, p.seen, p.ids)) for p in pairs),
        warnings=forgiven(problems, allow_missing=allow_missing, what=track),
        notes=notes,
    )


def paired(
    found: ArchiveSet,
    split: Split,
    class_files: Callable[[Traversable, Split, str, int, list[str]], Mapping[SplitClass, Files]],
    none: Files,
    report: Report,
) -> tuple[list[Pair[Files]], list[str], tuple[str, ...]]:
    """The clips that have both modalities, how the set differs from the split, and what is worth telling.

    ``class_files(folder, split, part, width, notes)``: the files of a folder by class. ``none``: those of a class
    without any.
    """
    notes: list[str] = []
    problems: list[str] = []
    pairs: list[Pair[Files]] = []
    for number, part in enumerate(PARTS):
        report(f"{found.track}: reading", number, len(PARTS))
        audio, video = (
            class_files(found.folder / modality / ARCHIVE_NAMES[part], split, part, width, notes)
            for modality, width in zip(MODALITIES, DIMENSIONS[found.partition], strict=True)
        )
        problems += [
            f"{part}: no features at all in {modality}/{ARCHIVE_NAMES[part]}"
            for modality, files in zip(MODALITIES, (audio, video), strict=True)
            if not files
        ]
        for owner in sorted(audio.keys() | video.keys(), key=lambda c: c.id):
            heard, seen = audio.get(owner, none), video.get(owner, none)
            if audio and video:
                problems += _unpaired(part, owner, heard, seen)
            if ids := tuple(sorted(set(heard.ids) & set(seen.ids))):
                pairs.append(Pair(part, owner, ids, heard, seen))
    problems += differences(split, pairs, found.folder)
    problems += _list_problems(found, split, pairs, notes)
    return pairs, problems, tuple(dict.fromkeys(notes))


def _list_problems(found: ArchiveSet, split: Split, groups: Sequence[ListedClips], notes: list[str]) -> list[str]:
    """How the clips differ from the archive's own lists. Where the split knows no better that is but a note."""
    problems: list[str] = []
    if found.lists is not None:
        refuse_other_prompts(split, _entries(found.lists, "_w2v_class_names.csv"))
        for part in PARTS:
            told = list_differences(split, part, [group for group in groups if group.part == part], found.lists)
            (notes if split.parts[part].digest is None else problems).extend(told)
    return problems


def labelled(found: ArchiveSet, split: Split) -> NDArray[np.float32]:
    """The label vectors of an archive, checked: (source classes, 300)."""
    vectors = _label_vectors(found, split)
    unit_vectors_checked(vectors, split, f"{found.track}: label vectors")
    return vectors


def _read_both(
    audio: ClassFiles, video: ClassFiles, ids: tuple[str, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return audio.read(ids), video.read(ids)


def _class_files(
    folder: Traversable, split: Split, part: str, width: int, notes: list[str]
) -> dict[SplitClass, ClassFiles]:
    """The files of a folder by class."""
    found = {}
    for owner, entries in class_entries(folder, ".h5", split, part, notes).items():
        ids = [video for entry in entries for video in read_ids(entry, str(entry), width)]
        if len(set(ids)) < len(ids):
            raise DataError(f"{folder}: clips of class {owner.name!r} occur in more than one file")
        found[owner] = ClassFiles(tuple(entries), tuple(ids))
    return found


def class_entries(
    folder: Traversable, suffix: str, split: Split, part: str, notes: list[str]
) -> dict[SplitClass, list[Traversable]]:
    """The entries of a folder by class. Those of classes that this partition removed are left out, with a note."""
    members = set(split.classes_of(part))
    files: dict[SplitClass, list[Traversable]] = defaultdict(list)
    removed = []
    for entry in _entries(folder, suffix):
        try:
            owner = split.find(entry.name.removesuffix(suffix))
        except SplitError as error:
            raise DataError(f"{entry}: {error}") from None
        if owner in members:
            files[owner].append(entry)
        elif owner.role == "unused":
            removed.append(owner.name)
        else:
            raise DataError(f"{entry}: class {owner.name!r} has no clips in {part} (its role is {owner.role})")
    if removed:
        notes.append(f"{folder.name}: left out {len(removed)} classes that this partition removes ({sample(removed)})")
    return files


def _unpaired(part: str, owner: SplitClass, audio: Listed, video: Listed) -> Iterator[str]:
    """What is there in one modality only."""
    for name, here, other in (("video", audio, video), ("audio", video, audio)):
        if here.files and not other.files:
            yield f"{part}: class {owner.name!r} has no {name} file"
        elif lacking := sorted(set(here.ids) - set(other.ids)):
            yield f"{part}: {len(lacking)} clips of class {owner.name!r} have no {name} features ({sample(lacking)})"


def _label_vectors(found: ArchiveSet, split: Split) -> NDArray[np.float32]:
    """Label vectors (source classes, 300), row = class id: each class with the vector of its own prompt."""
    folder = found.folder / "text"
    entries = _entries(folder, ".npy")
    if len(entries) != 1:
        raise DataError(f"{folder}: expected one .npy file of label vectors, found {len(entries)}")
    where = str(entries[0])
    try:
        with reading(entries[0]) as stream:
            by_prompt = read_label_vectors(stream.read(MAX_BYTES + 1), where)
    except READ_ERRORS as error:
        raise DataError(f"{where}: cannot be read ({error})") from None
    known = {spelling(split, prompt): vector for prompt, vector in by_prompt.items()}
    if len(known) < len(by_prompt):
        raise DataError(f"{where}: prompts that differ only in case")
    vectors = np.full((len(split.classes), TEXT_DIMENSION), np.nan, np.float32)
    for c in split.classes:
        vector = known.get(spelling(split, c.prompt))
        if vector is None:
            continue
        if len(vector) != TEXT_DIMENSION:
            raise DataError(f"{where}: label vectors of {len(vector)} dimensions, expected {TEXT_DIMENSION}")
        vectors[c.id] = vector
    return vectors
