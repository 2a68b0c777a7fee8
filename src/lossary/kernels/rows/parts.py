"""Rows in parts of their columns, whose statistics merge: a shard of classes, a step of a ring, a cached batch.

A part is a problem of its own: its columns, its first column's number, and the same routes as for all columns. What
merging does to the statistics is a few operations on (N,) numbers, differentiable to any order, so that each part's
gradient comes from the part's own backward. A loss's formula is evaluated once, on the merged rows.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lossary.kernels.rows.formula import row_statistics
from lossary.kernels.rows.scores import Bilinear, Rows, Sums, Targets
from lossary.kernels.stable import accumulator


class Part(NamedTuple):
    """The statistics of some columns."""

    rows: Rows
    columns: Tensor  # (N,) how many of them exist for a row
    sums: Sums


def part_statistics(source: Bilinear, targets: Targets, first: int) -> Part:
    """The statistics of rows and a part of the columns, in linear memory; gradients flow back through them.

    Args:
        source: The rows, and the part's columns.
        targets: The labels of the rows and, unless they are numbers, of the part's columns. With ``own``, row i and
            the column of number i, in whichever part that is, are the same item.
        first: The number of the part's first column.

    Raises:
        ValueError: Mean scores are asked for beside groups: nobody counts how many columns exist then.
    """
    if targets.means and targets.row_groups is not None:
        raise ValueError("targets: wanted means=False beside groups, of which no mean merges; got means=True")
    targets = targets.part(first)
    rows = row_statistics(source, targets)
    return Part(rows if isinstance(rows, Rows) else rows.all(), _existing(source, targets), targets.sums)


def merge(parts: Sequence[Part]) -> Rows:
    """The statistics of all columns from those of parts that have each of them once."""
    each = Rows(*(torch.stack(found) for found in zip(*(part.rows for part in parts), strict=True)))  # pyright: ignore[reportCallIssue]
    columns = torch.stack([part.columns for part in parts])
    total = torch.logsumexp if parts[0].sums == "exponentials" else torch.sum
    return Rows(
        each.targets.sum(0),
        _mean(each.target, each.targets),
        total(each.among, 0),
        total(each.rest, 0),
        _mean(each.mean, columns),
    )


def _existing(source: Bilinear, targets: Targets) -> Tensor:
    """(N,) how many columns exist for a row."""
    rows, columns = len(source.x), source.columns
    count = torch.full((rows,), float(columns), dtype=accumulator(source.x), device=source.x.device)
    if not targets.own:
        return count
    number = torch.arange(rows, device=source.x.device) - targets.start
    return count - ((number >= 0) & (number < columns)).to(count.dtype)


def _mean(means: Tensor, counts: Tensor) -> Tensor:
    return (means * counts).sum(0) / counts.sum(0).clamp_min(1)
