"""Ready scores with one right class a row: by how much the log-sum-exp of the others is above the right one's score.

A softmax loss is a formula of this gap alone. Of a log-softmax it would be log(p / (1 - p)), which cancels where p is
near 1; the others are summed up without the right one instead. What is kept for backward becomes the gradient in place.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.core import device as _device
from lossary.kernels.fused import switch
from lossary.kernels.inplace import last_use
from lossary.kernels.modes import plain_only
from lossary.kernels.stable import ABSENT, LOG2_E, accumulate, accumulator

#: Up to so many scores plain torch is faster than an autograd Function.
FEW_SCORES = 1 << 13
#: Scores of a block, which stay in cache with what is made of them.
CACHED_SCORES = 1 << 18
#: Shares of a row below 2^FAINT count as 0: some processors take ten times as long for products with the faintest.
FAINT = -100.0


def gaps(scores: Tensor, labels: Tensor) -> Tensor:
    """(N,) log-sum-exp of a row's scores (N, C) but for the one at its label (N,), less that one."""
    if plain_only() or (_device.by_cache(scores) and scores.numel() <= FEW_SCORES):
        found = accumulate(scores)
        index = labels[:, None]
        top = found.detach().amax(1, keepdim=True)
        found = found - top  # their differences, unrounded by a large common part
        return found.scatter(1, index, ABSENT).logsumexp(1) - found.gather(1, index)[:, 0]
    return _Gaps.apply(scores, labels)


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
        return found.scatter_(1, index, -by_gap.to(scores.dtype)), None


def _at_once(scores: Tensor, index: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The gaps, and each other class's share of the others' sum."""
    scores = scores.to(accumulator(scores), copy=True)
    right = scores.gather(1, index)
    top, place = scores.scatter_(1, index, ABSENT).max(1, keepdim=True)
    shares = F.softmax(scores, 1)
    # The largest share is 1 / C or more, and its logarithm as good as the sum's.
    return ((top - right) - shares.gather(1, place).log())[:, 0], (shares,)


def _by_blocks(scores: Tensor, index: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The gaps, each other class's part of the others' sum, and 1 / sum."""
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
