"""ALE: attribute label embedding (Akata et al., TPAMI 2016), as adapted by the benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from avbench.harness.contract.method import Difference, Method, MethodInfo
from avbench.harness.plugins.hookspecs import hookimpl
from avbench.methods.families.linear import (
    DIFFERENCES,
    DISTANCES,
    LABEL_DROPOUT,
    CompatibilityMethod,
    CompatibilityOptions,
)
from avbench.methods.learning.batch import Batch, Dims

if TYPE_CHECKING:
    from torch import Tensor, nn


class ALEOptions(CompatibilityOptions):
    loss_regression: bool = Field(
        False,
        description="Add the mean squared error between mapped clip and label vector: the wording of the benchmark's "
        "paper ('close to the ground-truth embedding'). The reference code has no such term.",
    )


class ALE(CompatibilityMethod):
    info = MethodInfo(
        slug="ale",
        title="ALE",
        year=2016,
        summary="A linear map of the joined features into the space of the label vectors, trained by a weighted "
        "approximate ranking loss: the more classes outrank the right one, the heavier the hinge. "
        "Scores are distances to the label vectors.",
        citation="Akata, Perronnin, Harchaoui, Schmid: Label-Embedding for Image Classification. TPAMI 38(7), 2016.",
        bibtex="""@article{akata2016label,
  title   = {Label-Embedding for Image Classification},
  author  = {Akata, Zeynep and Perronnin, Florent and Harchaoui, Zaid and Schmid, Cordelia},
  journal = {IEEE Transactions on Pattern Analysis and Machine Intelligence},
  volume  = {38},
  number  = {7},
  pages   = {1425--1438},
  year    = {2016}
}""",
        differences=(
            Difference(
                "loss",
                "'close to the ground-truth embedding', weighted approximate ranking",
                "exact ranking weight over all training classes; nothing pulls a clip to its label vector",
                "loss_regression",
            ),
            *DIFFERENCES,
            LABEL_DROPOUT,
        ),
        notes=(DISTANCES,),
    )
    Options = ALEOptions
    options: ALEOptions
    mappable = True

    def build(self, dims: Dims) -> dict[str, nn.Module]:
        import torch

        from avbench.methods.learning.blocks import Constant

        ranks = torch.arange(1, dims.classes)
        weights = (1 / ranks).cumsum(0) / (ranks + 1e-8)
        return {**super().build(dims), "rank_weights": Constant(torch.cat([torch.zeros(1), weights]))}

    def loss(self, net: nn.ModuleDict, batch: Batch) -> Tensor:
        from torch.nn.functional import mse_loss

        mapped = self.mapped(net, batch)
        loss = self.ranking_loss(net, mapped, batch)
        return loss + mse_loss(mapped, batch.vectors) if self.options.loss_regression else loss

    def clip_losses(self, net: nn.ModuleDict, compatibility: Tensor, labels: Tensor) -> Tensor:
        """Sum of the violations times H_k / k, where k of them are positive and H_k = 1 + 1/2 + ... + 1/k."""
        violations = self.violations(compatibility, labels)
        violated = (violations > 0).sum(1)
        weights: Tensor = net["rank_weights"]()
        return weights[violated] * violations.sum(1)


@hookimpl
def avbench_methods() -> list[type[Method]]:
    return [ALE]
