"""Row statistics and their gradients by blocks of rows, so that the scores are never all stored.

A block's scores are computed in a reused buffer and turned in place into exponentials, then into the gradient by the
scores. There is no autograd in this file: plain tensors in, plain tensors out.
"""

import math
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any

import torch
from torch import Tensor

from lossary.core import device as _device
from lossary.kernels.products import headroom, multiply_
from lossary.kernels.rows.bands import Places
from lossary.kernels.rows.exponentials import (
    Exponentiate,
    PieceSums,
    TameSums,
    exponentiate,
    exponentiate_tame,
    exponentiate_tame_rest,
    is_tame,
    smallest,
    sum_softplus,
    without_faint_,
    without_subnormals_,
)
from lossary.kernels.rows.kinds import Block, LabelTargets, MaskedTargets, Numbered, SingleTarget
from lossary.kernels.rows.maps import AtIndex, AtMask, map_block_
from lossary.kernels.rows.scores import Bilinear, Learning, RowGradients, Rows, RowsOf, Targets
from lossary.kernels.rows.swept import Mapped, Pulled, SweptTarget, in_pieces, piece_width
from lossary.kernels.rows.vectors import Columns, Vectors
from lossary.kernels.stable import LOG2_E, accumulator

#: Which parts of :class:`Learning` need a gradient.
Needs = tuple[bool, bool, bool, bool, bool]
#: On a CPU a block of scores should stay in cache, but products are fast only from some 256 rows on (as long as a block
#: has at most CPU_LARGEST_BLOCK bytes), and gain nothing from more than CPU_ROWS.
CPU_LARGEST_BLOCK = 128 << 20
CPU_ROWS = 832
#: From this many columns per number of a vector on, factors of rows are applied to vectors instead of scores.
APART = 4
#: An accelerator needs large products: this many rows, if memory has room for them, or this many bytes.
ACCELERATOR_ROWS = 2048
ACCELERATOR_BLOCK = 1 << 30


class Gradients:
    """Gradients of the parts of :class:`Bilinear`, summed over blocks in full precision; None where not needed."""

    def __init__(self, source: Bilinear, needs: Needs) -> None:
        unset = torch.empty if len(source.x) > 0 else torch.zeros
        dtype, device = accumulator(source.x), source.x.device
        self.needs = needs
        by_x, by_w = needs[0] or needs[3], needs[1] or needs[4]  # a factor's gradient comes from that of its vectors
        self.x = unset(source.x.shape, dtype=dtype, device=device) if by_x else None
        self.w = unset(source.w.shape, dtype=dtype, device=device) if by_w else None
        self.b = torch.zeros_like(source.b, dtype=dtype) if source.b is not None and needs[2] else None
        self.row_factor: Tensor | None = None
        self.column_factor: Tensor | None = None
        self.mean: Tensor | None = None  # what the mean scores contribute to every column
        self.pushed = False

    def found(self) -> Learning:
        """Gradients of the parts that need one."""
        every = (self.x, self.w, self.b, self.row_factor, self.column_factor)
        return Learning(*(g if need else None for g, need in zip(every, self.needs, strict=True)))


class Nearest:
    """A block's scores with every center of each column, (C * K, R); a column's largest one counts."""

    def __init__(self, every: Tensor, centers: int) -> None:
        self.every = every.unflatten(0, (-1, centers))
        self.largest = self.every.amax(1)

    def spread(self, gradient: Tensor) -> Tensor:
        """From the gradient by the columns' scores, (R, C), to that by every center's; tied centers share it."""
        counts = self.every.eq_(self.largest[:, None])  # 0 and 1, in the same memory
        share = torch.sum(counts, 1, out=self.largest).reciprocal_().mul_(gradient.t())
        return counts.mul_(share[:, None]).flatten(0, 1).t()


