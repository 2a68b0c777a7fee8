"""Row statistics and their gradients by blocks of rows, so that the scores are never held whole.

A block's scores are made in a buffer that is used again, turned in place into exponentials and then into the
gradient by the scores. There is no autograd in this file: plain tensors in, plain tensors out. Scores are kept
in units of log 2 here, because exp2 takes a quarter of the time of exp.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from lossary.core import device as _device
from lossary.core.check import within
from lossary.kernels.rows.bands import Places
from lossary.kernels.rows.scores import Bilinear, Rows, Targets
from lossary.kernels.stable import ABSENT, LOG2_E, ORDINARY, bounded, in_range, scales

LN_2 = math.log(2)
ABSENT_2 = ABSENT * LOG2_E

#: Bytes of a block's scores. On CPU a block should stay in cache, yet products want some 256 rows, and gain nothing
#: from more than CPU_ROWS; an accelerator wants large products.
CPU_BLOCK = 21 << 20
CPU_LARGEST_BLOCK = 128 << 20
CPU_ROWS = 832
ACCELERATOR_BLOCK = 256 << 20
#: Elements of a temporary beside w.
THIN = 1 << 18
#: Up to this size of scores, in units of log 2, their exponentials and the sums of these lie well within float32.
TAME = 100.0

#: Scores (R, C), used up, to their log-sum-exp (R,) and what makes their exponentials shares of it, (R, 1).
Exponentiate = Callable[[Tensor], tuple[Tensor, Tensor]]


class RowGradients(NamedTuple):
    """Derivatives of the loss by the statistics of :class:`Rows`, each (N,); None where not used."""

    target: Tensor | None
    among: Tensor | None
    rest: Tensor | None
    mean: Tensor | None

    def of(self, rows: slice | Tensor) -> "RowGradients":
        return RowGradients(*(None if g is None else g[rows] for g in self))


class Gradients:
    """Gradients of x, w and b, summed over blocks; None where not needed."""

    def __init__(self, source: Bilinear, needs: tuple[bool, bool, bool]) -> None:
        unset = torch.empty_like if len(source.x) > 0 else torch.zeros_like
        self.x = unset(source.x) if needs[0] else None
        self.w = unset(source.w) if needs[1] else None
        self.b = torch.zeros_like(source.b) if source.b is not None and needs[2] else None
        self.mean: Tensor | None = None  # what the mean scores give to every column
        self.pushed = False


class Block:
    """The scores of some rows, (R, C), in units of log 2, and their statistics."""

    statistics: Rows
    by_mean: Tensor | None = None  # (R,), what a pulled block has beside its scores: the gradient by its mean scores

    def __init__(self, scores: Tensor, rows: slice | Tensor, exponentiate: Exponentiate) -> None:
        self.scores, self.rows, self.exponentiate = scores, rows, exponentiate

    def pull(self, gradients: RowGradients) -> None:
        """Turn the scores into the loss's gradient by them, given that by the statistics."""
        raise NotImplementedError


class SingleTarget(Block):
    """A block whose rows have one target each; ``mean`` where mean scores are linear, else they are taken here."""

    def __init__(
        self, scores: Tensor, rows: slice, exponentiate: Exponentiate, index: Tensor, mean: Tensor | None
    ) -> None:
        super().__init__(scores, rows, exponentiate)
        self.index, self.is_linear = index, mean is not None
        mean = scores.mean(1) * LN_2 if mean is None else mean
        target = scores.gather(1, index)[:, 0] * LN_2
        scores.scatter_(1, index, ABSENT_2)
        rest, self.share = self.exponentiate(scores)
        self.statistics = Rows(torch.ones_like(target), target, target.detach(), rest, mean.detach())

    def pull(self, gradients: RowGradients) -> None:
        by_target = _sum(gradients.target, gradients.among)
        self.scores.mul_(_column(gradients.rest, self.share) * self.share)
        if self.is_linear:
            self.by_mean = gradients.mean
        elif gradients.mean is not None:
            each = gradients.mean[:, None] / self.scores.shape[1]
            self.scores.add_(each)
            by_target = _sum(by_target, each[:, 0])
        # Where a row has no rest its only score, the target, was taken for the rest's: overwritten here.
        self.scores.scatter_(1, self.index, _column(by_target, self.share))


