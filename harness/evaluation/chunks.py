"""The clips of an evaluation, so many at once that memory stays bounded. Imports torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from avbench.harness.contract.data import Clips
from avbench.harness.features.featureset import FeatureSet

CHUNK = 8192
"""Clips per call of ``predict``."""
NUMBERS = 2**25
"""Feature values, padding included, of the clips over time that are in one call."""


@dataclass(frozen=True)
class Chunks:
    """Clips of a feature set, rows ``order`` (N,) of it, chunk by chunk.

    Clips over time are taken in the order of their lengths, so that little is padding. A clip's scores do not depend on
    the others beside it, which is checked, so their company does not matter.
    """

    features: FeatureSet
    order: Tensor

    @cached_property
    def places(self) -> tuple[Tensor, ...]:
        """For each chunk the places in ``order`` (n,), on the host, of its clips."""
        if self.features.offsets is None:
            return torch.split(torch.arange(len(self.order)), CHUNK)
        audio, visual = self._lengths()
        by_length = torch.argsort(visual * (int(audio.max()) + 1) + audio, stable=True)
        audio, visual = audio[by_length], visual[by_length]
        widths = self.features.audio.shape[1], self.features.visual.shape[1]
        sizes = torch.cummax(audio, 0).values * widths[0] + visual * widths[1]  # of the padded clip that ends a chunk
        found, start = [], 0
        while start < len(by_length):
            numbers = sizes[start:] * torch.arange(1, len(by_length) - start + 1)
            count = max(1, min(CHUNK, int((numbers <= NUMBERS).sum())))
            found.append(by_length[start : start + count])
            start += count
        return tuple(found)

    def clips(self) -> Iterator[Clips]:
        """The clips of one chunk after the other, float32."""
        for places in self.places:
            if self.features.offsets is None:
                rows = self.order[places.to(self.order.device)]
                yield Clips(self.features.audio[rows].float(), self.features.visual[rows].float())
            else:
                yield self.features.packed().take(self.order.cpu()[places], pinned=True)

    def restored(self, parts: Sequence[Tensor]) -> Tensor:
        """Scores (N, C) in the order that was asked for, from those of the chunks."""
        scores = torch.cat(list(parts))
        if self.features.offsets is None:
            return scores
        places = torch.cat(self.places).to(scores.device)
        return torch.empty_like(scores).index_copy_(0, places, scores)

    def _lengths(self) -> tuple[Tensor, Tensor]:
        offsets = self.features.offsets
        assert offsets is not None
        rows = self.order.cpu()
        return offsets.audio.diff().cpu()[rows], offsets.visual.diff().cpu()[rows]
