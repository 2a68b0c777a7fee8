"""Scores that serve rows and columns alike, tile by tile.

- One set against itself: the scores are symmetric, so one triangle of tiles is enough. Half a product for the
  statistics, half to recompute the scores, one for the gradient: two, where blocks of rows take three or four.
- Two sets in both directions (CLIP): one product, one to recompute it, two for the gradient: four instead of six.

The two sets are one list of items here, divided at ``split`` (0 for one set): an item's scores are those with the other
set, or with all others of its own. Items are first sorted by label, so targets occur only in spots near the diagonal.
Scores are in units of log 2, as in :mod:`lossary.kernels.rows.blocks`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lossary.kernels.products import multiply_
from lossary.kernels.rows import tiles
from lossary.kernels.rows.bands import Bands, Spot, inverse
from lossary.kernels.rows.exponentials import (
    ABSENT_2,
    LN_2,
    exponentials_,
    is_tame,
    take_targets,
    without_subnormals_,
)
from lossary.kernels.rows.items import Items, exponent, means, pull_means
from lossary.kernels.rows.scores import RowGradients, Rows
from lossary.kernels.stable import ABSENT, LOG2_E

#: Items, and the dimension of a tile that contains their scores.
Sides = tuple[tuple[slice, int], ...]
Pair = tuple[Tensor, Tensor]

#: Rows and columns of a tile: larger ones waste more of the diagonal, and two float32 tiles of little more than a MiB
#: stay in cache.
TILE = 592


@dataclass(frozen=True)
class Tile:
    """Scores of some items with others; if ``rows == columns`` the tile is on the diagonal."""

    rows: slice
    columns: slice
    scores: Tensor
    scratch: Tensor  # of the same shape
    third: Tensor  # of at least as many numbers
    spots: tuple[Spot, ...]

    @property
    def sides(self) -> Sides:
        """Whose scores these are, and along which dimension: the rows', and transposed the columns'."""
        return ((self.rows, 1),) if self.rows == self.columns else ((self.rows, 1), (self.columns, 0))

    def sides_of(self, spot: Spot) -> Sides:
        return tuple((spot.columns if dim == 0 else spot.rows, dim) for _, dim in self.sides)

    def part(self, spot: Spot) -> Tensor:
        return spot.of(self.scores, self.rows.start, self.columns.start)

    def powers(self, scale: float) -> Tensor:
        """The scores times ``scale``, in separate memory."""
        return torch.mul(self.scores, scale, out=self.third[: self.scores.numel()].view(self.scores.shape))

    def take_targets(self, scale: float) -> list[Tensor]:
        """The targets' scores times ``scale``, spot by spot; the tile keeps those of the rest."""
        return [take_targets(self.part(spot), spot.is_target, scale) for spot in self.spots]


class Anywhere:
    """Log-sum-exps of items' scores, accumulated tile by tile, for any scores."""

    def __init__(self, like: Tensor) -> None:
        self.top = torch.full_like(like, ABSENT_2)
        self.total = torch.zeros_like(like)

    def merge(self, scores: Tensor, scratch: Tensor, sides: Sides) -> None:
        """Add a tile's scores to the items of either side. The tile is overwritten."""
        for items, dim in sides:
            top = torch.maximum(self.top[items], scores.amax(dim))
            exponentials_(torch.sub(scores, top.unsqueeze(dim), out=scratch))
            self.total[items] = self.total[items] * torch.exp2(self.top[items] - top) + scratch.sum(dim)
            self.top[items] = top

    def value(self) -> Tensor:
        return self.top * LN_2 + self.total.log()

    @staticmethod
    def pull(scores: Tensor, scratch: Tensor, lse: Pair, by_lse: Pair) -> None:
        """Scores become dL/dscore_ij + dL/dscore_ji through the log-sum-exps of row i and row j."""
        exponentials_(torch.sub(scores, lse[1], out=scratch)).mul_(by_lse[1])
        exponentials_(scores.sub_(lse[0][:, None])).mul_(by_lse[0][:, None]).add_(scratch)
        without_subnormals_(scores, list(by_lse), None)


class Tame(Anywhere):
    """The same for scores so near 0 that no maximum is needed, and one exponential serves both sides."""

    def merge(self, scores: Tensor, scratch: Tensor, sides: Sides) -> None:
        scores.exp2_()
        for items, dim in sides:
            self.total[items] += scores.sum(dim)

    def value(self) -> Tensor:
        return torch.where(self.total > 0, self.total.log(), ABSENT)

    @staticmethod
    def pull(scores: Tensor, scratch: Tensor, lse: Pair, by_lse: Pair) -> None:
        each = [by * torch.exp2(-of) for of, by in zip(lse, by_lse, strict=True)]
        scores.exp2_().mul_(torch.add(each[0][:, None], each[1], out=scratch))
        without_subnormals_(scores, each, None)


