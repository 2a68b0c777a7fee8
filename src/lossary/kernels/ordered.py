"""Sums over all N (N - 1) / 2 ordered pairs of a batch, without listing them: items are sorted, then summed in order.

A pair's exponential is a product of two, one per item, so an item's sum over all those below it is one running
log-sum-exp: O(N log N) operations and memory, and ties of the order are exact.
"""

import torch
from torch import Tensor

from lossary.kernels.stable import ABSENT, logaddexp


def inversions(scores: Tensor, order: Tensor, log_weight: Tensor | None = None) -> Tensor:
    """log sum exp(s_i - s_j) over the pairs with i below j in ``order``; :data:`ABSENT` if there is no pair.

    Args:
        scores: (N,).
        order: (N,) numbers, of which only the order matters; neither of two equal ones is below the other.
        log_weight: (N,) logarithms of the items' multiplicities; a pair counts as their product.
    """
    order, place = order.sort()
    below = above = scores.index_select(0, place)
    if log_weight is not None:
        weight = log_weight.index_select(0, place)
        below, above = below + weight, above - weight
    nothing = scores.new_full((1,), ABSENT)
    # Items at the same place are not below each other: the sum ends before the first of them.
    lower = torch.cat([nothing, running_logsumexp(below)]).index_select(0, torch.searchsorted(order, order))
    return torch.cat([nothing, lower - above]).logsumexp(0)


def running_logsumexp(x: Tensor) -> Tensor:
    """log of the running sums of exp(x), (N,), with correct derivatives of every order: log N steps of doubling.

    torch's own, ``logcumsumexp``, has a second derivative of NaN where a gradient is 0.
    """
    step = 1
    while step < x.shape[0]:
        x = torch.cat([x[:step], logaddexp(x[step:], x[:-step])])
        step *= 2
    return x
