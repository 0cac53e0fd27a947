"""What an analysis looks at: the test clips and classes of a track or of a run, with their embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from avbench.harness.errors import DataError, MethodError, RecordError, UsageError, unknown
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.tracks import Track

if TYPE_CHECKING:
    from torch import Tensor

    from avbench.harness.contract.data import Clips
    from avbench.harness.contract.method import Method
    from avbench.harness.evaluation.stages import StageData
    from avbench.splits import SplitClass

Floats = NDArray[np.float32]
Ids = NDArray[np.int32]
Which = Literal["train", "seen", "unseen", "all"]
TEXT = "text"
"""Name of the label vectors, as the protocol pairs them."""


@dataclass(frozen=True, eq=False)
class Subject:
    """Test clips of both parts, in the order of evidence, and the classes that they may belong to, by class id.

    ``clips``: ``raw-audio`` and ``raw-visual`` (of features over time their means), and what the method of a run gives;
    (N, F) each. ``classes``: ``text`` and what the method gives; (C, F) each.
    """

    name: str
    stage: StageData
    clips: Mapping[str, Floats]
    classes: Mapping[str, Floats]
    method: Method | None = None

    @property
    def track(self) -> Track:
        return self.stage.features.track

    @property
    def simulated(self) -> bool:
        return self.stage.features.manifest.simulated

    @property
    def labels(self) -> Ids:
        """(N,) class ids."""
        return self.stage.labels

    @property
    def candidates(self) -> tuple[SplitClass, ...]:
        """(C,) rows of ``classes``."""
        return self.stage.candidates

    def of_clips(self, name: str) -> Floats:
        """Raises :class:`UsageError`, with a suggestion, for an embedding that is not there."""
        if name not in self.clips:
            raise unknown(f"embedding of the clips of {self.name}", name, self.clips)
        return self.clips[name]

    def of_classes(self, name: str) -> Floats:
        """Raises :class:`UsageError`, with a suggestion, for an embedding that is not there."""
        if name not in self.classes:
            raise unknown(f"embedding of the classes of {self.name}", name, self.classes)
        return self.classes[name]

    @property
    def usual(self) -> str:
        """The embedding of clips that papers look at: the visual one in the common space, or the fused one."""
        return next(name for name in ("visual", "fused", "audio", "raw-visual") if name in self.clips)

    def members(self, which: Which) -> list[int]:
        """Rows of the candidates that belong to the training classes of stage 1, to one side, or all."""
        split = self.stage.features.split
        wanted = {
            "train": split.classes_of("train"),
            "seen": self.stage.seen,
            "unseen": self.stage.unseen,
            "all": self.candidates,
        }[which]
        ids = {c.id for c in wanted}
        return [row for row, c in enumerate(self.candidates) if c.id in ids]

    def named(self, names: Sequence[str]) -> list[SplitClass]:
        """Candidate classes with test clips. Raises :class:`UsageError` for names that the track lacks."""
        from avbench.splits import SplitError

        found = []
        for name in names:
            try:
                c = self.stage.features.split.find(name)
            except SplitError as error:
                raise UsageError(f"{self.track}: {error}") from None
            if not (self.labels == c.id).any():
                raise UsageError(
                    f"{self.track} has no test clips of class {c.name!r}: its role there is {c.role!r}; "
                    "choose others with --class"
                )
            found.append(c)
        return found


def of_track(track: Track, protocol: str) -> Subject:
    """A track by itself. Raises :class:`DataError` for one that is not installed."""
    from avbench.harness.evaluation.protocol import find_protocol
    from avbench.harness.evaluation.stages import stage_data
    from avbench.harness.plugins.sources import load_features, require_known

    rules = find_protocol(protocol)
    require_known([track.features])
    return _subject(str(track), stage_data(load_features(track), rules.on(track), stage=2), None)


def of_run(record: RunRecord, folder: ResultsFolder) -> Subject:
    """A run with its fitted model. Raises as :func:`avbench.harness.running.fitted.fitted` does."""
    from avbench.harness.running.fitted import fitted

    require_sound(record, folder)
    found = fitted(record, folder)
    return _subject(run_name(record), found.stage, found.method)


def run_name(record: RunRecord) -> str:
    """Short and unique: method, variant and the start of the identity."""
    variant = f" {record.variant}" if record.variant else ""
    return f"{record.configuration.method}{variant} {record.identity[:8]}"


def require_sound(record: RunRecord, folder: ResultsFolder) -> None:
    """Raise :class:`UsageError` for a failed run, :class:`RecordError` for one that does not verify."""
    from avbench.harness.records.verification import check

    if not record.finished:
        raise UsageError(f"run {record.identity[:12]} failed: there is nothing to analyse")
    if reasons := check(record, folder):
        raise RecordError(f"run {record.identity[:12]} does not verify: {reasons[0]}")


def _subject(name: str, stage: StageData, method: Method | None) -> Subject:
    from avbench.harness.evaluation.chunks import Chunks

    classes = stage.classes(stage.candidates, trained=stage.seen)
    chunks = Chunks(stage.features, stage.rows)
    parts: dict[str, list[Tensor]] = {}
    of_classes: dict[str, Tensor] = {TEXT: classes.vectors}
    for clips in chunks.clips():
        found = _raw(clips)
        if method is not None:
            given = method.embeddings(clips, classes)
            found |= given.clips
            of_classes |= given.classes
        for key, part in found.items():
            parts.setdefault(key, []).append(part)
    try:
        together = {key: _checked(chunks.restored(found), len(stage.labels)) for key, found in parts.items()}
        return Subject(
            name,
            stage,
            together,
            {key: _checked(vectors, len(stage.candidates)) for key, vectors in of_classes.items()},
            method,
        )
    except ValueError as error:
        raise (DataError if method is None else MethodError)(f"{name}: {error}") from None


def _raw(clips: Clips) -> dict[str, Tensor]:
    """The features of clips; of those over time the means over their steps."""
    if clips.time is None:
        return {"raw-audio": clips.audio, "raw-visual": clips.visual}
    lengths = {"raw-audio": clips.time.audio_lengths, "raw-visual": clips.time.visual_lengths}
    sums = {"raw-audio": clips.audio.sum(1), "raw-visual": clips.visual.sum(1)}
    return {name: sums[name] / lengths[name][:, None] for name in sums}


def _checked(rows: Tensor, count: int) -> Floats:
    if rows.dim() != 2 or len(rows) != count:
        raise ValueError(f"an embedding has shape {tuple(rows.shape)}, not ({count}, width)")
    array: Floats = rows.detach().float().cpu().numpy()
    if not np.isfinite(array).all():
        raise ValueError("an embedding is NaN or infinite")
    return array
