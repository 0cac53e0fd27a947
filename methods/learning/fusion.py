"""The fusion transformer of TCaF for time-averaged features: three tokens, class, audio, visual. Imports torch.

Mercea, Hummel, Koepke, Akata: Temporal and Cross-modal Attention for Audio-Visual Zero-Shot Learning. ECCV 2022. With
one time step per clip every time is 0, nothing is padded, and audio and visual see each other and the class token only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from avbench.methods.learning.blocks import EPSILON, Block, Dropout
from avbench.methods.learning.losses import distances
from avbench.methods.learning.products import Linear

WIDTH = 300
"""Width of the tokens."""
HIDDEN = 128
"""Hidden width of the feed-forward parts."""
CODE = 64
"""Width of the code of time and modality."""


def feed_forward(dropout: float) -> nn.Sequential:
    """Linear, GELU, dropout, linear, dropout."""
    return nn.Sequential(Linear(WIDTH, HIDDEN), nn.GELU(), Dropout(dropout), Linear(HIDDEN, WIDTH), Dropout(dropout))


class CrossModalLayer(nn.Module):
    """One pre-norm transformer layer (B, T, 300) with a single layer norm, used before attention and feed-forward.

    No dropout on attention weights. ``bias`` (T, T) is added to the attention scores: the mask of who sees whom.
    """

    def __init__(self, heads: int, head_width: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(WIDTH, eps=EPSILON)
        self.query_key_value = Linear(WIDTH, 3 * heads * head_width, bias=False)
        self.mix = nn.Sequential(Linear(heads * head_width, WIDTH), Dropout(dropout))
        self.feed_forward = feed_forward(dropout)

    def attend(self, x: Tensor, bias: Tensor) -> Tensor:
        query, key, value = self.query_key_value(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        weights = (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5 + bias).softmax(-1)
        attended: Tensor = weights @ value
        return attended.transpose(1, 2).flatten(2)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = x + self.mix(self.attend(self.norm(x), bias))
        result: Tensor = x + self.feed_forward(self.norm(x))
        return result


class Fusion(nn.Module):
    """Averaged audio (B, Da) and visual (B, Dv) features to the tokens class, audio, visual, (B, 3, 300).

    Visual features are divided by their norm over the features: over time, as in the reference code, a single step
    would become 0 or 1 everywhere. Audio features are taken as they are.
    """

    def __init__(
        self,
        audio: int,
        visual: int,
        *,
        layers: int,
        heads: int,
        head_width: int,
        hidden_encoder: int,
        dropout_encoder: float,
        dropout_token: float,
        dropout_transformer: float,
    ) -> None:
        super().__init__()

        def encoder(width: int) -> nn.Module:
            return nn.Sequential(
                Block(width, hidden_encoder, dropout_encoder), Block(hidden_encoder, WIDTH, dropout_encoder)
            )

        self.encode_audio, self.encode_visual = encoder(audio), encoder(visual)
        self.code_time = Linear(CODE, CODE)
        self.code_modality = nn.Parameter(torch.randn(2, CODE))
        self.enter_audio, self.enter_visual = (
            nn.Sequential(Linear(WIDTH + CODE, WIDTH), Dropout(dropout_token)) for _ in range(2)
        )
        self.class_token = nn.Parameter(torch.randn(WIDTH))
        self.layers = nn.ModuleList(CrossModalLayer(heads, head_width, dropout_transformer) for _ in range(layers))
        # Fourier features of time 0, whatever the frequencies: all sines are 0 and all cosines 1.
        self.register_buffer("start", torch.arange(CODE).ge(CODE // 2).float(), persistent=False)
        # The class token sees all tokens; audio and visual see the class token and each other, not themselves.
        hidden = torch.tensor([[False, False, False], [False, True, False], [False, False, True]])
        bias = torch.zeros(3, 3).masked_fill(hidden, torch.finfo(torch.float32).min)
        self.register_buffer("bias", bias, persistent=False)

    def forward(self, audio: Tensor, visual: Tensor) -> Tensor:
        encoded = self.encode_audio(audio), self.encode_visual(functional.normalize(visual, dim=1))
        codes = self.code_time(self.start) + self.code_modality
        entered = (
            enter(torch.cat([phi, code.expand(len(phi), -1)], dim=1))
            for enter, phi, code in zip((self.enter_audio, self.enter_visual), encoded, codes, strict=True)
        )
        x = torch.stack([self.class_token.expand(len(audio), -1), *entered], dim=1)
        for layer in self.layers:
            x = layer(x, self.bias)
        return x


def tcaf_heads(text: int, *, dropout_output: float, dropout_label: float) -> dict[str, nn.Module]:
    """TCaF's projections of class token and label vectors (Dt) to 64 dimensions, and what rebuilds the vectors."""

    def two_blocks(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(Block(inputs, 512, dropout_output), Block(512, outputs, dropout_output))

    return {
        "project_clip": two_blocks(WIDTH, 64),
        "rebuild_clip": two_blocks(64, text),
        "project_label": Block(text, 64, dropout_label),
        "rebuild_label": Block(64, text, dropout_label),
    }


def tcaf_loss(net: nn.ModuleDict, tokens: Tensor, classes: Tensor, labels: Tensor) -> Tensor:
    """TCaF's cross-entropy, regression and reconstruction: tokens (B, T, 300), classes (C, Dt), labels (B,)."""
    vectors = classes[labels]
    clip, label = net["project_clip"](tokens[:, 0]), net["project_label"](vectors)
    logits = clip @ net["project_label"](classes).T  # a call of its own: the class matrix has its own batch norm
    terms = [
        functional.cross_entropy(logits, labels),
        functional.mse_loss(clip, label),
        functional.mse_loss(net["rebuild_clip"](clip), vectors),
        functional.mse_loss(net["rebuild_label"](label), vectors),
    ]
    return torch.stack(terms).sum()


def tcaf_scores(net: nn.ModuleDict, tokens: Tensor, classes: Tensor) -> Tensor:
    """Scores (B, C) of TCaF: negative Euclidean distances."""
    return -distances(net["project_clip"](tokens[:, 0]), net["project_label"](classes))
