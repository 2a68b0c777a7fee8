"""One side of the products: vectors as they are multiplied, and a factor for each vector's products."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lossary.kernels.fused import tiles
from lossary.kernels.fused import vector_kernels as kernels
from lossary.kernels.fused.launch import launch
from lossary.kernels.rows.scores import Bilinear


@dataclass(frozen=True)
class Side:
    """Vectors, (N, D)."""

    given: Tensor
    multiplied: Tensor  # the same in the dtype of the product
    factor: Tensor | None  # (N,), as given
    radius: float | None  # the length of vectors that count by their direction
    each: Tensor | None  # (N,) float32: the factor, and radius / |x_i|

    def of(self, rows: slice) -> "Side":
        factor, each = (None if t is None else t[rows] for t in (self.factor, self.each))
        return Side(self.given[rows], self.multiplied[rows], factor, self.radius, each)


def side(given: Tensor, factor: Tensor | None, radius: float | None, half: torch.dtype | None) -> Side:
    """``factor_i x_i``, or for directions ``factor_i radius x_i / |x_i|``: factors are applied after the product."""
    of = _unset(given, factor, radius, half)
    _set_norms(of)
    return of


def sides(source: Bilinear) -> tuple[Side, Side]:
    """Both sides of the scores."""
    rows = _unset(source.x, source.row_factor, source.radius, source.half)
    columns = _unset(source.w, source.column_factor, 1.0 if source.unit else None, source.half)
    _set_norms(rows, columns)
    return rows, columns


def _unset(given: Tensor, factor: Tensor | None, radius: float | None, half: torch.dtype | None) -> Side:
    """With memory for the factors of directions."""
    given = given.contiguous()
    multiplied = given.to(torch.float32 if half is None else half)
    factor = None if factor is None else factor.contiguous()
    each = factor if radius is None else torch.empty(len(given), dtype=torch.float32, device=given.device)
    return Side(given, multiplied, factor, radius, each)


def _set_norms(*sides: Side) -> None:
    """radius / |x_i| in float32, times each vector's factor, of directions; 0 for a zero vector."""
    columns, depth = tiles.COLUMNS
    of = [side for side in sides if side.radius is not None]
    if not of:
        return
    programs, size = sum(-(-len(side.given) // columns) for side in of), of[0].given.shape[1]
    vectors = [(side.given, side.factor, side.each, len(side.given)) for side in of]
    if len(of) == 1:
        launch(kernels.inverse_norms, programs, of[0].given, *vectors[0], size, of[0].radius, BC=columns, BD=depth)
        return
    (first, second), (one, other) = of, vectors
    every = (*one, first.radius, *other, second.radius, size)
    launch(kernels.inverse_norms_of_both, programs, first.given, *every, BC=columns, BD=depth)


class Pairs(NamedTuple):
    """What pairs' scores contribute to a gradient, kept apart from the others, which half precision rounds."""

    by_score: Tensor  # (N,) their derivatives
    others: Side  # the first N are paired with vectors 0 to N - 1
    start: int = 0  # the first vector's number
    sets: bool = False  # vectors i and i + start of one list of 2 start vectors are a pair, each with a derivative

    def after(self, start: int) -> "Pairs":
        return self._replace(start=start)


def finish(
    of: Side,
    gradient: Tensor,
    out: Tensor,
    by_factor: Tensor | None,
    *,
    unscale: Tensor | None = None,
    pairs: Pairs | None = None,
) -> None:
    """From the gradient by what is multiplied, write those by the vectors, to ``out``, and by their factor."""
    columns, depth = tiles.COLUMNS
    by_pair, start, sets, others = None, 0, False, None
    if pairs is not None:
        by_pair, others, start, sets = pairs
    theirs = (None, None) if others is None else (others.multiplied, others.each)
    known = (of.given, of.each, of.factor, *theirs, by_pair, unscale, out, by_factor)
    numbers = (*out.shape, of.radius or 1.0, start, 0 if by_pair is None else len(by_pair))
    options = {"SETS": sets, "UNIT": of.radius is not None, "BC": columns, "BD": depth}
    launch(kernels.finish_vectors, -(-len(out) // columns), out, gradient, *known, *numbers, **options)
