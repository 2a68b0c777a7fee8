"""Sums over all ordered pairs of a batch, N (N - 1) / 2 of them that are never listed: sorted, then summed in passing.

A pair's exponential is a product of two, one of either item, so that what an item has to do with all those below it
is one running log-sum-exp: O(N log N) operations and memory, ties of the order exact.
"""

import torch
from torch import Tensor

from lossary.kernels.stable import ABSENT, logaddexp


def inversions(scores: Tensor, order: Tensor, log_weight: Tensor | None = None) -> Tensor:
    """log sum exp(s_i - s_j) over the pairs of which ``order`` has i below j; :data:`ABSENT` where there is no pair.

    Args:
        scores: (N,).
        order: (N,) numbers of which only their order counts; of ties neither is below the other.
        log_weight: (N,) logarithms of how many of each item there are; a pair counts as their product.
    """
    order, place = order.sort()
    below = above = scores.index_select(0, place)
    if log_weight is not None:
        weight = log_weight.index_select(0, place)
        below, above = below + weight, above - weight
    nothing = scores.new_full((1,), ABSENT)
    # Of those at its own place none is below an item: the sum ends before the first of them.
    lower = torch.cat([nothing, running_logsumexp(below)]).index_select(0, torch.searchsorted(order, order))
    return torch.cat([nothing, lower - above]).logsumexp(0)


def running_logsumexp(x: Tensor) -> Tensor:
    """log of the running sums of exp(x), (N,), right to every derivative: each of log N steps doubles what is summed.

    torch's own, ``logcumsumexp``, has a second derivative of NaN where a gradient is 0.
    """
    step = 1
    while step < x.shape[0]:
        x = torch.cat([x[:step], logaddexp(x[step:], x[:-step])])
        step *= 2
    return x
