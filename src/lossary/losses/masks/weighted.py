"""Overlap with small classes weighing as much as large ones: generalised Dice."""

import dataclasses
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Choice
from lossary.core.check import check_shape
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, reduce
from lossary.core.rules import ClassWeight, checked
from lossary.distributed import across_ranks
from lossary.kernels.stable import widened
from lossary.losses.masks._shared import (
    Aggregate,
    Regions,
    Smooth,
    card,
    share_wrong,
    sigmoid_regions,
    softmax_regions,
)

__all__ = [
    "GeneralizedDiceLoss",
    "SigmoidGeneralizedDiceLoss",
    "generalized_dice_loss",
    "sigmoid_generalized_dice_loss",
]


#: A class's weight by the number of its true positions: one over its square, one over it, or equal.
Weighting = Literal["square", "simple", "uniform"]


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
    losses = share_wrong(wrong, (weight * (predicted + truth)).sum(-1), smooth).to(regions.sums.overlap.dtype)
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


CARDS = (
    dataclasses.replace(
        card(
            generalized_dice_loss,
            GeneralizedDiceLoss,
            relatives=("dice_loss", "sigmoid_generalized_dice_loss", "focal_tversky_loss"),
            **_GENERALIZED,
        ),
        item="image",
    ),
    dataclasses.replace(
        card(
            sigmoid_generalized_dice_loss,
            SigmoidGeneralizedDiceLoss,
            relatives=("sigmoid_dice_loss", "generalized_dice_loss"),
            **_GENERALIZED,
        ),
        item="image",
    ),
)
