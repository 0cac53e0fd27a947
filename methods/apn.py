"""APN: attribute prototype network (Xu et al., NeurIPS 2020), as adapted by the benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from avbench.harness.contract.method import Difference, Method, MethodInfo
from avbench.harness.plugins.hookspecs import hookimpl
from avbench.methods.families.linear import DIFFERENCES, DISTANCES, LinearMethod, LinearOptions
from avbench.methods.learning.batch import Batch, Dims

if TYPE_CHECKING:
    from torch import Tensor, nn


class APNOptions(LinearOptions):
    prototypes: bool = Field(
        True,
        description="Train the prototype map P beside the global map G. It never influences a score (Xu et al., "
        "NeurIPS 2020, section 3).",
    )
    double_softmax: bool = Field(
        True,
        description="Cross-entropy of probabilities taken as logits, as in the reference code; off: of the logits.",
    )


class APN(LinearMethod):
    info = MethodInfo(
        slug="apn",
        title="APN",
        year=2020,
        summary="Label vectors are regressed from the joined features, globally and by prototypes: without a spatial "
        "map both are plain linear maps. Scores are distances from the globally mapped clip to the label vectors.",
        citation="Xu, Xian, Wang, Schiele, Akata: Attribute Prototype Network for Zero-Shot Learning. NeurIPS 2020.",
        bibtex="""@inproceedings{xu2020attribute,
  title     = {Attribute Prototype Network for Zero-Shot Learning},
  author    = {Xu, Wenjia and Xian, Yongqin and Wang, Jiuniu and Schiele, Bernt and Akata, Zeynep},
  booktitle = {Advances in Neural Information Processing Systems (NeurIPS)},
  year      = {2020}
}""",
        differences=(
            Difference(
                "prototypes",
                "attributes are mapped to relevant locations in the image",
                "no locations exist; a second linear map, unused at test",
                "prototypes",
            ),
            Difference(
                "further losses of the original (decorrelation, compactness)", "not mentioned", "absent, here too"
            ),
            Difference("cross-entropy", "not stated", "of a softmax's output, taken as logits", "double_softmax"),
            Difference("weights of the losses", "not stated", "all 1, here too"),
            *DIFFERENCES,
        ),
        notes=(DISTANCES,),
    )
    Options = APNOptions
    options: APNOptions
    mappable = True

    def build(self, dims: Dims) -> dict[str, nn.Module]:
        from torch import nn

        from avbench.methods.learning.products import Linear

        parts: dict[str, nn.Module] = {}
        for name in ("map", "prototypes") if self.options.prototypes else ("map",):
            parts[name] = linear = Linear(dims.visual + dims.audio, dims.text, bias=False)
            nn.init.uniform_(linear.weight, 0, 2e-4)
        return parts

    def loss(self, net: nn.ModuleDict, batch: Batch) -> Tensor:
        import torch
        from torch.nn.functional import cross_entropy, mse_loss

        x = self.joined(batch.audio, batch.visual)
        terms = []
        for linear in net.values():
            mapped = linear(x)
            logits = mapped @ batch.classes.T
            if self.options.double_softmax:
                logits = logits.softmax(1)
            terms += [cross_entropy(logits, batch.labels), mse_loss(mapped, batch.vectors)]
        return torch.stack(terms).sum()


@hookimpl
def avbench_methods() -> list[type[Method]]:
    return [APN]
