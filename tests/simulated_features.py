"""Small simulated feature sets on the real splits, and a closed-form method that learns them in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from avbench.harness.contract.data import Classes, Clips, TrainingSet
from avbench.harness.contract.method import Method, MethodInfo, Progress
from avbench.harness.contract.options import EpochOptions
from avbench.harness.features.featureset import FeatureSet
from avbench.harness.features.manifest import Manifest
from avbench.harness.tracks import Track
from avbench.splits import PARTS, load_split


def simulated_features(
    dataset: str = "ucf", clips: int = 3, noise: float = 0.5, seed: int = 0, width: int = 12
) -> FeatureSet:
    """``clips`` clips per class and part of the main split; features: a linear map of the label vector plus noise.

    ``width``: of audio and of visual features."""
    split = load_split(dataset, "main")
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.nn.functional.normalize(torch.randn(len(split.classes), 16, generator=generator), dim=1)
    ids, rows, start = [], {}, 0
    for part in PARTS:
        members = [c.id for c in split.classes_of(part)] * clips
        rows[part] = slice(start, start + len(members))
        start += len(members)
        ids += members
    class_id = torch.tensor(ids)
    maps = torch.randn(2, 16, width, generator=generator)
    audio, visual = (vectors[class_id] @ maps).unbind(0)
    audio = audio + 2 * noise * torch.randn(audio.shape, generator=generator)
    visual = visual + noise * torch.randn(visual.shape, generator=generator)
    manifest = Manifest(
        dataset=dataset,
        features="simulated",
        partition="main",
        audio_dim=width,
        visual_dim=width,
        text_dim=16,
        counts={part: rows[part].stop - rows[part].start for part in PARTS},
        content_hash=f"{seed:064x}",
        source="simulated for tests",
        simulated=True,
    )
    return FeatureSet(Track(dataset, "simulated"), split, manifest, audio, visual, class_id, rows, vectors)


class RidgeOptions(EpochOptions):
    """Each epoch adds a share of the training clips."""

    epochs: int = Field(3, ge=1, description="Growing shares of the training clips.")
    strength: float = Field(1.0, gt=0, description="Ridge penalty.")
    branches: bool = Field(False, description="Also give the scores of each modality.")


class Ridge(Method):
    """Ridge regression from the features to the label vectors; scores are negative distances."""

    info = MethodInfo(
        slug="ridge",
        title="Ridge",
        year=2026,
        summary="For tests.",
        citation="none",
        branches=("audio", "visual"),
    )
    Options = RidgeOptions
    options: RidgeOptions

    def fit(self, train: TrainingSet, progress: Progress) -> None:
        for epoch in range(progress.epochs):
            rows = slice(0, None, progress.epochs - epoch)
            x = torch.cat([train.clips.audio, train.clips.visual], 1)[rows]
            y = train.classes.vectors[train.labels[rows]]
            self.map = torch.linalg.solve(x.T @ x + self.options.strength * torch.eye(x.shape[1]), x.T @ y)
            progress.epoch_done(self)

    def predict(self, clips: Clips, classes: Classes) -> Tensor:
        return -torch.cdist(torch.cat([clips.audio, clips.visual], 1) @ self.map, classes.vectors)

    def predict_branches(self, clips: Clips, classes: Classes) -> Mapping[str, Tensor]:
        if not self.options.branches:
            return {}
        half = clips.audio.shape[1]
        return {
            "audio": -torch.cdist(clips.audio @ self.map[:half], classes.vectors),
            "visual": -torch.cdist(clips.visual @ self.map[half:], classes.vectors),
        }

    def state(self) -> dict[str, Tensor]:
        return {"map": self.map}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.map = state["map"]

    def parameters(self) -> int:
        return self.map.numel()


def ridge(**options: Any) -> Ridge:
    return Ridge(RidgeOptions(**options))
