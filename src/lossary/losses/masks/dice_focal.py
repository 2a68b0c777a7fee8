"""Dice plus a focal loss: regions of any size, with few hard positions."""

from functools import partial
from typing import Annotated, Any

from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Range
from lossary.core.check import check_tensor
from lossary.core.loss import Loss
from lossary.core.rules import FRACTION, NOT_NEGATIVE, ClassWeight, NotNegative, checked
from lossary.distributed import across_ranks
from lossary.kernels.stable import accumulate
from lossary.losses.answers.focal import sigmoid_focal_loss
from lossary.losses.classes.softmax import focal_loss
from lossary.losses.masks._parts import (
    CHANNEL,
    IGNORED,
    SIGMOID,
    SOFTMAX,
    check_images,
    compound_card,
    foreground_weight,
    over_classes,
    over_regions,
    positions,
    weighed_sum,
)
from lossary.losses.masks._shared import Absent, Aggregate, Smooth
from lossary.losses.masks.overlap import dice_loss, sigmoid_dice_loss

__all__ = [
    "DiceFocalLoss",
    "SigmoidDiceFocalLoss",
    "dice_focal_loss",
    "sigmoid_dice_focal_loss",
]


@across_ranks
@checked
def dice_focal_loss(
    input: Tensor,
    target: Tensor,
    *,
    dice_weight: NotNegative = 1.0,
    focal_weight: NotNegative = 1.0,
    gamma: NotNegative = 2.0,
    smooth: Smooth = 1.0,
    squared: bool = False,
    aggregate: Aggregate = "per_sample",
    absent: Absent = "include",
    include_background: bool = True,
    ignore_index: int = -100,
    class_weight: ClassWeight | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Dice plus focal loss over a softmax, for exclusive classes of very different sizes.

    .. math:: \lambda_D L_\text{Dice} + \lambda_{F} L_\text{focal}

    Args:
        input: (N, C, ...) logits of any number of spatial dimensions, C >= 2.
        target: (N, ...) class indices of any integer dtype.
        dice_weight: lambda_D, the weight of Dice.
        focal_weight: lambda_F, the weight of the focal loss.
        gamma: How fast right answers fade from the focal loss, at least 0.
        smooth: epsilon of Dice, in positions.
        squared: Dice with sums of squares in its denominator (V-Net).
        aggregate: Dice of each sample (``"per_sample"``) or of the whole batch (``"batch"``), which is steadier where
            classes are rare. The other part is a mean over all positions either way.
        absent: Whether Dice counts classes without a true position (``"include"``) or leaves them out (``"skip"``).
        include_background: Whether class 0 has a Dice score. It stays a class of the softmax either way.
        ignore_index: Positions with this label do not count.
        class_weight: (C,) weights of the classes, in both parts.
        sample_weight: (N,) weights of the images, in both parts.
        mask: Boolean, True where a position counts: the shape of ``target`` or its leading dimensions, such as (N,).
        group: Process group whose ranks' images are one batch, in both parts.

    Returns:
        A scalar. The loss is defined only for a whole batch, without ``reduction``: the items of Dice are classes,
        those of the other part positions.

    Raises:
        ValueError: Wrong shapes, a single class, an unknown option, a number out of its range.
        TypeError: Targets that are not integers.
        IndexError: A target outside of [0, C) that is not ``ignore_index``.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[[9.0, -9.0, 9.0, -9.0], [-9.0, 9.0, -9.0, 9.0]]])
        >>> dice_focal_loss(logits, torch.tensor([[0, 1, 0, 0]]))
        tensor(4.7083)

    Source:
        Zhu et al., AnatomyNet, arXiv:1808.05238; equal weights, gamma = 2 as in arXiv:1708.02002. Common code combines
        a focal loss of sigmoids with the Dice of a softmax; here both use one softmax.
    """
    check_tensor("input", input)
    x = accumulate(input)
    check_images(sample_weight, x)
    dice = dice_loss(
        x,
        target,
        smooth=smooth,
        squared=squared,
        aggregate=aggregate,
        absent=absent,
        ignore_index=ignore_index,
        class_weight=foreground_weight(class_weight, include_background, x),
        sample_weight=sample_weight,
        mask=mask,
        group=group,
    )
    part = partial(focal_loss, gamma=gamma, class_weight=class_weight)
    every = over_classes(part, x, target, class_weight, ignore_index, sample_weight, mask, group)
    return weighed_sum(dice_weight, dice, focal_weight, every)


class DiceFocalLoss(Loss):
    """:func:`dice_focal_loss` as a Module."""

    fn = staticmethod(dice_focal_loss)
    dice_weight: NotNegative = 1.0
    focal_weight: NotNegative = 1.0
    gamma: NotNegative = 2.0
    smooth: Smooth = 1.0
    squared: bool = False
    aggregate: Aggregate = "per_sample"
    absent: Absent = "include"
    include_background: bool = True
    ignore_index: int = -100
    class_weight: ClassWeight | None = None


@across_ranks
@checked
def sigmoid_dice_focal_loss(
    input: Tensor,
    target: Tensor,
    *,
    dice_weight: NotNegative = 1.0,
    focal_weight: NotNegative = 1.0,
    gamma: Annotated[float, NOT_NEGATIVE] = 2.0,
    alpha: Annotated[float, FRACTION] | None = None,
    smooth: Smooth = 1.0,
    squared: bool = False,
    aggregate: Aggregate = "per_sample",
    absent: Absent = "include",
    ignore_index: int | None = None,
    class_weight: ClassWeight | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Dice plus focal loss of each channel's region, for small regions; they may overlap.

    .. math:: \lambda_D L_\text{Dice} + \lambda_{F} L_\text{focal}

    Args:
        input: (N, C, ...) logits of any number of spatial dimensions; C = 1 for one region.
        target: The shape of ``input``: bool, integers 0 and 1, or soft regions in [0, 1].
        dice_weight: lambda_D, the weight of Dice.
        focal_weight: lambda_F, the weight of the focal loss.
        gamma: How fast right answers fade from the focal loss, at least 0.
        alpha: Weight of positives in the focal loss, in [0, 1] (negatives: 1 - alpha); None for no weights.
        smooth: epsilon of Dice, in positions.
        squared: Dice with sums of squares in its denominator (V-Net).
        aggregate: Dice of each sample (``"per_sample"``) or of the whole batch (``"batch"``), which is steadier where
            regions are rare. The other part is a mean over all positions either way.
        absent: Whether Dice counts regions without a true position (``"include"``) or leaves them out (``"skip"``).
        ignore_index: Positions with this target value do not count; None for no such value.
        class_weight: (C,) weights of the regions, in both parts; 0 leaves a background channel out.
        sample_weight: (N,) weights of the images, in both parts.
        mask: Boolean, True where a position counts: the shape of ``input`` or its leading dimensions, such as (N,).
        group: Process group whose ranks' images are one batch, in both parts.

    Returns:
        A scalar. The loss is defined only for a whole batch, without ``reduction``: the items of Dice are regions,
        those of the other part positions.

    Raises:
        ValueError: Wrong shapes, a target that is not 0 or 1, an unknown option, a number out of its range.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[[9.0, -9.0, 9.0, -9.0]]])
        >>> sigmoid_dice_focal_loss(logits, torch.tensor([[[1, 0, 0, 0]]]))
        tensor(2.4995)

    Source:
        Zhu et al., AnatomyNet, arXiv:1808.05238, for sigmoids; equal weights, gamma = 2 as in arXiv:1708.02002.
    """
    check_tensor("input", input)
    x = accumulate(input)
    check_images(sample_weight, x)
    dice = sigmoid_dice_loss(
        x,
        target,
        smooth=smooth,
        squared=squared,
        aggregate=aggregate,
        absent=absent,
        ignore_index=ignore_index,
        class_weight=class_weight,
        sample_weight=sample_weight,
        mask=mask,
        group=group,
    )
    regions, counted = positions(target, ignore_index, class_weight, sample_weight, mask)
    every = over_regions(partial(sigmoid_focal_loss, gamma=gamma, alpha=alpha), x, regions, counted, group)
    return weighed_sum(dice_weight, dice, focal_weight, every)


