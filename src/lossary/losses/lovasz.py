"""Lovasz losses: intersection over union of hard masks, made convex in the errors of the positions."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, dtype

from lossary._check import check_among, check_shape
from lossary._loss import Loss
from lossary._reduce import Reduction
from lossary._rules import ClassWeight, checked
from lossary.cards import Call, Card, Choice
from lossary.kernels.order import lovasz_jaccard, softmax_errors
from lossary.kernels.stable import accumulate
from lossary.losses._overlap import (
    Positions,
    class_scores,
    draw_indices,
    draw_regions,
    edges_indices,
    edges_regions,
    reduce_scores,
    region_scores,
)
from lossary.losses._pointwise import hide

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
) -> Tensor:
    r"""Intersection over union of hard masks, extended to the softmax's errors: sorted, each weighs what it costs.

    .. math:: \sum_i m_{(i)} \left( \Delta_J(\{(1), \dots, (i)\}) - \Delta_J(\{(1), \dots, (i - 1)\}) \right),
        \qquad m_i = |g_i - p_i|, \quad m_{(1)} \ge m_{(2)} \ge \dots

    Delta_J of M is one minus intersection over union of the true region and a prediction wrong at M.

    Args:
        input: (N, C, ...) logits, C >= 2.
        target: (N, ...) class indices of any integer dtype.
        classes: ``"present"`` leaves out classes without a true position; ``"all"`` counts their largest error.
        per_image: Whether each image's class is sorted by itself, and not each class of the whole batch.
        ignore_index: Positions of this label count nowhere; None for no such label.
        class_weight: (C,) weights of the classes' losses.
        sample_weight: One weight an image, (N,), or one for each of its classes, (N, C). Without ``per_image``
            an image of weight 2 counts as two.
        mask: Boolean, True where a position counts: the shape of ``target`` or its leading dimensions, as (N,). Where
            it leaves nothing there is no score.
        reduction: ``"none"``, ``"sum"`` or ``"mean"``.

    Returns:
        A scalar; or (C,), with ``per_image`` (N, C). ``mean`` is over those that are not left out.

    Raises:
        ValueError: Wrong shapes, a single class (its softmax is always 1), an unknown option.
        TypeError: Targets that are no integers.
        IndexError: A target outside of [0, C).

    Example:
        >>> import torch
        >>> logits = torch.tensor([[[9.0, -9.0, 9.0, -9.0], [-9.0, 9.0, -9.0, 9.0]]])
        >>> lovasz_softmax_loss(logits, torch.tensor([[0, 1, 0, 0]]))
        tensor(0.4167)

    Source:
        Berman, Triki and Blaschko, arXiv:1705.08790, eq. 8, 9 and 11; the defaults are those of their code. Where
        ``per_image``, their code first averages over an image's classes, then over images. Common code takes the
        differences of the Jaccard losses as they stand, and loses four digits of the gradient. Where errors are tied,
        the gradient is one of several that are right.
    """
    scores = class_scores(input, target, ignore_index, sample_weight, mask, "sigmoid_lovasz_loss")
    errors, truth = softmax_errors(*scores[:3])
    return _jaccard(errors, truth, scores, classes, per_image, class_weight, reduction)


class LovaszSoftmaxLoss(Loss):
    """:func:`lovasz_softmax_loss` as a Module."""

    fn = staticmethod(lovasz_softmax_loss)
    classes: Classes = "present"
    per_image: bool = False
    ignore_index: int | None = -100
    class_weight: ClassWeight | None = None
    reduction: Reduction = "mean"


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
) -> Tensor:
    r"""Intersection over union of hard masks, extended to the sigmoid's errors; regions may overlap.

    .. math:: \sum_i m_{(i)} \left( \Delta_J(\{(1), \dots, (i)\}) - \Delta_J(\{(1), \dots, (i - 1)\}) \right),
        \qquad m_i = |g_i - \sigma(\text{input}_i)|, \quad m_{(1)} \ge m_{(2)} \ge \dots

    Delta_J of M is one minus intersection over union of the true region and a prediction wrong at M.

    Args:
        input: (N, C, ...) logits; C = 1 for one region.
        target: The shape of ``input``: 0/1 of bool, integer or float dtype.
        classes: ``"present"`` leaves out channels without a true position; ``"all"`` counts their largest error.
        per_image: Whether each image's channel is sorted by itself, and not each channel of the whole batch.
        ignore_index: Positions of this target value count nowhere; None for no such value.
        class_weight: (C,) weights of the channels' losses.
        sample_weight: One weight an image, (N,), or one for each of its channels, (N, C). Without ``per_image``
            an image of weight 2 counts as two.
        mask: Boolean, True where a position counts: the shape of ``input`` or its leading dimensions, as (N,). Where
            it leaves nothing there is no score.
        reduction: ``"none"``, ``"sum"`` or ``"mean"``.

    Returns:
        A scalar; or (C,), with ``per_image`` (N, C). ``mean`` is over those that are not left out.

    Raises:
        ValueError: Wrong shapes, a target that is neither 0 nor 1 nor ``ignore_index``, an unknown option.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[[9.0, -9.0, 9.0, -9.0]]])
        >>> sigmoid_lovasz_loss(logits, torch.tensor([[[1, 0, 0, 0]]]))
        tensor(0.5000)

    Source:
        As :func:`lovasz_softmax_loss`, whose code takes a sigmoid's probabilities of one channel.
    """
    scores = _regions(input, target, ignore_index, sample_weight, mask)
    errors = (scores.logits * (1 - 2 * scores.target)).sigmoid()  # not |g - p|, which ends at 6e-8 in float32
    return _regions_jaccard(errors, scores, classes, per_image, class_weight, reduction)


class SigmoidLovaszLoss(Loss):
    """:func:`sigmoid_lovasz_loss` as a Module."""

    fn = staticmethod(sigmoid_lovasz_loss)
    classes: Classes = "all"
    per_image: bool = False
    ignore_index: int | None = None
    class_weight: ClassWeight | None = None
    reduction: Reduction = "mean"


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
) -> Tensor:
    r"""Intersection over union of hard masks, extended to what the scores lack to a margin of 1.

    .. math:: \sum_i m_{(i)} \left( \Delta_J(\{(1), \dots, (i)\}) - \Delta_J(\{(1), \dots, (i - 1)\}) \right),
        \qquad m_i = \max(0, 1 - (2 g_i - 1)\, \text{input}_i), \quad m_{(1)} \ge m_{(2)} \ge \dots

    Delta_J of M is one minus intersection over union of the true region and a prediction wrong at M.

    Args:
        input: (N, C, ...) scores, above 0 for a position in the region; C = 1 for one region.
        target: The shape of ``input``: 0/1 of bool, integer or float dtype.
        classes: ``"present"`` leaves out channels without a true position; ``"all"`` counts their largest error.
        per_image: Whether each image's channel is sorted by itself, and not each channel of the whole batch.
        ignore_index: Positions of this target value count nowhere; None for no such value.
        class_weight: (C,) weights of the channels' losses.
        sample_weight: One weight an image, (N,), or one for each of its channels, (N, C). Without ``per_image``
            an image of weight 2 counts as two.
        mask: Boolean, True where a position counts: the shape of ``input`` or its leading dimensions, as (N,). Where
            it leaves nothing there is no score.
        reduction: ``"none"``, ``"sum"`` or ``"mean"``.

    Returns:
        A scalar; or (N, C), without ``per_image`` (C,). ``mean`` is over those that are not left out.

    Raises:
        ValueError: Wrong shapes, a target that is neither 0 nor 1 nor ``ignore_index``, an unknown option.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[[3.0, -3.0, 0.5, -3.0]]])
        >>> lovasz_hinge_loss(scores, torch.tensor([[[1, 0, 0, 0]]]))
        tensor(0.7500)

    Source:
        Yu and Blaschko, arXiv:1512.07797; for the Jaccard loss Berman, Triki and Blaschko, arXiv:1705.08790, section 2,
        whose code's defaults these are. One position alone has the hinge loss.
    """
    scores = _regions(input, target, ignore_index, sample_weight, mask)
    errors = (1 + scores.logits * (1 - 2 * scores.target)).relu()
    return _regions_jaccard(errors, scores, classes, per_image, class_weight, reduction)


class LovaszHingeLoss(Loss):
    """:func:`lovasz_hinge_loss` as a Module."""

    fn = staticmethod(lovasz_hinge_loss)
    classes: Classes = "all"
    per_image: bool = True
    ignore_index: int | None = None
    class_weight: ClassWeight | None = None
    reduction: Reduction = "mean"


def _regions(
    input: Tensor, target: Tensor, ignore_index: int | None, sample_weight: Tensor | None, mask: Tensor | None
) -> Positions:
    """The scores with 0/1 targets of their dtype."""
    scores = region_scores(input, target, ignore_index, sample_weight, mask)
    check_among("target", scores.target, (0, 1) if ignore_index is None else (0, 1, ignore_index))
    logits, true = accumulate(scores.logits), hide(scores.target, scores.keep)
    return scores._replace(logits=logits, target=true.to(logits.dtype))


def _regions_jaccard(
    errors: Tensor, scores: Positions, classes: Classes, per_image: bool, class_weight: Tensor | None, reduction: str
) -> Tensor:
    truth = scores.target == 1  # nowhere where it is hidden
    return _jaccard(hide(errors, scores.keep), truth, scores, classes, per_image, class_weight, reduction)


def _jaccard(
    errors: Tensor,
    truth: Tensor,
    scores: Positions,
    classes: Classes,
    per_image: bool,
    class_weight: Tensor | None,
    reduction: str,
) -> Tensor:
    """Lovasz's extension of each class's Jaccard loss, reduced over classes or images' classes."""
    if class_weight is not None:
        check_shape("class_weight", class_weight, truth.shape[1:2])
    weight, exists = scores[3:]
    loss = lovasz_jaccard(errors, truth, per_sample=per_image, weight=None if per_image else weight)
    present = truth.any(2)
    if not per_image:  # the images' weights are in the sorted positions then
        present = (present if weight is None else present & (weight != 0)).any(0)
        weight, exists = None, None if exists is None else exists.any(0)
    return reduce_scores(loss, weight, exists, class_weight, present if classes == "present" else None, reduction)


