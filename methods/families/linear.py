"""Image methods adapted by the benchmark: linear maps of the joined features into the space of the label vectors.

ALE, DeViSE and SJE are one bilinear compatibility under three ranking losses; APN trains its maps by regression.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from avbench.harness.contract.data import Classes, Clips
from avbench.harness.contract.method import Difference
from avbench.harness.contract.options import EpochOptions, Preset
from avbench.methods.learning.batch import Batch, Dims
from avbench.methods.learning.training import BatchMethod

if TYPE_CHECKING:
    from torch import Tensor, nn

DIFFERENCES = (
    Difference("test score", "not stated; a dot product is trained", "negative Euclidean distance", "score"),
    Difference("input scaling", "not stated", "unit norm with cls features, raw with main", "normalise_inputs"),
    Difference("batch size on VGGSound", "64, stated in general", "256", "batch_size"),
)
"""What ALE, APN, DeViSE and SJE have in common. "Paper" is that of the benchmark, which describes the adaptations."""

DISTANCES = (
    "Label vectors have unit norm, so without offset both scores rank classes alike. With score=distance the scores of "
    "a clip differ by at most 2: any offset from 2 on removes every seen class."
)


class LinearOptions(EpochOptions):
    """Options of all linear methods. Section numbers refer to the methods' cards."""

    normalise_inputs: bool = Field(False, description="Scale the joined features of a clip to unit norm (section 2).")
    score: Literal["distance", "product"] = Field(
        "distance",
        description="Score by negative distance to the label vector, or by the dot product (section 5).",
        json_schema_extra={"no_effect": "it chooses how clips are scored, after training"},
    )

    presets: ClassVar[tuple[Preset, ...]] = (Preset({"normalise_inputs": True}, features="cls"),)


class LinearMethod(BatchMethod):
    """Scores clips by a part named ``map``, linear from joined features to the space of the label vectors."""

    Options = LinearOptions
    options: LinearOptions
    pairs = False

    def joined(self, audio: Tensor, visual: Tensor) -> Tensor:
        """Features (N, Dv + Da), vision first."""
        import torch
        from torch.nn.functional import normalize

        x = torch.cat([visual, audio], dim=1)
        return normalize(x, dim=1) if self.options.normalise_inputs else x

    def scores(self, net: nn.ModuleDict, clips: Clips, classes: Classes) -> Tensor:
        from avbench.methods.learning.losses import distances

        mapped: Tensor = net["map"](self.joined(clips.audio, clips.visual))
        if self.options.score == "product":
            return mapped @ classes.vectors.T
        return -distances(mapped, classes.vectors)


class CompatibilityOptions(LinearOptions):
    """Options of ALE, DeViSE and SJE."""

    margin: float = Field(0.1, ge=0, le=100, description="Margin between compatibilities (section 3).")
    dropout_inputs: float = Field(0.2, ge=0, lt=1, description="Dropout of the joined features.")
    dropout_labels: float = Field(
        0.2, ge=0, lt=1, description="Dropout of the training classes' label vectors, one mask per step."
    )

    presets: ClassVar[tuple[Preset, ...]] = (
        Preset({"dropout_inputs": 0.0, "dropout_labels": 0.0}, dataset="vggsound"),
    )


class HingeOptions(CompatibilityOptions):
    """Options of DeViSE and SJE."""

    hinge: bool = Field(
        True,
        description="Rank by a hinge at a margin below the right class (reference code). Off: lower the dot products "
        "with wrong classes themselves, as the benchmark's paper words it; nothing bounds that loss from below.",
    )


LABEL_DROPOUT = Difference("label dropout", "not stated", "at the same rate as the input's", "dropout_labels")


class CompatibilityMethod(LinearMethod):
    """The compatibility of a clip and a class is the dot product of the mapped clip and the label vector."""

    Options = CompatibilityOptions
    options: CompatibilityOptions

    def build(self, dims: Dims) -> dict[str, nn.Module]:
        from avbench.methods.learning.blocks import Dropout
        from avbench.methods.learning.products import Linear

        return {
            "map": Linear(dims.visual + dims.audio, dims.text, bias=False),
            "drop_inputs": Dropout(self.options.dropout_inputs),
            "drop_labels": Dropout(self.options.dropout_labels),
        }

    def mapped(self, net: nn.ModuleDict, batch: Batch) -> Tensor:
        """Clips of a batch in the space of the label vectors (B, Dt)."""
        result: Tensor = net["map"](net["drop_inputs"](self.joined(batch.audio, batch.visual)))
        return result

    def ranking_loss(self, net: nn.ModuleDict, mapped: Tensor, batch: Batch) -> Tensor:
        """The loss on mapped clips."""
        return self.clip_losses(net, mapped @ net["drop_labels"](batch.classes).T, batch.labels).mean()

    def loss(self, net: nn.ModuleDict, batch: Batch) -> Tensor:
        return self.ranking_loss(net, self.mapped(net, batch), batch)

    @abstractmethod
    def clip_losses(self, net: nn.ModuleDict, compatibility: Tensor, labels: Tensor) -> Tensor:
        """Loss of each clip (B,) from its compatibility (B, C) with every training class; ``labels`` (B,)."""

    def violations(self, compatibility: Tensor, labels: Tensor) -> Tensor:
        """h (B, C): by how much each wrong class violates the margin to the right one; 0 for the right one."""
        right = compatibility.gather(1, labels[:, None])
        return replace_right((self.options.margin + compatibility - right).relu(), labels, 0.0)


def replace_right(table: Tensor, labels: Tensor, value: float) -> Tensor:
    """The table (B, C) with ``value`` in the column of each row's right class."""
    return table.scatter(1, labels[:, None], value)
