"""A block of scores, of rows with one target each, computed and used piece by piece, for CPUs.

A piece is as many columns as stay near the cores. There a pass takes a quarter of what it takes over a block, so
besides the products only exponentials matter.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import pairwise, repeat
from typing import NamedTuple

import torch
from torch import Tensor

from lossary.core import device as _device
from lossary.kernels.rows.exponentials import ABSENT_2, LN_2, PieceSums, smallest
from lossary.kernels.rows.kinds import Block, Numbered, by_own_target
from lossary.kernels.rows.maps import ScoreMap, map_block_
from lossary.kernels.rows.scores import RowGradients, Rows
from lossary.kernels.stable import ABSENT, LOG2_E

#: Scores per piece of one thread.
PIECE = 1 << 18
#: With several threads, scores per piece and thread by bytes of a core's own cache, if that is more: each call waits
#: for all of them, so there should be fewer (docs/decisions/0016).
SCORES_PER_BYTE = 1 / 2
#: The smallest share of a row's sum by which vectors are multiplied: a sum times any vector is then in float32's range.
LEAST_SHARE = 2.0**-64


def piece_size() -> int:
    threads = torch.get_num_threads()
    return PIECE if threads == 1 else max(PIECE, int(SCORES_PER_BYTE * _device.own_cache())) * threads


def piece_width(block: Tensor, columns: int | None = None) -> int:
    """How many columns of a block, (R, C), stay in cache; off the CPU all of them, or of the given ``columns``."""
    rows, every = block.shape
    return max(piece_size() // max(rows, 1) if _device.by_cache(block) else columns or every, 1)


def in_pieces(block: Tensor) -> tuple[Tensor, ...]:
    """The pieces of a block, (R, C)."""
    return block.split(piece_width(block), 1)


def of_pieces(each: Tensor, count: int) -> tuple[Tensor, ...]:
    """The numbers (R, 1) of each of ``count`` pieces, from (P, R, 1) or, common to all, (1, R, 1)."""
    return each.expand(count, -1, -1).unbind()


def in_common(shares: Tensor) -> Tensor | None:
    """The factor (R, 1) that all pieces share, (1, R, 1), if vectors may be multiplied by it."""
    return shares[0] if len(shares) == 1 and smallest([shares]) > LEAST_SHARE else None


class Mapped:
    """A map of scores in units of log 2, piece by piece, in reused memory."""

    def __init__(self, by: ScoreMap, like: Tensor, rows: int, *, some_absent: bool) -> None:
        self.by, self.some_absent = by, some_absent
        self.memory = like.new_empty(2, min(max(piece_size(), rows), len(like)))
        self.views: dict[tuple[int, int], tuple[Tensor, ...]] = {}

    def like(self, scores: Tensor) -> tuple[Tensor, ...]:
        """Memory for two pieces of this shape: the same views every time."""
        count, columns = scores.shape
        if (count, columns) not in self.views:
            made = (m[: count * columns].view(columns, count).t() for m in self.memory)
            self.views[count, columns] = tuple(made)
        return self.views[count, columns]

    def of(self, rows: slice) -> "RowsMapped":
        return RowsMapped(self, self.by.of(rows))


class RowsMapped:
    """The same for some rows."""

    def __init__(self, every: Mapped, by: ScoreMap) -> None:
        self.every, self.by, self.rest = every, by, by.sides[1]
        self.by_numbers_ = None if every.some_absent else self.rest.by_numbers_
        self.arguments = by.arguments if self.by_numbers_ is None else by.in_units(LOG2_E).arguments

    def exponentiate_(self, scores: Tensor, sums: PieceSums, fill: Callable[[], None]) -> None:
        """Turn scores into exponentials of mapped ones times the map's slopes; call ``fill`` before they are summed."""
        if self.by_numbers_ is not None:
            less = self.by_numbers_(scores, *self.arguments, *self.every.like(scores))
            fill()
            sums.add(scores)
            scores.addcmul_(scores, less, value=-1)
        else:
            slopes = map_block_(self.by, scores.mul_(LN_2), (), some_absent=self.every.some_absent)
            scores.mul_(LOG2_E)
            fill()
            sums.add(scores)
            scores.mul_(slopes)

    def targets(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """The targets' mapped scores (R,), no longer in units of log 2, and their slopes."""
        (side, _), z = self.by.sides, scores[:, None] * LN_2
        return side.value(z, *self.by.arguments)[:, 0], side.slope(z, *self.by.arguments)[:, 0]


class Pulled(NamedTuple):
    """The gradient by a block's scores, piece by piece, and what is left to be applied to vectors."""

    parts: Iterable[Tensor]
    least: float = 0.0  # the smallest factor of a row's exponentials
    by_row: Tensor | None = None  # (R, 1), a factor that the pieces still need
    by_target: Tensor | None = None  # (R, 1), the gradient by the rows' targets, not in the pieces


class SweptTarget(Block):
    """The block's exponentials times the slopes of their map: its gradient except for a factor per row and piece."""

    def __init__(
        self,
        transposed: Tensor,
        rows: slice,
        making: Iterator[Tensor],
        numbered: Numbered,
        mean: Tensor | None,
        sums: PieceSums,
        mapped: RowsMapped | None,
    ) -> None:
        self.scores, self.rows = transposed.t(), rows
        self.may_vanish = mapped is not None and mapped.rest.vanishes
        inside = numbered.inside_of(rows)
        self.inside = inside = None if inside is None else inside[:, 0]
        self.own = _Own(numbered.index[rows, 0], inside, transposed)
        self.parts: list[Tensor] = []
        for part, at in zip(making, self.own.places, strict=True):
            self.parts.append(part)
            self.own.take(at)
            if mapped is None:
                self.own.fill_(at)
                sums.add(part)
            else:
                mapped.exponentiate_(part, sums, partial(self.own.fill_, at))
        rest, self.shares = sums.end()
        target = self.own.scores()
        target, self.slope = (target * LN_2, None) if mapped is None else mapped.targets(target)
        among = target.detach()
        if inside is not None:
            target, among = torch.where(inside, target, 0), torch.where(inside, among, ABSENT)
        mean = target if mean is None else mean
        self.statistics = Rows(numbered.count[rows], target, among, rest, mean.detach())

    def pulled(self, gradients: RowGradients, *, apart: bool) -> Pulled:
        """``apart``: whether vectors are so short that a factor common to a row's pieces is applied to them."""
        self.by_mean, by_target = gradients.mean, by_own_target(gradients)
        if by_target is not None and self.slope is not None:
            by_target = by_target * self.slope
        each = torch.zeros_like(self.shares) if gradients.rest is None else gradients.rest[:, None] * self.shares
        if apart and in_common(self.shares) is not None:
            if by_target is not None and self.inside is not None:
                by_target = by_target * self.inside
            own = None if by_target is None else by_target[:, None]
            return Pulled(self.parts, 0.0 if self.may_vanish else 1.0, each[0], own)
        by_target = None if by_target is None else by_target[self.own.rows]
        least = 0.0 if self.may_vanish else smallest([each] if by_target is None else [each, by_target])
        return Pulled(self._pulled(each, by_target), least)

    def _pulled(self, each: Tensor, by_target: Tensor | None) -> Iterator[Tensor]:
        targets = repeat(None) if by_target is None else by_target.split(self.own.counts)
        every = zip(self.parts, of_pieces(each, len(self.parts)), self.own.places, targets, strict=False)
        for slopes, share, at, own in every:
            slopes.mul_(share)
            if own is not None:
                self.own.put_(at, own)
            yield slopes


class _Own:
    """The rows' targets, or those of some rows, in the order of the block's memory."""

    def __init__(self, labels: Tensor, inside: Tensor | None, transposed: Tensor) -> None:
        self.block = transposed.view(-1)
        rows = torch.arange(len(labels), device=labels.device)
        if inside is not None:
            labels, rows = labels[inside], rows[inside]
        labels, order = labels.sort()
        self.rows, self.count = rows[order], transposed.shape[1]
        self.at = labels * self.count + self.rows
        width = piece_width(transposed.t())
        stops = torch.arange(width, len(transposed) + width, width, device=labels.device)
        self.counts = [stop - start for start, stop in pairwise([0, *torch.searchsorted(labels, stops).tolist()])]
        self.places = self.at.split(self.counts)
        self.found: list[Tensor] = []

    def take(self, at: Tensor) -> None:
        """Keep the scores of a piece's targets."""
        self.found.append(self.block[at])

    def fill_(self, at: Tensor) -> None:
        """Make a piece's targets absent."""
        self.block.index_fill_(0, at, ABSENT_2)

    def scores(self) -> Tensor:
        """(R,), 0 in other rows."""
        return self.block.new_zeros(self.count).index_copy_(0, self.rows, torch.cat(self.found))

    def put_(self, at: Tensor, numbers: Tensor) -> None:
        self.block.index_copy_(0, at, numbers)


def with_targets(parts: Iterable[Tensor], labels: Tensor, numbers: Tensor, block: Tensor) -> Iterator[Tensor]:
    """A block's pieces, with ``numbers`` written to the rows' labels, (R,) each."""
    if piece_width(block) >= block.shape[1]:
        yield from (part.scatter_(1, labels[:, None], numbers[:, None]) for part in parts)
        return
    own = _Own(labels, None, block.t())
    for part, at, some in zip(parts, own.places, numbers[own.rows].split(own.counts), strict=True):
        own.put_(at, some)
        yield part
