"""A block of scores of rows with one target each, made and used up piece by piece, as a CPU wants it.

A piece is as many columns as stay near a core. There a pass takes a quarter of the time that it takes over a block, so
that beside the products nothing counts but the exponentials.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from lossary.core import device as _device
from lossary.kernels.rows.exponentials import ABSENT_2, LN_2, PieceSums
from lossary.kernels.rows.kinds import Block, Numbered, by_own_target, of_each
from lossary.kernels.rows.maps import ScoreMap, map_block_
from lossary.kernels.rows.scores import RowGradients, Rows
from lossary.kernels.stable import ABSENT, LOG2_E

#: Scores of a piece, for each thread.
PIECE = 1 << 18


def piece_size() -> int:
    return PIECE * torch.get_num_threads()


def pieces(transposed: Tensor) -> Iterator[slice]:
    """The columns of a block, (C, R) in memory, so many at a time as stay in cache; elsewhere than on a CPU all."""
    columns, rows = transposed.shape
    width = max(piece_size() // max(rows, 1), 1) if _device.by_cache(transposed) else columns
    return (slice(first, min(first + width, columns)) for first in range(0, columns, max(width, 1)))


def in_pieces(scores: Tensor) -> Iterator[Tensor]:
    """The pieces of a block, (R, C)."""
    return (scores[:, columns] for columns in pieces(scores.t()))


class Mapped:
    """A map of scores in units of log 2, piece by piece in the same memory."""

    def __init__(self, by: ScoreMap, like: Tensor, rows: int, *, some_absent: bool) -> None:
        self.by, self.some_absent = by, some_absent
        self.memory = like.new_empty(2, min(max(piece_size(), rows), len(like)))

    def of(self, rows: slice) -> "RowsMapped":
        return RowsMapped(self, self.by.of(rows))


class RowsMapped:
    """The same of some rows."""

    def __init__(self, every: Mapped, by: ScoreMap) -> None:
        self.every, self.by, self.rest = every, by, by.sides[1]
        self.by_numbers_ = None if every.some_absent else self.rest.by_numbers_
        self.in_units = by if self.by_numbers_ is None else by.in_units(LOG2_E)

    def exponentiate_(self, scores: Tensor, sums: PieceSums, fill: Callable[[], None]) -> None:
        """Scores become exponentials of mapped ones, times the map's slopes; before these are summed comes ``fill``."""
        count, columns = scores.shape
        if self.by_numbers_ is not None:
            memory = (m[: count * columns].view(columns, count).t() for m in self.every.memory)
            less = self.by_numbers_(scores, *self.in_units.arguments, *memory)
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
        """(R,) those of the rows' targets, no more in units of log 2, and their slopes."""
        (side, _), z = self.by.sides, scores[:, None] * LN_2
        return side.value(z, *self.by.arguments)[:, 0], side.slope(z, *self.by.arguments)[:, 0]


class SweptTarget(Block):
    """The block's exponentials, times the slopes of their map: its gradient but for a number of each row and piece."""

    def __init__(
        self,
        transposed: Tensor,
        rows: slice,
        making: Iterator[slice],
        numbered: Numbered,
        mean: Tensor | None,
        sums: PieceSums,
        mapped: RowsMapped | None,
    ) -> None:
        self.scores, self.rows = transposed.t(), rows
        self.may_vanish = mapped is not None and mapped.rest.vanishes
        inside = numbered.inside_of(rows)
        inside = None if inside is None else inside[:, 0]
        self.own = _Own(numbered.index[rows, 0], inside, transposed)
        for columns in making:
            part = self.scores[:, columns]
            place = self.own.take()
            if mapped is None:
                self.own.fill_(place)
                sums.add(part)
            else:
                mapped.exponentiate_(part, sums, partial(self.own.fill_, place))
        rest, self.shares = sums.end()
        target = self.own.scores()
        target, self.slope = (target * LN_2, None) if mapped is None else mapped.targets(target)
        among = target.detach()
        if inside is not None:
            target, among = torch.where(inside, target, 0), torch.where(inside, among, ABSENT)
        mean = target if mean is None else mean
        self.statistics = Rows(numbered.count[rows], target, among, rest, mean.detach())

    def pulled(self, gradients: RowGradients) -> Iterator[tuple[slice, Tensor, list[Tensor]]]:
        """Columns, the gradient by their scores, and what its rows' exponentials were multiplied with."""
        self.by_mean, by_target = gradients.mean, by_own_target(gradients)
        if by_target is not None and self.slope is not None:
            by_target = by_target * self.slope
        for (columns, place), share in zip(self.own.places, self.shares, strict=True):
            slopes = self.scores[:, columns]
            each = of_each(gradients.rest, share, slopes)
            slopes.mul_(each)
            by_row = [torch.zeros_like(each) if self.may_vanish else each]
            if by_target is not None and place.stop > place.start:
                by_row.append(self.own.put_(place, by_target))
            yield columns, slopes, by_row


class _Own:
    """The rows' targets in the order in which they lie in the block's memory; perhaps those of some rows alone."""

    def __init__(self, labels: Tensor, inside: Tensor | None, transposed: Tensor) -> None:
        self.block = transposed.view(-1)
        rows = torch.arange(len(labels), device=labels.device)
        if inside is not None:
            labels, rows = labels[inside], rows[inside]
        labels, order = labels.sort()
        self.rows, self.count = rows[order], transposed.shape[1]
        self.at = labels * self.count + self.rows
        columns = list(pieces(transposed))
        stops = torch.tensor([c.stop for c in columns], device=labels.device)
        ends = [0, *torch.searchsorted(labels, stops).tolist()]
        self.places = [(c, slice(*between)) for c, between in zip(columns, pairwise(ends), strict=True)]
        self.left, self.found = iter(self.places), []

    def take(self) -> slice:
        """The targets of the next columns: their scores are kept."""
        _, place = next(self.left)
        self.found.append(self.block[self.at[place]])
        return place

    def fill_(self, place: slice) -> None:
        """No targets any more."""
        self.block.index_fill_(0, self.at[place], ABSENT_2)

    def scores(self) -> Tensor:
        """(R,), 0 in other rows."""
        return self.block.new_zeros(self.count).index_copy_(0, self.rows, torch.cat(self.found))

    def put_(self, place: slice, by_row: Tensor) -> Tensor:
        """A number of each row where its target is; those that were put."""
        numbers = by_row[self.rows[place]]
        self.block.index_copy_(0, self.at[place], numbers)
        return numbers
