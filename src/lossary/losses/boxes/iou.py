"""Overlap of a predicted box with the true one, terms that pull boxes together if they are apart, and single sides."""

from functools import partial
from math import pi
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from lossary.core.card import Card, Choice
from lossary.core.check import check_dim, check_float, check_several_classes, check_shape, values_visible
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, align, reduce
from lossary.core.rules import POSITIVE, checked
from lossary.kernels.stable import accumulate, accumulator, common
from lossary.losses._pointwise import ElementFormula, hide, rowwise
from lossary.losses.boxes._shared import box_card, check_boxes, overlap, ratio, sizes
from lossary.losses.boxes._slopes import Formula, box_slope, ciou_slopes, diou_slopes, giou_slopes, iou_slopes
from lossary.losses.classes.softmax import cross_entropy

__all__ = [
    "CompleteIoULoss",
    "DistanceIoULoss",
    "DistributionFocalLoss",
    "GeneralizedIoULoss",
    "IoULoss",
    "complete_iou_loss",
    "distance_iou_loss",
    "distribution_focal_loss",
    "generalized_iou_loss",
    "iou_loss",
]

#: 1 - IoU, its logarithm (UnitBox), or 1 - IoU squared.
Mode = Literal["linear", "log", "square"]


def _box_loss(formula: ElementFormula, slopes: Formula, input: Tensor, target: Tensor, **rest: Any) -> Tensor:
    """One loss per pair of boxes, reduced; from the formula, or in blocks from its known slopes."""
    check_boxes(input)
    return rowwise(formula, input, target, slope=partial(box_slope, slopes), **rest)


def _iou(x: Tensor, y: Tensor, mode: Mode, eps: float) -> Tensor:
    iou, _ = overlap(sizes(x, y))
    if mode == "log":
        return -iou.clamp_min(eps).log()
    return 1 - iou if mode == "linear" else 1 - iou.square()


@checked
def iou_loss(
    input: Tensor,
    target: Tensor,
    *,
    mode: Mode = "linear",
    eps: Annotated[float, POSITIVE] = 1e-6,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""One minus IoU: the area that both boxes cover, as a share of what either covers.

    .. math:: 1 - \frac{|P \cap T|}{|P \cup T|}

    Args:
        input: (..., 4) predicted boxes, as (x1, y1, x2, y2) in any unit. Corners in the wrong order span the box
            between them, as in the GIoU paper.
        target: True boxes, the shape of ``input``.
        mode: ``"linear"`` as written; ``"log"``: -log IoU, as in UnitBox; ``"square"``: 1 - IoU squared.
        eps: The least IoU for ``"log"``, whose loss would be infinite for boxes apart.
        sample_weight: One weight per box, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where a box counts: padding may hold anything.
        reduction: ``"none"`` (one value per box), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or the shape of ``input`` without its last dimension.

    Raises:
        ValueError: Shapes that differ or do not end in 4, an unknown reduction.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> iou_loss(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[1.0, 0.0, 3.0, 2.0]]))
        tensor(0.6667)

    Source:
        Yu et al., UnitBox, arXiv:1608.01471, algorithm 1 (``"log"``); the linear mode as in arXiv:1911.08287; eps is
        mmdetection's. Two boxes without an area have an IoU of 0. Boxes apart have no gradient: see
        :func:`generalized_iou_loss`. At a perfect fit the gradient is 0, midway between the one-sided ones.
    """
    return _box_loss(
        partial(_iou, mode=mode, eps=eps),
        partial(iou_slopes, mode=mode, eps=eps),
        input,
        target,
        sample_weight=sample_weight,
        mask=mask,
        reduction=reduction,
    )


class IoULoss(Loss):
    """:func:`iou_loss` as a Module."""

    fn = staticmethod(iou_loss)
    mode: Mode = "linear"
    eps: Annotated[float, POSITIVE] = 1e-6
    reduction: Reduction = "mean"


def _giou(x: Tensor, y: Tensor) -> Tensor:
    found = sizes(x, y)
    iou, union = overlap(found)
    return (1 - iou) + (1 - ratio(union, found.hull[0] * found.hull[1], 1.0))


@checked
def generalized_iou_loss(
    input: Tensor,
    target: Tensor,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""IoU loss plus the share of the smallest box around both that neither covers: a gradient for boxes apart.

    .. math:: 1 - \frac{|P \cap T|}{|P \cup T|} + \frac{|H| - |P \cup T|}{|H|}

    Args:
        input: (..., 4) predicted boxes, as (x1, y1, x2, y2) in any unit. Corners in the wrong order span the box
            between them, as in the GIoU paper.
        target: True boxes, the shape of ``input``.
        sample_weight: One weight per box, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where a box counts: padding may hold anything.
        reduction: ``"none"`` (one value per box), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or the shape of ``input`` without its last dimension.

    Raises:
        ValueError: Shapes that differ or do not end in 4, an unknown reduction.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> generalized_iou_loss(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([[2.0, 0.0, 3.0, 1.0]]))
        tensor(1.3333)

    Source:
        Rezatofighi et al., arXiv:1902.09630, algorithm 2. From 0 to 2. Two boxes without an area have an IoU of 0, and
        no penalty if the box around them has none either. Peers add 1e-7 to the divisors, in square pixels, which
        distorts boxes given as fractions of the image.
    """
    return _box_loss(_giou, giou_slopes, input, target, sample_weight=sample_weight, mask=mask, reduction=reduction)


