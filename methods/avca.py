"""AVCA: audio-visual cross-attention (Mercea et al., CVPR 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from avbench.harness.contract.data import Classes, Clips
from avbench.harness.contract.embeddings import COMMON, Embeddings
from avbench.harness.contract.method import Difference, Method, MethodInfo
from avbench.harness.contract.options import EpochOptions, Preset
from avbench.harness.plugins.hookspecs import hookimpl
from avbench.methods.learning.batch import Batch, Dims
from avbench.methods.learning.training import BatchMethod

if TYPE_CHECKING:
    from torch import Tensor, nn

Output = Literal["visual", "audio", "mean", "minimum"]


class AVCAOptions(EpochOptions):
    """Tables and equations are those of the paper. Presets are the published settings of each track."""

    weight_decay: float = Field(1e-5, ge=0, le=1, description="Coupled L2 penalty of Adam on all parameters.")
    dropout_encoder: float = Field(0.2, ge=0, lt=1, description="Dropout of the encoders and of the attention layer.")
    dropout_projection: float = Field(0.2, ge=0, lt=1, description="Dropout of the audio and visual projections.")
    dropout_decoder: float = Field(0.1, ge=0, lt=1, description="Dropout of label projection, decoder, reconstruction.")
    batch_norm_momentum: float = Field(
        0.1, gt=0, le=1, description="Momentum of the second batch norm of encoders and projections."
    )
    margin: float = Field(1.0, gt=0, le=100, description="Margin of all triplet losses.")
    reference_batch_norm: bool = Field(
        False,
        description="Reproduce two extra training-mode passes of the reference code. They enter no loss but move the "
        "running statistics of batch norm: rebuilt encodings through the projections, and all positives again after "
        "each step.",
    )
    modalities: Literal["both", "audio", "visual"] = Field(
        "both", description="Branches that are projected and trained (tables 3 and 4)."
    )
    cross_attention: bool = Field(True, description="Let the two modalities exchange information (table 4).")
    output: Output | None = Field(
        None,
        description="Distance used for scoring: of one branch, their mean, or the smaller one per class (table 5). "
        "Unset: visual, or the only branch.",
        json_schema_extra={"no_effect": "it chooses the distance that scores, after training"},
    )
    loss_t: bool = Field(True, description="Base triplet loss l_t (eq. 5).")
    loss_rec: bool = Field(True, description="Loss l_rec: label vectors decoded from all embeddings (eq. 7).")
    loss_ct: bool = Field(True, description="Triplet loss l_ct on decoded label vectors (eq. 8).")
    loss_w: bool = Field(True, description="Triplet loss l_w on the embeddings (eq. 9).")
    loss_r: bool = Field(True, description="Regularisation l_r: encodings rebuilt, embeddings near labels (eq. 10).")

    presets: ClassVar[tuple[Preset, ...]] = (
        Preset({"reference_batch_norm": True}, protocol="as-published"),
        Preset({"dropout_projection": 0.3, "dropout_decoder": 0.5}, dataset="ucf"),
        Preset({"dropout_encoder": 0.0, "dropout_projection": 0.0}, dataset="vggsound"),
        Preset({"batch_norm_momentum": 0.99}, features="cls"),
        Preset({"batch_norm_momentum": 0.99}, dataset="activitynet", features="main"),
        Preset({"batch_size": 64}, dataset="vggsound", features="main"),
        Preset({"dropout_decoder": 0.0}, dataset="vggsound", features="cls"),
    )

    @property
    def branches(self) -> tuple[str, ...]:
        return ("audio", "visual") if self.modalities == "both" else (self.modalities,)

    @model_validator(mode="after")
    def _check(self) -> AVCAOptions:
        if self.output not in (None, *self.branches) and self.modalities != "both":
            raise ValueError(f"output={self.output} needs a branch that modalities={self.modalities} leaves out")
        if not (self.loss_t or self.loss_rec or self.loss_ct or self.loss_w or self.loss_r):
            raise ValueError("every loss is switched off: leave at least one on")
        return self


@dataclass(frozen=True)
class Embedded:
    """What the clips become, by branch. Each tensor is (B, ..., width)."""

    encoded: dict[str, Tensor]
    """phi (300): after the encoder."""
    attended: dict[str, Tensor]
    """What enters the projection (300): phi plus the output of the attention layer."""
    projected: dict[str, Tensor]
    """theta (64): in the common space."""


class AVCA(BatchMethod):
    info = MethodInfo(
        slug="avca",
        title="AVCA",
        year=2022,
        summary="Audio and visual encodings exchange information through cross-attention and are projected, with the "
        "label vectors, to one space trained by triplet, reconstruction and regression losses. "
        "Scores are distances from the visual branch to the projected labels.",
        citation="Mercea, Riesch, Koepke, Akata: Audio-visual Generalised Zero-shot Learning with Cross-modal "
        "Attention and Language. CVPR 2022.",
        bibtex="""@inproceedings{mercea2022avca,
  title     = {Audio-visual Generalised Zero-shot Learning with Cross-modal Attention and Language},
  author    = {Mercea, Otniel-Bogdan and Riesch, Lukas and Koepke, A. Sophia and Akata, Zeynep},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2022}
}""",
        differences=(
            Difference("attention layer norm", "after each residual sum", "before each sub-layer, none at the end"),
            Difference("feed-forward part of the attention layer", "one per modality", "one, shared by both tokens"),
            Difference(
                "token positions", "none", "fixed random N(0, 1) vectors, never trained, added before attention"
            ),
            Difference("batch norm momentum", "not mentioned", "0.99 in four of six settings", "batch_norm_momentum"),
            Difference(
                "batch norm batches",
                "not mentioned",
                "positives and negatives apart, plus two passes that enter no loss",
                "reference_batch_norm",
            ),
            Difference("weight decay", "not mentioned", "1e-5", "weight_decay"),
            Difference("batch size on VGGSound", "64", "64 with main, 256 with cls features", "batch_size"),
            Difference(
                "dropout with cls features", "not given", "decoder 0 instead of 0.1 on VGGSound", "dropout_decoder"
            ),
        ),
        notes=(
            "Tables 3 to 6 of the paper are reached by modalities, cross_attention, output and the loss_* options.",
            "output=minimum takes the smaller distance for each class; the paper's wording leaves the choice open.",
        ),
    )
    Options = AVCAOptions
    options: AVCAOptions

    def build(self, dims: Dims) -> dict[str, nn.Module]:
        import torch
        from torch import nn

        from avbench.methods.learning.blocks import Block, Constant, TwoTokenAttention

        o = self.options

        def two_blocks(inputs: int, outputs: int, dropout: float) -> nn.Module:
            return nn.Sequential(Block(inputs, 512, dropout), Block(512, outputs, dropout, o.batch_norm_momentum))

        parts: dict[str, nn.Module] = {}
        for branch, size in (("audio", dims.audio), ("visual", dims.visual)):
            if branch in o.branches or o.cross_attention:
                parts[f"encode_{branch}"] = two_blocks(size, 300, o.dropout_encoder)
            if branch in o.branches:
                parts[f"project_{branch}"] = two_blocks(300, 64, o.dropout_projection)
                parts[f"rebuild_{branch}"] = Block(64, 300, o.dropout_decoder)
        if o.cross_attention:
            parts["positions"] = Constant(torch.randn(2, 300))
            parts["attention"] = TwoTokenAttention(300, heads=3, hidden=64, dropout=o.dropout_encoder)
        parts["project_text"] = Block(dims.text, 64, o.dropout_decoder)
        parts["decode"] = Block(64, dims.text, o.dropout_decoder)
        return parts

    def embed(self, net: nn.ModuleDict, audio: Tensor, visual: Tensor) -> Embedded:
        """Clips (B, ..., Da) and (B, ..., Dv) through encoders, attention and projections (eqs. 1 and 2)."""
        import torch

        inputs = {"audio": audio, "visual": visual}
        encoded = {x: net[f"encode_{x}"](inputs[x]) for x in inputs if f"encode_{x}" in net}
        attended = encoded
        if self.options.cross_attention:
            tokens = torch.stack(list(encoded.values()))
            positions = net["positions"]().view(2, *[1] * (tokens.dim() - 2), -1)
            attended = dict(zip(encoded, tokens + net["attention"](tokens + positions), strict=True))
        projected = {x: net[f"project_{x}"](attended[x]) for x in self.options.branches}
        return Embedded(encoded, attended, projected)

    def loss(self, net: nn.ModuleDict, batch: Batch) -> Tensor:
        return self.embedding_loss(net, batch, self.embed(net, batch.audio, batch.visual))

    def embedding_loss(self, net: nn.ModuleDict, batch: Batch, clips: Embedded) -> Tensor:
        """The loss of embedded pairs (eqs. 4 to 10)."""
        import torch
        from torch.nn.functional import mse_loss

        from avbench.methods.learning.losses import triplets

        o, branches = self.options, self.options.branches
        # w, audio and visual, each + (positive half) and - (negative half). The decoder meets them in this order.
        names = [f"{x}{half}" for x in ("w", *branches) for half in "+-"]
        embedded = torch.cat([net["project_text"](batch.vectors), *clips.projected.values()], dim=1)
        theta = dict(zip(names, embedded.unbind(1), strict=True))
        rho = dict(zip(names, net["decode"](embedded).unbind(1), strict=True))
        rebuilt = {x: net[f"rebuild_{x}"](theta[f"{x}+"]) for x in branches}
        if o.reference_batch_norm:
            with torch.no_grad():
                for x in branches:
                    net[f"project_{x}"](rebuilt[x])

        triples = []
        for x in branches:
            if o.loss_t:
                triples += [(f"{x}+", "w+", f"{x}-"), ("w+", f"{x}+", "w-")]
            if o.loss_w:
                triples += [("w+", f"{x}+", f"{x}-"), (f"{x}+", "w+", "w-")]
        terms = []
        if triples:
            terms.append(triplets(theta, triples, o.margin))
        if o.loss_ct:
            terms.append(triplets(rho, [("w+", f"{x}+", f"{x}-") for x in branches], o.margin))
        if o.loss_rec:
            terms += [mse_loss(rho[f"{x}+"], batch.vectors[:, 0]) for x in ("w", *branches)]
        if o.loss_r:
            terms += [mse_loss(rebuilt[x], clips.encoded[x][:, 0]) for x in branches]
            terms += [mse_loss(theta[f"{x}+"], theta["w+"]) for x in branches]
        return torch.stack(terms).sum()

    def after_step(self, net: nn.ModuleDict, batch: Batch) -> None:
        if self.options.reference_batch_norm:
            self.embed(net, batch.audio[:, 0], batch.visual[:, 0])
            net["project_text"](batch.vectors[:, 0])

    def scores(self, net: nn.ModuleDict, clips: Clips, classes: Classes) -> Tensor:
        import torch

        from avbench.methods.learning.losses import distances

        labels = net["project_text"](classes.vectors)
        embedded = self.embed(net, clips.audio, clips.visual).projected
        by_branch = {x: distances(theta, labels) for x, theta in embedded.items()}
        output = self.options.output or self.options.branches[-1]
        if output in by_branch:
            return -by_branch[output]
        both = torch.stack(list(by_branch.values()))
        return -(both.mean(0) if output == "mean" else both.amin(0))

    def embedded(self, net: nn.ModuleDict, clips: Clips, classes: Classes) -> Embeddings:
        found = self.embed(net, clips.audio, clips.visual)
        encoded = {f"encoded-{branch}": phi for branch, phi in found.encoded.items()}
        return Embeddings({**found.projected, **encoded}, {COMMON: net["project_text"](classes.vectors)})


@hookimpl
def avbench_methods() -> list[type[Method]]:
    return [AVCA]
