"""Dice beside cross-entropy or focal loss: overlap for the goal, a loss of every position for steady gradients."""

from functools import partial
from typing import Annotated, Any

import torch
from torch import Tensor

from lossary.core.card import Card, Choice, Range
from lossary.core.check import check_shape, check_tensor, wide_integers
from lossary.core.loss import Loss
from lossary.core.reduce import align, both, scaled
from lossary.core.rules import FRACTION, NOT_NEGATIVE, ClassWeight, NotNegative, checked
from lossary.kernels.stable import accumulate
from lossary.losses._pointwise import hide
from lossary.losses.answers.binary import binary_cross_entropy_with_logits, sigmoid_focal_loss
from lossary.losses.classes.softmax import cross_entropy, focal_loss
from lossary.losses.masks._shared import Absent, Aggregate, Smooth
from lossary.losses.masks.overlap import dice_loss, sigmoid_dice_loss

__all__ = [
    "DiceCrossEntropyLoss",
    "DiceFocalLoss",
    "SigmoidDiceCrossEntropyLoss",
    "SigmoidDiceFocalLoss",
    "dice_cross_entropy_loss",
    "dice_focal_loss",
    "sigmoid_dice_cross_entropy_loss",
    "sigmoid_dice_focal_loss",
]


def _dice_weight(class_weight: Tensor | None, include_background: bool, input: Tensor) -> Tensor | None:
    """The classes' weights in Dice; without a background, 0 for class 0."""
    if include_background or input.dim() < 2:
        return class_weight
    foreground = torch.arange(input.shape[1], device=input.device) > 0
    # Two of different lengths are left for Dice to refuse.
    if class_weight is None or class_weight.shape != foreground.shape:
        return foreground.to(input.dtype) if class_weight is None else class_weight
    return class_weight * foreground


def _check_images(sample_weight: Tensor | None, input: Tensor) -> None:
    """One weight an image: both parts have it, whose items are classes here and positions there."""
    if sample_weight is not None:
        check_shape("sample_weight", sample_weight, tuple(input.shape[:1]))


def _positions(
    target: Tensor,
    ignore_index: int | None,
    class_weight: Tensor | None,
    sample_weight: Tensor | None,
    mask: Tensor | None,
) -> tuple[Tensor, dict[str, Any]]:
    """Regions without the ignored value, and what counts of them: keywords of the binary losses."""
    target = wide_integers("target", target)
    weight, mask = align(sample_weight, mask, target.shape)
    keep = both(None if ignore_index is None else target != ignore_index, mask)
    if class_weight is not None:
        each = class_weight.reshape(1, -1, *(1 for _ in target.shape[2:]))
        weight = each if weight is None else accumulate(weight) * accumulate(each)
    return hide(target, keep), {"mask": keep, "sample_weight": weight}


