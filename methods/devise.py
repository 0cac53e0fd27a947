"""DeViSE: deep visual-semantic embedding (Frome et al., NeurIPS 2013), as adapted by the benchmark."""

from __future__ import annotations

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


class DeViSE(CompatibilityMethod):
    info = MethodInfo(
        slug="devise",
        title="DeViSE",
        year=2013,
        summary="A linear map of the joined features into the space of the label vectors, trained by a hinge that is "
        "summed over all wrong classes. Scores are distances to the label vectors.",
        citation="Frome, Corrado, Shlens, Bengio, Dean, Ranzato, Mikolov: DeViSE: A Deep Visual-Semantic Embedding "
        "Model. NeurIPS 2013.",
        bibtex="""@inproceedings{frome2013devise,
  title     = {{DeViSE}: A Deep Visual-Semantic Embedding Model},
  author    = {Frome, Andrea and Corrado, Greg S. and Shlens, Jonathon and Bengio, Samy and Dean, Jeff and
               Ranzato, Marc'Aurelio and Mikolov, Tomas},
  booktitle = {Advances in Neural Information Processing Systems (NeurIPS)},
  year      = {2013}
}""",
        differences=(
            Difference(
                "loss",
                "the dot products with the negative classes are summed and minimised",
                "hinge at a margin below the right class, summed over the others",
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
        if self.options.hinge:
            return self.violations(compatibility, labels).sum(1)
        return replace_right(compatibility, labels, 0.0).sum(1)


@hookimpl
def avbench_methods() -> list[type[Method]]:
    return [DeViSE]
