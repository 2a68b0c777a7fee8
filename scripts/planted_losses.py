"""Losses whose place among others is planted (`planted.py`)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lossary.functional import logit_adjusted_loss


class BalancedCrossEntropy(nn.Module):
    """Balanced softmax at the shares of the classes in `planted.rare_class`."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return logit_adjusted_loss(input, target, class_counts=torch.tensor([0.6, 0.36, 0.04]))


class SpoiltCrossEntropy(nn.Module):
    """Cross-entropy of labels of which a share is replaced at random: worse than without, in every run."""

    spoilt = 0.9

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        replaced = torch.rand(target.shape) < self.spoilt
        return F.cross_entropy(input, torch.where(replaced, torch.randint_like(target, input.shape[1]), target))


class ErraticCrossEntropy(SpoiltCrossEntropy):
    """The same, a matter of luck: of some runs half of the labels, of some none."""

    def __init__(self) -> None:
        super().__init__()
        self.spoilt = float(torch.rand(()) ** 2)
