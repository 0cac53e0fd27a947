"""How features over time are stored: a file with the steps, and beside it their averaged view, written at once.

Tensors: ``class_id`` (N,), ``audio_offsets`` and ``visual_offsets`` (N + 1,) int64, ``seconds`` (2,) float64, lengths
of an audio and a visual step, ``audio`` (sum Ta, Da) and ``visual`` (sum Tv, Dv) float32 or float16, ``vectors``,
``text.<name>`` and ``video_id`` as in averaged sets. The averaged view is an averaged feature set in every respect.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from avbench.harness.errors import DataError
from avbench.harness.features.draft import Report
from avbench.harness.features.manifest import TEXT, Manifest, TextFacts
from avbench.harness.features.temporal_draft import SequenceGroup, TemporalDraft, timeline
from avbench.harness.features.tensorfile import Layout, SequentialTensorFile, TensorFile


class TemporalFiles:
    """The two files of a set over time while they are written: its steps, and the means over them."""

    def __init__(self, draft: TemporalDraft, ids: NDArray[np.uint8], steps: BinaryIO, means: BinaryIO) -> None:
        self.draft, self.ids, self.offsets = draft, ids, draft.offsets()
        count, values = len(ids), {"float32": "<f4", "float16": "<f2"}[draft.dtype]
        texts = {TEXT + name: text.vectors for name, text in draft.texts.items()}
        self.shared: dict[str, NDArray[Any]] = {"vectors": draft.vectors, **texts, "video_id": ids}
        layouts = {"class_id": Layout("<i8", (count,))}
        ends = {name: Layout("|u1" if name == "video_id" else "<f4", a.shape) for name, a in self.shared.items()}
        self.steps = SequentialTensorFile(
            steps,
            {
                **layouts,
                "audio_offsets": Layout("<i8", (count + 1,)),
                "visual_offsets": Layout("<i8", (count + 1,)),
                "seconds": Layout("<f8", (2,)),
                "audio": Layout(values, (int(self.offsets[0][-1]), draft.audio_dim)),
                "visual": Layout(values, (int(self.offsets[1][-1]), draft.visual_dim)),
                **ends,
            },
        )
        self.means = TensorFile(
            means,
            {
                **layouts,
                "audio": Layout("<f4", (count, draft.audio_dim)),
                "visual": Layout("<f4", (count, draft.visual_dim)),
                **ends,
            },
        )

    @property
    def bytes(self) -> int:
        """Of both files."""
        return self.steps.bytes + self.means.bytes

    def write(self, report: Report) -> tuple[Manifest, Manifest]:
        """Read and store clip by clip. Returns the manifests of the set over time and of its averaged view.

        Raises :class:`DataError` for steps of a wrong shape, or with NaN or infinity.
        """
        draft = self.draft
        for name, array in self.shared.items():
            self.steps.append(name, array)
            self.means.write(name, 0, array)
        self.steps.append("audio_offsets", self.offsets[0])
        self.steps.append("visual_offsets", self.offsets[1])
        self.steps.append("seconds", np.array([draft.audio_step, draft.visual_step]))
        row = 0
        for group in draft.groups:
            report(f"{draft.track}: storing", row, len(self.ids))
            owners = np.full(len(group.ids), group.owner.id)
            self.steps.append("class_id", owners)
            self.means.write("class_id", row, owners)
            means: tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]] = ([], [])
            for clip, both in enumerate(_clips(group)):
                for kind, name, values in zip(means, ("audio", "visual"), both, strict=True):
                    stored = self._usable(group, clip, name, values)
                    self.steps.append(name, stored)
                    kind.append(stored.mean(axis=0, dtype=np.float64).astype(np.float32))
            for kind, name in zip(means, ("audio", "visual"), strict=True):
                self.means.write(name, row, np.stack(kind))
            row += len(group.ids)
        report(f"{draft.track}: storing", row, len(self.ids))
        over_time = _manifest(draft, self.steps.finish())
        view = over_time.model_copy(
            update={
                "features": draft.view.features,
                "content_hash": self.means.finish(),
                "source": f"means over time of {draft.track}: {draft.source}",
                "time": None,
                "version": 2 if draft.texts or draft.extraction else 1,
            }
        )
        return over_time, view

    def _usable(self, group: SequenceGroup, clip: int, name: str, values: NDArray[Any]) -> NDArray[np.floating[Any]]:
        """The steps of a clip as they are stored."""
        lengths = group.audio_lengths if name == "audio" else group.visual_lengths
        width = self.draft.audio_dim if name == "audio" else self.draft.visual_dim
        where = f"{self.draft.track}: {name} features of {group.part}, class {group.owner.name!r}, clip"
        if values.shape != (lengths[clip], width):
            expected = (int(lengths[clip]), width)
            raise DataError(f"{where} {group.ids[clip]}: shape {values.shape}, expected {expected}")
        with np.errstate(over="ignore"):
            stored = values.astype("<f2" if self.draft.dtype == "float16" else "<f4", copy=False)
        if not np.isfinite(stored).all():
            step = int((~np.isfinite(stored).all(axis=1)).argmax())
            hint = " as float16" if np.isfinite(values).all() else ""
            raise DataError(f"{where} {group.ids[clip]}: NaN or infinity{hint} at step {step}")
        return stored


def _clips(group: SequenceGroup) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """The clips of a group: as many as it lists."""
    return (both for _, both in zip(group.ids, group.read(), strict=True))


def _manifest(draft: TemporalDraft, found: str) -> Manifest:
    return Manifest(
        dataset=draft.track.dataset,
        features=draft.track.features,
        partition=draft.split.partition,
        audio_dim=draft.audio_dim,
        visual_dim=draft.visual_dim,
        text_dim=draft.vectors.shape[1],
        counts=draft.counts,
        content_hash=found,
        source=draft.source,
        simulated=draft.simulated,
        warnings=draft.warnings,
        assumed=draft.assumed,
        time=timeline(draft.offsets(), (draft.audio_step, draft.visual_step), draft.dtype),
        extraction=draft.extraction,
        texts={n: TextFacts(dim=t.vectors.shape[1], unit=t.unit) for n, t in draft.texts.items()},
    )
