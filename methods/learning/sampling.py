"""Class-balanced draws of training clips, a whole epoch in one call (guide: How a number is made). Imports torch."""

from __future__ import annotations

import torch
from torch import Tensor

from avbench.harness.errors import DataError


class BalancedSampler:
    """Draws clips with the class uniform over the classes that have clips, then the clip uniform within its class.

    ``labels`` (N,) are class rows. Draws are independent and with replacement, on the device of ``labels``.
    Raises :class:`DataError` where pairs are wanted and fewer than two classes have clips.
    """

    def __init__(self, labels: Tensor, pairs: bool, seed: int) -> None:
        counts = torch.bincount(labels)
        present = counts.nonzero().flatten()
        if len(present) < (2 if pairs else 1):
            raise DataError(
                f"training clips of {len(present)} class(es) only: {'pairs need two' if pairs else 'one is needed'}; "
                "check the training part of this data set."
            )
        self.pairs = pairs
        self.by_class = torch.argsort(labels, stable=True)
        self.counts = counts[present]
        self.starts = (counts.cumsum(0) - counts)[present]
        self.generator = torch.Generator(device=labels.device).manual_seed(seed)

    def draw(self, batches: int, size: int) -> Tensor:
        """Rows of clips, int64: (batches, size), or with pairs (batches, size, 2), the positive clip first.

        The negative's class is uniform over the classes other than the positive's.
        """
        classes = len(self.counts)
        chosen = self._integers(classes, batches, size)
        if self.pairs:
            other = self._integers(classes - 1, batches, size)
            chosen = torch.stack([chosen, other + (other >= chosen)], dim=-1)
        # Modulo of a 62-bit draw: the bias is below 1e-12 for any number of clips that fits in memory.
        within = self._integers(2**62, *chosen.shape) % self.counts[chosen]
        return self.by_class[self.starts[chosen] + within]

    def _integers(self, high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, generator=self.generator, device=self.counts.device)
