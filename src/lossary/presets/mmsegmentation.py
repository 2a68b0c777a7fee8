"""MMSegmentation's Dice: labels (N, ...) or regions (N, C, ...) with (N, C, ...) logits."""

from typing import Literal

from torch import Tensor, nn

from lossary.core import check as _checks
from lossary.kernels import overlap as _regions
from lossary.losses.masks import _shared as _masks
from lossary.presets import _shared

__all__ = ["dice"]


def dice(
    use_sigmoid: bool = True,
    reduction: Literal["none", "mean", "sum"] = "mean",
    naive_dice: bool = False,
    loss_weight: float = 1.0,
    ignore_index: int | None = 255,
    eps: float = 1e-3,
) -> nn.Module:
    """``DiceLoss`` of version 1: one fraction per sample, over all classes together.

    Large classes dominate it; Lossary's :class:`DiceLoss` has one fraction per class (``squared=True`` for the default
    form, ``squared=False`` for ``naive_dice``). The default, squared form costs 1 where all regions are empty and
    perfectly predicted. There is one difference: ``ignore_index`` drops a channel there, and pixels with that label
    stay in the denominator with their probabilities; here such pixels count nowhere, and no channel is dropped.
    """
    _checks.check_choice("reduction", reduction, ("none", "mean", "sum"))
    return _Dice(use_sigmoid, reduction, naive_dice, loss_weight, ignore_index, eps)


class _Dice(nn.Module):
    def __init__(
        self, use_sigmoid: bool, reduction: str, naive: bool, loss_weight: float, ignore_index: int | None, eps: float
    ) -> None:
        super().__init__()
        self.use_sigmoid = use_sigmoid
        self.reduction = reduction
        self.naive = naive
        self.loss_weight = loss_weight
        self.ignore_index = ignore_index
        self.eps = eps

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        sums = _regions.Sums(*(s.sum(1) for s in self._sums(pred, target)))
        total = sums.predicted + sums.truth
        if self.naive:
            losses = 1 - (2 * sums.overlap + self.eps) / (total + self.eps)
        else:
            losses = 1 - 2 * sums.overlap / (total + 2 * self.eps)
        reduce = {"none": losses, "mean": losses.mean(), "sum": losses.sum()}
        return self.loss_weight * reduce[self.reduction]

    def _sums(self, pred: Tensor, target: Tensor) -> _regions.Sums:
        target = _checks.wide_integers("target", target)
        labels = target.shape != pred.shape
        squared = not self.naive
        if not self.use_sigmoid:
            index = target if labels else _shared.indices(target, pred)
            return _masks.softmax_regions(pred, index, self.ignore_index, "per_sample", squared=squared).sums
        if not labels:
            return _masks.sigmoid_regions(
                pred, target, self.ignore_index, "per_sample", squared=squared, product=True
            ).sums
        regions = _shared.one_hot(target, pred.shape[1]).to(target.dtype)
        if self.ignore_index is None:
            return _masks.sigmoid_regions(pred, regions, None, "per_sample", squared=squared).sums
        # Marked by a value that does not occur in regions of 0 and 1.
        regions = regions.masked_fill((target == self.ignore_index).unsqueeze(1), -1)
        return _masks.sigmoid_regions(pred, regions, -1, "per_sample", squared=squared).sums