def _edges(placed: Callable[[dtype], tuple[Call, ...]], dt: dtype) -> tuple[Call, ...]:
    """The other overlap losses' placed batches, and one whose errors are tiny: 1 - p is 0 for them in float32."""
    sure = torch.tensor([[[20.0, 0.0, -25.0], [0.0, 30.0, -5.0], [-3.0, 0.0, 1.0]]], dtype=dt)
    first = placed(dt)[0].args[1]
    target = (sure == sure.amax(1, keepdim=True)) if first.dim() == 3 else torch.tensor([[0, 1, 2]])
    return (Call((sure, target)), *(Call(call.args) for call in placed(dt)))


_card = partial(
    Card,
    formula=(
        r"\sum_i m_{(i)} \left( \Delta_J(\{(1), \dots, (i)\}) - \Delta_J(\{(1), \dots, (i - 1)\}) \right),"
        r" \quad m_{(1)} \ge m_{(2)} \ge \dots"
    ),
    data="masks",
    kernel="order",
    item="image-class",
    separable=False,
    mean_is_plain=False,
    at_call=frozenset({"sample_weight", "mask"}),
)
_SEARCH: dict[str, Any] = {"per_image": Choice((False, True)), "classes": Choice(("present", "all"))}
_VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"classes": "all", "per_image": True},
    {"classes": "present", "per_image": False, "ignore_index": 0},
    {"class_weight": torch.tensor([0.0, 1.0, 2.5])},
)
_PITFALLS = (
    "Alone it is hard to train from scratch: begin with cross-entropy, or add it.",
    "Common code takes differences of nearly equal fractions: in float32 the gradient is wrong in the third digit.",
)

