"""CJME: coordinated joint multimodal embeddings (Parida et al., WACV 2020), as re-implemented by the benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from avbench.harness.contract.data import Classes, Clips
from avbench.harness.contract.method import Difference, Method, MethodInfo
from avbench.harness.contract.options import EpochOptions, Preset
from avbench.harness.plugins.hookspecs import hookimpl
from avbench.methods.families.joint import BATCH_SIZE, JointEmbedding, embedding_network
from avbench.methods.learning.batch import Batch, Dims

if TYPE_CHECKING:
    from torch import Tensor, nn


class CJMEOptions(EpochOptions):
    """Section numbers refer to the method's card."""

    margin: float = Field(1.0, gt=0, le=100, description="Margin of the triplet losses.")
    entropy_margin: float = Field(
        0.1, ge=0, le=10, description="Difference of entropies, in nats, from which on one modality is the surer one."
    )
    dropout_embedding: float = Field(0.2, ge=0, lt=1, description="Dropout of the three embedding networks.")
    triplet_weighting: Literal["clip", "batch"] = Field(
        "clip",
        description="Weigh the triplet losses of each clip by its attention, or batch means by the mean attention, "
        "which is what broadcasting makes of it in the reference code.",
    )
    triplets_train_attention: bool = Field(True, description="Let the triplet losses train the attention too.")
    class_batch_norm: bool = Field(
        True,
        description="Embed the training classes for the attention target in training mode, which moves the running "
        "statistics of the label branch (reference code); off: in evaluation mode.",
    )
    rectify: bool = Field(True, description="ReLU after the last layer of each embedding network (reference code).")
    gate: Literal["hard", "soft"] = Field(
        "hard",
        description="Score by the distance of the dominant modality, or by both as weighted by the attention.",
        json_schema_extra={"no_effect": "training weighs softly either way"},
    )

    presets: ClassVar[tuple[Preset, ...]] = (
        Preset({"triplet_weighting": "batch"}, protocol="as-published"),
        Preset({"dropout_embedding": 0.0}, dataset="vggsound"),
    )


class CJME(JointEmbedding):
    info = MethodInfo(
        slug="cjme",
        title="CJME",
        year=2020,
        summary="Audio, visual and label embeddings in one space, and an attention that predicts the dominant modality "
        "from the features, taught by which modality's class distribution has the lower entropy. "
        "Scores are distances from the dominant modality to the embedded labels.",
        citation="Parida, Matiyali, Guha, Sharma: Coordinated Joint Multimodal Embeddings for Generalized Audio-Visual "
        "Zero-shot Classification and Retrieval of Videos. WACV 2020.",
        bibtex="""@inproceedings{parida2020coordinated,
  title     = {Coordinated Joint Multimodal Embeddings for Generalized Audio-Visual Zero-shot Classification and
               Retrieval of Videos},
  author    = {Parida, Kranti Kumar and Matiyali, Neeraj and Guha, Tanaya and Sharma, Gaurav},
  booktitle = {IEEE/CVF Winter Conference on Applications of Computer Vision (WACV)},
  year      = {2020}
}""",
        branches=("audio", "visual"),
        differences=(
            Difference(
                "attention in the triplet losses", "per clip", "batch mean times batch mean", "triplet_weighting"
            ),
            Difference(
                "gradient of the attention", "not stated", "also from the triplet losses", "triplets_train_attention"
            ),
            Difference("attention at test", "soft in training", "rounded to one modality", "gate"),
            Difference(
                "class embeddings of the attention target",
                "not stated",
                "training mode, training classes only, no gradient",
                "class_batch_norm",
            ),
            Difference("range of the embeddings", "not stated", "non-negative: a last ReLU", "rectify"),
            Difference(
                "offset",
                "the best one in [0, 3]",
                "mean of the best ones of audio, visual and combined scores (protocol as-published)",
            ),
            BATCH_SIZE,
        ),
    )
    Options = CJMEOptions
    options: CJMEOptions

    def build(self, dims: Dims) -> dict[str, nn.Module]:
        from torch import nn

        def network(inputs: int, hidden: int) -> nn.Module:
            layers = embedding_network(inputs, hidden, 64, self.options.dropout_embedding)
            return layers.append(nn.ReLU()) if self.options.rectify else layers

        joined = dims.audio + dims.visual
        return {
            "embed_audio": network(dims.audio, 1024),
            "embed_visual": network(dims.visual, 1024),
            "embed_text": network(dims.text, 300),
            "attention": nn.Sequential(nn.BatchNorm1d(joined), nn.Linear(joined, 1), nn.Sigmoid()),
        }

    def attention(self, net: nn.ModuleDict, audio: Tensor, visual: Tensor) -> Tensor:
        """alpha (N, 1): 0 where audio dominates, 1 where vision does."""
        import torch

        from avbench.methods.learning.blocks import at_least_float32

        return at_least_float32(net["attention"](torch.cat([audio, visual], dim=1)))

    def loss(self, net: nn.ModuleDict, batch: Batch) -> Tensor:
        import torch
        from torch.nn.functional import mse_loss, triplet_margin_loss

        audio, visual = net["embed_audio"](batch.audio), net["embed_visual"](batch.visual)
        label = net["embed_text"](batch.vectors)[:, 0]  # the negatives' only move the running statistics
        alpha = self.attention(net, batch.audio[:, 0], batch.visual[:, 0]).squeeze(1)
        target = self.attention_target(net, batch.classes, audio[:, 0], visual[:, 0])

        of_audio, of_visual = (
            triplet_margin_loss(label, x[:, 0], x[:, 1], self.options.margin, eps=1e-6, reduction="none")
            for x in (audio, visual)
        )
        weight = alpha if self.options.triplets_train_attention else alpha.detach()
        if self.options.triplet_weighting == "batch":
            of_audio, of_visual, weight = of_audio.mean(), of_visual.mean(), weight.mean()
        triplets = torch.lerp(of_audio, of_visual, weight).mean()
        return torch.stack([triplets, mse_loss(audio[:, 0], visual[:, 0]), mse_loss(alpha, target)]).sum()

    def attention_target(self, net: nn.ModuleDict, vectors: Tensor, audio: Tensor, visual: Tensor) -> Tensor:
        """alpha* (B,): 0 where the audio embedding (B, 64) is surer of a training class, 1 where the visual one is.

        0.5 where the entropies of their class distributions differ by at most ``entropy_margin`` (card section 3).
        """
        import torch

        with torch.no_grad():
            net["embed_text"].train(self.options.class_batch_norm)
            classes = net["embed_text"](vectors)
            net["embed_text"].train()
            of_audio, of_visual = (torch.special.entr((x @ classes.T).softmax(1)).sum(1) for x in (audio, visual))
            gap: Tensor = of_audio - of_visual
            margin = self.options.entropy_margin
            return 0.5 + 0.5 * ((gap > margin).to(gap) - (gap < -margin).to(gap))

    def scores(self, net: nn.ModuleDict, clips: Clips, classes: Classes) -> Tensor:
        import torch

        branches = self.branch_scores(net, clips, classes)
        alpha = self.attention(net, clips.audio, clips.visual)
        weight = (alpha >= 0.5).to(alpha) if self.options.gate == "hard" else alpha
        return torch.lerp(branches["audio"], branches["visual"], weight)


@hookimpl
def avbench_methods() -> list[type[Method]]:
    return [CJME]
