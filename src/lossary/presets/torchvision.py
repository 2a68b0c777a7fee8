"""The loss functions of ``torchvision.ops`` as Modules called with the same tensors; ``eps`` is left out."""

from torch import Tensor, nn

from lossary.core import check as _checks
from lossary.core import reduce as _reduce
from lossary.losses.answers import focal as _focal
from lossary.losses.boxes import iou as _iou
from lossary.presets import _shared

__all__ = ["complete_box_iou", "distance_box_iou", "generalized_box_iou", "sigmoid_focal"]


def sigmoid_focal(alpha: float = 0.25, gamma: float = 2.0, reduction: _reduce.Reduction = "none") -> nn.Module:
    """``sigmoid_focal_loss``: Lossary's :class:`SigmoidFocalLoss`, targets 0 or 1; ``alpha`` below 0 means none.

    Lossary's own defaults are no ``alpha``, and the mean.
    """
    loss = _focal.SigmoidFocalLoss(gamma=gamma, alpha=None if alpha < 0 else alpha, reduction=reduction)
    return _shared.Called(loss, _hard)


def generalized_box_iou(reduction: _reduce.Reduction = "none") -> _iou.GeneralizedIoULoss:
    """``generalized_box_iou_loss``: Lossary's :class:`GeneralizedIoULoss`, without the 1e-7 in its denominators.

    It is there for boxes without area, which are 0 / 0 there only for the enclosing box.
    """
    return _iou.GeneralizedIoULoss(reduction=reduction)


def distance_box_iou(reduction: _reduce.Reduction = "none") -> _iou.DistanceIoULoss:
    """``distance_box_iou_loss``: Lossary's :class:`DistanceIoULoss`, without the 1e-7."""
    return _iou.DistanceIoULoss(reduction=reduction)


def complete_box_iou(reduction: _reduce.Reduction = "none") -> _iou.CompleteIoULoss:
    """``complete_box_iou_loss``: Lossary's :class:`CompleteIoULoss`, without the 1e-7.

    A box without height has a NaN gradient there, and a finite one here.
    """
    return _iou.CompleteIoULoss(reduction=reduction)


def _hard(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    _checks.check_among("targets", targets, (0, 1))  # with soft ones the original is a different loss
    return inputs, targets