def _sum(dice_weight: float | Tensor, dice: Tensor, weight: float | Tensor, other: Tensor) -> Tensor:
    return scaled(dice, dice_weight) + scaled(other, weight)


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
) -> Tensor:
    r"""Dice plus cross-entropy over a softmax, for exclusive classes.

    .. math:: \lambda_D L_\text{Dice} + \lambda_{C} L_\text{CE}

    Args:
        input: (N, C, ...) logits of any number of spatial dimensions, C >= 2.
        target: (N, ...) class indices of any integer dtype.
        dice_weight: lambda_D, the weight of Dice.
        cross_entropy_weight: lambda_C, the weight of cross-entropy.
        label_smoothing: Of cross-entropy, in [0, 1].
        smooth: epsilon of Dice, in positions.
        squared: Dice with sums of squares in its denominator (V-Net).
        aggregate: Dice of each sample (``"per_sample"``) or of the whole batch (``"batch"``), which is steadier where
            classes are rare. The other part is a mean over all positions either way.
        absent: Whether Dice counts classes without a true position (``"include"``) or leaves them out (``"skip"``).
        include_background: Whether class 0 has a Dice score. It stays a class of the softmax either way.
        ignore_index: Positions of this label count nowhere.
        class_weight: (C,) weights of the classes, in both parts.
        sample_weight: (N,) weights of the images, in both parts.
        mask: Boolean, True where a position counts: the shape of ``target`` or its leading dimensions, as (N,).

    Returns:
        A scalar. The loss exists only for a whole batch, without ``reduction``: the items of Dice are classes, those
        of the other part positions.

    Raises:
        ValueError: Wrong shapes, a single class, an unknown option, a number out of its range.
        TypeError: Targets that are no integers.
        IndexError: A target outside of [0, C) that is not ``ignore_index``.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[[9.0, -9.0, 9.0, -9.0], [-9.0, 9.0, -9.0, 9.0]]])
        >>> dice_cross_entropy_loss(logits, torch.tensor([[0, 1, 0, 0]]))
        tensor(4.7083)

    Source:
        Isensee et al., nnU-Net, arXiv:1809.10486, with equal weights. Each part makes the softmax for itself:
        one for both was no faster.
    """
    check_tensor("input", input)
    x = accumulate(input)
    _check_images(sample_weight, x)
    dice = dice_loss(
        x,
        target,
        smooth=smooth,
        squared=squared,
        aggregate=aggregate,
        absent=absent,
        ignore_index=ignore_index,
        class_weight=_dice_weight(class_weight, include_background, x),
        sample_weight=sample_weight,
        mask=mask,
    )
    every = cross_entropy(
        x,
        target,
        class_weight,
        ignore_index,
        label_smoothing=label_smoothing,
        sample_weight=sample_weight,
        mask=mask,
    )
    return _sum(dice_weight, dice, cross_entropy_weight, every)


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
) -> Tensor:
    r"""Dice plus focal loss over a softmax, for exclusive classes of very different sizes.

    .. math:: \lambda_D L_\text{Dice} + \lambda_{F} L_\text{focal}

    Args:
        input: (N, C, ...) logits of any number of spatial dimensions, C >= 2.
        target: (N, ...) class indices of any integer dtype.
        dice_weight: lambda_D, the weight of Dice.
        focal_weight: lambda_F, the weight of the focal loss.
        gamma: How fast the focal loss fades right answers, at least 0.
        smooth: epsilon of Dice, in positions.
        squared: Dice with sums of squares in its denominator (V-Net).
        aggregate: Dice of each sample (``"per_sample"``) or of the whole batch (``"batch"``), which is steadier where
            classes are rare. The other part is a mean over all positions either way.
        absent: Whether Dice counts classes without a true position (``"include"``) or leaves them out (``"skip"``).
        include_background: Whether class 0 has a Dice score. It stays a class of the softmax either way.
        ignore_index: Positions of this label count nowhere.
        class_weight: (C,) weights of the classes, in both parts.
        sample_weight: (N,) weights of the images, in both parts.
        mask: Boolean, True where a position counts: the shape of ``target`` or its leading dimensions, as (N,).

    Returns:
        A scalar. The loss exists only for a whole batch, without ``reduction``: the items of Dice are classes, those
        of the other part positions.

    Raises:
        ValueError: Wrong shapes, a single class, an unknown option, a number out of its range.
        TypeError: Targets that are no integers.
        IndexError: A target outside of [0, C) that is not ``ignore_index``.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[[9.0, -9.0, 9.0, -9.0], [-9.0, 9.0, -9.0, 9.0]]])
        >>> dice_focal_loss(logits, torch.tensor([[0, 1, 0, 0]]))
        tensor(4.7083)

    Source:
        Zhu et al., AnatomyNet, arXiv:1808.05238; equal weights, gamma = 2 as in arXiv:1708.02002. Common code takes
        the focal loss of sigmoids beside the Dice of a softmax; here both are of one softmax.
    """
    check_tensor("input", input)
    x = accumulate(input)
    _check_images(sample_weight, x)
    dice = dice_loss(
        x,
        target,
        smooth=smooth,
        squared=squared,
        aggregate=aggregate,
        absent=absent,
        ignore_index=ignore_index,
        class_weight=_dice_weight(class_weight, include_background, x),
        sample_weight=sample_weight,
        mask=mask,
    )
    every = focal_loss(
        x,
        target,
        gamma=gamma,
        class_weight=class_weight,
        ignore_index=ignore_index,
        sample_weight=sample_weight,
        mask=mask,
    )
    return _sum(dice_weight, dice, focal_weight, every)


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
        ignore_index: Positions of this target value count nowhere; None for no such value.
        class_weight: (C,) weights of the regions, in both parts; 0 leaves a background channel out.
        sample_weight: (N,) weights of the images, in both parts.
        mask: Boolean, True where a position counts: the shape of ``input`` or its leading dimensions, as (N,).

    Returns:
        A scalar. The loss exists only for a whole batch, without ``reduction``: the items of Dice are regions, those
        of the other part positions.

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
    _check_images(sample_weight, x)
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
    )
    regions, counted = _positions(target, ignore_index, class_weight, sample_weight, mask)
    every = binary_cross_entropy_with_logits(x, regions, **counted)
    return _sum(dice_weight, dice, cross_entropy_weight, every)


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
) -> Tensor:
    r"""Dice plus focal loss of each channel's region, for small regions; they may overlap.

    .. math:: \lambda_D L_\text{Dice} + \lambda_{F} L_\text{focal}

    Args:
        input: (N, C, ...) logits of any number of spatial dimensions; C = 1 for one region.
        target: The shape of ``input``: bool, integers 0 and 1, or soft regions in [0, 1].
        dice_weight: lambda_D, the weight of Dice.
        focal_weight: lambda_F, the weight of the focal loss.
        gamma: How fast the focal loss fades right answers, at least 0.
        alpha: Weight of positives in the focal loss, in [0, 1] (negatives: 1 - alpha); None for no weights.
        smooth: epsilon of Dice, in positions.
        squared: Dice with sums of squares in its denominator (V-Net).
        aggregate: Dice of each sample (``"per_sample"``) or of the whole batch (``"batch"``), which is steadier where
            regions are rare. The other part is a mean over all positions either way.
        absent: Whether Dice counts regions without a true position (``"include"``) or leaves them out (``"skip"``).
        ignore_index: Positions of this target value count nowhere; None for no such value.
        class_weight: (C,) weights of the regions, in both parts; 0 leaves a background channel out.
        sample_weight: (N,) weights of the images, in both parts.
        mask: Boolean, True where a position counts: the shape of ``input`` or its leading dimensions, as (N,).

    Returns:
        A scalar. The loss exists only for a whole batch, without ``reduction``: the items of Dice are regions, those
        of the other part positions.

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
    _check_images(sample_weight, x)
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
    )
    regions, counted = _positions(target, ignore_index, class_weight, sample_weight, mask)
    every = sigmoid_focal_loss(x, regions, gamma=gamma, alpha=alpha, **counted)
    return _sum(dice_weight, dice, focal_weight, every)


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


_card = partial(
    Card,
    data="masks",
    input="logits",
    kernel="overlap",
    item="batch",
    separable=False,
    mean_is_plain=False,
    at_call=frozenset({"sample_weight", "mask"}),
)


_SOFTMAX: dict[str, Any] = {
    "takes": ("input-label",),
    "when": "Segmentation into exclusive classes: the usual choice in medical imaging.",
}


_SIGMOID: dict[str, Any] = {
    "takes": ("input-target",),
    "when": "Segmentation of one region, or of regions that may overlap.",
}


_CROSS_ENTROPY: dict[str, Any] = {
    "symbols": {
        r"\lambda_D": "`dice_weight`",
        r"L_\text{Dice}": "the Dice loss, the mean over images (or the batch, see `aggregate`) and classes",
        r"\lambda_C": "`cross_entropy_weight`",
        r"L_\text{CE}": "cross-entropy of the same softmax or sigmoid, the mean over positions",
    },
    "paper": "arXiv:1809.10486",
    "defaults": "equal weights: the paper; epsilon = 1: arXiv:1608.04117",
    "search": {"cross_entropy_weight": Range(0.1, 10.0, log=True), "aggregate": Choice(("per_sample", "batch"))},
}


_FOCAL: dict[str, Any] = {
    "symbols": {
        r"\lambda_D": "`dice_weight`",
        r"L_\text{Dice}": "the Dice loss, the mean over images (or the batch, see `aggregate`) and classes",
        r"\lambda_F": "`focal_weight`",
        r"L_\text{focal}": "the focal loss of the same softmax or sigmoid, with `gamma`, the mean over positions",
    },
    "paper": "arXiv:1808.05238",
    "defaults": "equal weights; gamma: arXiv:1708.02002; epsilon = 1: arXiv:1608.04117",
    "search": {"focal_weight": Range(0.1, 10.0, log=True), "gamma": Range(0.0, 5.0)},
}


_SIZES = "The focal part is small beside Dice once most positions are right: raise focal_weight."


_IGNORED = "Ignored positions must count in neither part; some code passes them to one of the two."


_CHANNEL = "A softmax over one channel is 1 everywhere: one region wants the sigmoid form."


CARDS = (
    _card(
        fn=dice_cross_entropy_loss,
        module=DiceCrossEntropyLoss,
        formula=r"\lambda_D L_\text{Dice} + \lambda_C L_\text{CE}",
        pitfalls=(_IGNORED, _CHANNEL),
        relatives=("dice_loss", "cross_entropy", "dice_focal_loss", "sigmoid_dice_cross_entropy_loss"),
        **_SOFTMAX,
        **_CROSS_ENTROPY,
    ),
    _card(
        fn=sigmoid_dice_cross_entropy_loss,
        module=SigmoidDiceCrossEntropyLoss,
        formula=r"\lambda_D L_\text{Dice} + \lambda_C L_\text{CE}",
        pitfalls=(_IGNORED,),
        relatives=("sigmoid_dice_loss", "binary_cross_entropy_with_logits", "dice_cross_entropy_loss"),
        **_SIGMOID,
        **_CROSS_ENTROPY,
    ),
    _card(
        fn=dice_focal_loss,
        module=DiceFocalLoss,
        formula=r"\lambda_D L_\text{Dice} + \lambda_F L_\text{focal}",
        pitfalls=(_SIZES, _IGNORED, _CHANNEL),
        relatives=("dice_loss", "focal_loss", "dice_cross_entropy_loss", "sigmoid_dice_focal_loss"),
        **_SOFTMAX,
        **_FOCAL,
    ),
    _card(
        fn=sigmoid_dice_focal_loss,
        module=SigmoidDiceFocalLoss,
        formula=r"\lambda_D L_\text{Dice} + \lambda_F L_\text{focal}",
        pitfalls=(_SIZES, _IGNORED),
        relatives=("sigmoid_dice_loss", "sigmoid_focal_loss", "dice_focal_loss"),
        **_SIGMOID,
        **_FOCAL,
    ),
)
