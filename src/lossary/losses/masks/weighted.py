"""Overlap losses that focus on small or badly found regions: generalised Dice, and Tversky to a power."""

import dataclasses
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Choice, Range
from lossary.core.check import check_shape
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, reduce
from lossary.core.rules import ClassWeight, NotNegative, Positive, checked
from lossary.distributed import across_ranks
from lossary.kernels.overlap import Sums
from lossary.kernels.stable import widened
from lossary.losses.masks._shared import (
    Absent,
    Aggregate,
    Regions,
    Smooth,
    card,
    reduce_scores,
    sigmoid_regions,
    softmax_regions,
)

__all__ = [
    "FocalTverskyLoss",
    "GeneralizedDiceLoss",
    "SigmoidFocalTverskyLoss",
    "SigmoidGeneralizedDiceLoss",
    "focal_tversky_loss",
    "generalized_dice_loss",
    "sigmoid_focal_tversky_loss",
    "sigmoid_generalized_dice_loss",
]

#: A class's weight by the number of its true positions: one over its square, one over it, or equal.
Weighting = Literal["square", "simple", "uniform"]
#: A loss below this counts as 0: the slope of its power is unbounded there.
_NOTHING = 1e-15


def _share(wrong: Tensor, total: Tensor, smooth: float) -> Tensor:
    """``wrong / (total + smooth)``; computed as 1 minus what is right, a small loss would be a rounding error."""
    total = total + smooth
    nothing = total == 0
    return torch.where(nothing, 0, wrong) / torch.where(nothing, 1, total)


def _size_weights(truth: Tensor, weighting: Weighting) -> Tensor:
    """1 for the smallest class that is present, and for absent ones; less for larger ones."""
    least = torch.where(truth > 0, truth, torch.inf).amin(-1, keepdim=True)
    least = torch.where(least.isfinite(), least, 1)  # also if nothing is true
    power = {"square": 2, "simple": 1, "uniform": 0}[weighting]
    return (least / torch.maximum(truth, least)) ** power


def _generalized_dice(
    regions: Regions,
    weighting: Weighting,
    smooth: float,
    class_weight: Tensor | None,
    sample_weight: Tensor | None,
    reduction: str,
) -> Tensor:
    overlap, predicted, truth = (widened(s) for s in regions.sums)
    weight = _size_weights(truth, weighting)
    if class_weight is not None:
        weight = weight * class_weight.to(weight.dtype)
    wrong = (weight * ((predicted - overlap) + (truth - overlap))).sum(-1)
    losses = _share(wrong, (weight * (predicted + truth)).sum(-1), smooth).to(regions.sums.overlap.dtype)
    exists = None if regions.exists is None else regions.exists.any(-1)
    return reduce(
        losses, weight=sample_weight if losses.dim() else None, mask=exists, reduction=reduction, group=regions.group
    )


def _one_an_image(sample_weight: Tensor | None, input: Tensor) -> None:
    """The classes of an image make one loss, so they have no weights of their own here."""
    if sample_weight is not None:
        check_shape("sample_weight", sample_weight, tuple(input.shape[:1]))


