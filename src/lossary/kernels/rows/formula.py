"""Rows of scores: a loss needs only a few numbers per row, and these can be merged.

A row's columns are its *targets*, the *rest*, and those that do not exist for it (a row's own column if a batch is
scored against itself). A loss is a formula over a row's statistics (:class:`Rows`). It never sees the scores, so it
does not know whether they were ready (:class:`Dense`) or computed block by block (:class:`Bilinear`).

The targets are kept out of the log-sum-exp of the rest: with p near 1, a margin added to an ordinary logsumexp is lost
in float32 (-22.40 instead of -20.55).
"""

from __future__ import annotations  # torch 2.9 compiles no inner function with a union in its annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from lossary.core import device as _device
from lossary.core.reduce import divide, reduce
from lossary.kernels.fused import switch
from lossary.kernels.fused.switch import RowKernel
from lossary.kernels.graph import learns
from lossary.kernels.modes import full_precision, transformed
from lossary.kernels.rows.by_torch import SoftmaxWith
from lossary.kernels.rows.means import fits, row_mean
from lossary.kernels.rows.ring import ring_statistics
from lossary.kernels.rows.routes import (
    RowFormula,
    RowSlope,
    SummedLoss,
    blocked_statistics,
    both_ways,
    is_one_set,
    settled,
)
from lossary.kernels.rows.scores import (
    Bilinear,
    Dense,
    Given,
    Rows,
    RowsOf,
    Source,
    Targets,
    score_statistics,
    statistics,
)
from lossary.kernels.rows.seam import by_triton
from lossary.kernels.rows.shards import sharded_statistics
from lossary.kernels.stable import accumulator

_T = TypeVar("_T")

#: Up to this many scores the plain formula is as fast: a small batch pays nothing for blocks. An accelerator has
#: the memory and needs large operations, so there the plain formula is best as long as it fits.
CPU_PLAIN = 1 << 18
ACCELERATOR_PLAIN = 1 << 27


def row_loss(
    formula: RowFormula,
    source: Source,
    targets: Targets | Given,
    *parameters: float | Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    group: torch.distributed.ProcessGroup | None = None,
    slope: RowSlope | None = None,
    kernel: RowKernel | None = None,
) -> Tensor:
    """The loss that ``formula`` computes from the rows' statistics.

    The scores of a large :class:`Bilinear` source are never all stored, neither here nor in backward.

    Args:
        formula: ``formula(rows, *parameters)``, one loss per row. Pure, row by row, without data-dependent
            branches; a learned tensor is passed among ``parameters``, never captured.
        source: Where the scores come from.
        targets: Which columns are targets.
        parameters: What the formula needs: numbers, passed on unchanged, or tensors, each 0-d, (1,) or (N,), to which
            gradients flow.
        weight: One weight per row, (N,), numbers or booleans: mean is ``sum(w l) / sum(w)``. No gradient flows to it.
        reduction: ``"none"``, ``"sum"`` or ``"mean"``.
        group: Process group over which the mean's divisor is summed.
        slope: The formula's losses and gradients in closed form, for blocks that are differentiated at once.
        kernel: The formula among Triton's kernels, if no parameter is a tensor; rows without a target do not count.
    """
    if switch.ON and kernel is not None and not any(isinstance(p, Tensor) for p in parameters):
        rows = _for_kernels(source, targets, reduction, group)
        if rows is not None:
            formula = _beside_numbers(formula, parameters)
            assert isinstance(targets, Targets)
            return row_mean(formula, kernel, rows, weight, single=targets.single)
    if weight is not None and weight.dtype == torch.bool:
        weight = weight.to(accumulator(source.scores if isinstance(source, Dense) else source.x))
    if isinstance(source, Bilinear) and source.is_spread:
        source = source.explicit()
        group = group if source.shards is None else source.shards.group
        losses = formula(row_statistics(source, targets), *parameters)
        return reduce(losses, weight=weight, reduction=reduction, group=group)
    if isinstance(source, Dense) or isinstance(targets, Given) or _held_whole(source, targets):
        rows = statistics(source, targets)
        if isinstance(formula, SoftmaxWith) and reduction == "mean" and weight is None and group is None:
            loss = formula.mean(rows, *parameters)
            if loss is not None:
                return loss
        return reduce(formula(rows, *parameters), weight=weight, reduction=reduction, group=group)
    with full_precision(source.x):
        dtype, device = accumulator(source.x), source.x.device
        tensors = (p.to(device, dtype) for p in parameters if isinstance(p, Tensor))
        # A single number may have shape (1,); it does not belong to the first row.
        tensors = tuple(t.reshape(()) if t.numel() == 1 else t for t in tensors)
        formula, slope = _beside_numbers(formula, parameters), slope and _beside_numbers(slope, parameters)
        return _blocked_loss(formula, slope, source, targets, tensors, weight, reduction, group)


def row_statistics(source: Bilinear, targets: Targets | Given) -> Rows | RowsOf:
    """The rows' statistics, for losses that ask which rows count; in linear memory, except for given targets."""
    if source.is_spread:
        source = source.explicit()
    if source.shards is not None:
        return sharded_statistics(source, targets, row_statistics)
    if source.ring is not None:
        return ring_statistics(source, targets, row_statistics)
    if isinstance(targets, Given) or _held_whole(source, targets):
        return statistics(source, targets)
    with full_precision(source.x):
        return blocked_statistics(source, targets)


