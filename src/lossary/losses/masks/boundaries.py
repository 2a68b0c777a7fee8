"""Segmentation by how far off a position is: distances to the true boundary, and to the predicted one."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import torch
from torch import Tensor

from lossary.core.card import Card, Range
from lossary.core.check import (
    as_numbers,
    check_among,
    check_float,
    check_numbers,
    check_range,
    check_same_shape,
    check_several_classes,
    check_shape,
    check_tensor,
    check_whole,
)
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, align
from lossary.core.rules import POSITIVE, ClassWeight, checked
from lossary.kernels import transform
from lossary.kernels.stable import accumulate
from lossary.losses._pointwise import hide
from lossary.losses.masks._shared import Positions, class_scores, reduce_scores, region_scores

__all__ = [
    "BoundaryLoss",
    "HausdorffDTLoss",
    "SigmoidBoundaryLoss",
    "SigmoidHausdorffDTLoss",
    "boundary_loss",
    "hausdorff_dt_loss",
    "sigmoid_boundary_loss",
    "sigmoid_hausdorff_dt_loss",
    "signed_distances",
]

#: How far positions are apart: one number, or one per dimension.
Spacing = Annotated[float | Sequence[float], partial(check_numbers, low=0, open_low=True)]
Exponent = Annotated[float, POSITIVE]


@torch.no_grad()
@checked
def signed_distances(
    target: Tensor, *, classes: int | None = None, spacing: Spacing = 1.0, ignore_index: int | None = -100
) -> Tensor:
    """How far each position is from each true region, or, below 0, how deep inside it: for :func:`boundary_loss`.

    Outside a region it is the distance to the nearest position inside, inside minus the distance to the nearest one
    outside, both exact. Where a region is absent, or everywhere, there is no boundary and all is 0. It takes as many
    steps as an image has positions, times the sum of its sides but the last: of large images compute it once, beside
    the labels.

    Args:
        target: (N, C, ...) regions of 0 and 1, or, with ``classes``, (N, ...) class indices.
        classes: C, if ``target`` holds class indices.
        spacing: How far positions are apart, such as the size of a voxel: one number, or one per dimension.
        ignore_index: Positions with this label are neither inside nor outside; None for no such label.

    Returns:
        (N, C, ...) in the default dtype.

    Raises:
        ValueError: Wrong shapes, ``spacing`` not above 0, or of more or fewer dimensions than the images have.

    Example:
        >>> import torch
        >>> signed_distances(torch.tensor([[[0, 0, 1, 1, 1, 0]]]))
        tensor([[[ 2.,  1., -1., -2., -1.,  1.]]])
    """
    check_tensor("target", target)
    if classes is not None:
        check_whole("classes", classes, low=1)
        check_range("target", target, classes, ignore_index)
    keep = torch.ones_like(target, dtype=torch.bool) if ignore_index is None else target != ignore_index
    if classes is not None:
        inside = target[:, None] == torch.arange(classes, device=target.device).reshape(-1, *(1,) * (target.dim() - 1))
        keep = keep[:, None].expand_as(inside)
    else:
        check_among("target", target[keep], (0, 1))
        inside = target == 1
    if inside.dim() < 3:
        raise ValueError(f"target: wanted positions in one dimension or more; got shape {tuple(target.shape)}")
    shape = inside.shape[2:]
    within, beyond = ((there & keep).flatten(0, 1) for there in (inside, ~inside))
    found = transform.signed_distances(within, beyond, _per_dimension(spacing, shape), torch.get_default_dtype())
    return found.reshape(inside.shape)


def _per_dimension(spacing: float | Sequence[float], shape: torch.Size) -> tuple[float, ...]:
    numbers, single = as_numbers(spacing)
    if not single and len(numbers) != len(shape):
        raise ValueError(f"spacing: wanted one number, or {len(shape)}, one per dimension; got {len(numbers)}")
    return tuple(float(n) for n in numbers) * (len(shape) if single else 1)


@checked
def boundary_loss(
    input: Tensor,
    distances: Tensor,
    *,
    class_weight: ClassWeight | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Probabilities cost as much as they are far outside of the true regions, and earn as they are deep inside.

    .. math:: \frac{1}{P} \sum_i p_i\, \phi_i

    with the signed distance of each of the P positions to the class's boundary. It weighs an error by how far off it
    is, whatever the size of the region.

    Args:
        input: (N, C, ...) logits, C >= 2.
        distances: The shape of ``input``: from :func:`signed_distances`, above 0 outside.
        class_weight: (C,) weights of the classes' losses, such as 0 for the background.
        sample_weight: One weight per image, (N,), or one for each of its classes, (N, C).
        mask: Boolean, True where a position counts: the shape of ``input`` or its leading dimensions, such as (N,).
        reduction: ``"none"``, ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N, C). Below 0 if predictions lie inside: its least is minus the mean depth, not 0.

    Raises:
        ValueError: Wrong shapes, a single class (its softmax is always 1).

    Example:
        >>> import torch
        >>> target = torch.tensor([[0, 0, 1, 1]])
        >>> distances = signed_distances(target, classes=2)
        >>> right = 20 * torch.nn.functional.one_hot(target, 2).movedim(2, 1).float()
        >>> boundary_loss(right, distances), boundary_loss(-right, distances)
        (tensor(-0.7500), tensor(0.7500))

    Source:
        Kervadec et al., Boundary loss for highly unbalanced segmentation, arXiv:1812.07032. Its code adds 1 to the
        distances inside, also where positions are not 1 apart; here both sides are alike. It is meant to be added to a
        loss of regions, with a weight that grows: alone, predictions of nothing are hardly worse than a guess.
    """
    check_float("input", input)
    check_same_shape("distances", distances, "input", input)
    if input.dim() < 2:
        raise ValueError(f"input: wanted (N, C, ...); got shape {tuple(input.shape)}")
    check_several_classes("input", input, input.shape[1], "sigmoid_boundary_loss")
    _, there = align(None, mask, input.shape)
    x = accumulate(input)
    if there is not None:  # a class alone may be masked: its score still counts for the others
        x = hide(x, there.expand(x.shape).any(1, keepdim=True))
    scores = region_scores(x.softmax(1), distances, None, sample_weight, mask)
    return _along(scores, scores.logits, class_weight, reduction)


