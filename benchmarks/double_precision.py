"""A method whose network, losses and scores are in double precision, for comparisons that rounding must not blur."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from avbench.harness.contract.data import TrainingSet
from avbench.methods.learning.batch import Batch
from avbench.methods.learning.training import BatchMethod


def doubled(kind: type[BatchMethod]) -> type[BatchMethod]:
    """The same method in double precision."""

    def cast(batch: Batch) -> Batch:
        return replace(
            batch,
            audio=batch.audio.double(),
            visual=batch.visual.double(),
            vectors=batch.vectors.double(),
            classes=batch.classes.double(),
        )

    class Doubled(kind):  # type: ignore[misc, valid-type]  # mypy takes no variable for a base
        mappable = True

        def begun(self, train: TrainingSet, progress: Any) -> nn.ModuleDict:
            net: nn.ModuleDict = super().begun(train, progress).double()
            return net

        def loss(self, net: nn.ModuleDict, batch: Batch) -> Tensor:
            loss: Tensor = super().loss(net, cast(batch))
            return loss

        def after_step(self, net: nn.ModuleDict, batch: Batch) -> None:
            super().after_step(net, cast(batch))

        def scores(self, net: nn.ModuleDict, clips: Any, classes: Any) -> Tensor:
            clips = replace(clips, audio=clips.audio.double(), visual=clips.visual.double())
            scores: Tensor = super().scores(net, clips, replace(classes, vectors=classes.vectors.double()))
            return scores

    return Doubled
