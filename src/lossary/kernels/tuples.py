"""Triplets of a batch without ever listing them: N x N work, never N x N x N memory.

Every miner gives, for each anchor, the sum of its triplets' losses and how many of them count.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

#: The loss of a triplet from ``d(anchor, positive) - d(anchor, negative)``.
Penalty = Callable[[Tensor], Tensor]


class Anchors(NamedTuple):
    """What the triplets of each of N anchors come to, each (N,)."""

    loss: Tensor  # sum over the anchor's triplets
    divisor: Tensor  # how many of them the mean is over


def has_positive(labels: Tensor) -> Tensor:
    """(N,) whether another item bears the same label; N log N, without an N x N mask."""
    ordered, order = labels.sort()
    same = ordered[1:] == ordered[:-1]
    pad = same.new_zeros(min(1, labels.shape[0]))
    paired = torch.cat([same, pad]) | torch.cat([pad, same])
    return torch.empty_like(paired).scatter(0, order, paired)


def relations(labels: Tensor) -> tuple[Tensor, Tensor]:
    """(N, N) which columns are an anchor's positives (never itself) and which its negatives."""
    same = labels[:, None] == labels
    own = torch.eye(labels.shape[0], dtype=torch.bool, device=labels.device)
    return same & ~own, ~same


def hard(distances: Tensor, labels: Tensor, penalty: Penalty) -> Anchors:
    """The farthest positive against the nearest negative; of tied ones the first."""
    positive, negative = relations(labels)
    farthest = _select(distances, positive, largest=True)
    nearest = _select(distances, negative, largest=False)
    valid = positive.any(1) & negative.any(1)
    return _counted(penalty(farthest - nearest), valid)


def _select(distances: Tensor, among: Tensor, *, largest: bool) -> Tensor:
    """The largest or smallest distance of each row ``among`` some columns."""
    if distances.shape[1] == 0:
        return distances.sum(1)
    # By index: of tied distances the gradient goes to the first, not to a share of each.
    barred = distances.detach().masked_fill(~among, -torch.inf if largest else torch.inf)
    index = barred.argmax(1) if largest else barred.argmin(1)
    return distances.gather(1, index[:, None])[:, 0]


def _counted(loss: Tensor, valid: Tensor) -> Anchors:
    return Anchors(torch.where(valid, loss, torch.zeros_like(loss)), valid.to(loss.dtype))
