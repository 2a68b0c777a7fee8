"""Statistics of sets for accelerators: large tiles, and no value is read.

Targets are found with a mask of the tile. What is linear in the items needs no tiles: the number of targets and their
mean score. The results of the tiles in a row are merged once per row of tiles.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from lossary.core import device as _device
from lossary.kernels.products import headroom, multiply_
from lossary.kernels.rows.exponentials import ABSENT_2, LN_2, is_tame, take_targets
from lossary.kernels.rows.items import Items, exponent, means, pull_means
from lossary.kernels.rows.scores import RowGradients, Rows
from lossary.kernels.stable import ABSENT, LOG2_E

#: Bytes of a tile's temporaries for each of its scores: four of float32, a mask, and the gradient in half precision.
BYTES = 19


class Tile(NamedTuple):
    """Scores of some items with others in units of log 2, targets apart; on the diagonal the items are the same."""

    rows: slice
    columns: slice
    row: int  # the tile's row and column among tiles
    column: int
    scores: Tensor
    hits: Tensor | None  # the targets', absent elsewhere; None without targets, or if they are only used linearly

    @property
    def is_symmetric(self) -> bool:
        return self.rows == self.columns


class Sums:
    """Log-sum-exps of the items' scores."""

    def __init__(self, items: Items, tile: int) -> None:
        self.like = items.scaled[:, 0]
        _, columns = items.sets
        self.tile, self.columns = tile, columns
        # Of every item; of the rows of a row of tiles, by tile; and of its columns.
        self.of_all = self._new(len(self.like))
        self.of_rows = self._new(-(-(columns.stop - columns.start) // tile), tile)
        self.of_columns = self._new(len(self.like))

    def _new(self, *shape: int) -> tuple[Tensor, Tensor]:
        return self.like.new_full(shape, ABSENT_2), self.like.new_zeros(shape)

    def start_row(self) -> None:
        for tops, totals in (self.of_rows, self.of_columns):
            tops.fill_(ABSENT_2)
            totals.zero_()

    def add(self, tile: Tile, scores: Tensor, scratch: Tensor) -> None:
        """A tile's scores, which stay unchanged."""
        some = slice(0, scores.shape[0])
        into = [(1, *(t[tile.column, some] for t in self.of_rows))]
        into += [] if tile.is_symmetric else [(0, *(t[tile.columns] for t in self.of_columns))]
        for dim, tops, totals in into:
            torch.amax(scores, dim, out=tops)
            torch.sum(torch.sub(scores, tops.unsqueeze(dim), out=scratch).exp2_(), dim, out=totals)

    def end_row(self, rows: slice) -> None:
        tops, totals = (t[:, : rows.stop - rows.start] for t in self.of_rows)
        top = tops.amax(0)
        self._merge(rows, top, (totals * torch.exp2(tops - top)).sum(0))
        self._merge(slice(None), *self.of_columns)

    def _merge(self, items: slice, tops: Tensor, totals: Tensor) -> None:
        top, total = (t[items] for t in self.of_all)
        both = torch.maximum(top, tops)
        total.mul_(torch.exp2(top - both)).add_(totals * torch.exp2(tops - both))
        top.copy_(both)

    def value(self) -> Tensor:
        top, total = self.of_all
        return torch.where(top > ABSENT_2 / 2, top * LN_2 + total.log(), ABSENT)

    @staticmethod
    def each(lse: Tensor, by_lse: Tensor) -> tuple[Tensor, Tensor]:
        """What :meth:`pull_` needs of every item: its log-sum-exp, and the gradient by it."""
        return lse, by_lse

    @staticmethod
    def pull_(scores: Tensor, scratch: Tensor, each: tuple[Tensor, Tensor], rows: slice, columns: slice) -> Tensor:
        """Scores become dL/dscore_ij + dL/dscore_ji through the log-sum-exps of row i and row j."""
        lse, by_lse = each
        torch.sub(scores, lse[columns], out=scratch).exp2_().mul_(by_lse[columns])
        return scores.sub_(lse[rows, None]).exp2_().mul_(by_lse[rows, None]).add_(scratch)


class TameSums(Sums):
    """The same for scores so near 0 that no maximum is needed, and one exponential serves both sides."""

    def __init__(self, items: Items, tile: int) -> None:
        self.total = torch.zeros_like(items.scaled[:, 0])

    def start_row(self) -> None:
        pass

    def add(self, tile: Tile, scores: Tensor, scratch: Tensor) -> None:
        scores.exp2_()
        self.total[tile.rows].add_(scores.sum(1))
        if not tile.is_symmetric:
            self.total[tile.columns].add_(scores.sum(0))

    def end_row(self, rows: slice) -> None:
        pass

    def value(self) -> Tensor:
        return torch.where(self.total > 0, self.total.log(), ABSENT)

    @staticmethod
    def each(lse: Tensor, by_lse: Tensor) -> tuple[Tensor, Tensor]:
        share = by_lse * torch.exp2(-lse)
        return share, share

    @staticmethod
    def pull_(scores: Tensor, scratch: Tensor, each: tuple[Tensor, Tensor], rows: slice, columns: slice) -> Tensor:
        share, _ = each
        return scores.exp2_().mul_(torch.add(share[rows, None], share[columns], out=scratch))


def set_statistics(items: Items) -> Rows:
    """Statistics of each item's scores with its others; those with its label, times the scale, are its targets."""
    count, x = items.counts(), items.scaled
    target = (x * items.target_sums(x)).sum(1) * items.scale / count.clamp_min(1)
    size, kind = tile_size(items), _kind(items)
    among, rest = (kind(items, size) for _ in range(2))
    for tiles in _rows_of_tiles(items, size):
        for sums in (among, rest):
            sums.start_row()
        rows = slice(0, 0)
        for tile, scratch in tiles:
            rows = tile.rows
            if tile.hits is not None:
                among.add(tile, tile.hits, scratch)
            rest.add(tile, tile.scores, scratch)
        for sums in (among, rest):
            sums.end_row(rows)
    found = target.clone() if items.labels is None else among.value()
    if items.powers:
        found = torch.where(rest.value() > ABSENT / 2, found, ABSENT)
    return Rows(count, target, found, rest.value(), means(items))


def set_gradients(items: Items, rows: Rows, by_rows: RowGradients) -> tuple[Tensor, Tensor | None]:
    """The gradients by the items and their factors, given those by their statistics."""
    x, kind = items.scaled, _kind(items)
    zero = torch.zeros_like(x[:, 0])
    by_target, by_among, by_rest = (zero if g is None else g for g in by_rows[:3])
    if items.labels is None:
        by_target, by_among = by_target + by_among, zero
    by_among = by_among * items.scale
    by_target = (by_target * items.scale / rows.targets.clamp_min(1))[:, None]
    of_among = kind.each(exponent(rows.among), by_among)
    of_rest = kind.each(exponent(rows.rest), by_rest)
    gradient = torch.zeros_like(x)
    for tiles in _rows_of_tiles(items, tile_size(items)):
        for tile, scratch in tiles:
            i, j = tile.rows, tile.columns
            slopes = kind.pull_(tile.scores, scratch, of_rest, i, j)
            if tile.hits is not None:
                slopes.add_(kind.pull_(tile.hits, scratch, of_among, i, j))
            _push(items, tile, slopes, gradient)
    items.add(gradient, by_target * items.target_sums(x) + items.target_sums(by_target * x))
    pull_means(items, by_rows.mean, gradient)
    return gradient, items.vectors.settle(gradient)


def _push(items: Items, tile: Tile, slopes: Tensor, gradient: Tensor) -> None:
    """Add a tile's contribution to the items of either side."""
    i, j, x, after, half = tile.rows, tile.columns, items.vectors.multiplied, items.vectors.after, items.half
    unscale = None
    if after is not None:
        slopes.mul_(after[j])
        slopes.mul_(after[i, None])
    if half == torch.float16:
        scale = headroom(slopes.abs().amax())
        slopes, unscale = slopes.mul_(scale), 1 / scale
    if half is not None:
        slopes = slopes.to(half)
    for ours, theirs, each in ((i, j, slopes), (j, i, slopes.t()))[: 1 if tile.is_symmetric else 2]:
        if unscale is None:
            multiply_(gradient[ours], each, x[theirs], add=True)
        else:
            found = multiply_(torch.empty_like(gradient[ours]), each, x[theirs])
            gradient[ours].addcmul_(found, unscale)


def _kind(items: Items) -> type[Sums]:
    """How to compute the exponentials, given a bound on the size of the scores, if there is one."""
    known = items.bound is not None and is_tame(items.scaled, items.scaled, scale=items.scale, bound=items.bound)
    return TameSums if known else Sums


def tile_size(items: Items) -> int:
    """Rows and columns of a tile: as equal as possible."""
    largest = max(math.isqrt(_device.budget(items.scaled) // 2 // BYTES) // 128 * 128, 128)
    longest = max(1, *(s.stop - s.start for s in items.sets))
    size = -(-longest // -(-longest // largest))
    return size + -size % 16


def _rows_of_tiles(items: Items, size: int) -> Iterator[Iterator[tuple[Tile, Tensor]]]:
    """The tiles that together compute every pair's score once, all in the same memory, with as much for results."""
    buffers = items.scaled.new_empty(2, size * size).unbind()
    spans = [[slice(s, min(s + size, of.stop)) for s in range(of.start, of.stop, size)] for of in items.sets]
    for r in range(len(spans[0])):
        yield (_tile(items, spans, r, c, buffers) for c in range(0 if items.split else r, len(spans[1])))


def _tile(items: Items, spans: list[list[slice]], r: int, c: int, buffers: tuple[Tensor, ...]) -> tuple[Tile, Tensor]:
    rows, columns = spans[0][r], spans[1][c]
    shape = (rows.stop - rows.start, columns.stop - columns.start)
    scores, scratch = (b[: shape[0] * shape[1]].view(shape) for b in buffers)
    x, after = items.vectors.multiplied, items.vectors.after
    multiply_(scores, x[rows], x[columns].t(), alpha=LOG2_E if after is None else 1)
    if after is not None:
        scores.mul_(after[columns]).mul_(after[rows, None] * LOG2_E)
    hits = None
    if items.labels is not None:
        is_target = items.labels[rows, None] == items.labels[columns]
        if rows == columns:
            is_target.fill_diagonal_(False)
        hits = take_targets(scores, is_target, items.scale)
    if rows == columns or (items.labels is None and r == c):
        scores.fill_diagonal_(ABSENT_2)
    if items.powers:
        hits = scores * items.scale
    return Tile(rows, columns, r, c, scores, hits), scratch
