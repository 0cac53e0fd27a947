"""Class-embedding optimisation: move label vectors apart and keep what they mean (Mo and Morgado, ECCV 2024, sec. 3.2).

Imports torch. Class counts are small, so everything is computed for all classes at once, in double precision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from avbench.harness.contract.data import Classes
from avbench.harness.errors import DataError
from avbench.methods.learning.adam import Adam
from avbench.methods.learning.class_keys import class_keys

Distance = Literal["cosine", "l2", "l1"]
Semantics = Literal["proximity", "ranking"]
Optimiser = Literal["adam", "gradient-descent"]


def row_distance(x: Tensor, y: Tensor, kind: Distance) -> Tensor:
    """Distances (...) of the rows of unit vectors x and y (..., F). The gradient is finite where they are equal."""
    if kind == "cosine":
        return 1 - (x * y).sum(-1)
    if kind == "l1":
        return (x - y).abs().sum(-1)
    return (x - y).square().sum(-1).clamp_min(1e-12).sqrt()


def nearest(w: Tensor) -> Tensor:
    """Row (C,) of the nearest other unit vector of w (C, F) by cosine, the lowest row on ties."""
    similarity = (w @ w.T).fill_diagonal_(-torch.inf)
    return similarity.argmax(1)


def nearest_distance(w: Tensor) -> Tensor:
    """Mean cosine distance of the unit vectors w (C, F) to their nearest neighbour, a scalar."""
    return row_distance(w, w[nearest(w)], "cosine").mean()


def separation_loss(w: Tensor, kind: Distance) -> Tensor:
    """L_sep (eq. 1): minus the mean distance to the nearest neighbour of the unit vectors w (C, F).

    The gradient goes to the single nearest neighbour and to the class itself.
    """
    with torch.no_grad():  # on the sphere, cosine and l2 order alike
        neighbour = torch.cdist(w, w, p=1).fill_diagonal_(torch.inf).argmin(1) if kind == "l1" else nearest(w)
    return -row_distance(w, w[neighbour], kind).mean()


def proximity_loss(w: Tensor, text: Tensor, kind: Distance) -> Tensor:
    """L_prox (eq. 2): mean distance of the unit vectors w (C, F) to their unit text vectors."""
    return row_distance(w, text, kind).mean()


def all_triples(classes: int, device: torch.device) -> Tensor:
    """All C (C-1) (C-2) / 2 rows (c, i, j) of distinct classes with i < j, (3, N): swapping i and j changes nothing."""
    c, i, j = torch.ones(classes, classes, classes, dtype=torch.bool, device=device).nonzero().unbind(1)
    return torch.stack([c, i, j])[:, (c != i) & (c != j) & (i < j)]


def drawn_triples(classes: int, count: int, generator: torch.Generator) -> Tensor:
    """``count`` rows (c, i, j) of distinct classes, uniform and independent, (3, count), on the generator's device."""
    draw = partial(torch.randint, size=(count,), generator=generator, device=generator.device)
    c, to_i, to_j = draw(0, classes), draw(1, classes), draw(1, classes - 1)
    to_j = to_j + (to_j >= to_i)
    return torch.stack([c, (c + to_i) % classes, (c + to_j) % classes])


def ranking_loss(w: Tensor, text: Tensor, triples: Tensor, margin: float) -> Tensor:
    """L_rank (eq. 3): mean over triples (3, N) of ``max(0, m - sgn(d^t_ci - d^t_cj) (d^w_ci - d^w_cj))``.

    d^t and d^w are the l2 distances between the unit text vectors and between the unit vectors w, both (C, F).
    """
    c, i, j = triples
    of_text, of_w = ((2 - 2 * x @ x.T).clamp_min(1e-12).sqrt() for x in (text, w))
    order = torch.sign(of_text[c, i] - of_text[c, j])
    return (margin - order * (of_w[c, i] - of_w[c, j])).relu().mean()


