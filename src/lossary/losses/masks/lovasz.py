"""Lovasz losses: intersection over union of hard masks, made convex in the positions' errors."""

from functools import partial
from typing import Any, Literal

from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Card, Choice
from lossary.core.check import check_among, check_shape
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction
from lossary.core.rules import ClassWeight, checked
from lossary.distributed import Ranks, across_ranks
from lossary.distributed.shards import Shards
from lossary.kernels.order import at_once, lovasz_jaccard, lovasz_softmax, softmax_errors
from lossary.kernels.stable import accumulate
from lossary.losses._pointwise import hide
from lossary.losses.masks._shared import Positions, class_scores, reduce_scores, region_scores

__all__ = [
    "LovaszHingeLoss",
    "LovaszSoftmaxLoss",
    "SigmoidLovaszLoss",
    "lovasz_hinge_loss",
    "lovasz_softmax_loss",
    "sigmoid_lovasz_loss",
]


#: Which classes count: those with a true position, or all.
Classes = Literal["present", "all"]


@across_ranks
@checked
def lovasz_softmax_loss(
    input: Tensor,
    target: Tensor,
    *,
    classes: Classes = "present",
    per_image: bool = False,
    ignore_index: int | None = -100,
    class_weight: ClassWeight | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Intersection over union of hard masks, extended to softmax errors: sorted, each weighted by what it costs.

    .. math:: \sum_i m_{(i)} \left( \Delta_J(\{(1), \dots, (i)\}) - \Delta_J(\{(1), \dots, (i - 1)\}) \right),
        \qquad m_i = |g_i - p_i|, \quad m_{(1)} \ge m_{(2)} \ge \dots

    Delta_J of M is one minus intersection over union of the true region and a prediction wrong at M.

    Args:
        input: (N, C, ...) logits, C >= 2.
        target: (N, ...) class indices of any integer dtype.
        classes: ``"present"`` leaves out classes without a true position; ``"all"`` counts their largest error.
        per_image: Whether each class is sorted within each image instead of over the whole batch.
        ignore_index: Positions with this label do not count; None for no such label.
        class_weight: (C,) weights of the classes' losses.
        sample_weight: One weight per image, (N,), or one for each of its classes, (N, C). Without ``per_image`` an
            image of weight 2 counts as two.
        mask: Boolean, True where a position counts: the shape of ``target`` or its leading dimensions, such as (N,).
            Where it leaves no position, there is no score.
        reduction: ``"none"``, ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' images are one batch: for the mean and, without ``per_image``, for the order
            of the errors. Each rank then sorts some of the classes, and all ranks have the same losses.

    Returns:
        A scalar; or (C,), with ``per_image`` (N, C). ``mean`` averages those not left out.

    Raises:
        ValueError: Wrong shapes, a single class (its softmax is always 1), an unknown option.
        TypeError: Targets that are not integers.
        IndexError: A target outside of [0, C).

    Example:
        >>> import torch
        >>> logits = torch.tensor([[[9.0, -9.0, 9.0, -9.0], [-9.0, 9.0, -9.0, 9.0]]])
        >>> lovasz_softmax_loss(logits, torch.tensor([[0, 1, 0, 0]]))
        tensor(0.4167)

    Source:
        Berman, Triki and Blaschko, arXiv:1705.08790, eq. 8, 9 and 11; the defaults are those of their code. With
        ``per_image``, their code averages over an image's classes first, then over images. Common code subtracts the
        Jaccard losses directly and loses four digits of the gradient. Where errors are tied, the gradient is one of
        several right ones.
    """
    scores = class_scores(input, target, ignore_index, sample_weight, mask, "sigmoid_lovasz_loss")
    if at_once(scores.logits) and (per_image or (group is None and scores.weight is None)):
        return _softmax_at_once(scores, classes, per_image, class_weight, reduction, group)
    errors, truth = softmax_errors(scores.logits, scores.target, scores.keep)
    return _jaccard(errors, truth, scores, classes, per_image, class_weight, reduction, group, below_two=True)


class LovaszSoftmaxLoss(Loss):
    """:func:`lovasz_softmax_loss` as a Module."""

    fn = staticmethod(lovasz_softmax_loss)
    classes: Classes = "present"
    per_image: bool = False
    ignore_index: int | None = -100
    class_weight: ClassWeight | None = None
    reduction: Reduction = "mean"


@across_ranks
@checked
def sigmoid_lovasz_loss(
    input: Tensor,
    target: Tensor,
    *,
    classes: Classes = "all",
    per_image: bool = False,
    ignore_index: int | None = None,
    class_weight: ClassWeight | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Intersection over union of hard masks, extended to sigmoid errors; regions may overlap.

    .. math:: \sum_i m_{(i)} \left( \Delta_J(\{(1), \dots, (i)\}) - \Delta_J(\{(1), \dots, (i - 1)\}) \right),
        \qquad m_i = |g_i - \sigma(\text{input}_i)|, \quad m_{(1)} \ge m_{(2)} \ge \dots

    Delta_J of M is one minus intersection over union of the true region and a prediction wrong at M.

    Args:
        input: (N, C, ...) logits; C = 1 for one region.
        target: The shape of ``input``: 0/1 of bool, integer or float dtype.
        classes: ``"present"`` leaves out channels without a true position; ``"all"`` counts their largest error.
        per_image: Whether each channel is sorted within each image instead of over the whole batch.
        ignore_index: Positions with this target value do not count; None for no such value.
        class_weight: (C,) weights of the channels' losses.
        sample_weight: One weight per image, (N,), or one for each of its channels, (N, C). Without ``per_image`` an
            image of weight 2 counts as two.
        mask: Boolean, True where a position counts: the shape of ``input`` or its leading dimensions, such as (N,).
            Where it leaves no position, there is no score.
        reduction: ``"none"``, ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' images are one batch: for the mean and, without ``per_image``, for the order
            of the errors. Each rank then sorts some of the classes, and all ranks have the same losses.

    Returns:
        A scalar; or (C,), with ``per_image`` (N, C). ``mean`` averages those not left out.

    Raises:
        ValueError: Wrong shapes, a target that is neither 0 nor 1 nor ``ignore_index``, an unknown option.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[[9.0, -9.0, 9.0, -9.0]]])
        >>> sigmoid_lovasz_loss(logits, torch.tensor([[[1, 0, 0, 0]]]))
        tensor(0.5000)

    Source:
        As :func:`lovasz_softmax_loss`; its authors' code takes the sigmoid's probabilities of one channel.
    """
    scores = _regions(input, target, ignore_index, sample_weight, mask)
    errors = (scores.logits * (1 - 2 * scores.target)).sigmoid()  # not |g - p|, which drops from 6e-8 to 0 in float32
    return _regions_jaccard(errors, scores, classes, per_image, class_weight, reduction, group, below_two=True)


class SigmoidLovaszLoss(Loss):
    """:func:`sigmoid_lovasz_loss` as a Module."""

    fn = staticmethod(sigmoid_lovasz_loss)
    classes: Classes = "all"
    per_image: bool = False
    ignore_index: int | None = None
    class_weight: ClassWeight | None = None
    reduction: Reduction = "mean"


@across_ranks
@checked
def lovasz_hinge_loss(
    input: Tensor,
    target: Tensor,
    *,
    classes: Classes = "all",
    per_image: bool = True,
    ignore_index: int | None = None,
    class_weight: ClassWeight | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Intersection over union of hard masks, extended to how far scores fall short of a margin of 1.

    .. math:: \sum_i m_{(i)} \left( \Delta_J(\{(1), \dots, (i)\}) - \Delta_J(\{(1), \dots, (i - 1)\}) \right),
        \qquad m_i = \max(0, 1 - (2 g_i - 1)\, \text{input}_i), \quad m_{(1)} \ge m_{(2)} \ge \dots

    Delta_J of M is one minus intersection over union of the true region and a prediction wrong at M.

    Args:
        input: (N, C, ...) scores, above 0 for a position in the region; C = 1 for one region.
        target: The shape of ``input``: 0/1 of bool, integer or float dtype.
        classes: ``"present"`` leaves out channels without a true position; ``"all"`` counts their largest error.
        per_image: Whether each channel is sorted within each image instead of over the whole batch.
        ignore_index: Positions with this target value do not count; None for no such value.
        class_weight: (C,) weights of the channels' losses.
        sample_weight: One weight per image, (N,), or one for each of its channels, (N, C). Without ``per_image`` an
            image of weight 2 counts as two.
        mask: Boolean, True where a position counts: the shape of ``input`` or its leading dimensions, such as (N,).
            Where it leaves no position, there is no score.
        reduction: ``"none"``, ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' images are one batch: for the mean and, without ``per_image``, for the order
            of the errors. Each rank then sorts some of the classes, and all ranks have the same losses.

    Returns:
        A scalar; or (N, C), without ``per_image`` (C,). ``mean`` averages those not left out.

    Raises:
        ValueError: Wrong shapes, a target that is neither 0 nor 1 nor ``ignore_index``, an unknown option.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[[3.0, -3.0, 0.5, -3.0]]])
        >>> lovasz_hinge_loss(scores, torch.tensor([[[1, 0, 0, 0]]]))
        tensor(0.7500)

    Source:
        Yu and Blaschko, arXiv:1512.07797; for the Jaccard loss Berman, Triki and Blaschko, arXiv:1705.08790, section 2,
        with the defaults of their code. For a single position it is the hinge loss.
    """
    scores = _regions(input, target, ignore_index, sample_weight, mask)
    errors = (1 + scores.logits * (1 - 2 * scores.target)).relu()
    return _regions_jaccard(errors, scores, classes, per_image, class_weight, reduction, group)


class LovaszHingeLoss(Loss):
    """:func:`lovasz_hinge_loss` as a Module."""

    fn = staticmethod(lovasz_hinge_loss)
    classes: Classes = "all"
    per_image: bool = True
    ignore_index: int | None = None
    class_weight: ClassWeight | None = None
    reduction: Reduction = "mean"


def _softmax_at_once(
    scores: Positions,
    classes: Classes,
    per_image: bool,
    class_weight: Tensor | None,
    reduction: str,
    group: ProcessGroup | None,
) -> Tensor:
    if class_weight is not None:
        check_shape("class_weight", class_weight, scores.logits.shape[1:2])
    logits, target, keep, weight, exists = scores
    loss, present = lovasz_softmax(logits, target, keep, per_sample=per_image, absent=classes == "all")
    if not per_image:
        exists = None if exists is None else exists.any(0)
    counted = present if classes == "present" else None
    return reduce_scores(loss, weight, exists, class_weight, counted, reduction, group, zeroed=counted is not None)


def _regions(
    input: Tensor, target: Tensor, ignore_index: int | None, sample_weight: Tensor | None, mask: Tensor | None
) -> Positions:
    """The scores, with 0/1 targets in their dtype."""
    scores = region_scores(input, target, ignore_index, sample_weight, mask)
    check_among("target", scores.target, (0, 1) if ignore_index is None else (0, 1, ignore_index))
    logits, true = accumulate(scores.logits), hide(scores.target, scores.keep)
    return Positions(logits, true.to(logits.dtype), scores.keep, scores.weight, scores.exists)


def _regions_jaccard(
    errors: Tensor,
    scores: Positions,
    classes: Classes,
    per_image: bool,
    class_weight: Tensor | None,
    reduction: str,
    group: ProcessGroup | None,
    *,
    below_two: bool = False,
) -> Tensor:
    truth = scores.target == 1  # False where hidden
    options = (classes, per_image, class_weight, reduction, group)
    return _jaccard(hide(errors, scores.keep), truth, scores, *options, below_two=below_two)


def _jaccard(
    errors: Tensor,
    truth: Tensor,
    scores: Positions,
    classes: Classes,
    per_image: bool,
    class_weight: Tensor | None,
    reduction: str,
    group: ProcessGroup | None,
    *,
    below_two: bool = False,
) -> Tensor:
    """Lovasz's extension of each class's Jaccard loss, reduced over classes, or over images' classes."""
    if class_weight is not None:
        check_shape("class_weight", class_weight, truth.shape[1:2])
    weight, exists = scores.weight, scores.exists
    if per_image:
        loss, present = lovasz_jaccard(errors, truth, per_sample=True, below_two=below_two), truth.any(2)
    else:  # then the sorted positions carry the images' weights
        of_batch = partial(_of_batch, below_two=below_two) if group is None else partial(_of_ranks, group)
        loss, present, exists = of_batch(errors, truth, weight, exists)
        weight = group = None
    counted = present if classes == "present" else None
    return reduce_scores(loss, weight, exists, class_weight, counted, reduction, group)


