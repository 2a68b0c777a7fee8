"""Distances of embeddings, Euclidean and others: of pairs of rows, and of every row and every other.

Cosines and dot products are matrix products. So is the ratio of noise to signal, whose numerator is a Euclidean
distance of centred vectors. A norm of another degree is not: its differences are written out for some rows at a time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lossary.core.rules import POSITIVE
from lossary.kernels.distances import CACHED_DISTANCES, norm, pairwise, squares
from lossary.kernels.modes import full_precision
from lossary.kernels.products import product
from lossary.kernels.stable import divided, unit

__all__ = ["Lp"]


class Measure(Protocol):
    """A distance, where smaller is nearer; not always symmetric: ``x`` are the anchors."""

    def between(self, x: Tensor, y: Tensor) -> Tensor:
        """Of rows (..., D) and their partners: (...)."""
        ...

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        """Of rows (N, D) and all others (M, D): (N, M)."""
        ...


@dataclass(frozen=True)
class Lp:
    """The norm of a difference, ``(sum |x - y|^p)^(power / p)``: a ``distance`` of losses that compare embeddings.

    Args:
        p: The norm's degree, above 0: 1 is the sum of the differences, 2 is Euclidean.
        power: The exponent of the norm, above 0.
    """

    p: float = 2.0
    power: float = 1.0

    def __post_init__(self) -> None:
        POSITIVE("p", self.p)
        POSITIVE("power", self.power)

    @property
    def squared(self) -> bool | None:
        """Whether the Euclidean distance is squared; None for any other distance."""
        return self.power == 2 if self.p == 2 and self.power in (1, 2) else None

    def between(self, x: Tensor, y: Tensor) -> Tensor:
        return squares(x - y) if self.squared else _raised(norm(x - y, self.p), self.power)

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        if self.p == 2:
            return pairwise(x, y, squared=True) if self.squared else _raised(pairwise(x, y), self.power)
        rows = max(1, CACHED_DISTANCES // max(1, y.numel()))
        if x.shape[0] <= rows:
            return self._written(x, y)
        again = partial(checkpoint, self._written, use_reentrant=False, preserve_rng_state=False)
        return torch.cat([again(part, y) for part in x.split(rows)])

    def _written(self, x: Tensor, y: Tensor) -> Tensor:
        return self.between(x[:, None], y)


def _raised(length: Tensor, power: float) -> Tensor:
    """A power of lengths, with gradient 0 at 0."""
    if power == 1:
        return length
    some = ~(length <= 0)  # so written, a NaN stays one
    return torch.where(some, length, 1).pow(power) * some


class _Cosine:
    """1 - cos: half the squared distance between the directions, which is exact even if they hardly differ."""

    def between(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = unit(x), unit(y)
        return _from_square(squares(x - y), _is_zero(x) | _is_zero(y))

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = unit(x), unit(y)
        return _from_square(pairwise(x, y, squared=True), _is_zero(x)[:, None] | _is_zero(y))


def _is_zero(x: Tensor) -> Tensor:
    return (x == 0).all(-1)


def _from_square(square: Tensor, zero: Tensor) -> Tensor:
    """A zero vector has the cosine 0 with every vector."""
    return torch.where(zero, 1, square / 2)


@dataclass(frozen=True)
class Squared:
    """The square of another distance."""

    of: Measure

    def between(self, x: Tensor, y: Tensor) -> Tensor:
        return self.of.between(x, y).square()

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        return self.of.pairwise(x, y).square()


class _Dot:
    """Minus the dot product: any number."""

    def between(self, x: Tensor, y: Tensor) -> Tensor:
        return -(x * y).sum(-1)

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        return -product(x, y)


class _NoiseToSignal:
    """var(x - y) / var(x) over an embedding's entries; 0 if all entries of an anchor are equal."""

    def between(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = _centred(x, y)
        return squares(x - y) * _inverse_square(x)

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        with full_precision(x):
            x, y = _centred(x, y)
            return pairwise(x, y, squared=True) * _inverse_square(x)[:, None]


def _centred(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Minus their means, scaled so that no square is 0 or infinite, which does not change the ratio."""
    bare = [t.detach().flatten() for t in (x, y)]
    largest = torch.cat([*bare, x.new_full((1,), torch.finfo(x.dtype).tiny)]).abs().amax()
    unit_of = largest / largest.clamp(1, torch.finfo(x.dtype).max ** 0.45)
    x, y = divided(x, unit_of), divided(y, unit_of)
    return x - x.mean(-1, keepdim=True), y - y.mean(-1, keepdim=True)


def _inverse_square(x: Tensor) -> Tensor:
    found = squares(x)
    some = ~(found <= torch.finfo(x.dtype).tiny ** 0.5)
    return some / torch.where(some, found, 1)


EUCLIDEAN = Lp()
#: The measures with a name.
MEASURES: Mapping[str, Measure] = {
    "euclidean": EUCLIDEAN,
    "squared_euclidean": Lp(2.0, 2.0),
    "manhattan": Lp(1.0),
    "cosine": _Cosine(),
    "dot": _Dot(),
    "snr": _NoiseToSignal(),
}
