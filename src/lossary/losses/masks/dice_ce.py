"""Dice plus cross-entropy: overlap for the goal, a loss of every position for steady gradients."""

from functools import partial
from typing import Annotated, Any

from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Choice, Range
from lossary.core.check import check_tensor
from lossary.core.loss import Loss
from lossary.core.rules import FRACTION, ClassWeight, NotNegative, checked
from lossary.distributed import across_ranks
from lossary.kernels.stable import accumulate
from lossary.losses.answers.binary import binary_cross_entropy_with_logits
from lossary.losses.classes.softmax import cross_entropy
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
    "DiceCrossEntropyLoss",
    "SigmoidDiceCrossEntropyLoss",
    "dice_cross_entropy_loss",
    "sigmoid_dice_cross_entropy_loss",
]


@across_ranks
@checked
def dice_cross_entropy_loss(
    input: Tensor,
    target: Tensor,
    *,
    dice_weight: NotNegative = 1.0,
    cross_entropy_weight: NotNegative = 1.0,
    label_smoothing: Annotated[float, FRACTION] = 0.0,
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
    r"""Dice plus cross-entropy over a softmax, for exclusive classes.

    .. math:: \lambda_D L_\text{Dice} + \lambda_{C} L_\text{CE}

    Args:
        input: (N, C, ...) logits of any number of spatial dimensions, C >= 2.
        target: (N, ...) class indices of any integer dtype.
        dice_weight: lambda_D, the weight of Dice.
        cross_entropy_weight: lambda_C, the weight of cross-entropy.
        label_smoothing: That of cross-entropy, in [0, 1].
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
        >>> dice_cross_entropy_loss(logits, torch.tensor([[0, 1, 0, 0]]))
        tensor(4.7083)

    Source:
        Isensee et al., nnU-Net, arXiv:1809.10486, with equal weights. Each part computes its own softmax: sharing one
        was no faster.
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
    part = partial(cross_entropy, label_smoothing=label_smoothing, weight=class_weight)
    every = over_classes(part, x, target, class_weight, ignore_index, sample_weight, mask, group)
    return weighed_sum(dice_weight, dice, cross_entropy_weight, every)


class DiceCrossEntropyLoss(Loss):
    """:func:`dice_cross_entropy_loss` as a Module."""

    fn = staticmethod(dice_cross_entropy_loss)
    dice_weight: NotNegative = 1.0
    cross_entropy_weight: NotNegative = 1.0
    label_smoothing: Annotated[float, FRACTION] = 0.0
    smooth: Smooth = 1.0
    squared: bool = False
    aggregate: Aggregate = "per_sample"
    absent: Absent = "include"
    include_background: bool = True
    ignore_index: int = -100
    class_weight: ClassWeight | None = None


@across_ranks
@checked
def sigmoid_dice_cross_entropy_loss(
    input: Tensor,
    target: Tensor,
    *,
    dice_weight: NotNegative = 1.0,
    cross_entropy_weight: NotNegative = 1.0,
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
    r"""Dice plus binary cross-entropy of each channel's region; regions may overlap.

    .. math:: \lambda_D L_\text{Dice} + \lambda_{C} L_\text{CE}

    Args:
        input: (N, C, ...) logits of any number of spatial dimensions; C = 1 for one region.
        target: The shape of ``input``: bool, integers 0 and 1, or soft regions in [0, 1].
        dice_weight: lambda_D, the weight of Dice.
        cross_entropy_weight: lambda_C, the weight of cross-entropy.
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
        >>> sigmoid_dice_cross_entropy_loss(logits, torch.tensor([[[1, 0, 0, 0]]]))
        tensor(2.5002)

    Source:
        Isensee et al., nnU-Net, arXiv:1809.10486, for sigmoids, with equal weights.
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
    every = over_regions(binary_cross_entropy_with_logits, x, regions, counted, group)
    return weighed_sum(dice_weight, dice, cross_entropy_weight, every)


class SigmoidDiceCrossEntropyLoss(Loss):
    """:func:`sigmoid_dice_cross_entropy_loss` as a Module."""

    fn = staticmethod(sigmoid_dice_cross_entropy_loss)
    dice_weight: NotNegative = 1.0
    cross_entropy_weight: NotNegative = 1.0
    smooth: Smooth = 1.0
    squared: bool = False
    aggregate: Aggregate = "per_sample"
    absent: Absent = "include"
    ignore_index: int | None = None
    class_weight: ClassWeight | None = None


_CROSS_ENTROPY: dict[str, Any] = {
    "symbols": {
        r"\lambda_D": "`dice_weight`",
        r"L_\text{Dice}": "the Dice loss, the mean over images (or the batch, see `aggregate`) and classes",
        r"\lambda_C": "`cross_entropy_weight`",
        r"L_\text{CE}": "cross-entropy of the same softmax or sigmoid, the mean over positions",
    },
    "paper": "arXiv:1809.10486",
    "equation": "unconfirmed",
    "defaults": "equal weights: the paper; epsilon = 1: arXiv:1608.04117",
    "search": {"cross_entropy_weight": Range(0.1, 10.0, log=True), "aggregate": Choice(("per_sample", "batch"))},
}


CARDS = (
    compound_card(
        fn=dice_cross_entropy_loss,
        module=DiceCrossEntropyLoss,
        formula=r"\lambda_D L_\text{Dice} + \lambda_C L_\text{CE}",
        pitfalls=(IGNORED, CHANNEL),
        relatives=("dice_loss", "cross_entropy", "dice_focal_loss", "sigmoid_dice_cross_entropy_loss"),
        **SOFTMAX,
        **_CROSS_ENTROPY,
    ),
    compound_card(
        fn=sigmoid_dice_cross_entropy_loss,
        module=SigmoidDiceCrossEntropyLoss,
        formula=r"\lambda_D L_\text{Dice} + \lambda_C L_\text{CE}",
        pitfalls=(IGNORED,),
        relatives=("sigmoid_dice_loss", "binary_cross_entropy_with_logits", "dice_cross_entropy_loss"),
        **SIGMOID,
        **_CROSS_ENTROPY,
    ),
)
