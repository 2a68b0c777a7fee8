"""Scores that serve rows and columns alike, tile by tile.

- One set against itself: the scores are symmetric, so that one triangle of tiles is enough. Half a product for the
  statistics, half for making the scores again, one for the gradient: two, where blocks of rows take three or four.
- Two sets in both directions (CLIP): one product, one again, two for the gradient: four instead of six.

The two sets are one list of items here, cut at ``split`` (0 for one set): an item's scores are those with the other
set, or with all others of its own. Items are sorted by label first, so that a tile has targets only near the
diagonal and every other tile needs no mask. Scores are in units of log 2, as in :mod:`lossary.kernels.blocks`.
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


def set_statistics(items: Tensor, labels: Tensor, split: int) -> Rows:
    """Statistics of each item's scores with its others; those with its label are its targets."""
    order = _by_label(labels, split)
    x, labels = items[order], labels[order]
    count, target = torch.zeros_like(x[:, 0]), torch.zeros_like(x[:, 0])
    among, rest = Running(target), Running(target)
    for tile in _tiles(x, labels, split):
        if tile.is_target is not None:
            hits = tile.take_targets()
            for side, dim in tile.sides:
                count[side] += tile.is_target.sum(dim)
                target[side] += hits.masked_fill(~tile.is_target, 0).sum(dim)
                among.merge(side, hits, dim, tile.scratch)
        for side, dim in tile.sides:
            rest.merge(side, tile.scores, dim, tile.scratch)
    target *= LN_2 / count.clamp_min(1)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    found = (count, target, among.value(), rest.value())
    return Rows(*(s[place] for s in found), _means(items, split))  # pyright: ignore[reportCallIssue]


def set_gradients(items: Tensor, labels: Tensor, split: int, rows: Rows, by_rows: RowGradients) -> Tensor:
    """The gradient by the items, given that by their statistics."""
    order = _by_label(labels, split)
    x, labels = items[order], labels[order]
    zero = torch.zeros_like(x[:, 0])
    by_target, by_among, by_rest = (zero if g is None else g[order] for g in by_rows[:3])
    by_target = by_target / rows.targets[order].clamp_min(1)
    among, rest = (_exponent(s[order]) for s in (rows.among, rows.rest))
    gradient = torch.zeros_like(x)
    for tile in _tiles(x, labels, split):
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
    result = torch.empty_like(gradient)
    result[order] = gradient
    if by_rows.mean is not None:
        _pull_means(items, split, by_rows.mean, result)
    return result


def _by_label(labels: Tensor, split: int) -> Tensor:
    """The order that sorts each set by label."""
    first, second = labels[:split].argsort(stable=True), labels[split:].argsort(stable=True)
    return torch.cat([first, second + split])


def _means(items: Tensor, split: int) -> Tensor:
    """Mean scores, which are linear: no score is made for them."""
    if split == 0:
        return (items @ items.sum(0) - items.square().sum(1)) / max(len(items) - 1, 1)
    x, z = items[:split], items[split:]
    return torch.cat([x @ z.mean(0), z @ x.mean(0)])


def _pull_means(items: Tensor, split: int, by_mean: Tensor, gradient: Tensor) -> None:
    """Add what the mean scores give to the items' gradient."""
    if split == 0:
        share = by_mean / max(len(items) - 1, 1)
        gradient += share[:, None] * (items.sum(0) - 2 * items) + share @ items
        return
    x, z = items[:split], items[split:]
    by_x, by_z = by_mean[:split, None] / len(z), by_mean[split:, None] / len(x)
    gradient[:split] += by_x * z.sum(0) + (by_z * z).sum(0)
    gradient[split:] += by_z * x.sum(0) + (by_x * x).sum(0)


def _tiles(x: Tensor, labels: Tensor, split: int) -> Iterator[Tile]:
    """The tiles that make every pair's score once, in the same two buffers each."""
    n = len(x)
    buffers = x.new_empty(2, TILE * TILE)
    sets = ((0, split), (split, n)) if split else ((0, n), (0, n))
    spans = [[slice(s, min(s + TILE, stop)) for s in range(start, stop, TILE)] for start, stop in sets]
    # Read at once: a reading waits for an accelerator.
    edges = [[(s.start, s.stop - 1) for s in of] for of in spans]
    low, high = ([labels[torch.tensor([e[k] for e in of])].tolist() for of in edges] for k in (0, 1))
    for r, rows in enumerate(spans[0]):
        scaled = x[rows] * LOG2_E
        for c, columns in enumerate(spans[1]):
            if not split and c < r:
                continue
            shape = (rows.stop - rows.start, columns.stop - columns.start)
            scores, scratch = (b[: shape[0] * shape[1]].view(shape) for b in buffers)
            torch.mm(scaled, x[columns].t(), out=scores)
            is_target = None
            if low[1][c] <= high[0][r] and low[0][r] <= high[1][c]:
                is_target = labels[rows, None] == labels[columns]
                if rows == columns:
                    is_target.fill_diagonal_(False)
            yield Tile(rows, columns, scores, scratch, is_target)


def _exponent(lse: Tensor) -> Tensor:
    """The log-sum-exp in units of log 2; where there is none, one that makes every exp2(score - it) 0."""
    return torch.where(lse > ABSENT_2 / 4, lse * LOG2_E, -ABSENT_2)


def _pull(scores: Tensor, scratch: Tensor, i: slice, j: slice, lse: Tensor, by_lse: Tensor) -> None:
    """Scores become dL/dscore_ij + dL/dscore_ji through the log-sum-exps of row i and row j."""
    torch.sub(scores, lse[j], out=scratch).exp2_().mul_(by_lse[j])
    scores.sub_(lse[i, None]).exp2_().mul_(by_lse[i, None]).add_(scratch)