class LabelTargets(Block):
    """A block whose rows have any number of targets, perhaps a column that is the row itself, and other gaps."""

    def __init__(self, scores: Tensor, span: slice, exponentiate: Exponentiate, places: Places, scale: float) -> None:
        super().__init__(scores, places.rows[span], exponentiate)
        self.scale = scale
        self.absent = r, _ = places.absent(span)
        total = scores.sum(1).index_add_(0, r, scores[self.absent], alpha=-1)
        scores[self.absent] = ABSENT_2
        self.existing = (scores.shape[1] - r.bincount(minlength=len(scores))).clamp_min(1).to(scores.dtype)
        count, target = torch.zeros_like(total), torch.zeros_like(total)
        among = torch.full_like(total, ABSENT)
        self.found: list[tuple[slice, Tensor, Tensor, Tensor, Tensor]] = []
        for spot in places.bands.within(span, slice(0, scores.shape[1])):
            rows = slice(spot.rows.start - span.start, spot.rows.stop - span.start)
            part = spot.of(scores, span.start)
            hits = take_targets(part, spot.is_target, scale)
            count[rows] = spot.is_target.sum(1).to(scores.dtype)
            target[rows] = torch.where(spot.is_target, hits, 0).sum(1)
            among[rows], share = self.exponentiate(hits)
            self.found.append((rows, part, spot.is_target, hits, share))
        self.per_target = 1 / count.clamp_min(1)
        rest, self.share = self.exponentiate(scores)
        mean = total * (LN_2 / self.existing)
        self.statistics = Rows(count, target * (self.per_target * LN_2), among, rest, mean)

    def pull(self, gradients: RowGradients) -> None:
        self.scores.mul_(_column(gradients.rest, self.share) * self.share)
        for rows, part, is_target, hits, share in self.found:
            if gradients.among is not None:
                part.add_(hits.mul_(gradients.among[rows, None] * share * self.scale))
            if gradients.target is not None:
                part.add_(is_target * (gradients.target * self.per_target * self.scale)[rows, None])
        if gradients.mean is not None:
            self.scores.add_((gradients.mean / self.existing)[:, None])
            self.scores[self.absent] = 0


class Nearest:
    """A block's scores with every center of each column, (C * K, R), of which a column's largest counts."""

    def __init__(self, every: Tensor, centers: int) -> None:
        self.every = every.unflatten(0, (-1, centers))
        self.largest = self.every.amax(1)

    def spread(self, gradient: Tensor) -> Tensor:
        """The gradient by the columns' scores, (R, C), becomes that by every center's; equal ones share it."""
        counts = self.every.eq_(self.largest[:, None])  # 0 and 1, in the same memory
        share = torch.sum(counts, 1, out=self.largest).reciprocal_().mul_(gradient.t())
        return counts.mul_(share[:, None]).flatten(0, 1).t()


