"""ClipClap: feed-forward fusion of CLIP and CLAP features with both their texts (Kurzendörfer et al., CVPRW 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from avbench.harness.contract.data import Classes, Clips
from avbench.harness.contract.method import Difference, Method, MethodInfo
from avbench.harness.contract.options import EpochOptions, Preset
from avbench.harness.errors import MethodError
from avbench.harness.plugins.hookspecs import hookimpl
from avbench.methods.learning.batch import Batch, Dims
from avbench.methods.learning.training import BatchMethod

if TYPE_CHECKING:
    from torch import Tensor, nn

TEXTS = ("clip", "clap")
"""The text vectors of its track."""


class ClipClapOptions(EpochOptions):
    """The presets of the track ``clipclap`` are those of the reference code."""

    batches_per_epoch: int = Field(300, ge=1, le=1_000_000, description="Class-balanced batches that make one epoch.")
    batch_size: int = Field(64, ge=2, le=65_536, description="Clips per batch.")
    learning_rate: float = Field(7e-5, gt=0, le=10, description="Initial learning rate of Adam.")
    weight_decay: float = Field(1e-5, ge=0, le=1, description="Coupled L2 penalty of Adam on all parameters.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout of all blocks.")
    modality: Literal["both", "visual", "audio"] = Field("both", description="Features that are used.")
    text: Literal["all", "clip", "clap"] = Field(
        "all", description="Text vectors that are used: all of a track in their order, or one of them by its name."
    )
    reference_batch_norm: bool = Field(
        False,
        description="Pass each batch through the blocks once more after the step, as the reference code does; its "
        "output is unused, but batch norm sees it.",
    )

    presets: ClassVar[tuple[Preset, ...]] = (
        Preset({"epochs": 20}, "ucf", "clipclap"),
        *(Preset({"epochs": 15, "learning_rate": 1e-4}, d, "clipclap") for d in ("activitynet", "vggsound")),
        Preset({"reference_batch_norm": True}, protocol="as-published"),
        Preset({"epochs": 10, "batches_per_epoch": 40, "batch_size": 64, "learning_rate": 1e-3}, features="demo"),
    )


class ClipClap(BatchMethod):
    info = MethodInfo(
        slug="clipclap",
        title="ClipClap",
        year=2024,
        summary="CLIP features of the middle frame and CLAP features of the sound, joined, and both their text vectors "
        "of a class, joined, are mapped by blocks to one space, trained with cross-entropy, regression and "
        "reconstruction of a learned text code.",
        citation="Kurzendörfer, Mercea, Koepke, Akata: Audio-Visual Generalized Zero-Shot Learning using Pre-Trained "
        "Large Multi-Modal Models. CVPR Workshops 2024.",
        bibtex="""@inproceedings{kurzendoerfer2024clipclap,
  title     = {Audio-Visual Generalized Zero-Shot Learning using Pre-Trained Large Multi-Modal Models},
  author    = {Kurzend{\\"o}rfer, David and Mercea, Otniel-Bogdan and Koepke, A. Sophia and Akata, Zeynep},
  booktitle = {CVPR Workshops},
  year      = {2024}
}""",
        texts=TEXTS,
        differences=(
            Difference("passes through batch norm", "not mentioned", "two per step", "reference_batch_norm"),
            Difference(
                "label vectors", "of the right class", "right on UCF, permuted on ActivityNet and VGGSound (protocol)"
            ),
            Difference("offsets", "calibrated stacking", "0 to 5 in steps of 1/15 on its features (protocol)"),
        ),
        notes=(
            "Its own features are the track clipclap: CLIP ViT-B/32 of the middle frame, WavCaps HTSAT-BERT of the "
            "sound, and the text vectors clip and clap. On a track with one kind of text vector it takes that.",
            "The rows of other methods in its table were trained anew on its features, on UCF with repaired label "
            "vectors.",
        ),
    )
    Options = ClipClapOptions
    options: ClipClapOptions
    pairs = False

    def build(self, dims: Dims) -> dict[str, nn.Module]:
        from torch import nn

        from avbench.methods.learning.blocks import Block

        rate = self.options.dropout
        widths = {"both": dims.visual + dims.audio, "visual": dims.visual, "audio": dims.audio}
        return {
            "enter_clip": Block(widths[self.options.modality], 512, rate),
            "enter_text": Block(sum(self._text_widths(dims)), 512, rate),
            "project_clip": nn.Sequential(Block(512, 512, rate), Block(512, 64, rate)),
            "project_text": Block(512, 64, rate),
            "rebuild_clip": nn.Sequential(Block(64, 512, rate), Block(512, 512, rate)),
            "rebuild_text": Block(64, 512, rate),
        }

    def _text_widths(self, dims: Dims) -> list[int]:
        if self.options.text == "all":
            return list(dims.texts.values()) or [dims.text]
        if self.options.text not in dims.texts:
            known = ", ".join(dims.texts) or "none that have a name"
            raise MethodError(f"clipclap: text={self.options.text}, but the text vectors of this track are {known}")
        return [dims.texts[self.options.text]]

    def inputs(self, audio: Tensor, visual: Tensor) -> Tensor:
        """Features (N, D) that are used."""
        import torch

        both = {"both": [visual, audio], "visual": [visual], "audio": [audio]}
        return torch.cat(both[self.options.modality], dim=1)

    def texts(self, vectors: Tensor, named: Mapping[str, Tensor]) -> Tensor:
        """Text vectors (C, D) that are used, joined as they are."""
        import torch

        if self.options.text != "all":
            return named[self.options.text]
        return torch.cat(list(named.values()), dim=1) if named else vectors

    def loss(self, net: nn.ModuleDict, batch: Batch) -> Tensor:
        import torch
        from torch.nn.functional import cross_entropy, mse_loss

        every = self.texts(batch.classes, batch.texts)
        clip = net["project_clip"](net["enter_clip"](self.inputs(batch.audio, batch.visual)))
        code = net["enter_text"](every[batch.labels])
        text = net["project_text"](code)
        classes = net["project_text"](net["enter_text"](every))  # a call of its own, with its own batch norm
        terms = [
            cross_entropy(clip @ classes.T, batch.labels),
            mse_loss(clip, text),
            mse_loss(net["rebuild_clip"](clip), code),
            mse_loss(net["rebuild_text"](text), code),
        ]
        return torch.stack(terms).sum()

    def after_step(self, net: nn.ModuleDict, batch: Batch) -> None:
        if self.options.reference_batch_norm:
            net["project_clip"](net["enter_clip"](self.inputs(batch.audio, batch.visual)))
            net["project_text"](net["enter_text"](self.texts(batch.classes, batch.texts)[batch.labels]))

    def scores(self, net: nn.ModuleDict, clips: Clips, classes: Classes) -> Tensor:
        from avbench.methods.learning.losses import distances

        clip = net["project_clip"](net["enter_clip"](self.inputs(clips.audio, clips.visual)))
        text = net["project_text"](net["enter_text"](self.texts(classes.vectors, classes.texts)))
        return -distances(clip, text)


@hookimpl
def avbench_methods() -> list[type[Method]]:
    return [ClipClap]
