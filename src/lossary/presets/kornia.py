"""kornia's Dice: labels (N, ...) with (N, C, ...) logits."""

from typing import Literal

import torch
from torch import Tensor, nn

from lossary.core import check as _checks
from lossary.losses.masks import _shared as _masks

__all__ = ["dice"]


def dice(
    average: Literal["micro", "macro"] = "micro",
    eps: float = 1e-8,
    weight: Tensor | None = None,
    ignore_index: int | None = -100,
) -> nn.Module:
    """``DiceLoss`` of version 0.9: each sample on its own, then the mean over samples.

    ``"micro"`` pools all classes into one fraction, which without weights is exactly one minus the mean probability of
    the true class: not Dice in spirit, since large classes dominate. ``"macro"`` is Lossary's :class:`DiceLoss` at
    ``smooth=0`` and ``absent="skip"``, with a mean over samples of means over classes. A class predicted where it is
    absent costs nothing by itself; ``absent="include"`` makes it cost. A sample with only ignored pixels has loss 1.

    Before version 0.9.0 the original's weights were squared in the overlap of ``"micro"``, and ``"macro"`` averaged
    over absent classes too.
    """
    _checks.check_choice("average", average, ("micro", "macro"))
    return _Dice(average, eps, weight, ignore_index)


class _Dice(nn.Module):
    weight: Tensor | None

    def __init__(self, average: str, eps: float, weight: Tensor | None, ignore_index: int | None) -> None:
        super().__init__()
        self.average = average
        self.eps = eps
        self.ignore_index = ignore_index
        self.register_buffer("weight", weight)

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        sums = _masks.softmax_regions(pred, target, self.ignore_index, "per_sample").sums
        weight = (
            torch.ones_like(sums.truth) if self.weight is None else self.weight.to(sums.truth).expand_as(sums.truth)
        )
        overlap, total = sums.overlap, sums.predicted + sums.truth
        if self.average == "micro":
            return (1 - _fraction(2 * (weight * overlap).sum(1), (weight * total).sum(1), self.eps)).mean()
        weight = weight * (sums.truth > 0)
        losses = 1 - _fraction(2 * overlap, total, self.eps)
        # A sample without any class that counts has loss 1.
        return (1 - _fraction((weight * (1 - losses)).sum(1), weight.sum(1), 0.0)).mean()


def _fraction(numerator: Tensor, denominator: Tensor, eps: float) -> Tensor:
    """The quotient, 0 where the denominator is 0."""
    empty = denominator == 0
    return torch.where(empty, torch.zeros_like(numerator), numerator / (denominator + eps).masked_fill(empty, 1))
