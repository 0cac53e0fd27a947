"""The local store of feature sets: for each a memory-mapped safetensors file and a JSON manifest.

The file is named by its content, ``<features>@<hash>.safetensors``, and the manifest in its place, ``<features>.json``,
decides which file counts: a change is one step. Earlier versions named the file ``<features>.safetensors``.

Tensors: ``class_id`` (N,) int64, ``audio`` (N, Da), ``visual`` (N, Dv) and ``vectors`` (source classes, Dt) float32,
and ``video_id`` (N, W) uint8: UTF-8, padded with zeros. Rows are ordered by part, class id and video id, so equal
features have equal hashes wherever they came from. The hash stands in both files: they are known to belong together.
Listing needs no torch.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from avbench.harness.atomic import abandoned, begun, sweep, target_of, unfinished
from avbench.harness.errors import DataError, UsageError, unknown
from avbench.harness.features.assemble import CHUNK, assembled, misplaced, part_rows
from avbench.harness.features.averaged_file import id_matrix, require_room, write_averaged
from avbench.harness.features.draft import (
    Draft,
    ListedClips,
    Report,
    differences,
    silent,
    unit_vectors_checked,
)
from avbench.harness.features.featureset import FeatureSet
from avbench.harness.features.hashing import content_hash
from avbench.harness.features.manifest import STORE_VERSION, TEXT, Manifest
from avbench.harness.features.mapped import mapped_tensors
from avbench.harness.features.source import FeatureSource
from avbench.harness.features.temporal_checks import expected_tensors, over_time_hash, problems_over_time
from avbench.harness.features.temporal_draft import MEAN, TemporalDraft
from avbench.harness.features.temporal_store import TemporalFiles
from avbench.harness.features.tensorfile import HASH
from avbench.harness.tracks import Track
from avbench.splits import DATASETS, PARTS, Split, load_split

if TYPE_CHECKING:
    from torch import Tensor

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
"""Names of feature sets: they are file names."""
ARCHIVE_SETS = ("main", "cls", "main-temporal", "cls-temporal")


class HomelessError(DataError):
    """There is no place for the store: nothing can be installed, and nothing is."""


def home() -> Path:
    """``$AVBENCH_HOME``, else the platform's data directory.

    Raises :class:`UsageError` for the home of a user that does not exist, :class:`HomelessError` for a user without.
    """
    if folder := os.environ.get("AVBENCH_HOME"):
        try:
            return Path(folder).expanduser()
        except RuntimeError:
            raise UsageError(f"AVBENCH_HOME={folder}: there is no such user; name a folder") from None
    from platformdirs import user_data_path

    try:
        found = user_data_path("avbench")
    except (RuntimeError, KeyError):
        found = Path("~")
    if not found.is_absolute():  # nothing knows where ~ is
        raise HomelessError("this user has no home directory: set AVBENCH_HOME to a folder for features")
    return found


class Store(FeatureSource):
    """The feature sets under ``<root>/<dataset>``."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = home() / "features" if root is None else root

    def tracks(self) -> tuple[Track, ...]:
        """What is installed, whether it can be read or not. Raises :class:`DataError` where nobody can tell."""
        found = (Track(d, Path(name).stem) for d in DATASETS for name in self._names(d) if name.endswith(".json"))
        return tuple(sorted(track for track in found if NAME.fullmatch(track.features)))

    def list(self) -> tuple[Manifest, ...]:
        """The manifests of what is installed. Raises :class:`DataError` for one that cannot be read."""
        return tuple(self.manifest(track) for track in self.tracks())

    def manifest(self, track: Track) -> Manifest:
        """Raises :class:`DataError` for a track that is not installed, or whose manifest is broken or newer."""
        path = self._path(track)
        if not path.exists():
            raise DataError(f"{track}: these features are not installed; {how_to_get(track)}")
        again = f"'avbench data remove {track}', then {how_to_get(track)}"
        try:
            content = json.loads(path.read_text("utf-8"))
            version = content["version"]
            if isinstance(version, int) and version > STORE_VERSION:
                raise DataError(
                    f"{path}: version {version} of the store is newer than {STORE_VERSION}; upgrade avbench"
                )
            manifest = Manifest.model_validate(content)
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
            raise DataError(f"{path}: broken manifest ({first}); {again}") from None
        if (manifest.dataset, manifest.features) != (track.dataset, track.features) or set(manifest.counts) != set(
            PARTS
        ):
            raise DataError(f"{path}: the manifest of something else; {again}")
        return manifest

    def size(self, track: Track) -> int:
        """Bytes on disk."""
        return sum(p.stat().st_size for p in self.files(track) if p.exists())

    def files(self, track: Track) -> tuple[Path, ...]:
        """The manifest of a track and its data files."""
        return (self._path(track), *self._files(track))

    def load(self, track: Track) -> FeatureSet:
        """The feature set, memory-mapped. All of it is read once, to make sure of its content.

        Raises :class:`DataError` when it is not installed, broken, or not what its manifest says.
        """
        features, ids = self._open(track)
        if _content(features, ids) != features.manifest.content_hash:
            raise DataError(
                f"{self._data(track, features.manifest)}: was changed or damaged (its content hash is not that of the "
                f"manifest); 'avbench data remove {track}', then {how_to_get(track)}"
            )
        return features

    def video_ids(self, track: Track) -> tuple[str, ...]:
        """The ids of all clips, in the order of the rows."""
        return _names(self._open(track)[1])

    def verify(self, track: Track) -> tuple[str, ...]:
        """Read everything and say what is wrong: content hash, counts, ids, values, norms. Empty: nothing is."""
        try:
            features, ids = self._open(track)
            manifest = features.manifest
            problems = differences(features.split, _listed(features, ids), track)
            unit_vectors_checked(features.vectors.numpy(), features.split, "label vectors")
        except DataError as error:
            return (str(error),)
        problems = [problem for problem in problems if problem not in manifest.warnings]
        if features.offsets is not None:
            return (*problems, *problems_over_time(features, ids))
        for name in ("audio", "visual"):
            chunks = getattr(features, name).split(CHUNK)
            if bad := sum(int((~chunk.isfinite().all(dim=1)).sum()) for chunk in chunks):
                problems.append(f"{name}: {bad:,} clips hold NaN or infinity")
        if _content(features, ids) != manifest.content_hash:
            problems.append("the content hash is not that of the manifest: the file was changed or damaged")
        return tuple(problems)

    def save(self, draft: Draft | TemporalDraft, *, replace: bool = False, report: Report = silent) -> Manifest:
        """Store a feature set: whole, or not at all. One over time is stored with its averaged view.

        Features are read and written group by group. Raises :class:`DataError` for features of a wrong shape or with
        NaN or infinity, for an empty part, and when the disk is full or cannot be written to.
        """
        description = self._path(draft.track)
        installed = DataError(f"{draft.track}: these features are installed already; --force replaces them")
        if description.exists() and not replace:
            raise installed
        if empty := [name for name, count in draft.counts.items() if not count]:
            raise DataError(f"{draft.track}: no clips at all in {', '.join(empty)}")
        ids = id_matrix(draft)
        if isinstance(draft, TemporalDraft):
            return self._save_over_time(draft, ids, replace, report)
        folder = description.parent
        with _storage_errors(folder), begun(description) as mark:  # while it is there, nobody else sweeps our data
            sweep(folder)
            try:
                with begun(folder / draft.track.features) as data_file:
                    manifest = write_averaged(draft, ids, data_file.stream, folder, report)
                    data_file.becomes(_data_path(description, manifest))
                with begun(description) as manifest_file:
                    manifest_file.stream.write(manifest.to_json())
                    manifest_file.becomes(description, replace=replace)
            except FileExistsError:
                raise installed from None
            finally:
                self._sweep_data(draft.track, mark.path)
        return manifest

    def _save_over_time(self, draft: TemporalDraft, ids: NDArray[np.uint8], replace: bool, report: Report) -> Manifest:
        """The set over time and its averaged view, from one reading of the steps; the set takes its place last."""
        places = {track: self._path(track) for track in (draft.view, draft.track)}
        installed = DataError(f"{draft.track} or its averaged view is installed already; --force replaces them")
        if not replace and any(place.exists() for place in places.values()):
            raise installed
        folder = places[draft.track].parent
        with _storage_errors(folder), begun(places[draft.view]) as view_mark, begun(places[draft.track]) as mark:
            sweep(folder)
            try:
                with begun(folder / draft.track.features) as steps, begun(folder / draft.view.features) as means:
                    files = TemporalFiles(draft, ids, steps.stream, means.stream)
                    require_room(draft.track, folder, files.bytes)
                    manifest, view = files.write(report)
                    means.becomes(_data_path(places[draft.view], view))
                    steps.becomes(_data_path(places[draft.track], manifest))
                for track, found in ((draft.view, view), (draft.track, manifest)):
                    with begun(places[track]) as manifest_file:
                        manifest_file.stream.write(found.to_json())
                        manifest_file.becomes(places[track], replace=replace)
            except FileExistsError:
                raise installed from None
            finally:
                self._sweep_data(draft.view, view_mark.path)
                self._sweep_data(draft.track, mark.path)
        return manifest

    def remove(self, track: Track) -> None:
        """Delete a feature set. Raises :class:`DataError` when it is not installed."""
        description = self._path(track)
        if not description.exists():
            raise DataError(f"{track}: these features are not installed")
        with _storage_errors(description.parent), begun(description) as mark:  # if we die, it tells that data is left
            description.unlink()
            self._sweep_data(track, mark.path)

    def tidy(self) -> int:
        """Delete what killed commands left, and say how many bytes that were. Never fails."""
        swept = 0
        for dataset in DATASETS:
            folder = self.root / dataset
            for path in {target_of(p) for p in unfinished(folder) if abandoned(p)}:
                if path.suffix == ".json" and NAME.fullmatch(path.stem):
                    swept += self._sweep_data(Track(dataset, path.stem))
            swept += sweep(folder)
        return swept

    def _names(self, dataset: str) -> tuple[str, ...]:
        """What lies in the folder of a data set."""
        try:
            return tuple(os.listdir(self.root / dataset))
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            raise DataError(f"{error.filename}: cannot be looked into ({error.strerror})") from None

    def _path(self, track: Track) -> Path:
        """The manifest of a track."""
        if track.dataset not in DATASETS:
            raise unknown("data set", track.dataset, DATASETS)
        if not NAME.fullmatch(track.features):
            raise UsageError(f"feature set {track.features!r}: names are lower-case letters, digits, '.', '_' and '-'")
        return self.root / track.dataset / f"{track.features}.json"

    def _files(self, track: Track) -> tuple[Path, ...]:
        """Every data file of a track, whether its manifest names it or not."""
        path = self._path(track)
        named = re.compile(re.escape(track.features) + r"(@[0-9a-f]{12})?\.safetensors")
        return tuple(sorted(path.with_name(name) for name in self._names(track.dataset) if named.fullmatch(name)))

    def _sweep_data(self, track: Track, own: Path | None = None) -> int:
        """Delete the data of a track that its manifest does not name, unless somebody is just replacing that.

        ``own``: the part of the caller. Gives the bytes; never fails.
        """
        description, swept = self._path(track), 0
        with suppress(OSError, DataError):
            there = self._files(track)
            # looked for before the manifest is read, so that a writer who has finished meanwhile is not missed
            others = [p for p in unfinished(description.parent) if target_of(p) == description and p != own]
            if not all(abandoned(p) for p in others):
                return 0
            named = _data_path(description, self.manifest(track)) if description.exists() else None
            if named is not None and not named.exists():  # of an earlier version, or damaged
                return 0
            for path in there:
                if path != named:
                    swept += path.stat().st_size
                    path.unlink()
        return swept

    def _data(self, track: Track, manifest: Manifest) -> Path:
        """Where the data of a track lies."""
        named = _data_path(self._path(track), manifest)
        earlier = self._path(track).with_name(f"{track.features}.safetensors")
        return earlier if earlier.exists() and not named.exists() else named

    def _open(self, track: Track) -> tuple[FeatureSet, Tensor]:
        """The mapped feature set and its video ids (N, W)."""
        from safetensors import SafetensorError

        manifest = self.manifest(track)
        path = self._data(track, manifest)
        again = f"'avbench data remove {track}', then {how_to_get(track)}"
        try:
            metadata, tensors = mapped_tensors(path)
        except (OSError, ValueError, SafetensorError) as error:
            if self.manifest(track) != manifest:  # replaced between two lines
                return self._open(track)
            raise DataError(f"{path}: damaged or missing ({error}); {again}") from None
        split = load_split(track.dataset, manifest.partition)
        if metadata.get(HASH) != manifest.content_hash or not _fits(tensors, manifest, split):
            raise DataError(f"{path}: does not belong to its manifest; {again}")
        ids = tensors.pop("video_id")
        rows = part_rows(manifest.counts)
        if part := misplaced(tensors["class_id"].numpy(), rows, split):
            raise DataError(f"{path}: {part} holds clips of classes that do not belong there; {again}")
        return assembled(track, split, manifest, tensors, path), ids


