"""AVGZSLNet (Mazumder et al., WACV 2021), as re-implemented by the benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from avbench.harness.contract.data import Classes, Clips
from avbench.harness.contract.method import Difference, Method, MethodInfo
from avbench.harness.contract.options import EpochOptions
from avbench.harness.plugins.hookspecs import hookimpl
from avbench.methods.families.joint import BATCH_SIZE, JointEmbedding, embedding_network
from avbench.methods.learning.batch import Batch, Dims

if TYPE_CHECKING:
    from torch import Tensor, nn


class AVGZSLNetOptions(EpochOptions):
    """Section numbers refer to the method's card."""

    margin: float = Field(1.0, gt=0, le=100, description="Margin of all triplet losses.")
    dropout_embedding: float = Field(0.8, ge=0, lt=1, description="Dropout of the three embedding networks.")
    dropout_decoder: float = Field(0.5, ge=0, lt=1, description="Dropout of the shared decoder.")
    reconstruction: Literal["norm", "mse"] = Field(
        "norm",
        description="Distance between decoded and true label vectors: Euclidean norm (reference code), or mean squared "
        "error as in eq. 7 of AVCA.",
    )
    fusion: Literal["sum", "mean"] = Field(
        "sum",
        description="Distance used for scoring: sum (reference code) or mean of the audio and visual distances.",
        json_schema_extra={"no_effect": "it scales the scores, after training"},
    )


class AVGZSLNet(JointEmbedding):
    info = MethodInfo(
        slug="avgzslnet",
        title="AVGZSLNet",
        year=2021,
        summary="Audio, visual and label embeddings in one space, from each of which a shared decoder must rebuild the "
        "label vector; triplet losses act on embeddings and on decoded vectors. "
        "Scores are the sum of the distances from both modalities to the embedded labels.",
        citation="Mazumder, Singh, Parida, Namboodiri: AVGZSLNet: Audio-Visual Generalized Zero-Shot Learning by "
        "Reconstructing Label Features from Multi-Modal Embeddings. WACV 2021.",
        bibtex="""@inproceedings{mazumder2021avgzslnet,
  title     = {{AVGZSLNet}: Audio-Visual Generalized Zero-Shot Learning by Reconstructing Label Features from
               Multi-Modal Embeddings},
  author    = {Mazumder, Pratik and Singh, Pravendra and Parida, Kranti Kumar and Namboodiri, Vinay P.},
  booktitle = {IEEE/CVF Winter Conference on Applications of Computer Vision (WACV)},
  year      = {2021}
}""",
        branches=("audio", "visual"),
        differences=(
            Difference(
                "offset",
                "the best one in [0, 3]",
                "mean of the best ones of audio, visual and combined scores, although the combined distance has about "
                "twice the scale (protocol as-published)",
            ),
            Difference("fusion at test", "not stated", "sum of the two distances", "fusion"),
            Difference("reconstruction", "not stated", "Euclidean norm, decoder output at unit norm", "reconstruction"),
            Difference("dropout of the embeddings", "not stated", "0.8, label branch included", "dropout_embedding"),
            Difference("dropout of the decoder", "not stated", "0.5", "dropout_decoder"),
            BATCH_SIZE,
            Difference("batch norm batches", "not stated", "each half of the pairs and each decoder input apart"),
        ),
    )
    Options = AVGZSLNetOptions
    options: AVGZSLNetOptions

    def build(self, dims: Dims) -> dict[str, nn.Module]:
        o = self.options
        return {
            "embed_audio": embedding_network(dims.audio, 1024, 64, o.dropout_embedding),
            "embed_visual": embedding_network(dims.visual, 1024, 64, o.dropout_embedding),
            "embed_text": embedding_network(dims.text, 300, 64, o.dropout_embedding),
            "decode": embedding_network(64, 64, dims.text, o.dropout_decoder),
        }

    def loss(self, net: nn.ModuleDict, batch: Batch) -> Tensor:
        import torch
        from torch.nn.functional import mse_loss, normalize

        from avbench.methods.learning.losses import triplets

        theta: dict[str, Tensor] = {}  # + positive half, - negative half
        for x, values in (("audio", batch.audio), ("visual", batch.visual), ("text", batch.vectors)):
            theta[f"{x}+"], theta[f"{x}-"] = net[f"embed_{x}"](values).unbind(1)
        names = ("audio+", "visual+", "text+", "audio-", "visual-")  # the order in which the decoder meets them
        decoded: Tensor = normalize(net["decode"](torch.stack([theta[x] for x in names], dim=1)), dim=-1)
        rho = dict(zip(names, decoded.unbind(1), strict=True))

        rebuilt, true = decoded[:, :3], batch.vectors[:, :1].expand(-1, 3, -1)
        mse = self.options.reconstruction == "mse"
        reconstruction = mse_loss(rebuilt, true) if mse else (rebuilt - true).norm(dim=-1).mean()
        near_labels = [("text+", "audio+", "audio-"), ("text+", "visual+", "visual-")]
        near_clips = [("audio+", "text+", "text-"), ("visual+", "text+", "text-")]
        margin = self.options.margin
        in_decoded = triplets(rho, near_labels, margin)
        return 3 * reconstruction + in_decoded + triplets(theta, near_labels + near_clips, margin)

    def scores(self, net: nn.ModuleDict, clips: Clips, classes: Classes) -> Tensor:
        branches = self.branch_scores(net, clips, classes)
        total = branches["audio"] + branches["visual"]
        return total if self.options.fusion == "sum" else total / 2


@hookimpl
def avbench_methods() -> list[type[Method]]:
    return [AVGZSLNet]
