"""The loss functions of ``torchvision.ops`` as Modules called with the same tensors."""

from torch import Tensor, nn

from lossary.core.check import check_among
from lossary.core.reduce import Reduction
from lossary.losses.answers.focal import SigmoidFocalLoss
from lossary.losses.boxes.iou import CompleteIoULoss, DistanceIoULoss, GeneralizedIoULoss
from lossary.presets._shared import Called

__all__ = ["complete_box_iou", "distance_box_iou", "generalized_box_iou", "sigmoid_focal"]


def sigmoid_focal(alpha: float = 0.25, gamma: float = 2.0, reduction: Reduction = "none") -> nn.Module:
    """``sigmoid_focal_loss``: Lossary's :class:`SigmoidFocalLoss`, targets 0 or 1; ``alpha`` below 0 means none.

    Lossary's own defaults are no ``alpha``, and the mean.
    """
    loss = SigmoidFocalLoss(gamma=gamma, alpha=None if alpha < 0 else alpha, reduction=reduction)
    return Called(loss, _hard)


def generalized_box_iou(reduction: Reduction = "none") -> GeneralizedIoULoss:
    """``generalized_box_iou_loss``: Lossary's :class:`GeneralizedIoULoss`, without the 1e-7 in its denominators.

    It is there for boxes without area, which are 0 / 0 there only for the enclosing box.
    """
    return GeneralizedIoULoss(reduction=reduction)


def distance_box_iou(reduction: Reduction = "none") -> DistanceIoULoss:
    """``distance_box_iou_loss``: Lossary's :class:`DistanceIoULoss`, without the 1e-7."""
    return DistanceIoULoss(reduction=reduction)


def complete_box_iou(reduction: Reduction = "none") -> CompleteIoULoss:
    """``complete_box_iou_loss``: Lossary's :class:`CompleteIoULoss`, without the 1e-7.

    A box without height has a NaN gradient there, and a finite one here.
    """
    return CompleteIoULoss(reduction=reduction)


def _hard(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    check_among("targets", targets, (0, 1))  # with soft ones the original is a different loss
    return inputs, targets