def how_to_get(track: Track) -> str:
    """What to do for features that are not there."""
    if track.features.removesuffix(MEAN) in ARCHIVE_SETS:
        return "'avbench data import PATH' takes them from the public feature archive"
    return f"'avbench data add {track.features} --dataset {track.dataset} ...' stores your own"


def _content(features: FeatureSet, ids: Tensor) -> str:
    """The content hash of a stored feature set."""
    if features.offsets is not None:
        return over_time_hash(features, ids)
    tensors = {name: getattr(features, name) for name in ("class_id", "audio", "visual", "vectors")}
    tensors |= {TEXT + name: vectors for name, vectors in features.texts.items()}
    return content_hash(tensors | {"video_id": ids})


def _data_path(description: Path, manifest: Manifest) -> Path:
    """The data file that a manifest names."""
    return description.with_name(f"{manifest.features}@{manifest.content_hash[:12]}.safetensors")


def _names(ids: Tensor) -> tuple[str, ...]:
    return tuple(name.decode("utf-8", "replace") for name in ids.numpy().view(f"S{ids.shape[1]}").ravel().tolist())


def _listed(features: FeatureSet, ids: Tensor) -> list[ListedClips]:
    """The clips of a stored feature set, to be compared with the split."""
    names = _names(ids)
    owners = features.class_id.tolist()
    members: dict[tuple[str, int], list[str]] = {}
    for part, rows in features.rows.items():
        for row in range(rows.start, rows.stop):
            members.setdefault((part, owners[row]), []).append(names[row])
    classes = features.split.classes
    return [ListedClips(part, classes[owner], tuple(videos)) for (part, owner), videos in members.items()]


def _fits(tensors: Mapping[str, Tensor], manifest: Manifest, split: Split) -> bool:
    """Whether names, dtypes and shapes are those that the manifest implies."""
    count = sum(manifest.counts.values())
    width = tuple(tensors["video_id"].shape[-1:]) if "video_id" in tensors else ()
    found = {name: (str(t.dtype), tuple(t.shape)) for name, t in tensors.items()}
    if manifest.time is not None:
        return found == expected_tensors(manifest, len(split.classes)) | {"video_id": ("torch.uint8", (count, *width))}
    expected = {
        "class_id": ("torch.int64", (count,)),
        "audio": ("torch.float32", (count, manifest.audio_dim)),
        "visual": ("torch.float32", (count, manifest.visual_dim)),
        "vectors": ("torch.float32", (len(split.classes), manifest.text_dim)),
        **{TEXT + name: ("torch.float32", (len(split.classes), text.dim)) for name, text in manifest.texts.items()},
        "video_id": ("torch.uint8", (count, *width)),
    }
    return found == expected


@contextmanager
def _storage_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"cannot write to {folder}: {error.strerror or error}; nothing was changed. "
            "Make room there, or set AVBENCH_HOME to another disk"
        ) from None