def _of_batch(
    errors: Tensor, truth: Tensor, weight: Tensor | None, exists: Tensor | None, *, below_two: bool = False
) -> tuple[Tensor, Tensor, Tensor | None]:
    """(C,) each class's loss over all images, whether it is true anywhere, and whether it has any position."""
    loss = lovasz_jaccard(errors, truth, per_sample=False, weight=weight, below_two=below_two)
    present = truth.any((0, 2)) if weight is None else (truth.any(2) & (weight != 0)).any(0)
    return loss, present, None if exists is None else exists.any(0)


def _of_ranks(
    group: ProcessGroup, errors: Tensor, truth: Tensor, weight: Tensor | None, exists: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The same over all ranks' images: each rank takes some classes whole, so none holds more than it brought."""
    ranks, each = Ranks.of(group, input=errors), tuple(Shards(group, errors.shape[1]).sizes)
    weight = None if weight is None else ranks.columns(weight.expand(errors.shape[:2]), each)
    loss, present, _ = _of_batch(ranks.columns(errors, each), ranks.columns(truth, each), weight, None)
    classes, one = Ranks(each, ranks.rank, group), Ranks((1,) * len(each), ranks.rank, group)
    exists = None if exists is None else one.in_order(exists.any(0, keepdim=True)).any(0)
    return classes.in_order(loss), classes.in_order(present), exists


_card = partial(
    Card,
    data="masks",
    kernel="order",
    item="image-class",
    separable=False,
    mean_is_plain=False,
    at_call=frozenset({"sample_weight", "mask", "group"}),
)


_SEARCH: dict[str, Any] = {"per_image": Choice((False, True)), "classes": Choice(("present", "all"))}


_PITFALLS = (
    "On its own it is hard to train with from scratch: begin with cross-entropy, or add it.",
    "Common code subtracts nearly equal fractions: in float32 the gradient is wrong in the third digit.",
)


CARDS = (
    _card(
        fn=lovasz_softmax_loss,
        module=LovaszSoftmaxLoss,
        takes=("input-label",),
        input="logits",
        formula=(
            r"\sum_i m_{(i)} \left( \Delta_J(\{(1), \dots, (i)\}) - \Delta_J(\{(1), \dots, (i - 1)\}) "
            r"\right), \quad m_{(1)} \ge m_{(2)} \ge \dots, \quad m_i = |g_i - p_i|"
        ),
        symbols={
            r"i": "all positions, or with `per_image` those of one image; in parentheses, in order of falling error",
            r"m_{(i)}": "the i-th largest error of the class",
            r"\Delta_J": (
                "of a set of positions: one minus intersection over union of the true region and a prediction "
                "wrong at exactly these"
            ),
            r"m_i": "the error at position i",
            r"g_i": "1 where `target` is the class, 0 elsewhere",
            r"p_i": "the class's probability there: softmax of `input`",
        },
        paper="arXiv:1705.08790",
        equation="11",
        defaults="the paper's code",
        search=_SEARCH,
        when="Segmentation into exclusive classes, judged by intersection over union; after or added to cross-entropy.",
        pitfalls=_PITFALLS,
        relatives=("jaccard_loss", "sigmoid_lovasz_loss"),
    ),
    _card(
        fn=sigmoid_lovasz_loss,
        module=SigmoidLovaszLoss,
        takes=("input-target",),
        input="logits",
        formula=(
            r"\sum_i m_{(i)} \left( \Delta_J(\{(1), \dots, (i)\}) - \Delta_J(\{(1), \dots, (i - 1)\}) "
            r"\right), \quad m_{(1)} \ge m_{(2)} \ge \dots, \quad m_i = |g_i - p_i|"
        ),
        symbols={
            r"i": "all positions, or with `per_image` those of one image; in parentheses, in order of falling error",
            r"m_{(i)}": "the i-th largest error of the channel",
            r"\Delta_J": (
                "of a set of positions: one minus intersection over union of the true region and a prediction "
                "wrong at exactly these"
            ),
            r"m_i": "the error at position i",
            r"g_i": "`target` there, 0 or 1",
            r"p_i": "the region's probability there: sigmoid of `input`",
        },
        paper="arXiv:1705.08790",
        equation="11",
        defaults="the paper's code",
        search=_SEARCH,
        when="Segmentation of one region, or of regions that may overlap, judged by intersection over union.",
        pitfalls=_PITFALLS,
        relatives=("sigmoid_jaccard_loss", "lovasz_hinge_loss", "lovasz_softmax_loss"),
    ),
    _card(
        fn=lovasz_hinge_loss,
        module=LovaszHingeLoss,
        takes=("input-target",),
        input="scores",
        formula=(
            r"\sum_i m_{(i)} \left( \Delta_J(\{(1), \dots, (i)\}) - \Delta_J(\{(1), \dots, (i - 1)\}) "
            r"\right), \quad m_{(1)} \ge m_{(2)} \ge \dots, \quad m_i = \max(0, 1 - (2 g_i - 1)\, x_i)"
        ),
        symbols={
            r"i": "all positions, or with `per_image` those of one image; in parentheses, in order of falling error",
            r"m_{(i)}": "the i-th largest error of the channel",
            r"\Delta_J": (
                "of a set of positions: one minus intersection over union of the true region and a prediction "
                "wrong at exactly these"
            ),
            r"m_i": "how far the score falls short of a margin of 1",
            r"g_i": "`target` there, 0 or 1",
            r"x_i": "`input` there: a score, above 0 inside the region",
        },
        paper="arXiv:1512.07797",
        equation="unconfirmed",
        defaults="the code of arXiv:1705.08790",
        search=_SEARCH,
        when="As sigmoid_lovasz_loss, for scores that are not logits: right ones beyond the margin cost nothing.",
        pitfalls=_PITFALLS,
        relatives=("sigmoid_lovasz_loss", "hinge_loss"),
    ),
)
