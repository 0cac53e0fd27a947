"""A network in a form that ``torch.func.vmap`` maps over seeds: plain operations, masks drawn outside. Imports torch.

The layers of :mod:`blocks` and :mod:`products` owe their speed on a CPU to functions with gradients of their own, for
which vmap has no rule, and draw their masks where they need them, which no map over seeds could do seed by seed.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from avbench.methods.learning.blocks import EPSILON, Block, Dropout, mask_of, words_for
from avbench.methods.learning.products import Linear


@dataclass(frozen=True)
class Wanted:
    """A mask that a step asks for."""

    shape: tuple[int, ...]
    rate: float


class Masks:
    """The dropout masks of a mapped network: which ones a call asks for, in order, and those it is given."""

    def __init__(self) -> None:
        self.wanted: list[Wanted] = []
        self._given: list[Tensor] | None = None

    def take(self, shape: Sequence[int], rate: float, device: torch.device) -> Tensor:
        """The next mask of this shape; where none are given, ones, and a note of what is wanted."""
        if self._given is None:
            self.wanted.append(Wanted(tuple(shape), rate))
            return torch.ones(tuple(shape), device=device)
        return self._given.pop(0)

    def give(self, masks: Sequence[Tensor]) -> None:
        """Lay out the masks of one call."""
        self._given = list(masks)


def drawn(wanted: Sequence[Wanted], generators: Sequence[torch.Generator], device: torch.device) -> list[Tensor]:
    """Masks (S, ...) for S seeds: those of each are what :func:`blocks.dropout_mask` draws from its generator."""
    needed = [words_for(w.shape) for w in wanted]
    rows = torch.empty((len(generators), sum(needed)), dtype=torch.int64, device=device)
    for row, generator in zip(rows, generators, strict=True):
        for words in torch.split(row, needed):
            words.random_(-(2**63), None, generator=generator)
    return [
        mask_of(words.contiguous(), w.shape, w.rate)
        for words, w in zip(torch.split(rows, needed, dim=1), wanted, strict=True)
    ]


class MappedBlock(Block):
    """A block of plain operations."""

    masks: Masks

    def _normalise_by_batch(self, x: Tensor) -> Tensor:
        columns = x.reshape(len(x), -1)
        groups = columns.shape[1] // len(self.weight)
        variance, mean = torch.var_mean(columns, 0, correction=0)
        weight, bias = self.weight.repeat(groups), self.bias.repeat(groups)
        out = ((columns - mean) * torch.rsqrt(variance + EPSILON) * weight + bias).relu()
        if self.dropout:
            out = out * self.masks.take(columns.shape, self.dropout, x.device)
        with torch.no_grad():
            unbiased = variance * (len(x) / (len(x) - 1))
            for group in range(groups):  # in the order of as many calls
                part = slice(group * len(self.weight), (group + 1) * len(self.weight))
                self.running_mean.mul_(1 - self.momentum).add_(mean.detach()[part], alpha=self.momentum)
                self.running_var.mul_(1 - self.momentum).add_(unbiased.detach()[part], alpha=self.momentum)
        return out.view(x.shape)


class MappedDropout(Dropout):
    """Dropout by a mask that is given."""

    masks: Masks

    def forward(self, x: Tensor) -> Tensor:
        return x * self.masks.take(x.shape, self.rate, x.device) if self.training and self.rate else x


FORMS: dict[type[nn.Module], type[nn.Module]] = {Block: MappedBlock, Dropout: MappedDropout, Linear: nn.Linear}


def mapped_form(net: nn.ModuleDict, masks: Masks) -> nn.ModuleDict:
    """A copy of a network with the same names, in training mode, whose layers can be mapped and take ``masks``."""
    form = copy.deepcopy(net).train()
    for module in form.modules():
        if type(module) in FORMS:
            module.__class__ = FORMS[type(module)]
            module.masks = masks  # type: ignore[assignment]
    return form