class GeneralizedIoULoss(Loss):
    """:func:`generalized_iou_loss` as a Module."""

    fn = staticmethod(generalized_iou_loss)
    reduction: Reduction = "mean"


def _distance(shift: Tensor, hull: Tensor) -> Tensor:
    """The distance of the centers over the diagonal, both squared."""
    return ratio(shift.square().sum(0), 4 * hull.square().sum(0), 0.0)


def _diou(x: Tensor, y: Tensor) -> Tensor:
    found = sizes(x, y)
    return 1 - overlap(found)[0] + _distance(found.shift, found.hull)


@checked
def distance_iou_loss(
    input: Tensor,
    target: Tensor,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""IoU loss plus the squared distance of the centers, as a share of the squared diagonal around both.

    .. math:: 1 - \frac{|P \cap T|}{|P \cup T|} + \frac{\rho^2}{d^2}

    Args:
        input: (..., 4) predicted boxes, as (x1, y1, x2, y2) in any unit. Corners in the wrong order span the box
            between them, as in the GIoU paper.
        target: True boxes, the shape of ``input``.
        sample_weight: One weight per box, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where a box counts: padding may hold anything.
        reduction: ``"none"`` (one value per box), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or the shape of ``input`` without its last dimension.

    Raises:
        ValueError: Shapes that differ or do not end in 4, an unknown reduction.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> distance_iou_loss(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([[2.0, 0.0, 3.0, 1.0]]))
        tensor(1.4000)

    Source:
        Zheng et al., arXiv:1911.08287, eq. 7. Two boxes without an area have an IoU of 0, two at the same point no
        distance; unguarded division gives NaN there.
    """
    return _box_loss(_diou, diou_slopes, input, target, sample_weight=sample_weight, mask=mask, reduction=reduction)


class DistanceIoULoss(Loss):
    """:func:`distance_iou_loss` as a Module."""

    fn = staticmethod(distance_iou_loss)
    reduction: Reduction = "mean"


def _angle(size: Tensor) -> Tensor:
    """The arctangent of width over height, 0 for a point; where both are tiny it has its value but no gradient."""
    width, height = size
    tiny = torch.maximum(width, height) < torch.finfo(size.dtype).tiny ** 0.5  # below it squares are 0
    if values_visible(tiny) and not tiny.any():
        return torch.atan2(width, height)
    angle = torch.atan2(torch.where(tiny, 0, width), torch.where(tiny, 1, height))
    return torch.where(tiny, torch.atan2(width.detach(), height.detach()), angle)


def _ciou(x: Tensor, y: Tensor, trade_off: str) -> Tensor:
    found = sizes(x, y)
    iou, _ = overlap(found)
    v = (_angle(found.true) - _angle(found.predicted)).square() * (4 / pi**2)
    alpha = ratio(v, 1 - iou + v, 0.0)
    if trade_off == "constant":
        alpha = alpha.detach()
    return 1 - iou + _distance(found.shift, found.hull) + alpha * v


@checked
def complete_iou_loss(
    input: Tensor,
    target: Tensor,
    *,
    trade_off: Literal["constant", "exact"] = "constant",
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""IoU loss plus the distance of the centers plus the difference in aspect ratio.

    .. math:: 1 - \frac{|P \cap T|}{|P \cup T|} + \frac{\rho^2}{d^2} + \alpha v, \quad
              v = \tfrac{4}{\pi^2} \left(\arctan\tfrac{w_T}{h_T} - \arctan\tfrac{w_P}{h_P}\right)^2, \quad
              \alpha = \frac{v}{1 - \mathrm{IoU} + v}

    Args:
        input: (..., 4) predicted boxes, as (x1, y1, x2, y2) in any unit. Corners in the wrong order span the box
            between them, as in the GIoU paper.
        target: True boxes, the shape of ``input``.
        trade_off: Alpha in the gradient: ``"constant"``, as in the paper, or ``"exact"``, the derivative of the loss.
        sample_weight: One weight per box, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where a box counts: padding may hold anything.
        reduction: ``"none"`` (one value per box), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or the shape of ``input`` without its last dimension.

    Raises:
        ValueError: Shapes that differ or do not end in 4, an unknown reduction.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> complete_iou_loss(torch.tensor([[0.0, 0.0, 2.0, 1.0]]), torch.tensor([[0.0, 0.0, 1.0, 2.0]]))
        tensor(0.7629)

    Source:
        Zheng et al., arXiv:1911.08287, eq. 10, alpha of eq. 11. The paper's own code replaces 1 / (w^2 + h^2) in the
        gradient by 1; here it is the true one, as in torchvision. Points and lines have an angle (torchvision adds 1e-7
        to areas but not to heights), and their gradient is finite; dividing by the height gives NaN.
    """
    return _box_loss(
        partial(_ciou, trade_off=trade_off),
        partial(ciou_slopes, trade_off=trade_off),
        input,
        target,
        sample_weight=sample_weight,
        mask=mask,
        reduction=reduction,
    )


class CompleteIoULoss(Loss):
    """:func:`complete_iou_loss` as a Module."""

    fn = staticmethod(complete_iou_loss)
    trade_off: Literal["constant", "exact"] = "constant"
    reduction: Reduction = "mean"


@checked
def distribution_focal_loss(
    input: Tensor,
    target: Tensor,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Cross-entropy for a position between two bins: the nearer the bin, the larger its share.

    .. math:: -(i + 1 - y) \log p_i - (y - i) \log p_{i + 1}; \quad i = \lfloor y \rfloor, \; p = \mathrm{softmax}(z)

    Args:
        input: (N, C) logits over distances 0, 1, ..., C - 1; four rows per box, one per side. C >= 2.
        target: (N,) distances in [0, C - 1], in bins, both ends included.
        sample_weight: (N,) weights of the rows; mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where a row counts.
        reduction: ``"none"`` (one value per row), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or (N,).

    Raises:
        ValueError: Wrong shapes, a single bin, a distance outside of [0, C - 1].
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> distribution_focal_loss(torch.zeros(1, 8), torch.tensor([2.25]))
        tensor(2.0794)

    Source:
        Li et al., Generalized Focal Loss, arXiv:2006.04388, eq. 6. Common code takes bins floor(y) and floor(y) + 1: at
        the last distance the second does not exist, which is why ultralytics clips targets below it.
    """
    check_dim("input", input, 2, "(N, C)")
    check_float("input", input)
    check_several_classes("input", input, input.shape[1], "binary_cross_entropy_with_logits")
    check_shape("target", target, tuple(input.shape[:1]))
    weight, counts = align(sample_weight, mask, input.shape[:1])
    x, y = accumulate(input), target.to(common(accumulator(input), target.dtype))
    if counts is not None:
        x, y = hide(x, counts[:, None]), hide(y, counts)
    last = x.shape[1] - 1
    if y.numel() and values_visible(y) and ((y < 0) | (y > last)).any():
        raise ValueError(f"target: wanted numbers in [0, {last}]; got {y[(y < 0) | (y > last)][0].item()}")
    left = y.detach().floor().clamp(0, last - 1)
    bins = left.nan_to_num().long()
    nearer, farther = (cross_entropy(x, bins + step, reduction="none") for step in (0, 1))
    return reduce((left + 1 - y) * nearer + (y - left) * farther, weight=weight, mask=counts, reduction=reduction)


class DistributionFocalLoss(Loss):
    """:func:`distribution_focal_loss` as a Module."""

    fn = staticmethod(distribution_focal_loss)
    reduction: Reduction = "mean"


_SYMBOLS = {
    r"P": "the predicted box, `input`",
    r"T": "the true box, `target`",
}
_DISTANCE = {
    r"\rho": "the distance of the two centers",
    r"d": "the diagonal of the smallest box around both",
}
_PITFALLS = (
    "It takes corners, not center and size: (cx, cy, w, h) gives wrong numbers without an error.",
    "The mean is over boxes; detectors divide by the number of positives: the same only if exactly those are given.",
)

CARDS = (
    box_card(
        fn=iou_loss,
        module=IoULoss,
        formula=r"1 - \frac{|P \cap T|}{|P \cup T|}",
        symbols=_SYMBOLS,
        paper="arXiv:1608.01471",
        equation="algorithm 1",
        defaults="eps: mmdetection",
        search={"mode": Choice(("linear", "log", "square"))},
        when="Boxes that already overlap, such as anchors near the truth; otherwise one of its relatives.",
        pitfalls=("Boxes apart have loss 1 and no gradient: nothing pulls them together.", *_PITFALLS),
        relatives=("generalized_iou_loss", "distance_iou_loss", "complete_iou_loss", "jaccard_loss"),
    ),
    box_card(
        fn=generalized_iou_loss,
        module=GeneralizedIoULoss,
        formula=r"1 - \frac{|P \cap T|}{|P \cup T|} + \frac{|H| - |P \cup T|}{|H|}",
        symbols={**_SYMBOLS, r"H": "the smallest box around both"},
        paper="arXiv:1902.09630",
        equation="algorithm 2",
        defaults="no hyperparameters",
        when="The usual choice in detectors with set prediction (DETR), together with an L1 loss of the coordinates.",
        pitfalls=("If boxes are apart, it first widens the predicted one until they meet.", *_PITFALLS),
        relatives=("iou_loss", "distance_iou_loss", "complete_iou_loss"),
        aliases=("giou_loss", "GIoULoss"),
    ),
    box_card(
        fn=distance_iou_loss,
        module=DistanceIoULoss,
        formula=r"1 - \frac{|P \cap T|}{|P \cup T|} + \frac{\rho^2}{d^2}",
        symbols={**_SYMBOLS, **_DISTANCE},
        paper="arXiv:1911.08287",
        equation="7",
        defaults="no hyperparameters",
        when="Like generalized IoU, for boxes that start far apart: it moves the box instead of widening it.",
        pitfalls=_PITFALLS,
        relatives=("complete_iou_loss", "generalized_iou_loss", "iou_loss"),
        aliases=("diou_loss", "DIoULoss"),
    ),
    box_card(
        fn=complete_iou_loss,
        module=CompleteIoULoss,
        formula=(
            r"1 - \frac{|P \cap T|}{|P \cup T|} + \frac{\rho^2}{d^2} + \alpha v; \quad "
            r"\alpha = \frac{v}{1 - \mathrm{IoU} + v}"
        ),
        symbols={
            **_SYMBOLS,
            **_DISTANCE,
            r"v": "the squared difference of the angles whose tangents are width over height, times 4 over pi squared",
            r"\alpha": "the weight of v, which grows as the boxes fit better; see `trade_off`",
        },
        paper="arXiv:1911.08287",
        equation="10",
        defaults="the paper",
        exact={"trade_off": "exact"},
        search={"trade_off": Choice(("constant", "exact"))},
        when="The usual choice in one-stage detectors (YOLO).",
        pitfalls=(
            "Alpha is constant in the gradient: code that differentiates through it trains something else.",
            "For boxes of equal aspect ratio it is distance IoU.",
            *_PITFALLS,
        ),
        relatives=("distance_iou_loss", "generalized_iou_loss", "iou_loss"),
        aliases=("ciou_loss", "CIoULoss"),
    ),
    Card(
        fn=distribution_focal_loss,
        module=DistributionFocalLoss,
        formula=(
            r"-(i + 1 - y) \log p_i - (y - i) \log p_{i + 1}; \quad i = \lfloor y \rfloor, \; "
            r"p = \mathrm{softmax}(z)"
        ),
        symbols={
            r"z": "`input`, the logits of the distances",
            r"p": "their softmax",
            r"y": "`target`, the distance, in bins",
            r"i": "the bin below it",
        },
        data="boxes",
        takes=("input-place",),
        input="logits",
        kernel="rows",
        item="row",
        at_call=frozenset({"sample_weight", "mask"}),
        paper="arXiv:2006.04388",
        equation="6",
        defaults="no hyperparameters",
        when="Sides of boxes as distributions over distances (GFL, YOLO from version 8), together with an IoU loss.",
        pitfalls=(
            "The distance is in bins: divide pixels by the stride first.",
            "It does not down-weight easy rows: only its name is focal.",
        ),
        relatives=("complete_iou_loss", "quality_focal_loss", "cross_entropy"),
    ),
)
