"""Means over rows whose statistics Triton kernels computed, by kernels too.

Plain torch needs some fifteen operations on (N,) numbers for them, forward and backward. A compiler fuses these itself.
"""

from typing import Any

import torch
from torch import Tensor

from lossary.core.reduce import reduce
from lossary.kernels.fused import tiles
from lossary.kernels.fused.switch import RowKernel
from lossary.kernels.graph import distinct, gradients_by
from lossary.kernels.modes import backward_in_full_precision, plain_only
from lossary.kernels.rows.routes import RowFormula
from lossary.kernels.rows.scores import Rows


def fits(x: Tensor) -> bool:
    """Whether a kernel computes a mean over the rows of ``x``."""
    return len(x) <= tiles.ALONE and not plain_only()


def row_mean(formula: RowFormula, kernel: RowKernel, rows: Rows, weight: Tensor | None, *, single: bool) -> Tensor:
    """The mean of ``formula(rows)`` over rows that have a target.

    Args:
        formula: One loss per row; for second derivatives.
        kernel: The same among Triton's kernels.
        rows: Statistics from Triton kernels.
        weight: (N,) numbers or booleans. No gradient flows to it.
        single: Whether each row has exactly one target.
    """
    among, count = (None, None) if single else (rows.among, rows.targets)
    return _RowMean.apply(formula, kernel, weight, rows.rest, rows.target, among, count)


class _RowMean(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        formula: RowFormula,
        kernel: RowKernel,
        weight: Tensor | None,
        rest: Tensor,
        target: Tensor,
        among: Tensor | None,
        count: Tensor | None,
    ) -> Tensor:
        from lossary.kernels.fused import means as kernels

        ctx.formula, ctx.kernel = formula, kernel
        mean, divisor = kernels.mean(kernel, rest, target, among, count, weight)
        ctx.save_for_backward(rest, target, among, count, weight, divisor)
        return mean

    @staticmethod
    @backward_in_full_precision
    def backward(ctx: Any, *grads: Any) -> Any:
        from lossary.kernels.fused import means as kernels

        rest, target, among, count, weight, divisor = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient must be differentiable: it is that of plain torch
            leaves = rest, target, among = distinct((rest, target, among))
            ones = torch.ones_like(rest) if count is None else count
            losses = ctx.formula(Rows(ones, target, target if among is None else among, rest, target))
            if count is not None:
                weight = count > 0 if weight is None else weight * (count > 0)
            by_rest, by_target, by_among = gradients_by(reduce(losses, weight=weight), leaves, grads[0])
        else:
            given = (rest, target, among, count, weight, divisor, grads[0])
            by_rest, by_target, by_among = kernels.slopes(ctx.kernel, *given)
        return None, None, None, by_rest, by_target, by_among, None