@torch.no_grad()
def descend(free: Tensor, rate: float) -> None:
    """One step of plain gradient descent."""
    assert free.grad is not None
    free.add_(free.grad, alpha=-rate)


@dataclass(frozen=True)
class ClassOptimisation:
    """How label vectors are optimised: eq. 4, without decay, all classes in every step."""

    semantics: Semantics
    distance: Distance
    """Of separation and proximity; ranking always compares l2 distances on the sphere."""
    alpha: float
    margin: float
    triples: int
    """Triples drawn for the ranking loss in each step; all are used where there are not more."""
    sums: bool
    """Sums instead of means in eqs. 1 to 3."""
    growth: float
    """Stop when the mean nearest-neighbour cosine distance has grown by this factor."""
    steps: int
    """Stop after this many steps in any case."""
    rate: float
    optimiser: Optimiser = "adam"

    def loss(self, w: Tensor, text: Tensor, triples: Callable[[], Tensor]) -> Tensor:
        """Eq. 4 for unit vectors w and text (C, F). ``triples`` gives those of the step, (3, N), where they matter."""
        scale = len(w) if self.sums else 1
        if self.semantics == "proximity":
            semantic = proximity_loss(w, text, self.distance)
        else:
            weight = (len(w) - 1) * (len(w) - 2) if self.sums else 1
            semantic = weight * ranking_loss(w, text, triples(), self.margin)
        return scale * ((1 - self.alpha) * semantic + self.alpha * separation_loss(w, self.distance))

    def run(self, vectors: Tensor, seed: int) -> Tensor:
        """Optimised unit vectors (C, F) of label vectors (C, F). Raises :class:`DataError` for fewer than three.

        Triples come from a generator of their own, seeded with the run's ``seed``: what is drawn elsewhere afterwards,
        dropout above all, is the same with any loss.
        """
        if len(vectors) < 3:
            raise DataError(
                f"class-embedding optimisation of {len(vectors)} classes: it compares three or more; "
                "switch it off with class_optimisation=false"
            )
        text = functional.normalize(vectors.double(), dim=1)
        triples = self._triples(len(text), torch.Generator(text.device).manual_seed(seed))
        free = nn.Parameter(text.clone())
        # Of the vectors as the first step meets them, so that a growth of 1 takes no step, whatever was rounded.
        target = self.growth * nearest_distance(functional.normalize(free.detach(), dim=1))
        adam = Adam([free], self.rate, fused=False)
        step: Callable[[], None] = adam.step if self.optimiser == "adam" else partial(descend, free, self.rate)
        for _ in range(self.steps):
            w = functional.normalize(free, dim=1)
            if nearest_distance(w.detach()) >= target:
                break
            free.grad = None
            self.loss(w, text, triples).backward()  # type: ignore[no-untyped-call]
            step()
        return functional.normalize(free.detach(), dim=1).to(vectors.dtype)

    def _triples(self, classes: int, generator: torch.Generator) -> Callable[[], Tensor]:
        """Gives the triples of a step: all of them where they are not more than wanted, otherwise new draws."""
        if classes * (classes - 1) * (classes - 2) > self.triples:
            return partial(drawn_triples, classes, self.triples, generator)
        every = all_triples(classes, generator.device)
        return lambda: every


class NamedVectors(nn.Module):
    """Unit vectors of classes that are found again by name. Both buffers are saved with the network."""

    keys: Tensor
    """(C,) int64."""
    vectors: Tensor
    """(C, F)."""

    def __init__(self, names: Sequence[str], vectors: Tensor) -> None:
        super().__init__()
        self.register_buffer("keys", class_keys(names).to(vectors.device))
        self.register_buffer("vectors", vectors)

    def forward(self, classes: Classes) -> Tensor:
        """Vectors (C, F) of classes: the stored ones, and for an unknown name its own normalised label vector."""
        same = class_keys(classes.names).to(self.keys.device)[:, None] == self.keys
        own = functional.normalize(classes.vectors, dim=1)
        return torch.where(same.any(1, keepdim=True), self.vectors[same.int().argmax(1)], own)