@checked
def sigmoid_boundary_loss(
    input: Tensor,
    distances: Tensor,
    *,
    class_weight: ClassWeight | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Each channel's probabilities cost as much as they are far outside of its region, and earn deep inside.

    .. math:: \frac{1}{P} \sum_i p_i\, \phi_i, \qquad p = \sigma(\text{input})

    Args:
        input: (N, C, ...) logits.
        distances: The shape of ``input``: from :func:`signed_distances`, above 0 outside.
        class_weight: (C,) weights of the regions' losses.
        sample_weight: One weight per image, (N,), or one for each of its regions, (N, C).
        mask: Boolean, True where a position counts: the shape of ``input`` or its leading dimensions, such as (N,).
        reduction: ``"none"``, ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N, C). Below 0 if predictions lie inside: its least is minus the mean depth, not 0.

    Raises:
        ValueError: Wrong shapes.

    Example:
        >>> import torch
        >>> target = torch.tensor([[[0, 0, 1, 1]]])
        >>> sigmoid_boundary_loss(20.0 * (2 * target - 1), signed_distances(target))
        tensor(-0.7500)

    Source:
        As :func:`boundary_loss`.
    """
    scores = region_scores(input, distances, None, sample_weight, mask)
    return _along(scores, accumulate(scores.logits).sigmoid(), class_weight, reduction)


def _along(scores: Positions, p: Tensor, class_weight: Tensor | None, reduction: str) -> Tensor:
    """The mean over positions of each map's probabilities times distances, reduced."""
    return _reduced(scores, p * scores.target.to(p.dtype), class_weight, reduction)


def _reduced(scores: Positions, each: Tensor, class_weight: Tensor | None, reduction: str) -> Tensor:
    if class_weight is not None:
        check_shape("class_weight", class_weight, tuple(each.shape[1:2]))
    keep = scores.keep
    if keep is None:
        losses = each.sum(2) / max(1, each.shape[2])
    else:
        keep = _per_class(keep)
        losses = torch.where(keep, each, 0).sum(2) / keep.sum(2).clamp_min(1)
    return reduce_scores(losses, scores.weight, scores.exists, class_weight, None, reduction)


def _per_class(keep: Tensor) -> Tensor:
    return keep if keep.dim() == 3 else keep[:, None]


