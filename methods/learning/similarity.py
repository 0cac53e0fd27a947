"""Similarities between fused clips and classes (Mo and Morgado, ECCV 2024, section 3.3 and table 6). Imports torch.

Each takes the tokens of clips (B, T, 300), the class token first, and class queries (C, 300), and returns (B, C).
``valid`` (B, T): which tokens are no padding; None: all.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from avbench.methods.learning.blocks import EPSILON, Dropout
from avbench.methods.learning.fusion import feed_forward, forbidden
from avbench.methods.learning.products import Linear
from avbench.methods.learning.tokens import WIDTH


class CrossAttention(nn.Module):
    """A pre-norm decoder block: each class asks the tokens of the clip; a linear map turns the answer into a score.

    ``h = q + Drop(W_o att + b_o)``, ``h = h + FF(LN h)``, ``s = p . LN(h)``. All tokens are keys, and the feed-forward
    part follows the residual: with one key the attention would not depend on the class, and without a non-linear part
    every clip would rank the classes alike.
    """

    def __init__(self, heads: int, head_width: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_width
        self.norm_query, self.norm_tokens = (nn.LayerNorm(WIDTH, eps=EPSILON) for _ in range(2))
        self.query = Linear(WIDTH, inner, bias=False)
        self.key_value = Linear(WIDTH, 2 * inner, bias=False)
        self.mix = Linear(inner, WIDTH)
        self.drop = Dropout(dropout)
        self.feed_forward = nn.Sequential(nn.LayerNorm(WIDTH, eps=EPSILON), *feed_forward(dropout))
        self.score = nn.Sequential(nn.LayerNorm(WIDTH, eps=EPSILON), Linear(WIDTH, 1, bias=False))

    def attend(self, queries: Tensor, tokens: Tensor, valid: Tensor | None = None) -> Tensor:
        """What each class hears of each clip, (B, C, 300), after the output map.

        The output map is linear, so it is applied to the few values of a clip instead of to the answer of every class.
        """
        clips, count, _ = tokens.shape
        query = self.query(self.norm_query(queries)).unflatten(-1, (self.heads, -1)).transpose(0, 1)  # (H, C, F)
        heard = self.key_value(self.norm_tokens(tokens)).flatten(0, 1)
        key, value = heard.unflatten(-1, (2, self.heads, -1)).unbind(1)  # (B T, H, F)
        scores = query @ key.permute(1, 2, 0) * query.shape[-1] ** -0.5  # (H, C, B T)
        scores = scores.unflatten(-1, (clips, count))
        weights = (scores if valid is None else scores + forbidden(valid)).softmax(-1)
        mixed = value.transpose(0, 1) @ self.mix.weight.T.reshape(self.heads, -1, WIDTH)  # (H, B T, 300)
        mixed = mixed.unflatten(1, (clips, count)).transpose(0, 1).flatten(1, 2)  # (B, H T, 300)
        return torch.baddbmm(self.mix.bias, weights.permute(2, 1, 0, 3).flatten(2), mixed)

    def forward(self, tokens: Tensor, queries: Tensor, valid: Tensor | None = None) -> Tensor:
        h = queries + self.drop(self.attend(queries, tokens, valid))
        h = h + self.feed_forward(h)
        scores: Tensor = self.score(h)
        return scores.squeeze(-1)


class DotProduct(nn.Module):
    """``x . q`` of the class token x: what the paper calls cosine similarity and describes as a dot product."""

    def forward(self, tokens: Tensor, queries: Tensor, valid: Tensor | None = None) -> Tensor:
        return tokens[:, 0] @ queries.T


class Bilinear(nn.Module):
    """``x A q``. The paper's linear layer on ``[x; q]`` would rank the classes alike for every clip."""

    def __init__(self) -> None:
        super().__init__()
        self.map = Linear(WIDTH, WIDTH, bias=False)

    def forward(self, tokens: Tensor, queries: Tensor, valid: Tensor | None = None) -> Tensor:
        mapped: Tensor = self.map(queries)
        return tokens[:, 0] @ mapped.T


class Perceptron(nn.Module):
    """Linear(600 to 300), GELU, Linear(300 to 1) on ``[x; q]``. The first map is applied to clips and classes apart."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Linear(2 * WIDTH, WIDTH)
        self.second = Linear(WIDTH, 1)

    def forward(self, tokens: Tensor, queries: Tensor, valid: Tensor | None = None) -> Tensor:
        of_clip, of_class = torch.split(self.first.weight, WIDTH, dim=1)
        hidden = functional.linear(tokens[:, 0], of_clip, self.first.bias)[:, None] + queries @ of_class.T
        scores: Tensor = self.second(functional.gelu(hidden))
        return scores.squeeze(-1)
