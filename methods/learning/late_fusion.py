"""A transformer for each modality, and a gate that weighs their embeddings. Imports torch.

After Fayek and Kumar, Large Scale Audiovisual Learning of Sounds with Weakly Labeled Data (IJCAI 2020).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from avbench.harness.contract.data import Time
from avbench.methods.learning.fusion import TransformerLayer, forbidden
from avbench.methods.learning.products import Linear
from avbench.methods.learning.tokens import WIDTH, Tokeniser


class ModalityTransformers(Tokeniser):
    """Clips over time to the class tokens of audio and vision, (B, 300) each, after ordinary self-attention.

    ``layers``: of audio and of vision.
    """

    def __init__(
        self,
        audio: int,
        visual: int,
        *,
        layers: tuple[int, int],
        heads: int,
        head_width: int,
        dropout_transformer: float,
        **tokeniser: Any,
    ) -> None:
        super().__init__(audio, visual, **tokeniser)
        self.class_tokens = nn.Parameter(torch.randn(2, WIDTH))
        self.layers = nn.ModuleList(
            nn.ModuleList(
                TransformerLayer(heads, head_width, dropout_transformer, one_norm=False) for _ in range(count)
            )
            for count in layers
        )

    def forward(
        self, audio: Tensor, visual: Tensor, time: Time | None, *, by_index: bool = False
    ) -> tuple[Tensor, Tensor]:
        tokens = self.tokens(audio, visual, time, by_index=by_index)
        heard = self._attended(0, tokens.audio, tokens.audio_valid)
        return heard, self._attended(1, tokens.visual, tokens.visual_valid)

    def _attended(self, modality: int, tokens: Tensor, valid: Tensor | None) -> Tensor:
        x = torch.cat([self.class_tokens[modality].expand(len(tokens), 1, -1), tokens], dim=1)
        bias = None
        if valid is not None:
            bias = forbidden(torch.cat([valid.new_ones(len(valid), 1), valid], dim=1)[:, None, None])
        layers = self.layers[modality]
        assert isinstance(layers, nn.ModuleList)
        for layer in layers:
            x = layer(x, bias)
        return x[:, 0]


class Gate(nn.Module):
    """``g a + (1 - g) v`` with ``g = sigmoid(W_2 ReLU(W_1 [a; v]))`` of ``outputs`` weights for embeddings (B, F)."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(Linear(2 * width, width), nn.ReLU(), Linear(width, outputs))

    def forward(self, audio: Tensor, visual: Tensor) -> Tensor:
        gate = torch.sigmoid(self.weigh(torch.cat([audio, visual], dim=1)))
        return torch.lerp(visual, audio, gate.to(visual.dtype))  # products may be made in fewer bits
