"""MONAI's own formulas over Lossary's sums, for what no Lossary loss is: smoothed unevenly, or one number per class."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lossary.kernels.overlap import Sums


@dataclass(frozen=True)
class Score:
    """One minus a smoothed fraction of what is right, of which false positives and negatives count in part."""

    scale: int  # of both sums: 2 for Dice and Jaccard, whose smoothing is half as strong
    false_positives: float
    false_negatives: float
    smooth_nr: float
    smooth_dr: float
    batch: bool
    reduction: str

    def losses(self, sums: Sums) -> Tensor:
        """(N, C), or (C,) over the batch."""
        right = sums.overlap
        wrong = self.false_positives * (sums.predicted - right) + self.false_negatives * (sums.truth - right)
        return 1 - (self.scale * right + self.smooth_nr) / (self.scale * (right + wrong) + self.smooth_dr)

    def reduced(self, losses: Tensor, dim: int) -> Tensor:
        return reduced(losses, self.reduction, dim if self.scale == 2 else 2)  # Tversky's shape is (N, C) there


def reduced(losses: Tensor, reduction: str, dim: int) -> Tensor:
    """With ``"none"`` such that it could be multiplied by an input of ``dim`` dimensions, as there."""
    if reduction != "none":
        return losses.mean() if reduction == "mean" else losses.sum()
    return losses[(...,) + (None,) * (dim - 2)]


def over_kept(losses: Tensor, keep: Tensor) -> Tensor:
    """The sum over items and classes of means over the item's positions that count: (N, C, ...), (N, 1, ...)."""
    each = losses.flatten(2).sum(2) / keep.flatten(2).sum(2).clamp_min(1)
    return each.sum()


def class_weight(weight: Sequence[float] | float | Tensor | None) -> Tensor | None:
    """As a tensor, of which no entry may be negative."""
    if weight is None:
        return None
    weight = torch.as_tensor(weight)
    if (weight < 0).any():
        raise ValueError(f"weight: wanted no number below 0; got {weight.tolist()}")
    return weight


class Spread(nn.Module):
    """A loss of each class, spread over the positions of another loss."""

    def __init__(self, dice: nn.Module, focal: nn.Module, lambda_dice: float, lambda_focal: float) -> None:
        super().__init__()
        self.dice, self.focal = dice, focal
        self.lambda_dice, self.lambda_focal = lambda_dice, lambda_focal

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return self.lambda_dice * self.dice(input, target) + self.lambda_focal * self.focal(input, target)
