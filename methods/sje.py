"""SJE: structured joint embedding (Akata et al., CVPR 2015), as adapted by the benchmark."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from avbench.harness.contract.method import Difference, Method, MethodInfo
from avbench.harness.plugins.hookspecs import hookimpl
from avbench.methods.families.linear import (
    DIFFERENCES,
    DISTANCES,
    LABEL_DROPOUT,
    CompatibilityMethod,
    HingeOptions,
    replace_right,
)

if TYPE_CHECKING:
    from torch import Tensor, nn


class SJE(CompatibilityMethod):
    info = MethodInfo(
        slug="sje",
        title="SJE",
        year=2015,
        summary="A linear map of the joined features into the space of the label vectors, trained by the hinge of the "
        "one class that violates the margin most. Scores are distances to the label vectors.",
        citation="Akata, Reed, Walter, Lee, Schiele: Evaluation of Output Embeddings for Fine-Grained Image "
        "Classification. CVPR 2015.",
        bibtex="""@inproceedings{akata2015evaluation,
  title     = {Evaluation of Output Embeddings for Fine-Grained Image Classification},
  author    = {Akata, Zeynep and Reed, Scott and Walter, Daniel and Lee, Honglak and Schiele, Bernt},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2015}
}""",
        differences=(
            Difference(
                "loss",
                "the highest dot product with a negative class is minimised",
                "the highest violation of a margin to the right class, at least 0",
                "hinge",
            ),
            *DIFFERENCES,
            LABEL_DROPOUT,
        ),
        notes=(DISTANCES,),
    )
    Options = HingeOptions
    options: HingeOptions
    mappable = True

    def clip_losses(self, net: nn.ModuleDict, compatibility: Tensor, labels: Tensor) -> Tensor:
        # max(dim) and not amax: one class alone receives the gradient, also where several are level.
        if self.options.hinge:
            return self.violations(compatibility, labels).max(1).values
        return replace_right(compatibility, labels, -math.inf).max(1).values


@hookimpl
def avbench_methods() -> list[type[Method]]:
    return [SJE]