class Blocks:
    """One problem by blocks of rows: statistics out, gradients back."""

    def __init__(self, source: Bilinear, targets: Targets) -> None:
        if source.centers > 1 and not targets.single:
            raise ValueError("targets: wanted one a row beside several centers a column; got labels of columns")
        self.targets, self.centers, self.columns = targets, source.centers, source.columns
        self.places = None if targets.single else Places(targets, len(source.w))
        self.x = source.x
        self.w, self.b = self._sorted(source.w), None if source.b is None else self._sorted(source.b) * LOG2_E
        self.inverse = self.scale = None
        if source.unit:
            self.inverse = inverse_norms(self.w)
            # Looked at on CPU alone: elsewhere a look waits for the device.
            if _device.values_visible(self.w) and len(self.w) > 0 and not within(self.inverse, *ORDINARY):
                self._scale()
        # The mean of a row's scores is linear in x: no block is read for it.
        self.mean_column = (self.w.sum(0) if self.inverse is None else self.inverse @ self.w) / max(len(self.w), 1)
        self.mean_b = 0 if source.b is None else source.b.mean()
        # Looked at on CPU alone: elsewhere a look waits for the device.
        is_visible = _device.values_visible(self.x)
        is_tame = is_visible and source.b is None and tame(self.x, self.w, source.unit, targets.scale)
        every_row_has_rest = targets.single and self.columns > 1
        if is_tame:
            self.exponentiate = exponentiate_tame_rest if every_row_has_rest else exponentiate_tame
        else:
            self.exponentiate = exponentiate
        # Made for all blocks at once: after a large product every small operation comes to cold caches.
        if self.places is None:
            self.index, self.mean = targets.rows.long()[:, None], self.x @ self.mean_column + self.mean_b

    def _scale(self) -> None:
        """Bring columns into range whose squares, or whose products with x, are not."""
        scale = scales(self.w)
        if (scale != 1).any():
            self.scale, self.w = scale, self.w / scale
            self.inverse = inverse_norms(self.w)

    def __iter__(self) -> Iterator[Block]:
        """All blocks share one buffer: each is gone when the next one comes."""
        n, columns = len(self.x), len(self.w)
        size = block_rows(n, columns if self.centers == 1 else columns + 4 * self.columns, self.x)
        buffer = self.x.new_empty(min(size, n) * columns)
        for first in range(0, n, size):
            span = slice(first, min(first + size, n))
            rows = span if self.places is None else self.places.rows[span]
            # In memory a block lies column by column: so two threads make it in a sixth less time.
            count = span.stop - first
            transposed = buffer[: columns * count].view(columns, count)
            torch.addmm(transposed, self.w, self.x[rows].t(), beta=0, alpha=LOG2_E, out=transposed)
            scores = transposed.t()
            if self.inverse is not None:
                scores.mul_(self.inverse)
            if self.b is not None:
                scores.add_(self.b)
            mean = self.mean[span] if self.places is None else None
            if self.centers > 1:
                self.nearest = Nearest(transposed, self.centers)
                scores, mean = self.nearest.largest.clone().t(), None
            if self.places is None:
                yield SingleTarget(scores, span, self.exponentiate, self.index[span], mean)
            else:
                yield LabelTargets(scores, span, self.exponentiate, self.places, self.targets.scale)

    def push(self, block: Block, gradients: Gradients) -> None:
        """Add what a pulled block gives to x, w and b. The block is used up."""
        scores, rows = block.scores, block.rows
        if self.centers > 1:
            scores = self.nearest.spread(scores)
        if gradients.b is not None:
            gradients.b.add_(scores.sum(0))
        if self.inverse is not None:
            scores.mul_(self.inverse)
        if gradients.x is not None and isinstance(rows, slice):
            torch.mm(scores, self.w, out=gradients.x[rows])
        elif gradients.x is not None:
            gradients.x[rows] = scores @ self.w
        if gradients.w is not None:
            # The first block's product is stored, not added: w's gradient starts without zeros.
            gradients.w.addmm_(scores.t(), self.x[rows], beta=int(gradients.pushed))
            gradients.pushed = True
        if block.by_mean is not None:
            self._push_mean(block.by_mean, rows, gradients)

    def _push_mean(self, by_mean: Tensor, rows: slice | Tensor, gradients: Gradients) -> None:
        """A product of vectors for x, and at the end one for w: no block is written to for it."""
        if gradients.b is not None:
            gradients.b.add_(by_mean.sum() / self.columns)
        if gradients.x is not None:
            gradients.x[rows].addr_(by_mean, self.mean_column)
        if gradients.w is not None:
            along = by_mean @ self.x[rows] / self.columns
            gradients.mean = along if gradients.mean is None else gradients.mean + along

    def finish(self, gradients: Gradients) -> None:
        """After the last block: what was the gradient by w / |w|, times 1 / |w|, becomes the gradient by w."""
        if gradients.w is not None and gradients.mean is not None:
            ones = torch.ones_like(self.w[:, 0]) if self.inverse is None else self.inverse
            gradients.w.addr_(ones, gradients.mean)
        if gradients.w is not None and self.inverse is not None:
            for part in _thin(self.w):
                w, g = self.w[part], gradients.w[part]
                along = (g * w).sum(1) * self.inverse[part].square()
                g.addcmul_(w, along[:, None], value=-1)
        if gradients.w is not None and self.scale is not None:
            gradients.w.div_(bounded(self.scale))
        if self.places is not None:
            place = self.places.place
            gradients.w = None if gradients.w is None else gradients.w[place]
            gradients.b = None if gradients.b is None else gradients.b[place]

    def _sorted(self, columns: Tensor) -> Tensor:
        return columns if self.places is None else columns[self.places.columns]