@checked
def hausdorff_dt_loss(
    input: Tensor,
    target: Tensor,
    *,
    alpha: Exponent = 2.0,
    spacing: Spacing = 1.0,
    ignore_index: int | None = -100,
    class_weight: ClassWeight | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Squared errors weighed by how far they are from the true and from the predicted boundary (Hausdorff, by DT).

    .. math:: \frac{1}{P} \sum_i (p_i - g_i)^2 \big( |\phi_i|^\alpha + |\psi_i|^\alpha \big)

    with the distances of each of the P positions to the true boundary of a class and to that of the positions to which
    the prediction gives more than a half. They are exact, constant to the gradient, and computed anew for each batch:
    as many steps as an image has positions, times the sum of its sides but the last, per class.

    Args:
        input: (N, C, ...) logits, C >= 2.
        target: (N, ...) class indices of any integer dtype.
        alpha: Above 0: the larger, the more only the farthest errors count.
        spacing: How far positions are apart, such as the size of a voxel: one number, or one per dimension.
        ignore_index: Positions with this label do not count, and bound nothing; None for no such label.
        class_weight: (C,) weights of the classes' losses.
        sample_weight: One weight per image, (N,), or one for each of its classes, (N, C).
        mask: Boolean, True where a position counts: the shape of ``target`` or its leading dimensions, such as (N,).
        reduction: ``"none"``, ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N, C). A boundary that there is not, of an absent class or one everywhere, adds nothing: a class
        that neither has is at 0.

    Raises:
        ValueError: Wrong shapes, a single class (its softmax is always 1), ``alpha`` or ``spacing`` not above 0.
        TypeError: Targets that are not integers.
        IndexError: A target outside of [0, C).

    Example:
        >>> import torch
        >>> logits = torch.tensor([[[9.0, 9.0, 9.0, -9.0], [-9.0, -9.0, -9.0, 9.0]]])  # two positions short
        >>> hausdorff_dt_loss(logits, torch.tensor([[0, 1, 1, 1]]))
        tensor(2.5000)

    Source:
        Karimi and Salcudean, Reducing the Hausdorff Distance in Medical Image Segmentation with Convolutional Neural
        Networks, arXiv:1904.10030, where alpha = 2 was best. Code asks scipy, on the host, one map after another;
        some of it divides distances by the largest of each map. It is meant to be added to a loss of regions.
    """
    scores = class_scores(input, target, ignore_index, sample_weight, mask, "sigmoid_hausdorff_dt_loss")
    p = accumulate(scores.logits).softmax(1)
    classes = torch.arange(p.shape[1], device=p.device)[:, None]
    g = (scores.target[:, None] == classes).to(p.dtype)
    return _far_off(scores, p, g, input.shape[2:], alpha, spacing, class_weight, reduction)


@checked
def sigmoid_hausdorff_dt_loss(
    input: Tensor,
    target: Tensor,
    *,
    alpha: Exponent = 2.0,
    spacing: Spacing = 1.0,
    ignore_index: int | None = None,
    class_weight: ClassWeight | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Each channel's squared errors weighed by how far they are from the boundaries of its true and predicted region.

    .. math:: \frac{1}{P} \sum_i (p_i - g_i)^2 \big( |\phi_i|^\alpha + |\psi_i|^\alpha \big),
        \qquad p = \sigma(\text{input})

    Args:
        input: (N, C, ...) logits.
        target: The shape of ``input``: bool, or integers or numbers 0 and 1.
        alpha: Above 0: the larger, the more only the farthest errors count.
        spacing: How far positions are apart, such as the size of a voxel: one number, or one per dimension.
        ignore_index: Positions with this target value do not count, and bound nothing; None for no such value.
        class_weight: (C,) weights of the regions' losses.
        sample_weight: One weight per image, (N,), or one for each of its regions, (N, C).
        mask: Boolean, True where a position counts: the shape of ``input`` or its leading dimensions, such as (N,).
        reduction: ``"none"``, ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N, C).

    Raises:
        ValueError: Wrong shapes, a target that is neither 0, 1 nor ``ignore_index``, ``alpha`` or ``spacing`` not above
            0.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[[-9.0, -9.0, -9.0, 9.0]]])  # two positions short
        >>> sigmoid_hausdorff_dt_loss(2 * logits, torch.tensor([[[0, 1, 1, 1]]]))
        tensor(2.5000)

    Source:
        As :func:`hausdorff_dt_loss`.
    """
    scores = region_scores(input, target, ignore_index, sample_weight, mask)
    kept = scores.target if scores.keep is None else scores.target[scores.keep.expand_as(scores.target)]
    check_among("target", kept, (0, 1))
    p = accumulate(scores.logits).sigmoid()
    return _far_off(scores, p, scores.target.to(p.dtype), input.shape[2:], alpha, spacing, class_weight, reduction)


def _far_off(
    scores: Positions,
    p: Tensor,
    g: Tensor,
    shape: torch.Size,
    alpha: float,
    spacing: float | Sequence[float],
    class_weight: Tensor | None,
    reduction: str,
) -> Tensor:
    """From probabilities and truth (N, C, L); ``shape`` holds the dimensions of the positions."""
    shape = shape or torch.Size([1])
    apart = _per_dimension(spacing, shape)
    keep = scores.keep
    keep = torch.ones_like(g, dtype=torch.bool) if keep is None else _per_class(keep).expand_as(g)

    def weights(region: Tensor) -> Tensor:
        within, beyond = ((there & keep).flatten(0, 1).unflatten(1, tuple(shape)) for there in (region, ~region))
        return transform.signed_distances(within, beyond, apart, p.dtype).abs().pow(alpha).reshape(p.shape)

    each = (p - g).square() * (weights(g == 1) + weights(p.detach() > 0.5))
    return _reduced(scores, each, class_weight, reduction)


