"""Ready scores with one true class per row: how far the log-sum-exp of the others is above the true one's score.

A softmax loss is a formula of this gap alone. Computed from a log-softmax it would be log(p / (1 - p)), which cancels
if p is near 1; instead, the others are summed without the true one. What is saved for backward becomes the gradient in
place.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.core import device as _device
from lossary.kernels.fused import switch
from lossary.kernels.graph import distinct, gradients_by, learns
from lossary.kernels.inplace import last_use
from lossary.kernels.modes import full_precision, plain_only
from lossary.kernels.stable import ABSENT, LOG2_E, accumulate, accumulator

#: A row's softmax loss from its gap and numbers; and the same with its derivative by the gap.
GapFormula = Callable[..., Tensor]
GapSlope = Callable[..., tuple[Tensor, Tensor]]
#: Up to this many scores, plain torch is faster than an autograd Function.
FEW_SCORES = 1 << 13
#: Scores of a block, which stay in cache with everything computed from them.
CACHED_SCORES = 1 << 18
#: Shares of a row below 2^FAINT count as 0: some processors take ten times as long for products with the smallest.
FAINT = -100.0


def gaps(scores: Tensor, labels: Tensor) -> Tensor:
    """The log-sum-exp (N,) of a row's scores (N, C) without the one at its label (N,), minus that one."""
    if plain_only() or (_device.by_cache(scores) and scores.numel() <= FEW_SCORES):
        found = accumulate(scores)
        index = labels[:, None]
        top = found.detach().amax(1, keepdim=True)
        found = found - top  # their differences, not rounded by a large common part
        return found.scatter(1, index, ABSENT).logsumexp(1) - found.gather(1, index).squeeze(1)
    return _Gaps.apply(scores, labels)


def gap_sum(
    formula: GapFormula,
    gap: Tensor,
    *numbers: float | Tensor,
    weight: Tensor | None = None,
    slope: GapSlope | None = None,
    kernel: switch.ElementKernel | None = None,
) -> Tensor:
    """``sum_i weight_i formula(gap_i, *numbers)``; for few numbers a slope saves half of autograd's operations.

    Args:
        formula: One loss per row, from its gap and numbers; gradients flow to all of them.
        gap: (N,).
        numbers: The same for all rows, or (N,).
        weight: (N,), or None for 1. No gradient flows to it.
        slope: The formula's losses and their derivatives by the gap, used if nothing else is learned.
        kernel: The same as a Triton kernel.
    """
    weight = None if weight is None else weight.to(gap.dtype)
    if slope is None or plain_only() or any(map(learns, numbers)):
        losses = formula(gap, *numbers)
        return (losses if weight is None else losses * weight).sum()
    return _GapSum.apply(formula, slope, kernel, weight, gap, *numbers)


def _by_slope(
    slope: GapSlope, gap: Tensor, numbers: tuple[float | Tensor, ...], weight: Tensor | None
) -> tuple[Tensor, Tensor]:
    losses, by_gap = slope(gap, *numbers)
    if weight is None:
        return losses.sum(), by_gap
    with full_precision(gap):
        return torch.dot(losses, weight), by_gap * weight


def _by_kernel(kernel: switch.ElementKernel | None, gap: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor] | None:
    """The same in one pass through memory; None if Triton kernels are off."""
    if kernel is None or not switch.runs_on(gap):
        return None
    from lossary.kernels.fused import elements

    by_gap = torch.empty_like(gap)
    total = elements.value_and_slope(kernel, gap, weight, None, by_gap)
    return None if total is None else (total.to(gap.dtype), by_gap)


class _GapSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        formula: GapFormula,
        slope: GapSlope,
        kernel: switch.ElementKernel | None,
        weight: Tensor | None,
        gap: Tensor,
        *numbers: float | Tensor,
    ) -> Tensor:
        ctx.formula, ctx.numbers = formula, [None if isinstance(n, Tensor) else n for n in numbers]
        total, by_gap = _by_kernel(kernel, gap, weight) or _by_slope(slope, gap, numbers, weight)
        ctx.save_for_backward(by_gap, weight, gap, *(n if isinstance(n, Tensor) else None for n in numbers))
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        by_gap, weight, gap, *tensors = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient must be differentiable: that of the plain formula is
            (gap,) = distinct((gap,))
            numbers = (t if n is None else n for t, n in zip(tensors, ctx.numbers, strict=True))
            losses = ctx.formula(gap, *numbers)
            total = (losses if weight is None else losses * weight).sum()
            by_gap = gradients_by(total, (gap,), grads[0])[0]
        else:
            by_gap = by_gap * grads[0]
        return None, None, None, None, by_gap, *(None for _ in tensors)


class _Gaps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, labels: Tensor) -> Tensor:
        if switch.runs_on(scores):
            from lossary.kernels.fused import gaps as kernels

            gap, rest = kernels.gaps(scores, labels)
            ctx.save_for_backward(scores, labels, *rest)
            return gap
        made = _by_blocks if _device.by_cache(scores) else _at_once
        gap, shares = made(scores, labels[:, None])
        ctx.save_for_backward(scores, labels, *shares)
        return gap

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        scores, labels, shares, *scale = ctx.saved_tensors
        by_gap, index = grads[0][:, None], labels[:, None]
        if torch.is_grad_enabled():
            shares = accumulate(scores).scatter(1, index, ABSENT).softmax(1)
            return (shares * by_gap).scatter(1, index, -by_gap).to(scores.dtype), None
        if switch.runs_on(scores):
            from lossary.kernels.fused import gaps as kernels

            return kernels.slopes(scores, labels, (shares, *scale), grads[0]), None
        by_share = by_gap * scale[0] if scale else by_gap
        if shares.dtype == scores.dtype and last_use():
            found = shares.mul_(by_share)
        else:
            found = torch.mul(shares, by_share, out=torch.empty_like(scores))
        return found if not scale else found.scatter_(1, index, -by_gap.to(scores.dtype)), None


def _at_once(scores: Tensor, index: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The gaps, and their derivatives: each other class's share of the others' sum, and -1."""
    scores = scores.to(accumulator(scores), copy=True)
    right = scores.gather(1, index)
    top, place = scores.scatter_(1, index, ABSENT).max(1, keepdim=True)
    shares = F.softmax(scores, 1)
    # The largest share is at least 1 / C, so its logarithm is as exact as the sum's.
    gap = ((top - right) - shares.gather(1, place).log())[:, 0]
    return gap, (shares.scatter_(1, index, -1),)


def _by_blocks(scores: Tensor, index: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The gaps; and, for their derivatives, each other class's part of the others' sum, and 1 / sum."""
    parts = torch.empty(scores.shape, dtype=accumulator(scores), device=scores.device)
    gap, scale = parts.new_empty(len(parts)), parts.new_empty(len(parts), 1)
    step = max(1, CACHED_SCORES // max(1, scores.shape[1]))
    for start in range(0, len(parts), step):
        rows = slice(start, start + step)
        part, column = parts[rows].copy_(scores[rows]), index[rows]
        right = part.gather(1, column)
        top = part.scatter_(1, column, ABSENT).amax(1, keepdim=True)
        F.threshold(part.sub_(top).mul_(LOG2_E).clamp_min_(FAINT - 1).exp2_(), 2**FAINT, 0, inplace=True)
        total = part.sum(1, keepdim=True)
        gap[rows] = ((top - right) + total.log())[:, 0]
        torch.reciprocal(total, out=scale[rows])
    return gap, (parts, scale)