CARDS = (
    _card(
        fn=lovasz_softmax_loss,
        module=LovaszSoftmaxLoss,
        paper="arXiv:1705.08790",
        equation="11",
        defaults="the paper's code",
        draw=draw_indices,
        edges=partial(_edges, edges_indices),
        variants=_VARIANTS,
        search=_SEARCH,
        when="Segmentation into exclusive classes, judged by intersection over union; after or beside cross-entropy.",
        pitfalls=_PITFALLS,
        relatives=("jaccard_loss", "sigmoid_lovasz_loss"),
    ),
    _card(
        fn=sigmoid_lovasz_loss,
        module=SigmoidLovaszLoss,
        paper="arXiv:1705.08790",
        equation="11",
        defaults="the paper's code",
        draw=draw_regions,
        edges=partial(_edges, edges_regions),
        variants=_VARIANTS,
        search=_SEARCH,
        when="Segmentation of one region, or of regions that may overlap, judged by intersection over union.",
        pitfalls=_PITFALLS,
        relatives=("sigmoid_jaccard_loss", "lovasz_hinge_loss", "lovasz_softmax_loss"),
    ),
    _card(
        fn=lovasz_hinge_loss,
        module=LovaszHingeLoss,
        paper="arXiv:1512.07797",
        equation="",
        defaults="the code of arXiv:1705.08790",
        draw=draw_regions,
        edges=partial(_edges, edges_regions),
        variants=_VARIANTS,
        search=_SEARCH,
        when="As sigmoid_lovasz_loss, for scores that are no logits: right ones beyond the margin cost nothing.",
        pitfalls=_PITFALLS,
        relatives=("sigmoid_lovasz_loss", "hinge_loss"),
    ),
)
