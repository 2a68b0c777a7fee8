"""Where a matrix of scores has targets, and where it has no entry at all, without a mask over all of it.

With rows and columns sorted by label, the targets of adjacent rows are adjacent columns: a mask is built only for
those, some rows at a time. Entries that do not exist are few and are listed.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from lossary.kernels.rows.scores import Targets

#: Rows of a spot: with more, it is wider than their targets; with fewer, there are more spots to visit.
STEP = 256


class Spot(NamedTuple):
    """A part of the sorted scores that contains targets."""

    rows: slice
    columns: slice
    is_target: Tensor

    def of(self, scores: Tensor, first_row: int, first_column: int = 0) -> Tensor:
        """Its scores, as a view of ``scores``, which begin at the given row and column."""
        r, c = self.rows, self.columns
        return scores[r.start - first_row : r.stop - first_row, c.start - first_column : c.stop - first_column]


class Bands:
    """The targets of rows by column, both sorted by label."""

    def __init__(self, rows: Tensor, columns: Tensor, own: Tensor | None = None, shift: int = 0) -> None:
        """
        Args:
            rows: Labels, ascending.
            columns: Labels, ascending.
            own: (N,) the column that is the row itself, which is not its target.
            shift: The number of the first column.
        """
        self.rows, self.columns, self.own, self.shift = rows, columns, own, shift
        # Read together: each read waits for the accelerator.
        self.start = (torch.searchsorted(columns, rows) + shift).tolist()
        self.stop = (torch.searchsorted(columns, rows, right=True) + shift).tolist()

    def within(self, rows: slice, columns: slice) -> Iterator[Spot]:
        """The spots within a block of scores."""
        for first in range(rows.start, rows.stop, STEP):
            last = min(first + STEP, rows.stop)
            start, stop = max(self.start[first], columns.start), min(self.stop[last - 1], columns.stop)
            if start < stop:
                here = self.columns[start - self.shift : stop - self.shift]
                is_target = self.rows[first:last, None] == here
                if self.own is not None:
                    is_target &= self.own[first:last, None] != torch.arange(start, stop, device=here.device)
                yield Spot(slice(first, last), slice(start, stop), is_target)


class Places:
    """A problem's rows and columns in the order of their labels, and its entries that do not exist."""

    def __init__(self, targets: Targets, columns: int) -> None:
        row_labels, column_labels = targets.rows.long(), targets.labels(columns).long()
        self.rows, self.columns = row_labels.argsort(stable=True), column_labels.argsort(stable=True)
        #: The position of each column of the unsorted problem.
        self.place = inverse(self.columns)
        #: Each row's own column, -1 if that is in another part of the columns.
        self.own = self._own(targets.start) if targets.own else None
        self.bands = Bands(row_labels[self.rows], column_labels[self.columns], self.own)
        self.groups = None
        if targets.row_groups is not None and targets.column_groups is not None:
            row_groups, (groups, order) = targets.row_groups[self.rows].long(), targets.column_groups.long().sort()
            first, last = (torch.searchsorted(groups, row_groups, right=right) for right in (False, True))
            self.groups = first, last - first, self.place[order]

    def _own(self, start: int) -> Tensor:
        column = self.rows - start
        here = (column >= 0) & (column < len(self.place))
        return torch.where(here, self.place[torch.where(here, column, 0)], -1)

    def absent(self, rows: slice) -> tuple[Tensor, Tensor]:
        """The entries of some rows that do not exist: row indices, from the first of these rows, and columns."""
        number = torch.arange(rows.stop - rows.start, device=self.place.device)
        own = None if self.own is None else self.own[rows]
        r, c = (number[:0], number[:0]) if own is None else (number[own >= 0], own[own >= 0])
        if self.groups is None:
            return r, c
        first, count, by_group = (self.groups[0][rows], self.groups[1][rows], self.groups[2])
        mates = number.repeat_interleave(count)
        before = count.cumsum(0) - count
        step = torch.arange(len(mates), device=mates.device) - before[mates]
        columns = by_group[first[mates] + step]
        kept = self.bands.rows[rows][mates] != self.bands.columns[columns]
        if own is not None:
            kept &= own[mates] != columns
        return torch.cat([r, mates[kept]]), torch.cat([c, columns[kept]])


def inverse(order: Tensor) -> Tensor:
    """The position of each item in an order."""
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    return place