class BoundaryLoss(Loss):
    """:func:`boundary_loss` as a Module."""

    fn = staticmethod(boundary_loss)
    class_weight: ClassWeight | None = None
    reduction: Reduction = "mean"


class SigmoidBoundaryLoss(Loss):
    """:func:`sigmoid_boundary_loss` as a Module."""

    fn = staticmethod(sigmoid_boundary_loss)
    class_weight: ClassWeight | None = None
    reduction: Reduction = "mean"


class HausdorffDTLoss(Loss):
    """:func:`hausdorff_dt_loss` as a Module."""

    fn = staticmethod(hausdorff_dt_loss)
    alpha: Exponent = 2.0
    spacing: Spacing = 1.0
    ignore_index: int | None = -100
    class_weight: ClassWeight | None = None
    reduction: Reduction = "mean"


class SigmoidHausdorffDTLoss(Loss):
    """:func:`sigmoid_hausdorff_dt_loss` as a Module."""

    fn = staticmethod(sigmoid_hausdorff_dt_loss)
    alpha: Exponent = 2.0
    spacing: Spacing = 1.0
    ignore_index: int | None = None
    class_weight: ClassWeight | None = None
    reduction: Reduction = "mean"


_card = partial(
    Card,
    data="masks",
    input="logits",
    kernel="none",
    item="image-class",
    equation="unconfirmed",
    separable=False,
    mean_is_plain=False,
    at_call=frozenset({"sample_weight", "mask"}),
)
_P = "the probability at a position: softmax of `input`, or its sigmoid in the sigmoid form"
_BOUNDARY: dict[str, Any] = {
    "takes": ("input-distances",),
    "formula": r"\frac{1}{P} \sum_i p_i\, \phi_i",
    "symbols": {
        r"P": "how many positions an image has",
        r"i": "every position",
        r"p_i": _P,
        r"\phi_i": "`distances`: how far outside of the class's true region it is; below 0 inside",
    },
    "paper": "arXiv:1812.07032",
    "defaults": "no hyperparameters",
    "untuned": "the weights of the classes are the task's",
    "when": "Beside a loss of regions, for small ones: an error costs as much as it is far off.",
    "pitfalls": (
        "Alone it has no good beginning: give it a weight that grows from near 0.",
        "It is below 0 where all is well: a loss that looks done is not at its least.",
        "Distances with the other sign teach the background.",
    ),
}
_HAUSDORFF: dict[str, Any] = {
    "formula": r"\frac{1}{P} \sum_i (p_i - g_i)^2 \big( |\phi_i|^\alpha + |\psi_i|^\alpha \big)",
    "symbols": {
        r"P": "how many positions an image has",
        r"i": "every position",
        r"p_i": _P,
        r"g_i": "1 where `target` is the class or region, 0 elsewhere",
        r"\phi_i": "how far it is from the boundary of the true region, in units of `spacing`",
        r"\psi_i": "how far from that of the predicted one, where p is above a half",
        r"\alpha": "`alpha`, above 0",
    },
    "paper": "arXiv:1904.10030",
    "defaults": "the paper",
    "search": {"alpha": Range(0.5, 3.0)},
    "when": "Beside a loss of regions, where the farthest error counts: contours for planning, thin structures.",
    "pitfalls": (
        "One far false positive outweighs everything: add it once regions are roughly right.",
        "Distances are those of the batch: each step takes two transforms per class.",
        "In voxels, anisotropic images have boundaries that are too near: pass `spacing`.",
    ),
}

CARDS = (
    _card(
        fn=boundary_loss,
        module=BoundaryLoss,
        relatives=("sigmoid_boundary_loss", "hausdorff_dt_loss", "generalized_dice_loss"),
        **_BOUNDARY,
    ),
    _card(
        fn=sigmoid_boundary_loss,
        module=SigmoidBoundaryLoss,
        relatives=("boundary_loss", "sigmoid_hausdorff_dt_loss"),
        **_BOUNDARY,
    ),
    _card(
        fn=hausdorff_dt_loss,
        module=HausdorffDTLoss,
        takes=("input-label",),
        relatives=("sigmoid_hausdorff_dt_loss", "boundary_loss", "dice_loss"),
        **_HAUSDORFF,
    ),
    _card(
        fn=sigmoid_hausdorff_dt_loss,
        module=SigmoidHausdorffDTLoss,
        takes=("input-target",),
        relatives=("hausdorff_dt_loss", "sigmoid_boundary_loss"),
        **_HAUSDORFF,
    ),
)