def set_statistics(items: Items) -> Rows:
    """Statistics of each item's scores with its others; those with its label, times the scale, are its targets."""
    if not items.by_cache:
        return tiles.set_statistics(items)
    labels, split, scale = items.numbered(), items.split, items.scale
    order = _by_label(labels, split)
    x, kind = _arranged(items.scaled, order), _kind(items)
    count, target = torch.zeros_like(x[:, 0]), torch.zeros_like(x[:, 0])
    among, rest = kind(target), kind(target)
    for tile in _tiles(x, _arranged(labels, order), split):
        for spot, hits in zip(tile.spots, tile.take_targets(scale), strict=True):
            sides = tile.sides_of(spot)
            for side, dim in sides:
                count[side] += spot.is_target.sum(dim)
                target[side] += torch.where(spot.is_target, hits, 0).sum(dim)
            if not items.powers:
                among.merge(hits, torch.empty_like(hits), sides)
        if items.powers:
            among.merge(tile.powers(scale), tile.scratch, tile.sides)
        rest.merge(tile.scores, tile.scratch, tile.sides)
    target *= LN_2 / count.clamp_min(1)
    place = None if order is None else inverse(order)
    of_among, of_rest = among.value(), rest.value()
    if items.powers:
        of_among = torch.where(of_rest > ABSENT / 2, of_among, ABSENT)
    found = (_arranged(s, place) for s in (count, target, of_among, of_rest))
    return Rows(*found, means(items))  # pyright: ignore[reportCallIssue]


def set_gradients(items: Items, rows: Rows, by_rows: RowGradients) -> tuple[Tensor, Tensor | None]:
    """The gradients by the items and their factors, given those by their statistics."""
    if not items.by_cache:
        return tiles.set_gradients(items, rows, by_rows)
    labels, split, scale = items.numbered(), items.split, items.scale
    order = _by_label(labels, split)
    x, kind = _arranged(items.scaled, order), _kind(items)
    zero = torch.zeros_like(x[:, 0])
    by_target, by_among, by_rest = (zero if g is None else _arranged(g, order) for g in by_rows[:3])
    by_target, by_among = by_target * scale / _arranged(rows.targets, order).clamp_min(1), by_among * scale
    among, rest = (exponent(_arranged(s, order)) for s in (rows.among, rows.rest))
    gradient = torch.zeros_like(x)
    for tile in _tiles(x, _arranged(labels, order), split):
        i, j = tile.rows, tile.columns
        taken = tile.take_targets(scale)
        powers = tile.powers(scale) if items.powers else None
        kind.pull(tile.scores, tile.scratch, (rest[i], rest[j]), (by_rest[i], by_rest[j]))
        if powers is not None:
            kind.pull(powers, tile.scratch, (among[i], among[j]), (by_among[i], by_among[j]))
            tile.scores.add_(powers)
        for spot, hits in zip(tile.spots, taken, strict=True):
            r, c = spot.rows, spot.columns
            if not items.powers:
                kind.pull(hits, torch.empty_like(hits), (among[r], among[c]), (by_among[r], by_among[c]))
                tile.part(spot).add_(hits)
            each = by_target[r, None] + by_target[c]
            tile.part(spot).add_(each.mul_(spot.is_target))
        multiply_(gradient[i], tile.scores, x[j], add=True)
        if i != j:
            multiply_(gradient[j], tile.scores.t(), x[i], add=True)
    # The sorted copy is overwritten: a third tensor of the size of the items would raise the peak.
    result = gradient if order is None else torch.index_select(gradient, 0, inverse(order), out=x)
    pull_means(items, by_rows.mean, result)
    return result, items.vectors.settle(result)


def _kind(items: Items) -> type[Anywhere]:
    """How to compute the exponentials, given a bound on the size of the scores."""
    x, split = items.scaled, items.split
    return Tame if is_tame(x[: split or None], x[split:], scale=items.scale, bound=items.bound) else Anywhere


def _by_label(labels: Tensor, split: int) -> Tensor | None:
    """The order that sorts each set by label; None if they are sorted, as pairs without ids are."""
    sets = (labels[:split], labels[split:])
    if all((s[1:] >= s[:-1]).all() for s in sets):
        return None
    first, second = (s.argsort(stable=True) for s in sets)
    return torch.cat([first, second + split])


def _arranged(items: Tensor, order: Tensor | None) -> Tensor:
    return items if order is None else items.index_select(0, order)


def _tiles(x: Tensor, labels: Tensor, split: int) -> Iterator[Tile]:
    """The tiles that together compute every pair's score once, all in the same two buffers."""
    n = len(x)
    *buffers, third = x.new_empty(3, TILE * TILE).unbind()
    sets = ((0, split), (split, n)) if split else ((0, n), (0, n))
    spans = [[slice(s, min(s + TILE, stop)) for s in range(start, stop, TILE)] for start, stop in sets]
    own = None if split else torch.arange(n, device=x.device)
    bands = Bands(labels[: split or None], labels[split:], own, split)
    for r, rows in enumerate(spans[0]):
        scaled = x[rows] * LOG2_E
        for columns in spans[1][0 if split else r :]:
            shape = (rows.stop - rows.start, columns.stop - columns.start)
            scores, scratch = (b[: shape[0] * shape[1]].view(shape) for b in buffers)
            multiply_(scores, scaled, x[columns].t())
            tile = Tile(rows, columns, scores, scratch, third, tuple(bands.within(rows, columns)))
            if rows == columns:
                scores.fill_diagonal_(ABSENT_2)
            yield tile
