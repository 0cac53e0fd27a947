"""What CJME and AVGZSLNet share: audio, visual and label vectors, each embedded by a network of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avbench.harness.contract.data import Classes, Clips
from avbench.harness.contract.embeddings import COMMON, Embeddings
from avbench.harness.contract.method import Difference
from avbench.methods.learning.training import BatchMethod

if TYPE_CHECKING:
    from torch import Tensor, nn

BATCH_SIZE = Difference("batch size on VGGSound", "64, stated in general", "256", "batch_size")


class JointEmbedding(BatchMethod):
    """Has parts ``embed_audio``, ``embed_visual`` and ``embed_text``. Branch scores: negative distances."""

    def branch_scores(self, net: nn.ModuleDict, clips: Clips, classes: Classes) -> dict[str, Tensor]:
        from avbench.methods.learning.losses import distances

        labels = net["embed_text"](classes.vectors)
        return {
            "audio": -distances(net["embed_audio"](clips.audio), labels),
            "visual": -distances(net["embed_visual"](clips.visual), labels),
        }

    def embedded(self, net: nn.ModuleDict, clips: Clips, classes: Classes) -> Embeddings:
        found = {"audio": net["embed_audio"](clips.audio), "visual": net["embed_visual"](clips.visual)}
        return Embeddings(found, {COMMON: net["embed_text"](classes.vectors)})


def embedding_network(inputs: int, hidden: int, outputs: int, dropout: float) -> nn.Sequential:
    """Linear, batch norm, ReLU, dropout, linear."""
    from torch import nn

    from avbench.methods.learning.blocks import Block
    from avbench.methods.learning.products import Linear

    return nn.Sequential(Block(inputs, hidden, dropout), Linear(hidden, outputs))
