"""Statistics of parts of the columns, and those of all columns from these: a few operations on (N,) numbers."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lossary.kernels.rows.scores import Bilinear, Rows, RowsOf, Sums, Targets
from lossary.kernels.stable import accumulator


class Part(NamedTuple):
    """The statistics of some columns."""

    rows: Rows
    columns: Tensor  # (N,) how many of these columns exist for a row
    sums: Sums


def part_of(rows: Rows | RowsOf, source: Bilinear, targets: Targets) -> Part:
    """From the statistics found for a part's columns."""
    return Part(rows if isinstance(rows, Rows) else rows.all(), _existing(source, targets), targets.sums)


def merge(parts: Sequence[Part]) -> Rows:
    """The statistics of all columns, from those of parts that contain each column once."""
    each = Rows(*(torch.stack(found) for found in zip(*(part.rows for part in parts), strict=True)))  # pyright: ignore[reportCallIssue]
    columns = torch.stack([part.columns for part in parts])
    total = torch.sum if parts[0].sums == "softplus" else torch.logsumexp
    return Rows(
        each.targets.sum(0),
        _mean(each.target, each.targets),
        total(each.among, 0),
        total(each.rest, 0),
        _mean(each.mean, columns),
    )


def told(part: Part, targets: Targets) -> Tensor:
    """A part's statistics as they travel, (N, K); unneeded ones are not sent, and have no gradient."""
    return torch.stack((*part.rows, part.columns) if targets.means else part.rows[:4], 1)


def merged(found: Tensor, targets: Targets) -> Rows:
    """The statistics of all columns from those of W parts, (W, N, K)."""
    if not targets.means:
        found = torch.cat([found, found.new_zeros(*found.shape[:2], 2)], 2)
    return merge([Part(Rows(*of_rows), columns, targets.sums) for *of_rows, columns in (f.unbind(1) for f in found)])


def _existing(source: Bilinear, targets: Targets) -> Tensor:
    """How many columns exist for each row, (N,)."""
    rows, columns = len(source.x), source.columns
    count = torch.full((rows,), float(columns), dtype=accumulator(source.x), device=source.x.device)
    if not targets.own:
        return count
    number = torch.arange(rows, device=source.x.device) - targets.start
    return count - ((number >= 0) & (number < columns)).to(count.dtype)


def _mean(means: Tensor, counts: Tensor) -> Tensor:
    return (means * counts).sum(0) / counts.sum(0).clamp_min(1)
