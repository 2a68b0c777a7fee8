"""Rows in parts of their columns, whose statistics merge: a shard of classes, a step of a ring, a cached batch.

A part is a complete problem: its columns, the number of its first column, and the same routes as for all columns.
Merging statistics takes a few operations on (N,) numbers, differentiable to any order, so each part's gradient comes
from its own backward. A loss's formula is evaluated once, on the merged rows.
"""

from lossary.kernels.rows.formula import row_statistics
from lossary.kernels.rows.merged import Part, part_of
from lossary.kernels.rows.scores import Bilinear, Targets


def part_statistics(source: Bilinear, targets: Targets, first: int) -> Part:
    """The statistics of rows and a part of the columns, in linear memory; gradients flow back through them.

    Args:
        source: The rows, and the part's columns.
        targets: The labels of the rows and, unless they are column numbers, of the part's columns. With ``own``, row i
            and column i, in whichever part that is, are the same item.
        first: The number of the part's first column.

    Raises:
        ValueError: Mean scores are requested together with groups: then nothing counts how many columns exist.
    """
    if targets.means and targets.row_groups is not None:
        raise ValueError("targets: wanted means=False beside groups, of which no mean merges; got means=True")
    targets = targets.part(first)
    return part_of(row_statistics(source, targets), source, targets)
