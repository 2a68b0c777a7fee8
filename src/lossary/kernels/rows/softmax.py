"""Softmax cross-entropy of rows of scores. For few scores it is torch's own function, if that is as exact."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.check import values_visible
from lossary.kernels.fused.switch import RowKernel
from lossary.kernels.rows.by_torch import exact_enough
from lossary.kernels.rows.formula import fits_densely, mean_by_kernels, row_loss, two_way_kernel_statistics
from lossary.kernels.rows.means import row_mean
from lossary.kernels.rows.scores import Bilinear, Dense, Given, RowGradients, Rows, RowsOf, Source, Targets
from lossary.kernels.stable import ABSENT, accumulate, accumulator, softplus
from lossary.kernels.tuples import has_targets

#: The cross-entropy among Triton's kernels.
NLL: RowKernel = ("nll", 0.0, 0.0, 0.0, 0.0)


def softmax_loss(
    source: Source,
    targets: Targets | Given,
    *,
    weight: Tensor | None = None,
    reduction: str = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    """-log p of a row's targets, averaged over them. A row without targets is 0, and not in the mean.

    Args:
        source: Where the scores come from.
        targets: Which columns are targets.
        weight: One weight per row, (N,): numbers or booleans.
        reduction: ``"none"``, ``"sum"`` or ``"mean"``.
        group: Process group over which the mean's divisor is summed.
    """
    if isinstance(source, Dense) or fits_densely(source):
        source = Dense(accumulate(source.scores) if isinstance(source, Dense) else source.dense())
        if weight is None and group is None and reduction == "mean":
            loss = _by_torch(source.scores, targets)
            if loss is not None:
                return loss
    dtype = accumulator(source.scores if isinstance(source, Dense) else source.x)
    weight = weight if weight is None or weight.dtype == torch.bool else weight.to(dtype)
    if isinstance(targets, Targets) and targets.columns is None:
        slope, kernel = _slope_of_one, NLL
        given = (_right_one, source, targets)
        return row_loss(*given, weight=weight, reduction=reduction, group=group, slope=slope, kernel=kernel)
    if not mean_by_kernels(source, targets, reduction, group):  # which count the targets themselves
        found = has_targets(targets)
        weight = found.to(dtype) if weight is None else found * weight
    return row_loss(_right_ones, source, targets, weight=weight, reduction=reduction, group=group, kernel=NLL)


def mean_of_both_ways(source: Bilinear, targets: Targets) -> Tensor | None:
    """The mean of the rows' and the columns' losses, if these are pairs; None if kernels do not compute it."""
    rows = two_way_kernel_statistics(source, targets)
    return None if rows is None else row_mean(_right_one, NLL, rows, None, single=True)


def _right_one(rows: Rows) -> Tensor:
    return softplus(rows.rest - rows.target)


def _right_ones(rows: Rows) -> Tensor:
    # log(e^among + e^rest) - target, without the cancellation of nearly perfect rows
    loss = softplus(rows.rest - rows.among) + (rows.among - rows.target)
    return loss.where(rows.targets > 0, 0)


def _slope_of_one(rows: Rows) -> tuple[Tensor, RowGradients]:
    gap = rows.rest - rows.target
    wrong = gap.sigmoid()
    return softplus(gap), RowGradients(-wrong, None, wrong, None)


def _by_torch(scores: Tensor, targets: Targets | Given) -> Tensor | None:
    """The mean over the rows that have a target; None if that is not as exact, or if values may not be read."""
    if not values_visible(scores):
        return None
    if isinstance(targets, Targets) and targets.single:
        loss = F.cross_entropy(scores, targets.rows.long())
    else:
        rows = RowsOf(scores, targets)
        share = rows.is_target / rows.targets.clamp_min(1)[:, None]
        scores = scores.masked_fill(~(rows.is_target | rows.is_rest), ABSENT)
        loss = F.cross_entropy(scores, share, reduction="sum") / rows.targets.count_nonzero()
    return exact_enough(loss)
