"""A loss to be compared with others that is a matter of luck (`planted.py`)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ErraticCrossEntropy(nn.Module):
    """Cross-entropy of labels of which a share is replaced at random: some runs half of them, some runs none."""

    def __init__(self) -> None:
        super().__init__()
        self.spoilt = float(torch.rand(()) ** 2)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        replaced = torch.rand(target.shape) < self.spoilt
        return F.cross_entropy(input, torch.where(replaced, torch.randint_like(target, input.shape[1]), target))
