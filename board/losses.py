"""Losses of the board that the library does not have: they know how common each class is, or are there to be compared.

``shares`` are of the training rows, by class; the network's output predicts as it is.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class WeightedCrossEntropy(nn.Module):
    """Cross-entropy in which each class counts alike, however common it is."""

    weight: Tensor

    def __init__(self, shares: Sequence[float] = ()) -> None:
        super().__init__()
        self.register_buffer("weight", 1 / (len(shares) * torch.tensor(shares)))

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        # Not divided by the weights of a batch, which would depend on what is in it.
        return (self.weight[target] * F.cross_entropy(input, target, reduction="none")).mean()


class LogitAdjustedCrossEntropy(nn.Module):
    """Cross-entropy over scores that have the log of the class's share added (Menon et al., arXiv:2007.07314)."""

    prior: Tensor

    def __init__(self, shares: Sequence[float] = ()) -> None:
        super().__init__()
        self.register_buffer("prior", torch.tensor(shares).log())

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(input + self.prior, target)


def brier(input: Tensor, target: Tensor) -> Tensor:
    """The squared error of the probability of yes."""
    return (input.sigmoid() - target.to(input.dtype)) ** 2


def cauchy(input: Tensor, target: Tensor) -> Tensor:
    """The log of one plus half the squared error: far outliers pull less the farther they are."""
    return torch.log1p((input - target) ** 2 / 2)