def mean_by_kernels(
    source: Source, targets: Targets | Given, reduction: str, group: torch.distributed.ProcessGroup | None
) -> bool:
    """Whether Triton kernels compute the statistics of the rows, and the mean of a formula that has a kernel."""
    if not switch.ON or reduction != "mean" or group is not None:
        return False
    if isinstance(source, Dense) or isinstance(targets, Given) or source.is_spread or not fits(source.x):
        return False
    return not _held_whole(source, targets) and by_triton(source, targets) is not None


def _for_kernels(
    source: Source, targets: Targets | Given, reduction: str, group: torch.distributed.ProcessGroup | None
) -> Rows | None:
    """The statistics for such a mean; else None."""
    if not mean_by_kernels(source, targets, reduction, group):
        return None
    assert isinstance(source, Bilinear)
    assert isinstance(targets, Targets)
    with full_precision(source.x):
        return blocked_statistics(source, targets)


def two_way_kernel_statistics(source: Bilinear, targets: Targets) -> Rows | None:
    """The statistics of the rows and then of the columns, if these are pairs and Triton kernels compute them."""
    if not switch.ON or source.is_spread or not _are_pairs(source, targets) or not fits(source.x):
        return None
    if fits_densely(source) or by_triton(source, targets) is None:
        return None
    with full_precision(source.x):
        return both_ways(source, None, None)


def _are_pairs(source: Bilinear, targets: Targets) -> bool:
    return targets.paired and targets.columns is None and source.x.shape[0] == source.w.shape[0]


def _held_whole(source: Bilinear, targets: Targets) -> bool:
    """Whether all scores are stored: because they are few, or because numbers of their map are learned."""
    return fits_densely(source) or (targets.map is not None and not targets.map.is_plain)


def _beside_numbers(function: Callable[..., _T], parameters: tuple[float | Tensor, ...]) -> Callable[..., _T]:
    """The function of rows and the parameters that are tensors: turning each number into one would be a launch."""
    numbers = [None if isinstance(p, Tensor) else p for p in parameters]

    def of_tensors(rows: Rows, *tensors: Tensor) -> _T:
        given = iter(tensors)
        return function(rows, *(next(given) if n is None else n for n in numbers))

    return of_tensors


def two_way_statistics(source: Bilinear, targets: Targets) -> tuple[Rows, Rows]:
    """The statistics of the rows, and of the columns as rows: for losses in both directions.

    Args:
        source: Scores without ``b`` and ``unit``.
        targets: The labels of rows and columns; ``columns=None`` numbers them.
    """
    plain = not targets.own and targets.row_groups is None and targets.scale == 1
    if source.b is not None or source.unit != (source.radius is not None) or not plain:
        wanted = "wanted plain products for statistics of both directions"
        raise ValueError(f"source: {wanted}; got b, unit, own, groups or a scale")
    paired, cut = _are_pairs(source, targets), source.x.shape[0]
    columns = targets.rows if paired else targets.labels(source.w.shape[0])
    if fits_densely(source):
        scores = source.dense()
        backwards = Targets(columns, targets.rows)
        return score_statistics(scores, Targets(targets.rows, columns)), score_statistics(scores.T, backwards)
    with full_precision(source.x):
        both = both_ways(source, None if paired else targets.rows, None if paired else columns)
        return Rows(*(s[:cut] for s in both)), Rows(*(s[cut:] for s in both))


def _blocked_loss(
    formula: RowFormula,
    slope: RowSlope | None,
    source: Bilinear,
    targets: Targets,
    parameters: tuple[Tensor, ...],
    weight: Tensor | None,
    reduction: str,
    group: torch.distributed.ProcessGroup | None,
) -> Tensor:
    """Sum and mean compute their gradient in forward; everything else saves the statistics."""
    source = settled(source, targets)
    statistics_first = reduction == "none" or is_one_set(source, targets)
    # A single operator when a graph is recorded, and for tensors without values, whose blocks would need labels.
    statistics_first = statistics_first or _device.traced() or not _device.has_values(source.x)
    statistics_first = statistics_first or by_triton(source, targets) is not None
    if statistics_first or not _learns(source, parameters):
        losses = formula(blocked_statistics(source, targets), *parameters)
        return reduce(losses, weight=weight, reduction=reduction, group=group)
    weight = None if weight is None else weight.to(accumulator(source.x))
    total = SummedLoss.apply(formula, slope, source.form, targets, weight, *source.tensors, *parameters)
    if reduction == "sum":
        return total
    return divide(total, len(source.x) if weight is None else weight.sum(), group=group)


def fits_densely(source: Bilinear) -> bool:
    """Whether the scores may as well all be stored."""
    return not source.is_spread and few_scores(source.x, source.w)


def few_scores(x: Tensor, w: Tensor) -> bool:
    """The same of rows and all columns."""
    plain = CPU_PLAIN
    if not _device.by_cache(x):
        # Plain torch stores about four tensors of their size.
        plain = min(ACCELERATOR_PLAIN, _device.budget(x) // 16)
    if switch.ON and switch.runs_on(x):
        plain = min(plain, switch.PLAIN)
    if x.shape[0] * w.shape[0] <= plain:
        return True
    if _device.traced():
        return False
    return transformed()


def _learns(source: Bilinear, parameters: tuple[Tensor, ...]) -> bool:
    return torch.is_grad_enabled() and any(map(learns, (*source.tensors, *parameters)))
