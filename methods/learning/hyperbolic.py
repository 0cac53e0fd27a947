"""Alignment of two modalities in spaces of constant curvature (Hong et al., ICCV 2023, section 3). Imports torch.

The spaces are stereographic: curvature ``-k`` is the Poincare ball of radius ``1 / sqrt(k)``, ``+k`` the sphere, and
both tend to the Euclidean space as ``k`` tends to 0. Points are rows (..., B, F); ``k > 0`` is one number, or
(..., B, 1) where every row has its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from avbench.methods.learning.losses import distances

EDGE = 1 - 1e-3
"""Points are kept within this part of the ball's radius."""
SHORTEST = 1e-5
"""Norms are raised to this before a division."""
WIDEST = 1 - 1e-5
"""Largest sine of half an angle: at the antipode its arcsine has no derivative."""


class Space(ABC):
    """A space around its origin."""

    @abstractmethod
    def tangent(self, x: Tensor) -> Tensor:
        """Rows of x mapped to the tangent space at the origin, same shape. Directions stay, lengths may change."""

    @abstractmethod
    def geodesics(self, x: Tensor) -> Tensor:
        """Lengths (..., B, B) of the shortest paths between rows of x: near the origin twice the plain distances."""


@dataclass(frozen=True)
class Euclidean(Space):
    """The limit of the other two as ``k`` tends to 0."""

    def tangent(self, x: Tensor) -> Tensor:
        return x

    def geodesics(self, x: Tensor) -> Tensor:
        return 2 * distances(x, x)


@dataclass(frozen=True)
class Hyperbolic(Space):
    """The Poincare ball. Rows outside are first moved along their direction to the edge (eq. 1 of the paper)."""

    k: Tensor | float

    def tangent(self, x: Tensor) -> Tensor:
        """The logarithm of the projected rows (eq. 3), ``artanh(min(sqrt(k) |x|, EDGE)) / (sqrt(k) |x|) * x``."""
        reach = _norms(x) * self.k**0.5
        return x * (reach.clamp(max=EDGE).atanh() / reach)

    def geodesics(self, x: Tensor) -> Tensor:
        """``2 / sqrt(k) * artanh(sqrt(k) |-x_i (+) x_j|)`` with the Moebius sum (+), written with arsinh.

        Equal in exact arithmetic, and accurate also at the edge. One curvature for all rows: the mean of theirs.
        """
        root = _shared(self.k) ** 0.5
        unit = x * root
        unit = unit * (EDGE / _norms(unit)).clamp(max=1)
        inside = (1 - unit.square().sum(-1, keepdim=True)).sqrt()
        return 2 * (distances(unit, unit) / (inside * inside.mT)).asinh() / root


@dataclass(frozen=True)
class Sphere(Space):
    """The stereographic sphere. The paper gives no formula; this is the mirror image of the ball."""

    k: Tensor | float

    def tangent(self, x: Tensor) -> Tensor:
        reach = _norms(x) * self.k**0.5
        return x * (reach.atan() / reach)

    def geodesics(self, x: Tensor) -> Tensor:
        """``2 / sqrt(k) * arctan(sqrt(k) |-x_i (+) x_j|)`` with the Moebius sum of curvature ``+k``, by its sine."""
        root = _shared(self.k) ** 0.5
        unit = x * root
        outside = (1 + unit.square().sum(-1, keepdim=True)).sqrt()
        return 2 * (distances(unit, unit) / (outside * outside.mT)).clamp(max=WIDEST).asin() / root


def similarities(x: Tensor, space: Space, similarity: str) -> Tensor:
    """Similarity of every two rows of x (..., B, F) in a space: (..., B, B).

    ``cosine`` of tangent vectors, ``norm-product`` of them, or minus the geodesic ``distance`` of the points. Raises
    ValueError for another name.
    """
    if similarity == "distance":
        return -space.geodesics(x)
    tangent = space.tangent(x)
    if similarity == "norm-product":
        norms: Tensor = torch.linalg.vector_norm(tangent, dim=-1, keepdim=True)
        return norms * norms.mT
    if similarity == "cosine":
        unit = functional.normalize(tangent, dim=-1, eps=1e-8)
        return unit @ unit.mT
    raise ValueError(f"unknown similarity {similarity!r}: cosine, norm-product or distance")


def alignment(visual: Tensor, audio: Tensor, space: Space, similarity: str, frobenius: bool) -> Tensor:
    """Mean squared difference (...) of the similarity matrices of two modalities, each (..., B, F) (eq. 4).

    ``frobenius`` divides each matrix by its Frobenius norm first.
    """
    matrices = [similarities(x, space, similarity) for x in (visual, audio)]
    if frobenius:
        matrices = [m / torch.linalg.matrix_norm(m, keepdim=True).clamp(min=1e-8) for m in matrices]
    return (matrices[0] - matrices[1]).square().mean((-2, -1))


def _norms(x: Tensor) -> Tensor:
    """Norms (..., 1) of rows, never below SHORTEST."""
    norms: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return norms.clamp(min=SHORTEST)


def _shared(k: Tensor | float) -> Tensor | float:
    """One curvature for all rows: a distance needs both its points in one space."""
    return k.mean(-2, keepdim=True) if isinstance(k, Tensor) else k
