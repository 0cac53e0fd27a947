"""TCaF: temporal and cross-modal attention (Mercea et al., ECCV 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from avbench.harness.contract.method import Difference, Method, MethodInfo
from avbench.harness.plugins.hookspecs import hookimpl
from avbench.methods.families.over_time import DIFFERENCES, NOTES, OverTimeMethod, OverTimeOptions
from avbench.methods.learning.batch import Dims

if TYPE_CHECKING:
    from torch import Tensor, nn

    from avbench.harness.contract.data import Time


class TCaFOptions(OverTimeOptions):
    """The presets of a track are those of the reference code."""

    layer_norm: Literal["one", "two"] = Field(
        "one", description="Layer norms of a transformer layer: one for both of its parts, as in the code, or two."
    )


class TCaF(OverTimeMethod):
    info = MethodInfo(
        slug="tcaf",
        title="TCaF",
        year=2022,
        summary="Steps of audio and video with codes of their times go, with a class token, through a transformer in "
        "which a token sees the other modality and the class token only. The class token is projected and trained "
        "with cross-entropy, regression and reconstruction.",
        citation="Mercea, Hummel, Koepke, Akata: Temporal and Cross-modal Attention for Audio-Visual Zero-Shot "
        "Learning. ECCV 2022.",
        bibtex="""@inproceedings{mercea2022tcaf,
  title     = {Temporal and Cross-modal Attention for Audio-Visual Zero-Shot Learning},
  author    = {Mercea, Otniel-Bogdan and Hummel, Thomas and Koepke, A. Sophia and Akata, Zeynep},
  booktitle = {European Conference on Computer Vision (ECCV)},
  year      = {2022}
}""",
        inputs="temporal",
        also_averaged=True,
        differences=(*DIFFERENCES, Difference("layer norm", "pre-norm", "one for both parts of a layer", "layer_norm")),
        notes=NOTES,
    )
    Options = TCaFOptions
    options: TCaFOptions

    def fusion(self, dims: Dims) -> dict[str, nn.Module]:
        from avbench.methods.learning.fusion import Fusion

        o = self.options
        fusion = Fusion(
            dims.audio,
            dims.visual,
            layers=o.layers,
            heads=o.heads,
            head_width=o.head_width,
            dropout_transformer=o.dropout_transformer,
            one_norm=o.layer_norm == "one",
            **self.tokeniser(dims),
        )
        return {"fusion": fusion}

    def fused(
        self, net: nn.ModuleDict, audio: Tensor, visual: Tensor, time: Time | None, *, by_index: bool
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        tokens, _ = net["fusion"](audio, visual, time, by_index=by_index)
        return net["project_clip"](tokens[:, 0]), ()


@hookimpl
def avbench_methods() -> list[type[Method]]:
    return [TCaF]
