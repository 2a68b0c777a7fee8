"""Overlap that weights false positives and false negatives separately (Tversky), also raised to a power."""

from typing import Any

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Range
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction
from lossary.core.rules import ClassWeight, NotNegative, Positive, checked
from lossary.distributed import across_ranks
from lossary.kernels.overlap import Sums
from lossary.kernels.stable import widened
from lossary.losses.masks._shared import (
    Absent,
    Aggregate,
    Fraction,
    Regions,
    Smooth,
    card,
    reduce_scores,
    score_loss,
    share_wrong,
    sigmoid_regions,
    softmax_regions,
)

__all__ = [
    "FocalTverskyLoss",
    "SigmoidFocalTverskyLoss",
    "SigmoidTverskyLoss",
    "TverskyLoss",
    "focal_tversky_loss",
    "sigmoid_focal_tversky_loss",
    "sigmoid_tversky_loss",
    "tversky_loss",
]


def tversky_fraction(sums: Sums, alpha: float | Tensor, beta: float | Tensor) -> Fraction:
    wrong = alpha * (sums.predicted - sums.overlap) + beta * (sums.truth - sums.overlap)
    return Fraction(sums.overlap, sums.overlap + wrong)


@across_ranks
@checked
def tversky_loss(
    input: Tensor,
    target: Tensor,
    *,
    smooth: Smooth = 1.0,
    alpha: NotNegative = 0.3,
    beta: NotNegative = 0.7,
    aggregate: Aggregate = "per_sample",
    absent: Absent = "include",
    ignore_index: int | None = -100,
    class_weight: ClassWeight | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""One minus the Tversky index: Dice with separate weights for false positives and false negatives.

    .. math:: 1 - \frac{TP + \epsilon}{TP + \alpha FP + \beta FN + \epsilon}

    Args:
        input: (N, C, ...) logits, C >= 2.
        target: (N, ...) class indices of any integer dtype.
        smooth: epsilon, in positions; 0 / 0 counts as a perfect score.
        alpha: The weight of a false positive.
        beta: The weight of a false negative; 1/2 each is Dice.
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
        >>> tversky_loss(logits, torch.tensor([[0, 1, 0, 0]]), smooth=0.0)
        tensor(0.2450)

    Source:
        Salehi et al., arXiv:1706.05721, eq. 3 and 4, where alpha = 0.3 and beta = 0.7 found small lesions best; epsilon
        as in :func:`dice_loss`. Some code swaps alpha and beta.
    """
    regions = softmax_regions(input, target, ignore_index, aggregate, sample_weight, mask, class_weight, group)
    return score_loss(tversky_fraction(regions.sums, alpha, beta), regions, smooth, absent, class_weight, reduction)


class TverskyLoss(Loss):
    """:func:`tversky_loss` as a Module."""

    fn = staticmethod(tversky_loss)
    smooth: Smooth = 1.0
    alpha: NotNegative = 0.3
    beta: NotNegative = 0.7
    aggregate: Aggregate = "per_sample"
    absent: Absent = "include"
    ignore_index: int | None = -100
    class_weight: ClassWeight | None = None
    reduction: Reduction = "mean"


@across_ranks
@checked
def sigmoid_tversky_loss(
    input: Tensor,
    target: Tensor,
    *,
    smooth: Smooth = 1.0,
    alpha: NotNegative = 0.3,
    beta: NotNegative = 0.7,
    aggregate: Aggregate = "per_sample",
    absent: Absent = "include",
    ignore_index: int | None = None,
    class_weight: ClassWeight | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""One minus the Tversky index of each channel's region and the true one; regions may overlap.

    .. math:: 1 - \frac{TP + \epsilon}{TP + \alpha FP + \beta FN + \epsilon}

    Args:
        input: (N, C, ...) logits; C = 1 for one region.
        target: The shape of ``input``: bool, integers 0 and 1, or soft regions in [0, 1].
        smooth: epsilon, in positions; 0 / 0 counts as a perfect score.
        alpha: The weight of a false positive.
        beta: The weight of a false negative; 1/2 each is Dice.
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
        >>> sigmoid_tversky_loss(logits, torch.tensor([[[1, 0, 0, 0]]]), smooth=0.0)
        tensor(0.2309)

    Source:
        As :func:`tversky_loss`; soft regions as in :func:`sigmoid_dice_loss`.
    """
    regions = sigmoid_regions(input, target, ignore_index, aggregate, sample_weight, mask, class_weight, group)
    return score_loss(tversky_fraction(regions.sums, alpha, beta), regions, smooth, absent, class_weight, reduction)


class SigmoidTverskyLoss(Loss):
    """:func:`sigmoid_tversky_loss` as a Module."""

    fn = staticmethod(sigmoid_tversky_loss)
    smooth: Smooth = 1.0
    alpha: NotNegative = 0.3
    beta: NotNegative = 0.7
    aggregate: Aggregate = "per_sample"
    absent: Absent = "include"
    ignore_index: int | None = None
    class_weight: ClassWeight | None = None
    reduction: Reduction = "mean"


_TVERSKY: dict[str, Any] = {
    "formula": r"1 - \frac{TP + \epsilon}{TP + \alpha FP + \beta FN + \epsilon}",
    "symbols": {
        "TP": "true positives: the sum of the probabilities where `target` has the class or region",
        r"\epsilon": "`smooth`, in positions; with 0, 0 / 0 counts as a perfect score",
        r"\alpha": "`alpha`, the weight of a false positive",
        "FP": "false positives: the sum of the probabilities where `target` does not have it",
        r"\beta": "`beta`, the weight of a false negative",
        "FN": "false negatives: the sum of one minus the probabilities where `target` has it",
    },
    "paper": "arXiv:1706.05721",
    "defaults": "alpha and beta: the paper's best",
    "search": {"alpha": Range(0.1, 0.9), "beta": Range(0.1, 0.9)},
}


#: A loss below this counts as 0: the slope of its power is unbounded there.
_NOTHING = 1e-15


def _focal_tversky(
    regions: Regions,
    gamma: float | Tensor,
    alpha: float | Tensor,
    beta: float | Tensor,
    smooth: float,
    absent: Absent,
    class_weight: Tensor | None,
    reduction: str,
) -> Tensor:
    sums = Sums(*(widened(s) for s in regions.sums))
    wrong = alpha * (sums.predicted - sums.overlap) + beta * (sums.truth - sums.overlap)
    share = share_wrong(wrong, sums.overlap + wrong, smooth)
    some = ~(share < _NOTHING)  # written so that a NaN stays one
    losses = torch.where(some, torch.where(some, share, 1) ** (1 / gamma), 0).to(regions.sums.overlap.dtype)
    present = sums.truth != 0 if absent == "skip" else None
    return reduce_scores(losses, regions.weight, regions.exists, class_weight, present, reduction, regions.group)


@across_ranks
@checked
def focal_tversky_loss(
    input: Tensor,
    target: Tensor,
    *,
    gamma: Positive = 4 / 3,
    smooth: Smooth = 1.0,
    alpha: NotNegative = 0.3,
    beta: NotNegative = 0.7,
    aggregate: Aggregate = "per_sample",
    absent: Absent = "include",
    ignore_index: int | None = -100,
    class_weight: ClassWeight | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""The Tversky loss of each class to a power, so that badly found classes, or nearly right ones, count more.

    .. math:: \left(1 - \frac{TP + \epsilon}{TP + \alpha FP + \beta FN + \epsilon}\right)^{1 / \gamma}

    Args:
        input: (N, C, ...) logits, C >= 2.
        target: (N, ...) class indices of any integer dtype.
        gamma: Above 1, nearly right scores keep a steep gradient; below 1, badly wrong ones have the steeper one.
        smooth: epsilon, in positions; 0 / 0 counts as a perfect score.
        alpha: The weight of a false positive.
        beta: The weight of a false negative.
        aggregate: ``"per_sample"`` scores each sample's class, ``"batch"`` each class over the whole batch.
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
        A scalar; or (N, C), with ``aggregate="batch"`` (C,). A loss below 1e-15 before the power counts as 0, so that
        the gradient stays finite.

    Raises:
        ValueError: Wrong shapes, a single class (its softmax is always 1), an unknown option, a gamma of 0 or below.
        TypeError: Targets that are not integers.
        IndexError: A target outside of [0, C).

    Example:
        >>> import torch
        >>> logits = torch.tensor([[[9.0, -9.0, 9.0, -9.0], [-9.0, 9.0, -9.0, 9.0]]])
        >>> focal_tversky_loss(logits, torch.tensor([[0, 1, 0, 0]]), smooth=0.0)
        tensor(0.3481)

    Source:
        Abraham and Khan, A Novel Focal Tversky Loss Function with Improved Attention U-Net, arXiv:1810.07842, whose
        gamma is 4/3 and whose alpha is our beta: 0.7 for false negatives. Some code raises the mean over classes to the
        power; some uses gamma itself instead of 1 / gamma.
    """
    regions = softmax_regions(input, target, ignore_index, aggregate, sample_weight, mask, class_weight, group)
    return _focal_tversky(regions, gamma, alpha, beta, smooth, absent, class_weight, reduction)


class FocalTverskyLoss(Loss):
    """:func:`focal_tversky_loss` as a Module."""

    fn = staticmethod(focal_tversky_loss)
    gamma: Positive = 4 / 3
    smooth: Smooth = 1.0
    alpha: NotNegative = 0.3
    beta: NotNegative = 0.7
    aggregate: Aggregate = "per_sample"
    absent: Absent = "include"
    ignore_index: int | None = -100
    class_weight: ClassWeight | None = None
    reduction: Reduction = "mean"


@across_ranks
@checked
def sigmoid_focal_tversky_loss(
    input: Tensor,
    target: Tensor,
    *,
    gamma: Positive = 4 / 3,
    smooth: Smooth = 1.0,
    alpha: NotNegative = 0.3,
    beta: NotNegative = 0.7,
    aggregate: Aggregate = "per_sample",
    absent: Absent = "include",
    ignore_index: int | None = None,
    class_weight: ClassWeight | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""The Tversky loss of each channel's region to a power; regions may overlap.

    .. math:: \left(1 - \frac{TP + \epsilon}{TP + \alpha FP + \beta FN + \epsilon}\right)^{1 / \gamma}

    Args:
        input: (N, C, ...) logits; C = 1 for one region.
        target: The shape of ``input``: bool, integers 0 and 1, or soft regions in [0, 1].
        gamma: Above 1, nearly right scores keep a steep gradient; below 1, badly wrong ones have the steeper one.
        smooth: epsilon, in positions; 0 / 0 counts as a perfect score.
        alpha: The weight of a false positive.
        beta: The weight of a false negative.
        aggregate: ``"per_sample"`` scores each sample's channel, ``"batch"`` each channel over the batch.
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
        A scalar; or (N, C), with ``aggregate="batch"`` (C,). A loss below 1e-15 before the power counts as 0.

    Raises:
        ValueError: Wrong shapes, a target outside of [0, 1] that is not ``ignore_index``, an unknown option, a gamma
            of 0 or below.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[[9.0, -9.0, 9.0, -9.0]]])
        >>> sigmoid_focal_tversky_loss(logits, torch.tensor([[[1, 0, 0, 0]]]), smooth=0.0)
        tensor(0.3331)

    Source:
        As :func:`focal_tversky_loss`; soft regions as in :func:`sigmoid_dice_loss`.
    """
    regions = sigmoid_regions(input, target, ignore_index, aggregate, sample_weight, mask, class_weight, group)
    return _focal_tversky(regions, gamma, alpha, beta, smooth, absent, class_weight, reduction)


class SigmoidFocalTverskyLoss(Loss):
    """:func:`sigmoid_focal_tversky_loss` as a Module."""

    fn = staticmethod(sigmoid_focal_tversky_loss)
    gamma: Positive = 4 / 3
    smooth: Smooth = 1.0
    alpha: NotNegative = 0.3
    beta: NotNegative = 0.7
    aggregate: Aggregate = "per_sample"
    absent: Absent = "include"
    ignore_index: int | None = None
    class_weight: ClassWeight | None = None
    reduction: Reduction = "mean"


_FOCAL: dict[str, Any] = {
    "formula": r"\left(1 - \frac{TP + \epsilon}{TP + \alpha FP + \beta FN + \epsilon}\right)^{1 / \gamma}",
    "symbols": {
        **_TVERSKY["symbols"],
        r"\gamma": "`gamma`, above 0: above 1, nearly right scores keep a steep gradient",
    },
    "paper": "arXiv:1810.07842",
    "equation": "4",
    "defaults": "the paper's",
    "search": {"gamma": Range(0.5, 3.0, log=True), "alpha": Range(0.1, 0.9), "beta": Range(0.1, 0.9)},
}

CARDS = (
    card(tversky_loss, TverskyLoss, relatives=("dice_loss", "sigmoid_tversky_loss"), equation="3", **_TVERSKY),
    card(
        sigmoid_tversky_loss,
        SigmoidTverskyLoss,
        relatives=("tversky_loss", "sigmoid_dice_loss"),
        equation="3",
        **_TVERSKY,
    ),
    card(
        focal_tversky_loss,
        FocalTverskyLoss,
        relatives=("tversky_loss", "sigmoid_focal_tversky_loss", "dice_focal_loss"),
        **_FOCAL,
    ),
    card(
        sigmoid_focal_tversky_loss,
        SigmoidFocalTverskyLoss,
        relatives=("sigmoid_tversky_loss", "focal_tversky_loss"),
        **_FOCAL,
    ),
)