@across_ranks
@checked
def generalized_dice_loss(
    input: Tensor,
    target: Tensor,
    *,
    weighting: Weighting = "square",
    smooth: Smooth = 1.0,
    aggregate: Aggregate = "per_sample",
    ignore_index: int | None = -100,
    class_weight: ClassWeight | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""One minus the overlap of all classes together, with small classes weighing as much as large ones.

    .. math:: 1 - \frac{2 \sum_c w_c \sum p\, g + \epsilon}{\sum_c w_c \left(\sum p + \sum g\right) + \epsilon},
              \qquad w_c \propto \frac{1}{\left(\sum g\right)^2}

    Args:
        input: (N, C, ...) logits, C >= 2.
        target: (N, ...) class indices of any integer dtype.
        weighting: ``"square"``, one over the square of a class's true positions; ``"simple"``, one over their number;
            ``"uniform"``, the same for all. The smallest class present weighs 1, and so does an absent one: predicting
            it costs as much as an error of the rarest.
        smooth: epsilon, in positions of the smallest class; 0 / 0 counts as a perfect score.
        aggregate: ``"per_sample"`` scores each sample, ``"batch"`` the whole batch.
        ignore_index: Positions with this label do not count; None for no such label.
        class_weight: (C,) factors of w.
        sample_weight: One weight per image, (N,). With ``aggregate="batch"`` an image of weight 2 counts as two.
        mask: Boolean, True where a position counts: the shape of ``target`` or its leading dimensions, such as (N,).
        reduction: ``"none"``, ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' samples are one batch: for the mean, and for ``aggregate="batch"``.

    Returns:
        A scalar; or (N,), with ``aggregate="batch"`` one score. ``mean`` averages the images not masked.

    Raises:
        ValueError: Wrong shapes, a single class (its softmax is always 1), an unknown option.
        TypeError: Targets that are not integers.
        IndexError: A target outside of [0, C).

    Example:
        >>> import torch
        >>> logits = torch.tensor([[[9.0, -9.0, 9.0, -9.0], [-9.0, 9.0, -9.0, 9.0]]])
        >>> generalized_dice_loss(logits, torch.tensor([[0, 1, 0, 0]]), smooth=0.0)
        tensor(0.3125)

    Source:
        Sudre et al., Generalised Dice overlap, arXiv:1707.03237, section 2, with weights by squares (the paper numbers
        none); there, an absent class has an infinite weight. Code that divides class by class, as a released version of
        MONAI did, cancels the weights and is plain Dice; next to weights of 1e-6, a fixed epsilon outweighs them.
    """
    _one_an_image(sample_weight, input)
    regions = softmax_regions(input, target, ignore_index, aggregate, sample_weight, mask, class_weight, group)
    return _generalized_dice(regions, weighting, smooth, class_weight, sample_weight, reduction)


class GeneralizedDiceLoss(Loss):
    """:func:`generalized_dice_loss` as a Module."""

    fn = staticmethod(generalized_dice_loss)
    weighting: Weighting = "square"
    smooth: Smooth = 1.0
    aggregate: Aggregate = "per_sample"
    ignore_index: int | None = -100
    class_weight: ClassWeight | None = None
    reduction: Reduction = "mean"


@across_ranks
@checked
def sigmoid_generalized_dice_loss(
    input: Tensor,
    target: Tensor,
    *,
    weighting: Weighting = "square",
    smooth: Smooth = 1.0,
    aggregate: Aggregate = "per_sample",
    ignore_index: int | None = None,
    class_weight: ClassWeight | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""One minus the overlap of all channels' regions together, with small ones weighing as much as large ones.

    .. math:: 1 - \frac{2 \sum_c w_c \sum p\, g + \epsilon}{\sum_c w_c \left(\sum p + \sum g\right) + \epsilon},
              \qquad w_c \propto \frac{1}{\left(\sum g\right)^2}

    Args:
        input: (N, C, ...) logits.
        target: The shape of ``input``: bool, integers 0 and 1, or soft regions in [0, 1].
        weighting: ``"square"``, one over the square of a region's true positions; ``"simple"``, one over their number;
            ``"uniform"``, the same for all. The smallest region present weighs 1, and so does an absent one.
        smooth: epsilon, in positions of the smallest region; 0 / 0 counts as a perfect score.
        aggregate: ``"per_sample"`` scores each sample, ``"batch"`` the whole batch.
        ignore_index: Positions with this target value do not count; None for no such value.
        class_weight: (C,) factors of w.
        sample_weight: One weight per image, (N,). With ``aggregate="batch"`` an image of weight 2 counts as two.
        mask: Boolean, True where a position counts: the shape of ``input`` or its leading dimensions, such as (N,).
        reduction: ``"none"``, ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' samples are one batch: for the mean, and for ``aggregate="batch"``.

    Returns:
        A scalar; or (N,), with ``aggregate="batch"`` one score. ``mean`` averages the images not masked.

    Raises:
        ValueError: Wrong shapes, a target outside of [0, 1] that is not ``ignore_index``, or that requires a gradient.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[[9.0, -9.0, 9.0, -9.0], [-9.0, 9.0, -9.0, 9.0]]])
        >>> sigmoid_generalized_dice_loss(logits, torch.tensor([[[1, 0, 0, 0], [0, 1, 0, 1]]]), smooth=0.0)
        tensor(0.2501)

    Source:
        As :func:`generalized_dice_loss`; soft regions as in :func:`sigmoid_dice_loss`.
    """
    _one_an_image(sample_weight, input)
    regions = sigmoid_regions(input, target, ignore_index, aggregate, sample_weight, mask, class_weight, group)
    if target.requires_grad and torch.is_grad_enabled():
        raise ValueError("target: wanted a tensor without requires_grad, since its sizes are weights; got one with it")
    return _generalized_dice(regions, weighting, smooth, class_weight, sample_weight, reduction)


class SigmoidGeneralizedDiceLoss(Loss):
    """:func:`sigmoid_generalized_dice_loss` as a Module."""

    fn = staticmethod(sigmoid_generalized_dice_loss)
    weighting: Weighting = "square"
    smooth: Smooth = 1.0
    aggregate: Aggregate = "per_sample"
    ignore_index: int | None = None
    class_weight: ClassWeight | None = None
    reduction: Reduction = "mean"


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
    share = _share(wrong, sums.overlap + wrong, smooth)
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


_GENERALIZED: dict[str, Any] = {
    "formula": (
        r"1 - \frac{2 \sum_c w_c \sum p\, g + \epsilon}{\sum_c w_c \left(\sum p + \sum g\right) + \epsilon}, "
        r"\qquad w_c \propto \frac{1}{\left(\sum g\right)^2}"
    ),
    "symbols": {
        r"c": "every class, or region",
        r"w_c": "its weight by `weighting`, 1 for the smallest present; times `class_weight`",
        r"p": "the probability at a position: softmax of `input`, or its sigmoid in the sigmoid form",
        r"g": "1 where `target` is the class or region, 0 elsewhere, in between for soft regions",
        r"\epsilon": "`smooth`, in positions of the smallest class; with 0, 0 / 0 counts as a perfect score",
    },
    "paper": "arXiv:1707.03237",
    "equation": "unnumbered",
    "defaults": "the paper's weights; epsilon = 1 as for Dice",
    "search": {"weighting": Choice(("square", "simple"))},
}


_FOCAL: dict[str, Any] = {
    "formula": r"\left(1 - \frac{TP + \epsilon}{TP + \alpha FP + \beta FN + \epsilon}\right)^{1 / \gamma}",
    "symbols": {
        "TP": "true positives: the sum of the probabilities where `target` has the class or region",
        r"\epsilon": "`smooth`, in positions; with 0, 0 / 0 counts as a perfect score",
        r"\alpha": "`alpha`, the weight of a false positive",
        "FP": "false positives: the sum of the probabilities where `target` does not have it",
        r"\beta": "`beta`, the weight of a false negative",
        "FN": "false negatives: the sum of one minus the probabilities where `target` has it",
        r"\gamma": "`gamma`, above 0: above 1, nearly right scores keep a steep gradient",
    },
    "paper": "arXiv:1810.07842",
    "equation": "unconfirmed",
    "defaults": "the paper's",
    "search": {"gamma": Range(0.5, 3.0, log=True), "alpha": Range(0.1, 0.9), "beta": Range(0.1, 0.9)},
}


_card = partial(card, at_call=frozenset({"sample_weight", "mask", "group"}))

CARDS = (
    dataclasses.replace(
        _card(
            generalized_dice_loss,
            GeneralizedDiceLoss,
            relatives=("dice_loss", "sigmoid_generalized_dice_loss", "focal_tversky_loss"),
            **_GENERALIZED,
        ),
        item="image",
    ),
    dataclasses.replace(
        _card(
            sigmoid_generalized_dice_loss,
            SigmoidGeneralizedDiceLoss,
            relatives=("sigmoid_dice_loss", "generalized_dice_loss"),
            **_GENERALIZED,
        ),
        item="image",
    ),
    _card(
        focal_tversky_loss,
        FocalTverskyLoss,
        relatives=("tversky_loss", "sigmoid_focal_tversky_loss", "dice_focal_loss"),
        **_FOCAL,
    ),
    _card(
        sigmoid_focal_tversky_loss,
        SigmoidFocalTverskyLoss,
        relatives=("sigmoid_tversky_loss", "focal_tversky_loss"),
        **_FOCAL,
    ),
)
