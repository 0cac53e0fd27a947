"""The fusion transformer of TCaF: a class token and tokens of both modalities, over time or averaged. Imports torch.

Mercea, Hummel, Koepke, Akata: Temporal and Cross-modal Attention for Audio-Visual Zero-Shot Learning. ECCV 2022. Audio
and visual tokens see those of the other modality and the class token, which sees all.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from avbench.harness.contract.data import Time
from avbench.methods.learning.blocks import EPSILON, Block, Dropout
from avbench.methods.learning.losses import distances
from avbench.methods.learning.products import Linear
from avbench.methods.learning.tokens import WIDTH, Normalisation, Tokeniser

HIDDEN = 128
"""Hidden width of the feed-forward parts."""


def feed_forward(dropout: float) -> nn.Sequential:
    """Linear, GELU, dropout, linear, dropout."""
    return nn.Sequential(Linear(WIDTH, HIDDEN), nn.GELU(), Dropout(dropout), Linear(HIDDEN, WIDTH), Dropout(dropout))


def forbidden(allowed: Tensor) -> Tensor:
    """What is added to attention scores: 0 where ``allowed`` (bool), the most negative number elsewhere."""
    least = torch.finfo(torch.float32).min
    return torch.zeros(allowed.shape, device=allowed.device).masked_fill(~allowed, least)


class TransformerLayer(nn.Module):
    """One pre-norm transformer layer (B, T, 300). With ``one_norm`` a single layer norm serves both its parts.

    No dropout on attention weights. ``bias`` (T, T) or (B, 1, T, T) is added to the attention scores: the mask of who
    sees whom.
    """

    def __init__(self, heads: int, head_width: int, dropout: float, *, one_norm: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(WIDTH, eps=EPSILON)
        if not one_norm:
            self.norm_feed_forward = nn.LayerNorm(WIDTH, eps=EPSILON)
        self.one_norm = one_norm
        self.query_key_value = Linear(WIDTH, 3 * heads * head_width, bias=False)
        self.mix = nn.Sequential(Linear(heads * head_width, WIDTH), Dropout(dropout))
        self.feed_forward = feed_forward(dropout)

    def attend(self, x: Tensor, bias: Tensor | None) -> Tensor:
        query, key, value = self.query_key_value(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return attention(query, key, value, bias)

    def forward(self, x: Tensor, bias: Tensor | None) -> Tensor:
        x = x + self.mix(self.attend(self.norm(x), bias))
        norm = self.norm if self.one_norm else self.norm_feed_forward
        result: Tensor = x + self.feed_forward(norm(x))
        return result


def attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
    """Heads (B, H, Q, F) that ask (B, H, K, F), put side by side: (B, Q, HF)."""
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    weights = (scores if bias is None else scores + bias).softmax(-1)
    attended: Tensor = weights @ value
    return attended.transpose(1, 2).flatten(2)


def cross_modal(audio: int, visual: int, device: torch.device) -> Tensor:
    """(T, T) bool, T = 1 + audio + visual: who may see whom among a class token, audio and visual tokens."""
    kinds = torch.arange(1 + audio + visual, device=device)
    kinds = (kinds > 0).int() + (kinds > audio).int()
    return (kinds[:, None] != kinds) | ((kinds[:, None] == 0) & (kinds == 0))


class Fusion(Tokeniser):
    """Clips to tokens class, audio, visual: (B, 1 + Ta + Tv, 300), with averaged features (B, 3, 300)."""

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
        one_norm: bool = True,
        temporal: bool = False,
        audio_divisor: float = 1.0,
        normalisation: Normalisation = "features",
        count_padding: bool = False,
    ) -> None:
        super().__init__(
            audio,
            visual,
            hidden_encoder=hidden_encoder,
            dropout_encoder=dropout_encoder,
            dropout_token=dropout_token,
            temporal=temporal,
            audio_divisor=audio_divisor,
            normalisation=normalisation,
            count_padding=count_padding,
        )
        self.class_token = nn.Parameter(torch.randn(WIDTH))
        self.layers = nn.ModuleList(
            TransformerLayer(heads, head_width, dropout_transformer, one_norm=one_norm) for _ in range(layers)
        )

    def forward(
        self, audio: Tensor, visual: Tensor, time: Time | None = None, *, by_index: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """All tokens, the class token first, and which of them are valid (B, 1 + Ta + Tv); None: all."""
        tokens = self.tokens(audio, visual, time, by_index=by_index)
        x = torch.cat([self.class_token.expand(len(audio), 1, -1), tokens.audio, tokens.visual], dim=1)
        allowed = cross_modal(tokens.audio.shape[1], tokens.visual.shape[1], x.device)
        valid = tokens.valid
        if valid is not None:
            valid = torch.cat([valid.new_ones(len(valid), 1), valid], dim=1)
            allowed = (allowed & valid[:, :, None] & valid[:, None, :])[:, None]
        bias = forbidden(allowed)
        for layer in self.layers:
            x = layer(x, bias)
        return x, valid


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


def tcaf_loss(
    net: nn.ModuleDict, clip: Tensor, classes: Tensor, labels: Tensor, branches: Sequence[Tensor] = ()
) -> Tensor:
    """TCaF's cross-entropy, regression and reconstruction of projected clips (B, 64); classes (C, Dt), labels (B,).

    ``branches``: other projections (B, 64) of the clips that have a cross-entropy of their own.
    """
    vectors = classes[labels]
    label = net["project_label"](vectors)
    projected = net["project_label"](classes)  # a call of its own: the class matrix has its own batch norm
    terms = [
        functional.cross_entropy(clip @ projected.T, labels),
        functional.mse_loss(clip, label),
        functional.mse_loss(net["rebuild_clip"](clip), vectors),
        functional.mse_loss(net["rebuild_label"](label), vectors),
        *(functional.cross_entropy(branch @ projected.T, labels) for branch in branches),
    ]
    return torch.stack(terms).sum()


def tcaf_scores(net: nn.ModuleDict, clip: Tensor, classes: Tensor) -> Tensor:
    """Scores (B, C) of TCaF: negative Euclidean distances of projected clips (B, 64) and projected classes (C, Dt)."""
    return -distances(clip, net["project_label"](classes))