class Blocks:
    """One problem by blocks of rows: statistics out, gradients back."""

    def __init__(self, source: Bilinear, targets: Targets) -> None:
        if source.centers > 1 and not targets.numbered:
            raise ValueError("targets: wanted one a row beside several centers a column; got labels of columns")
        self.targets, self.centers, self.columns = targets, source.centers, source.columns
        self.sweeps = self._may_sweep(source)
        in_units = targets.sums != "softplus" and (targets.map is None or self.sweeps)
        # On a CPU, rows and columns are sorted by label; elsewhere labels are never read.
        in_place = targets.numbered or not _device.by_cache(source.x)
        self.places = None if in_place else Places(targets, len(source.w))
        self.x = Vectors(source.x, source.row_factor, source.half)
        c = source.column_factor
        self.w = Columns(self._sorted(source.w), None if c is None else self._sorted(c), source.half, unit=source.unit)
        self.b = None if source.b is None else self._sorted(source.b).to(self.dtype)
        self.after = self.x.after
        self.in_units_of(LOG2_E if in_units else 1.0)
        self.of_targets: Tensor | None = None
        self.least_left: float | None = None  # the smallest of ``w.left``, once it has been needed
        self.exponentiate = self._way(source)
        # Computed for all blocks at once: after a large product every small operation finds cold caches.
        self.mean: Tensor | None = None
        if self.places is None and targets.means and self.centers == 1 and targets.map is None:
            # The mean of a row's scores is linear in x, so it needs no block.
            ones = torch.ones(len(source.w), dtype=self.dtype, device=source.w.device)
            each = self.w.inverse if source.unit and self.w.inverse is not None else ones
            self.mean_column = self.w.weighted_sum(each) / max(len(source.w), 1)
            self.mean = self.x.times(self.mean_column)
            if source.b is not None:
                self.mean += source.b.to(self.dtype).mean()
        self.numbered = Numbered(targets, self.columns, self.dtype) if targets.numbered else None

    def in_units_of(self, unit: float) -> None:
        """The factor of scores as they are computed; gradients are by scores without it."""
        self.unit = unit
        if unit != 1:
            self.b = None if self.b is None else self.b * unit
            self.after = None if self.after is None else self.after * unit

    @property
    def dtype(self) -> torch.dtype:
        return accumulator(self.x.given)

    @property
    def by_cache(self) -> bool:
        return _device.by_cache(self.x.given)

    def _may_sweep(self, source: Bilinear) -> bool:
        """Whether statistics and slopes are computed piece by piece."""
        targets = self.targets
        plain = targets.numbered and self.centers == 1 and targets.sums == "exponentials"
        on_cpu = _device.by_cache(source.x) and source.half is None
        return plain and on_cpu and not (targets.means and targets.map is not None)

    def _way(self, source: Bilinear) -> Exponentiate:
        x, w = self.x.multiplied, self.w.multiplied
        if self.targets.sums == "softplus":
            return sum_softplus
        if self.targets.map is not None:
            bound = self.targets.map.bound(source.bound) if _device.values_visible(x) else None
            return exponentiate if bound is None or not is_tame(x, w, bound=bound) else exponentiate_tame
        if self.x.is_half and source.bound is None:  # the factor left for afterwards has no bound
            return exponentiate
        if source.b is not None or not is_tame(x, w, source.unit, self.targets.scale, source.bound):
            return exponentiate
        return exponentiate_tame_rest if self.targets.numbered and self.columns > 1 else exponentiate_tame

    def beside(self) -> int:
        """Temporary blocks in addition to the block itself."""
        powers = 0 if self.targets.sums != "powers" else 1
        mapped = self.targets.map is not None and not self.sweeps
        return (0 if self.centers == 1 else 4) + (3 if mapped else 0) + powers

    def size(self, rows: int) -> int:
        """How many of these rows a block has."""
        like = self.x.given.new_empty(0, dtype=self.dtype)
        return block_rows(rows, len(self.w.multiplied) + self.beside() * self.columns, like)

    def __iter__(self) -> Iterator[Block]:
        """All blocks share one buffer: each is overwritten by the next."""
        w = self.w.multiplied
        n, columns = len(self.x.multiplied), len(w)
        buffer_like = self.x.given.new_empty(0, dtype=self.dtype)
        size = self.size(n)
        buffer = buffer_like.new_empty(min(size, n) * columns)
        if self.sweeps and self.targets.map is not None:
            self.mapped = Mapped(self.targets.map, buffer, min(size, n), some_absent=self.b is not None)
        self.halves = buffer_like.new_empty(buffer.shape if self.x.is_half else 0, dtype=w.dtype)
        for first in range(0, n, size):
            span = slice(first, min(first + size, n))
            # In memory a block is stored by column: with two threads that takes a sixth less time.
            count = span.stop - first
            transposed = buffer[: columns * count].view(columns, count)
            yield self._block(transposed, span, self._making(transposed, self.rows(span)))
        del self.halves

    def rows(self, span: slice) -> slice | Tensor:
        """The places of a block's rows in the source."""
        return span if self.places is None else self.places.rows[span]

    def _making(self, transposed: Tensor, rows: slice | Tensor) -> Iterator[Tensor]:
        """Compute scores in the block's memory; yields pieces of them as they are ready."""
        x, after = self.x.multiplied[rows].t(), None if self.after is None else self.after[rows, None]
        width = piece_width(transposed.t())
        parts, found = transposed.split(width), transposed.t().split(width, 1)
        factors = zip(self.w.ready.split(width), _cut(self.w.left, width), _cut(self.b, width), strict=False)
        for part, scores, (w, left, b) in zip(parts, found, factors, strict=True):
            multiply_(part, w, x, alpha=self.unit if after is None else 1)
            if left is not None:
                scores.mul_(left)
            if after is not None and b is not None:
                torch.addcmul(b, scores, after, out=scores)
            elif after is not None:
                scores.mul_(after)
            elif b is not None:
                scores.add_(b)
            yield scores

    def _block(self, transposed: Tensor, span: slice, making: Iterator[Tensor]) -> Block:
        mean = None if self.mean is None else self.mean[span]
        if self.sweeps:
            assert self.numbered is not None
            sums = PieceSums() if self.exponentiate is exponentiate else TameSums()
            mapped = None if self.targets.map is None else self.mapped.of(span)
            return SweptTarget(transposed, span, making, self.numbered, mean, sums, mapped)
        for _ in making:
            pass
        scores = transposed.t()
        if self.centers > 1:
            self.nearest = Nearest(transposed, self.centers)
            scores = self.nearest.largest.clone().t()
        return self._kind(scores, span, mean)

    def _kind(self, scores: Tensor, span: slice, mean: Tensor | None) -> Block:
        masks = RowsOf(scores, self.targets.of(span), span.start)  # computed when they are needed
        self.map_slopes = self._map_(scores, span, masks)
        if self.numbered is not None:
            return SingleTarget(scores, span, self.exponentiate, self.numbered, mean, self.targets.means)
        if self.places is not None:
            powers = self.targets.sums == "powers"
            return LabelTargets(scores, span, self.exponentiate, self.places, self.targets.scale, powers)
        return MaskedTargets(scores, span, self.exponentiate, self.targets, masks, mean)

    def _map_(self, scores: Tensor, span: slice, masks: RowsOf) -> Tensor | None:
        """Map scores in place, into units of log 2; returns the map's slopes, None without a map."""
        by = self.targets.map
        if by is None:
            return None
        by = by.of(span if self.places is None else self.places.rows[span])
        if self.numbered is not None:
            at = [AtIndex(self.numbered.index[span], self.numbered.inside_of(span))]
        elif self.places is None:
            at = [AtMask(slice(None), slice(None), masks.is_target)]
        else:
            spots = self.places.bands.within(span, slice(0, scores.shape[1]))
            at = [
                AtMask(slice(s.rows.start - span.start, s.rows.stop - span.start), s.columns, s.is_target)
                for s in spots
            ]
        slopes = map_block_(by, scores, at, some_absent=self.b is not None)
        if self.targets.sums != "softplus":
            scores.mul_(LOG2_E)
        return slopes

    def push(self, block: Block, by_rows: RowGradients | Pulled, gradients: Gradients) -> None:
        """Add a block's gradients by x, w and b, given those by its statistics or scores. The block is overwritten."""
        if not self.x.is_half:
            self._push_pieces(block, by_rows, gradients)
        else:
            self._push_half(block, by_rows, gradients)
        if block.by_mean is not None:
            self._push_mean(block.by_mean, block.rows, gradients)

    def _push_pieces(self, block: Block, by_rows: RowGradients | Pulled, gradients: Gradients) -> None:
        """In full precision, each piece while it is in cache."""
        rows, x, into = block.rows, self.x.multiplied[block.rows], gradients.x
        if into is not None:
            into = into[rows] if isinstance(rows, slice) else torch.empty_like(x)
        pulled = self._pieces(block, by_rows)
        self._push_each(pulled, piece_width(block.scores, len(self.w.ready)), x, into, gradients)
        if into is not None and pulled.by_row is not None:
            into.mul_(pulled.by_row)
        if gradients.x is not None and into is not None and not isinstance(rows, slice):
            gradients.x[rows] = into
        if pulled.by_target is not None and isinstance(rows, slice):
            self._push_targets(pulled.by_target, rows, gradients)

    def _push_each(self, pulled: Pulled, width: int, x: Tensor, into: Tensor | None, gradients: Gradients) -> None:
        """Gradients from pieces of ``width`` columns: by the rows' x, stored in ``into``, and by w and b, added."""
        by_row, first = pulled.by_row, True
        multiplied = x if by_row is None else x * by_row
        cut = (self.w.ready.split(width), *(_cut(t, width) for t in (self.w.left, gradients.b, gradients.w)))
        for slopes, w, left, by_b, by_w in zip(pulled.parts, *cut, strict=False):
            if by_b is not None:
                by_b.add_(slopes.sum(0) if by_row is None else slopes.t() @ by_row[:, 0])
            if left is not None:
                slopes.mul_(left)
            if self.by_cache:
                without_faint_(slopes, pulled.least)
            if into is not None:
                multiply_(into, slopes, w, add=not first)
            if by_w is not None:  # the first block's product is stored, not added, so no zeros are needed
                multiply_(by_w, slopes.t(), multiplied, add=gradients.pushed)
            first = False
        gradients.pushed = gradients.w is not None

    def _pieces(self, block: Block, by_rows: RowGradients | Pulled) -> Pulled:
        """The gradient by the scores, in pieces."""
        if isinstance(by_rows, Pulled):
            pulled = by_rows
        elif isinstance(block, SweptTarget):
            pulled = block.pulled(by_rows, apart=self.columns > APART * self.x.multiplied.shape[1])
        else:
            every = in_pieces(self._pulled(block, by_rows))
            pulled = Pulled(every, smallest(block.by_row) if self.by_cache else 0.0)
        if pulled.least > 0 and self.w.left is not None and self.least_left is None:
            self.least_left = smallest([self.w.left])
        return pulled._replace(least=pulled.least * (1.0 if self.least_left is None else self.least_left))

    def _push_half(self, block: Block, by_rows: Any, gradients: Gradients) -> None:
        rows = block.rows
        slopes, unscale = self._slopes(block, by_rows, gradients)
        w = self.w.multiplied
        if gradients.x is not None and isinstance(rows, slice):
            multiply_(gradients.x[rows], slopes, w)
        elif gradients.x is not None:
            gradients.x[rows] = multiply_(gradients.x.new_empty(slopes.shape[0], w.shape[1]), slopes, w)
        if gradients.x is not None and unscale is not None:
            gradients.x[rows] *= unscale
        if gradients.w is not None:
            self._push_columns(slopes.t(), self.x.multiplied[rows], unscale, gradients.w, gradients.pushed)
            gradients.pushed = True
        if self.apart is not None and isinstance(rows, slice):
            self._push_targets(self.apart, rows, gradients)

    @staticmethod
    def _push_columns(slopes: Tensor, x: Tensor, unscale: Tensor | None, into: Tensor, pushed: bool) -> None:
        if unscale is None:
            multiply_(into, slopes, x, add=pushed)
        elif pushed:
            into.addcmul_(multiply_(torch.empty_like(into), slopes, x), unscale)
        else:
            multiply_(into, slopes, x).mul_(unscale)

    def _slopes(self, block: Block, by_rows: Any, gradients: Gradients) -> tuple[Tensor, Tensor | None]:
        """The gradient by the products (R, C), as the next products need it; and the inverse of a power of 2 in it."""
        columns, self.apart = self.w.inverse, None
        at_once = self.x.is_half and self.centers == 1 and self.targets.first is None and self.map_slopes is None
        if isinstance(block, SingleTarget) and at_once and block.is_linear:
            # With one pass less: after the products, passes take most of the time.
            each, self.apart = block.factors(by_rows)
            if gradients.b is not None:
                gradients.b.addmv_(block.scores.t(), each[:, 0])
            if columns is not None:
                block.scores.mul_(columns)
            return self._rounded(block.scores, each, by_rows.rest, block.rows)
        slopes = self._pulled(block, by_rows)
        if gradients.b is not None:
            gradients.b.add_(slopes.sum(0))
        if columns is not None:
            slopes.mul_(columns)
        slopes = without_subnormals_(slopes, block.by_row, columns)
        return self._rounded(slopes, None, None, block.rows)

    def _pulled(self, block: Block, by_rows: Any) -> Tensor:
        """The gradient by the scores as they were computed, (R, C)."""
        block.pull(by_rows)
        slopes = block.scores
        if self.map_slopes is not None:
            slopes.mul_(self.map_slopes)
            block.by_row = [torch.zeros_like(slopes[:1])]  # a gradient's size is not known
        return slopes if self.centers == 1 else self.nearest.spread(slopes)

    def _rounded(
        self, slopes: Tensor, each: Tensor | None, most: Tensor | None, rows: slice | Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Slopes times ``each`` of their row in half precision; ``most`` bounds a row's, without columns' factors."""
        after = None if self.x.after is None else self.x.after[rows, None]
        each = after if each is None else each if after is None else each * after
        unscale = None
        if self.halves.dtype == torch.float16:
            bound = slopes.abs().amax() if most is None else most.abs().amax()
            for factor in (after, None if most is None else self.w.inverse):
                bound = bound if factor is None else bound * factor.abs().amax()
            scale = headroom(bound)
            each = scale if each is None else each * scale
            unscale = 1 / scale
        count, columns = slopes.shape
        halves = self.halves[: count * columns].view(columns, count).t()
        if each is None:
            halves.copy_(slopes)
        else:
            torch.mul(slopes, each, out=halves)
        return halves, unscale

    def _push_targets(self, by_target: Tensor, rows: slice, gradients: Gradients) -> None:
        """What a row's target contributes, usually its largest slope, without rounding: as vectors, not products."""
        assert self.numbered is not None
        index, each = self.numbered.index[rows, 0], self._by_targets()
        if gradients.b is not None:
            gradients.b.index_add_(0, index, by_target[:, 0])
        by_target = by_target if each is None else by_target * each[rows, None]
        if gradients.x is not None:
            gradients.x[rows].addcmul_(self.w.ready[index], by_target)
        if gradients.w is not None:
            gradients.w.index_add_(0, index, self.x.multiplied[rows] * by_target)

    def _by_targets(self) -> Tensor | None:
        """The factor (N,) of the product of a row and its target; computed once for all blocks."""
        if self.of_targets is None and self.numbered is not None and self.w.left is not None:
            self.of_targets = self.w.left[self.numbered.index[:, 0]]
            if self.x.after is not None:
                self.of_targets.mul_(self.x.after)
        return self.x.after if self.of_targets is None else self.of_targets

    def _push_mean(self, by_mean: Tensor, rows: slice | Tensor, gradients: Gradients) -> None:
        """A product of vectors for x, and one at the end for w, without writing to a block."""
        if gradients.b is not None:
            gradients.b.add_(by_mean.sum() / self.columns)
        by_mean = by_mean if self.x.after is None else by_mean * self.x.after[rows]
        if gradients.x is not None:
            gradients.x[rows].addr_(by_mean, self.mean_column)
        if gradients.w is not None:
            x = self.x.given if self.x.is_half else self.x.multiplied
            along = by_mean @ x[rows].to(by_mean.dtype) / self.columns
            gradients.mean = along if gradients.mean is None else gradients.mean + along

    def finish(self, gradients: Gradients) -> None:
        """After the last block: from gradients by what was multiplied, each times 1 / |w|, to those by x and w."""
        if gradients.w is not None:
            gradients.column_factor = self.w.finish(gradients.w, gradients.mean)
        if gradients.x is not None:
            gradients.row_factor = self.x.settle(gradients.x)
        if self.places is not None:
            place = self.places.place
            gradients.w = None if gradients.w is None else gradients.w[place]
            gradients.b = None if gradients.b is None else gradients.b[place]
            c = gradients.column_factor
            gradients.column_factor = None if c is None else c[place]

    def _sorted(self, columns: Tensor) -> Tensor:
        return columns if self.places is None else columns[self.places.columns]


def _cut(columns: Tensor | None, width: int) -> Iterable[Tensor | None]:
    """The pieces' views of the columns' numbers, all at once: each view is an operation on cold caches."""
    return repeat(None) if columns is None else columns.split(width)


def row_statistics(source: Bilinear, targets: Targets) -> Rows:
    """The statistics of all rows, with one product and linear memory."""
    n = len(source.x)
    rows = Rows(*(source.x.new_zeros(n, dtype=accumulator(source.x)) for _ in Rows._fields))
    for block in Blocks(source, targets):
        for whole, part in zip(rows, block.statistics, strict=True):
            whole[block.rows] = part
    return rows


def row_gradients(source: Bilinear, targets: Targets, by_rows: RowGradients, needs: Needs) -> Learning:
    """Gradients from those by the statistics; the scores are recomputed, three products in all."""
    blocks, gradients = Blocks(source, targets), Gradients(source, needs)
    for block in blocks:
        blocks.push(block, by_rows.of(block.rows), gradients)
    block = None  # whose memory is free for the remaining work
    blocks.finish(gradients)
    return gradients.found()


def block_rows(rows: int, columns: int, like: Tensor) -> int:
    """How many rows a block has: as equal as possible."""
    row, budget = max(columns, 1) * like.element_size(), _device.budget(like)
    if _device.by_cache(like):
        size = max(min(budget // row, CPU_ROWS), min(CPU_LARGEST_BLOCK // row, 256), 32)
    else:
        size = max(min(budget // row, ACCELERATOR_ROWS), min(budget, ACCELERATOR_BLOCK) // row, 64)
    size = -(-rows // max(1, math.ceil(rows / size - 0.25)))  # rather a quarter more in each than a short last block
    if size >= 256:  # a few more, so that every row begins at a cache line
        size += -size % 16
    # Numbers a multiple of 256 apart, as adjacent ones of a row would be, compete for few places in the cache.
    return size if size % 256 else size + 16
