"""Latent tokens that read and think in turn (Jaegle et al., ICML 2021). Imports torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from avbench.harness.contract.data import Time
from avbench.methods.learning.blocks import EPSILON, Dropout
from avbench.methods.learning.fusion import TransformerLayer, attention, feed_forward, forbidden
from avbench.methods.learning.products import Linear
from avbench.methods.learning.tokens import WIDTH, Tokeniser

LATENT_DEVIATION = 0.02


class ReadingLayer(nn.Module):
    """Latents (B, L, 300) ask tokens (B, T, 300) by cross-attention; a feed-forward part; a norm in every place."""

    def __init__(self, heads: int, head_width: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm_latents, self.norm_tokens, self.norm_feed_forward = (
            nn.LayerNorm(WIDTH, eps=EPSILON) for _ in range(3)
        )
        self.query = Linear(WIDTH, heads * head_width, bias=False)
        self.key_value = Linear(WIDTH, 2 * heads * head_width, bias=False)
        self.mix = nn.Sequential(Linear(heads * head_width, WIDTH), Dropout(dropout))
        self.feed_forward = feed_forward(dropout)

    def forward(self, latents: Tensor, tokens: Tensor, bias: Tensor | None) -> Tensor:
        query = self.query(self.norm_latents(latents)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        heard = self.key_value(self.norm_tokens(tokens)).unflatten(-1, (2, self.heads, -1))
        key, value = heard.permute(2, 0, 3, 1, 4)
        latents = latents + self.mix(attention(query, key, value, bias))
        result: Tensor = latents + self.feed_forward(self.norm_feed_forward(latents))
        return result


class LatentReader(Tokeniser):
    """Clips to one vector (B, 300): the mean of normalised latents after layers that read and think in turn."""

    def __init__(
        self,
        audio: int,
        visual: int,
        *,
        latents: int,
        layers: int,
        heads: int,
        head_width: int,
        dropout_transformer: float,
        **tokeniser: Any,
    ) -> None:
        super().__init__(audio, visual, **tokeniser)
        self.latents = nn.Parameter(torch.empty(latents, WIDTH))
        nn.init.trunc_normal_(self.latents, std=LATENT_DEVIATION)
        self.layers = nn.ModuleList(
            TransformerLayer(heads, head_width, dropout_transformer, one_norm=False)
            if place % 2
            else ReadingLayer(heads, head_width, dropout_transformer)
            for place in range(layers)
        )
        self.norm = nn.LayerNorm(WIDTH, eps=EPSILON)

    def forward(self, audio: Tensor, visual: Tensor, time: Time | None = None, *, by_index: bool = False) -> Tensor:
        tokens = self.tokens(audio, visual, time, by_index=by_index)
        read = torch.cat([tokens.audio, tokens.visual], dim=1)
        bias = None if tokens.valid is None else forbidden(tokens.valid[:, None, None])
        latents = self.latents.expand(len(read), -1, -1)
        for layer in self.layers:
            latents = layer(latents, read, bias) if isinstance(layer, ReadingLayer) else layer(latents, None)
        result: Tensor = self.norm(latents).mean(1)
        return result
