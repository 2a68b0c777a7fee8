"""A set scored against itself: the scores are symmetric, so that one triangle of tiles serves rows and columns.

Half a product for the statistics, half for making the scores again and one for the gradient: two, where blocks of
rows take three or four. Items are sorted by label first: a tile then has targets only near the diagonal, and every
other tile needs no mask. Scores are in units of log 2, as in :mod:`lossary.kernels.blocks`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lossary.kernels.blocks import ABSENT_2, LN_2, LOG2_E, RowGradients
from lossary.kernels.scores import Rows

#: Rows and columns of a tile: two of 1 MiB in float32, so that both stay in a core's cache.
TILE = 512


@dataclass(frozen=True)
class Tile:
    """Scores of some items with others; where ``rows == columns`` the tile is on the diagonal."""

    rows: slice
    columns: slice
    scores: Tensor
    scratch: Tensor  # of the same shape
    is_target: Tensor | None  # None where no column has a row's label

    @property
    def sides(self) -> tuple[tuple[slice, int], ...]:
        """Whose scores these are, and along which dimension: the rows', and transposed the columns'."""
        return ((self.rows, 1),) if self.rows == self.columns else ((self.rows, 1), (self.columns, 0))

    def take_targets(self) -> Tensor:
        """The targets' scores alone; the tile keeps the rest's. An item's score with itself is neither."""
        assert self.is_target is not None
        hits = torch.where(self.is_target, self.scores, ABSENT_2)
        self.scores.masked_fill_(self.is_target, ABSENT_2)
        if self.rows == self.columns:
            self.scores.fill_diagonal_(ABSENT_2)
        return hits


class Running:
    """Log-sum-exps that grow tile by tile."""

    def __init__(self, like: Tensor) -> None:
        self.top = torch.full_like(like, ABSENT_2)
        self.total = torch.zeros_like(like)

    def merge(self, items: slice, scores: Tensor, dim: int, scratch: Tensor) -> None:
        top = torch.maximum(self.top[items], scores.amax(dim))
        torch.sub(scores, top.unsqueeze(dim), out=scratch).exp2_()
        self.total[items] = self.total[items] * torch.exp2(self.top[items] - top) + scratch.sum(dim)
        self.top[items] = top

    def value(self) -> Tensor:
        return self.top * LN_2 + self.total.log()


def set_statistics(x: Tensor, labels: Tensor) -> Rows:
    """Statistics of scores <x_i, x_j>, where j's with i's label are its targets and i itself does not exist."""
    labels, order = labels.sort(stable=True)
    x = x[order]
    count, target = torch.zeros_like(x[:, 0]), torch.zeros_like(x[:, 0])
    among, rest = Running(target), Running(target)
    for tile in _tiles(x, labels):
        if tile.is_target is not None:
            hits = tile.take_targets()
            for items, dim in tile.sides:
                count[items] += tile.is_target.sum(dim)
                target[items] += hits.masked_fill(~tile.is_target, 0).sum(dim)
                among.merge(items, hits, dim, tile.scratch)
        for items, dim in tile.sides:
            rest.merge(items, tile.scores, dim, tile.scratch)
    target *= LN_2 / count.clamp_min(1)
    mean = (x @ x.sum(0) - x.square().sum(1)) / max(len(x) - 1, 1)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    return Rows(*(s[place] for s in (count, target, among.value(), rest.value(), mean)))


def set_gradients(x: Tensor, labels: Tensor, rows: Rows, by_rows: RowGradients) -> Tensor:
    """The gradient by x, given that by the statistics."""
    labels, order = labels.sort(stable=True)
    x = x[order]
    zero = torch.zeros_like(x[:, 0])
    by_target, by_among, by_rest = (zero if g is None else g[order] for g in by_rows[:3])
    by_target = by_target / rows.targets[order].clamp_min(1)
    among, rest = (_exponent(s[order]) for s in (rows.among, rows.rest))
    gradient = torch.zeros_like(x)
    for tile in _tiles(x, labels):
        i, j = tile.rows, tile.columns
        hits = tile.scores if tile.is_target is None else tile.take_targets()
        _pull(tile.scores, tile.scratch, i, j, rest, by_rest)
        if tile.is_target is not None:
            _pull(hits, tile.scratch, i, j, among, by_among)
            each = by_target[i, None] + by_target[j]
            tile.scores.add_(hits).add_(each.mul_(tile.is_target))
        gradient[i].addmm_(tile.scores, x[j])
        if i != j:
            gradient[j].addmm_(tile.scores.t(), x[i])
    if by_rows.mean is not None:
        share = by_rows.mean[order] / max(len(x) - 1, 1)
        gradient += share[:, None] * (x.sum(0) - 2 * x) + share @ x
    result = torch.empty_like(gradient)
    result[order] = gradient
    return result


def _tiles(x: Tensor, labels: Tensor) -> Iterator[Tile]:
    """The tiles on and above the diagonal, in the same two buffers each."""
    n = len(x)
    buffers = x.new_empty(2, TILE * TILE)
    starts = list(range(0, n, TILE))
    first, last = (labels[[min(s + k, n - 1) for s in starts]].tolist() for k in (0, TILE - 1))
    for row, start in enumerate(starts):
        rows = slice(start, min(start + TILE, n))
        scaled = x[rows] * LOG2_E
        for column, other in enumerate(starts[row:], row):
            columns = slice(other, min(other + TILE, n))
            shape = (rows.stop - start, columns.stop - other)
            scores, scratch = (b[: shape[0] * shape[1]].view(shape) for b in buffers)
            torch.mm(scaled, x[columns].t(), out=scores)
            is_target = None
            if first[column] <= last[row]:
                is_target = labels[rows, None] == labels[columns]
                if row == column:
                    is_target.fill_diagonal_(False)
            yield Tile(rows, columns, scores, scratch, is_target)


def _exponent(lse: Tensor) -> Tensor:
    """The log-sum-exp in units of log 2; where there is none, one that makes every exp2(score - it) 0."""
    return torch.where(lse > ABSENT_2 / 4, lse * LOG2_E, -ABSENT_2)


def _pull(scores: Tensor, scratch: Tensor, i: slice, j: slice, lse: Tensor, by_lse: Tensor) -> None:
    """Scores become dL/dscore_ij + dL/dscore_ji through the log-sum-exps of row i and row j."""
    torch.sub(scores, lse[j], out=scratch).exp2_().mul_(by_lse[j])
    scores.sub_(lse[i, None]).exp2_().mul_(by_lse[i, None]).add_(scratch)