class SigmoidDiceFocalLoss(Loss):
    """:func:`sigmoid_dice_focal_loss` as a Module."""

    fn = staticmethod(sigmoid_dice_focal_loss)
    dice_weight: NotNegative = 1.0
    focal_weight: NotNegative = 1.0
    gamma: Annotated[float, NOT_NEGATIVE] = 2.0
    alpha: Annotated[float, FRACTION] | None = None
    smooth: Smooth = 1.0
    squared: bool = False
    aggregate: Aggregate = "per_sample"
    absent: Absent = "include"
    ignore_index: int | None = None
    class_weight: ClassWeight | None = None


_FOCAL: dict[str, Any] = {
    "symbols": {
        r"\lambda_D": "`dice_weight`",
        r"L_\text{Dice}": "the Dice loss, the mean over images (or the batch, see `aggregate`) and classes",
        r"\lambda_F": "`focal_weight`",
        r"L_\text{focal}": "the focal loss of the same softmax or sigmoid, with `gamma`, the mean over positions",
    },
    "paper": "arXiv:1808.05238",
    "equation": "unconfirmed",
    "defaults": "equal weights; gamma: arXiv:1708.02002; epsilon = 1: arXiv:1608.04117",
    "search": {"focal_weight": Range(0.1, 10.0, log=True), "gamma": Range(0.0, 5.0)},
}


_SIZES = "The focal part is small compared with Dice once most positions are right: raise focal_weight."


CARDS = (
    compound_card(
        fn=dice_focal_loss,
        module=DiceFocalLoss,
        formula=r"\lambda_D L_\text{Dice} + \lambda_F L_\text{focal}",
        pitfalls=(_SIZES, IGNORED, CHANNEL),
        relatives=("dice_loss", "focal_loss", "dice_cross_entropy_loss", "sigmoid_dice_focal_loss"),
        **SOFTMAX,
        **_FOCAL,
    ),
    compound_card(
        fn=sigmoid_dice_focal_loss,
        module=SigmoidDiceFocalLoss,
        formula=r"\lambda_D L_\text{Dice} + \lambda_F L_\text{focal}",
        pitfalls=(_SIZES, IGNORED),
        relatives=("sigmoid_dice_loss", "sigmoid_focal_loss", "dice_focal_loss"),
        **SIGMOID,
        **_FOCAL,
    ),
)