def row_statistics(source: Bilinear, targets: Targets) -> Rows:
    """The statistics of all rows, in one product and linear memory."""
    n = len(source.x)
    rows = Rows(*(source.x.new_zeros(n) for _ in Rows._fields))
    for block in Blocks(source, targets):
        for whole, part in zip(rows, block.statistics, strict=True):
            whole[block.rows] = part
    return rows


def row_gradients(
    source: Bilinear, targets: Targets, by_rows: RowGradients, needs: tuple[bool, bool, bool]
) -> Gradients:
    """Gradients by x, w and b from those by the statistics; the scores are made again, three products in all."""
    blocks, gradients = Blocks(source, targets), Gradients(source, needs)
    for block in blocks:
        block.pull(by_rows.of(block.rows))
        blocks.push(block, gradients)
    blocks.finish(gradients)
    return gradients


def take_targets(scores: Tensor, is_target: Tensor, scale: float) -> Tensor:
    """The targets' scores times ``scale``, absent elsewhere; ``scores`` keep the rest's."""
    hits = torch.where(is_target, scores if scale == 1 else scores * scale, ABSENT_2)
    scores.masked_fill_(is_target, ABSENT_2)
    return hits


def exponentiate(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The log-sum-exp of each row, (R,), and 1 / sum, (R, 1); the scores become exp2(score - maximum) in place."""
    top = scores.amax(1, keepdim=True)
    total = scores.sub_(top).exp2_().sum(1, keepdim=True)
    # In a row without any score all are "absent" alike, and exp2(0) = 1 each: no share of any gradient.
    share = torch.where(top > ABSENT_2 / 2, 1 / total, torch.zeros_like(total))
    return (top * LN_2 + total.log())[:, 0], share


def exponentiate_tame(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The same for scores so near 0 that no maximum is needed: exp2(score)."""
    total = scores.exp2_().sum(1, keepdim=True)
    share = torch.where(total > 0, 1 / total, torch.zeros_like(total))
    return torch.where(total > 0, total.log(), ABSENT)[:, 0], share


def exponentiate_tame_rest(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The same of rows that have some score each."""
    total = scores.exp2_().sum(1, keepdim=True)
    return total.log()[:, 0], total.reciprocal()


def tame(x: Tensor, w: Tensor, unit: bool = False, scale: float = 1.0) -> bool:
    """Whether lengths bound all <x_i, w_j> by :data:`TAME`, and so where they are times ``scale``."""
    if len(x) == 0 or len(w) == 0:
        return False
    longest = 1 if unit else w.norm(dim=1).max()
    return bool(x.norm(dim=1).max() * longest * max(abs(scale), 1) * LOG2_E <= TAME)


def inverse_norms(w: Tensor) -> Tensor:
    """1 / |w_j|, without temporaries of the size of w."""
    inverse = w.new_empty(len(w))
    for part in _thin(w):
        rows = w[part]
        y, of_y = in_range(rows)
        inverse[part] = (of_y if y is rows else of_y / scales(rows))[:, 0]
    return inverse


def block_rows(rows: int, columns: int, like: Tensor) -> int:
    """How many rows a block has: as many in each as can be."""
    row = max(columns, 1) * like.element_size()
    if not _device.by_cache(like):
        return max(ACCELERATOR_BLOCK // row, 64)
    size = max(min(CPU_BLOCK // row, CPU_ROWS), min(CPU_LARGEST_BLOCK // row, 256), 32)
    size = -(-rows // max(1, math.ceil(rows / size - 0.25)))  # rather a quarter more in each than a short last one
    if size >= 256:  # a few more, so that every row begins where a cache line does
        size += -size % 16
    # Numbers that are a multiple of 256 apart, as neighbours in a row then are, share a few places in the cache.
    return size if size % 256 else size + 16


def _thin(w: Tensor) -> Iterator[slice]:
    """Rows of w by a MiB: temporaries that stay in cache, a fifth of the time of those that do not."""
    step = max(THIN // max(w.shape[1], 1), 1)
    return (slice(first, first + step) for first in range(0, len(w), step))


def _column(gradient: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if gradient is None else gradient[:, None]


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b
