"""Perceiver, as a baseline for features over time (Jaegle et al., ICML 2021; adapted by Mercea et al., ECCV 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from avbench.harness.contract.method import Method, MethodInfo
from avbench.harness.contract.options import Preset
from avbench.harness.plugins.hookspecs import hookimpl
from avbench.harness.tracks import DEMO
from avbench.methods.families.over_time import DIFFERENCES, NOTES, OverTimeMethod, OverTimeOptions
from avbench.methods.learning.batch import Dims

if TYPE_CHECKING:
    from torch import Tensor, nn

    from avbench.harness.contract.data import Time


class PerceiverOptions(OverTimeOptions):
    """There is no public code of the adaptation: what is open has TCaF's value or one of ours."""

    latents: int = Field(64, ge=1, le=4096, description="Learned latent tokens.")
    layers: int = Field(8, ge=1, le=64, description="Layers; every other one reads the tokens, the rest think.")

    presets: ClassVar[tuple[Preset, ...]] = (
        Preset({"layers": 8, "heads": 8, "head_width": 64}, features="main"),
        Preset({"layers": 8}, features="cls"),
        Preset({"layers": 2, "latents": 16}, features=DEMO),
    )


class Perceiver(OverTimeMethod):
    info = MethodInfo(
        slug="perceiver",
        title="Perceiver",
        year=2021,
        summary="A fixed set of learned latent tokens reads the steps of audio and video by cross-attention and thinks "
        "by self-attention, in turn; their mean is projected and trained with TCaF's losses.",
        citation="Jaegle, Gimeno, Brock, Zisserman, Vinyals, Carreira: Perceiver: General Perception with Iterative "
        "Attention. ICML 2021.",
        bibtex="""@inproceedings{jaegle2021perceiver,
  title     = {Perceiver: General Perception with Iterative Attention},
  author    = {Jaegle, Andrew and Gimeno, Felix and Brock, Andrew and Zisserman, Andrew and Vinyals, Oriol
               and Carreira, Joao},
  booktitle = {International Conference on Machine Learning (ICML)},
  year      = {2021}
}""",
        inputs="temporal",
        also_averaged=True,
        differences=DIFFERENCES,
        notes=(
            "Re-implementation, architecture partly ours: the authors of TCaF adapted it as a baseline and published "
            "no code. Known are 64 latent tokens, 8 layers, TCaF's position codes and about its capacity. Ours: reads "
            "and thinks in turn (equal capacity), weights not shared, latents drawn with deviation 0.02, the mean of "
            "normalised latents at the end, TCaF's losses.",
            *NOTES,
        ),
    )
    Options = PerceiverOptions
    options: PerceiverOptions

    def fusion(self, dims: Dims) -> dict[str, nn.Module]:
        from avbench.methods.learning.latents import LatentReader

        o = self.options
        reader = LatentReader(
            dims.audio,
            dims.visual,
            latents=o.latents,
            layers=o.layers,
            heads=o.heads,
            head_width=o.head_width,
            dropout_transformer=o.dropout_transformer,
            **self.tokeniser(dims),
        )
        return {"fusion": reader}

    def fused(
        self, net: nn.ModuleDict, audio: Tensor, visual: Tensor, time: Time | None, *, by_index: bool
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        return net["project_clip"](net["fusion"](audio, visual, time, by_index=by_index)), ()


@hookimpl
def avbench_methods() -> list[type[Method]]:
    return [Perceiver]
