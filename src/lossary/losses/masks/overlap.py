"""Overlap of predicted and true regions: one minus a score of set agreement, for segmentation."""

from typing import Any

from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Choice
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction
from lossary.core.rules import ClassWeight, checked
from lossary.distributed import across_ranks
from lossary.kernels.overlap import Sums
from lossary.losses.masks._shared import (
    Absent,
    Aggregate,
    Fraction,
    Smooth,
    card,
    score_loss,
    sigmoid_regions,
    softmax_regions,
)

__all__ = [
    "DiceLoss",
    "JaccardLoss",
    "SigmoidDiceLoss",
    "SigmoidJaccardLoss",
    "dice_loss",
    "jaccard_loss",
    "sigmoid_dice_loss",
    "sigmoid_jaccard_loss",
]


def dice_fraction(sums: Sums) -> Fraction:
    return Fraction(sums.overlap, sums.predicted + sums.truth, 2)


def jaccard_fraction(sums: Sums) -> Fraction:
    return Fraction(sums.overlap, sums.predicted + sums.truth - sums.overlap)


@across_ranks
@checked
def dice_loss(
    input: Tensor,
    target: Tensor,
    *,
    smooth: Smooth = 1.0,
    squared: bool = False,
    aggregate: Aggregate = "per_sample",
    absent: Absent = "include",
    ignore_index: int | None = -100,
    class_weight: ClassWeight | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""One minus the Dice coefficient of the softmax's regions and the true ones, class by class.

    .. math:: 1 - \frac{2 \sum p\, g + \epsilon}{\sum p + \sum g + \epsilon}

    Args:
        input: (N, C, ...) logits, C >= 2.
        target: (N, ...) class indices of any integer dtype.
        smooth: epsilon, in positions; 0 / 0 counts as a perfect score.
        squared: Sums of squares in the denominator (V-Net).
        aggregate: ``"per_sample"`` scores each sample's class, ``"batch"`` each class over the whole batch: steadier
            where classes are rare.
        absent: ``"include"`` counts classes without a true position; ``"skip"`` leaves them out.
        ignore_index: Positions with this label do not count; None for no such label.
        class_weight: (C,) weights of the classes' losses.
        sample_weight: One weight per image, (N,), or one for each of its classes, (N, C). With ``aggregate="batch"`` an
            image of weight 2 counts as two.
        mask: Boolean, True where a position counts: the shape of ``target`` or its leading dimensions, such as (N,).
            Where it leaves no position, there is no score.
        reduction: ``"none"``, ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' samples are one batch: for the mean, and for ``aggregate="batch"``.

    Returns:
        A scalar; or (N, C), with ``aggregate="batch"`` (C,). ``mean`` averages those not left out.

    Raises:
        ValueError: Wrong shapes, a single class (its softmax is always 1), an unknown option.
        TypeError: Targets that are not integers.
        IndexError: A target outside of [0, C).

    Example:
        >>> import torch
        >>> logits = torch.tensor([[[9.0, -9.0, 9.0, -9.0], [-9.0, 9.0, -9.0, 9.0]]])
        >>> dice_loss(logits, torch.tensor([[0, 1, 0, 0]]), smooth=0.0)
        tensor(0.2667)

    Source:
        Milletari et al., V-Net, arXiv:1606.04797, section 3 (squared, without epsilon); Drozdzal et al.,
        arXiv:1608.04117, eq. 1 (not squared, epsilon = 1). Common code scores absent classes as perfect whatever is
        predicted, or counts ignored positions in the denominator.
    """
    regions = softmax_regions(
        input, target, ignore_index, aggregate, sample_weight, mask, class_weight, group, squared=squared
    )
    return score_loss(dice_fraction(regions.sums), regions, smooth, absent, class_weight, reduction)


class DiceLoss(Loss):
    """:func:`dice_loss` as a Module."""

    fn = staticmethod(dice_loss)
    smooth: Smooth = 1.0
    squared: bool = False
    aggregate: Aggregate = "per_sample"
    absent: Absent = "include"
    ignore_index: int | None = -100
    class_weight: ClassWeight | None = None
    reduction: Reduction = "mean"


@across_ranks
@checked
def sigmoid_dice_loss(
    input: Tensor,
    target: Tensor,
    *,
    smooth: Smooth = 1.0,
    squared: bool = False,
    aggregate: Aggregate = "per_sample",
    absent: Absent = "include",
    ignore_index: int | None = None,
    class_weight: ClassWeight | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""One minus the Dice coefficient of each channel's region and the true one; regions may overlap.

    .. math:: 1 - \frac{2 \sum p\, g + \epsilon}{\sum p + \sum g + \epsilon}, \qquad p = \sigma(\text{input})

    Args:
        input: (N, C, ...) logits; C = 1 for one region.
        target: The shape of ``input``: bool, integers 0 and 1, or soft regions in [0, 1].
        smooth: epsilon, in positions; 0 / 0 counts as a perfect score.
        squared: Sums of squares in the denominator (V-Net).
        aggregate: ``"per_sample"`` scores each sample's channel, ``"batch"`` each channel over the batch: steadier
            where channels are rare.
        absent: ``"include"`` counts channels without a true position; ``"skip"`` leaves them out.
        ignore_index: Positions with this target value do not count; None for no such value.
        class_weight: (C,) weights of the channels' losses.
        sample_weight: One weight per image, (N,), or one for each of its channels, (N, C). With ``aggregate="batch"``
            an image of weight 2 counts as two.
        mask: Boolean, True where a position counts: the shape of ``input`` or its leading dimensions, such as (N,).
            Where it leaves no position, there is no score.
        reduction: ``"none"``, ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' samples are one batch: for the mean, and for ``aggregate="batch"``.

    Returns:
        A scalar; or (N, C), with ``aggregate="batch"`` (C,). ``mean`` averages those not left out.

    Raises:
        ValueError: Wrong shapes, a target outside of [0, 1] that is not ``ignore_index``, an unknown option, a
            hyperparameter that is not finite.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[[9.0, -9.0, 9.0, -9.0]]])
        >>> sigmoid_dice_loss(logits, torch.tensor([[[1, 0, 0, 0]]]), smooth=0.0)
        tensor(0.3334)

    Source:
        As :func:`dice_loss`. An (N, L) input is N samples of L channels with one position each; one region of L
        positions is (N, 1, L). For soft regions, the smaller of p and g replaces their product (unless ``squared``), so
        that p = g is the best answer: Wang et al., Dice Semimetric Losses, arXiv:2303.16296.
    """
    regions = sigmoid_regions(
        input, target, ignore_index, aggregate, sample_weight, mask, class_weight, group, squared=squared
    )
    return score_loss(dice_fraction(regions.sums), regions, smooth, absent, class_weight, reduction)


class SigmoidDiceLoss(Loss):
    """:func:`sigmoid_dice_loss` as a Module."""

    fn = staticmethod(sigmoid_dice_loss)
    smooth: Smooth = 1.0
    squared: bool = False
    aggregate: Aggregate = "per_sample"
    absent: Absent = "include"
    ignore_index: int | None = None
    class_weight: ClassWeight | None = None
    reduction: Reduction = "mean"


@across_ranks
@checked
def jaccard_loss(
    input: Tensor,
    target: Tensor,
    *,
    smooth: Smooth = 1.0,
    aggregate: Aggregate = "per_sample",
    absent: Absent = "include",
    ignore_index: int | None = -100,
    class_weight: ClassWeight | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""One minus intersection over union of the softmax's regions and the true ones, class by class.

    .. math:: 1 - \frac{\sum p\, g + \epsilon}{\sum p + \sum g - \sum p\, g + \epsilon}

    Args:
        input: (N, C, ...) logits, C >= 2.
        target: (N, ...) class indices of any integer dtype.
        smooth: epsilon, in positions; 0 / 0 counts as a perfect score.
        aggregate: ``"per_sample"`` scores each sample's class, ``"batch"`` each class over the whole batch: steadier
            where classes are rare.
        absent: ``"include"`` counts classes without a true position; ``"skip"`` leaves them out.
        ignore_index: Positions with this label do not count; None for no such label.
        class_weight: (C,) weights of the classes' losses.
        sample_weight: One weight per image, (N,), or one for each of its classes, (N, C). With ``aggregate="batch"`` an
            image of weight 2 counts as two.
        mask: Boolean, True where a position counts: the shape of ``target`` or its leading dimensions, such as (N,).
            Where it leaves no position, there is no score.
        reduction: ``"none"``, ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' samples are one batch: for the mean, and for ``aggregate="batch"``.

    Returns:
        A scalar; or (N, C), with ``aggregate="batch"`` (C,). ``mean`` averages those not left out.

    Raises:
        ValueError: Wrong shapes, a single class (its softmax is always 1), an unknown option.
        TypeError: Targets that are not integers.
        IndexError: A target outside of [0, C).

    Example:
        >>> import torch
        >>> logits = torch.tensor([[[9.0, -9.0, 9.0, -9.0], [-9.0, 9.0, -9.0, 9.0]]])
        >>> jaccard_loss(logits, torch.tensor([[0, 1, 0, 0]]), smooth=0.0)
        tensor(0.4167)

    Source:
        Rahman and Wang, Optimizing Intersection-over-Union in Deep Neural Networks, ISVC 2016 (without epsilon);
        epsilon as in :func:`dice_loss`. It is a function of Dice: J = D / (2 - D) at epsilon 0.
    """
    regions = softmax_regions(input, target, ignore_index, aggregate, sample_weight, mask, class_weight, group)
    return score_loss(jaccard_fraction(regions.sums), regions, smooth, absent, class_weight, reduction)


class JaccardLoss(Loss):
    """:func:`jaccard_loss` as a Module."""

    fn = staticmethod(jaccard_loss)
    smooth: Smooth = 1.0
    aggregate: Aggregate = "per_sample"
    absent: Absent = "include"
    ignore_index: int | None = -100
    class_weight: ClassWeight | None = None
    reduction: Reduction = "mean"


@across_ranks
@checked
def sigmoid_jaccard_loss(
    input: Tensor,
    target: Tensor,
    *,
    smooth: Smooth = 1.0,
    aggregate: Aggregate = "per_sample",
    absent: Absent = "include",
    ignore_index: int | None = None,
    class_weight: ClassWeight | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""One minus intersection over union of each channel's region and the true one; regions may overlap.

    .. math:: 1 - \frac{\sum p\, g + \epsilon}{\sum p + \sum g - \sum p\, g + \epsilon}

    Args:
        input: (N, C, ...) logits; C = 1 for one region.
        target: The shape of ``input``: bool, integers 0 and 1, or soft regions in [0, 1].
        smooth: epsilon, in positions; 0 / 0 counts as a perfect score.
        aggregate: ``"per_sample"`` scores each sample's channel, ``"batch"`` each channel over the batch: steadier
            where channels are rare.
        absent: ``"include"`` counts channels without a true position; ``"skip"`` leaves them out.
        ignore_index: Positions with this target value do not count; None for no such value.
        class_weight: (C,) weights of the channels' losses.
        sample_weight: One weight per image, (N,), or one for each of its channels, (N, C). With ``aggregate="batch"``
            an image of weight 2 counts as two.
        mask: Boolean, True where a position counts: the shape of ``input`` or its leading dimensions, such as (N,).
            Where it leaves no position, there is no score.
        reduction: ``"none"``, ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' samples are one batch: for the mean, and for ``aggregate="batch"``.

    Returns:
        A scalar; or (N, C), with ``aggregate="batch"`` (C,). ``mean`` averages those not left out.

    Raises:
        ValueError: Wrong shapes, a target outside of [0, 1] that is not ``ignore_index``, an unknown option, a
            hyperparameter that is not finite.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[[9.0, -9.0, 9.0, -9.0]]])
        >>> sigmoid_jaccard_loss(logits, torch.tensor([[[1, 0, 0, 0]]]), smooth=0.0)
        tensor(0.5001)

    Source:
        As :func:`jaccard_loss`; soft regions as in :func:`sigmoid_dice_loss`: Wang et al., Jaccard Metric Losses,
        arXiv:2302.05666.
    """
    regions = sigmoid_regions(input, target, ignore_index, aggregate, sample_weight, mask, class_weight, group)
    return score_loss(jaccard_fraction(regions.sums), regions, smooth, absent, class_weight, reduction)


class SigmoidJaccardLoss(Loss):
    """:func:`sigmoid_jaccard_loss` as a Module."""

    fn = staticmethod(sigmoid_jaccard_loss)
    smooth: Smooth = 1.0
    aggregate: Aggregate = "per_sample"
    absent: Absent = "include"
    ignore_index: int | None = None
    class_weight: ClassWeight | None = None
    reduction: Reduction = "mean"


_DICE: dict[str, Any] = {
    "formula": r"1 - \frac{2 \sum p\, g + \epsilon}{\sum p + \sum g + \epsilon}",
    "symbols": {
        r"\sum": "over the positions of a class or region of an image, or of the batch with `aggregate` 'batch'",
        "p": "the probability there: softmax of `input`, or sigmoid in the sigmoid form; squared below with `squared`",
        "g": "1 where `target` is the class or region, 0 elsewhere, in between if soft; squared with `squared`",
        r"\epsilon": "`smooth`, in positions; with 0, 0 / 0 counts as a perfect score",
    },
    "paper": "arXiv:1606.04797",
    "equation": "section 3",
    "defaults": "not squared and epsilon = 1: arXiv:1608.04117, eq. 1",
    "search": {"squared": Choice((False, True))},
}


_JACCARD: dict[str, Any] = {
    "formula": r"1 - \frac{\sum p\, g + \epsilon}{\sum p + \sum g - \sum p\, g + \epsilon}",
    "symbols": {
        r"\sum": "over the positions of a class or region of an image, or of the batch with `aggregate` 'batch'",
        "p": "the probability there: softmax of `input`, or its sigmoid in the sigmoid form",
        "g": "1 where `target` is the class or region, 0 elsewhere, in between for soft regions",
        r"\epsilon": "`smooth`, in positions; with 0, 0 / 0 counts as a perfect score",
    },
    "paper": "Rahman and Wang, ISVC 2016",
    "equation": "unconfirmed",
    "defaults": "epsilon = 1 as for Dice",
    "search": {},
}


CARDS = (
    card(dice_loss, DiceLoss, relatives=("jaccard_loss", "tversky_loss", "sigmoid_dice_loss"), **_DICE),
    card(sigmoid_dice_loss, SigmoidDiceLoss, relatives=("dice_loss", "sigmoid_jaccard_loss"), **_DICE),
    card(jaccard_loss, JaccardLoss, relatives=("dice_loss", "sigmoid_jaccard_loss"), **_JACCARD),
    card(sigmoid_jaccard_loss, SigmoidJaccardLoss, relatives=("jaccard_loss", "sigmoid_dice_loss"), **_JACCARD),
)
