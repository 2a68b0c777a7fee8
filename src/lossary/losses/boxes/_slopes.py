"""The losses of boxes in closed form, with their derivatives by the corners: a fifth of autograd's work.

They apply to a block of ordinary pairs: widths and heights above 0, corners in order, products within range. Any other
block uses the plain formula.
"""

from collections.abc import Callable
from math import pi
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lossary.core.check import within
from lossary.kernels.stable import ORDINARY
from lossary.losses.boxes._shared import Sizes


class Slopes(NamedTuple):
    """One loss per pair, and its derivatives by its parts; None for parts that it does not have."""

    loss: Tensor  # (n,)
    by_iou: float | Tensor  # (n,)
    by_union: Tensor | None = None  # (n,)
    by_predicted: Tensor | None = None  # (2, n), in addition to what comes through the union
    by_hull: Tensor | None = None  # (2, n)
    by_shift: Tensor | None = None  # (2, n)


#: A function of the sizes, the union, the intersection over it, and the loss's own arguments.
Formula = Callable[..., Slopes]


def box_slope(formula: Formula, x: Tensor, y: Tensor, share: Any, *arguments: Any, out: Tensor) -> Tensor | None:
    """``share`` times the sum of the losses; its derivatives by ``x`` in ``out``. None unless the block is ordinary."""
    low, high, true_low, true_high = (*_rows(x), *_rows(y))
    right, left = true_high - high, low - true_low  # how far the true box reaches beyond the predicted one
    predicted, true = high - low, true_high - true_low
    shared = torch.minimum(high, true_high).sub_(torch.maximum(low, true_low)).clamp_min_(0)
    hull = torch.maximum(high, true_high).sub_(torch.minimum(low, true_low))
    most = ORDINARY[1]
    if not (within(predicted, *ORDINARY) and within(true, 0, most) and within(hull, 0, most)):
        return None
    intersection, area = shared[0] * shared[1], predicted[0] * predicted[1]
    union = (true[0] * true[1]).add_(area).sub_(intersection)
    iou = intersection / union
    found = formula(Sizes(predicted, true, shared, hull, left - right), union, iou, *arguments)
    # d iou = ((1 + iou) d intersection - iou d area) / union, and d union = d area - d intersection.
    scaled = found.by_iou / union
    by_intersection, by_area = torch.addcmul(scaled, scaled, iou), scaled.mul_(iou).neg_()
    if found.by_union is not None:
        by_intersection, by_area = by_intersection.sub_(found.by_union), by_area.add_(found.by_union)
    by_shared = shared.flip(0).mul_(by_intersection).mul_(shared > 0)
    by_all = predicted.flip(0).mul_(by_area)
    if found.by_predicted is not None:
        by_all += found.by_predicted
    if found.by_hull is not None:  # a corner bounds either the intersection or the hull; if equal, each takes half
        by_all, by_shared = by_all.add_(found.by_hull), by_shared.sub_(found.by_hull)
    half = by_shared.mul_(0.5)
    by_all += half
    by_high, by_low = (torch.addcmul(by_all, side.sign_(), half) for side in (right, left))
    by_low = by_low.neg_()
    if found.by_shift is not None:
        by_high, by_low = by_high.add_(found.by_shift), by_low.add_(found.by_shift)
    torch.mul(by_low.T, share, out=out[:, :2])
    torch.mul(by_high.T, share, out=out[:, 2:])
    return found.loss.sum() * share


def _rows(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """The first and the second corner, (2, n) each."""
    columns = boxes.T.contiguous()
    return columns[:2], columns[2:]


def iou_slopes(_: Sizes, __: Tensor, iou: Tensor, mode: str, eps: float) -> Slopes:
    if mode == "log":
        floored = iou.clamp_min(eps)
        return Slopes(-floored.log(), (iou >= eps) / -floored)
    return Slopes(1 - iou, -1.0) if mode == "linear" else Slopes(1 - iou.square(), -2 * iou)


def giou_slopes(found: Sizes, union: Tensor, iou: Tensor) -> Slopes:
    area = found.hull[0] * found.hull[1]
    filled = union / area
    return Slopes((1 - iou) + (1 - filled), -1.0, by_union=-area.reciprocal(), by_hull=filled / found.hull)


def diou_slopes(found: Sizes, _: Tensor, iou: Tensor) -> Slopes:
    four_squares = found.hull.square().sum(0).mul_(4)
    distance = found.shift.square().sum(0).div_(four_squares)
    by_hull, by_shift = found.hull * (distance / four_squares).mul_(-8), found.shift * (2 / four_squares)
    return Slopes(1 - iou + distance, -1.0, by_hull=by_hull, by_shift=by_shift)


def ciou_slopes(found: Sizes, union: Tensor, iou: Tensor, trade_off: str) -> Slopes:
    width, height = found.predicted
    apart = torch.atan2(*found.true).sub_(torch.atan2(width, height))
    v = apart.square().mul_(4 / pi**2)
    alpha = v / (1 - iou + v).clamp_min_(torch.finfo(v.dtype).tiny)
    plain = diou_slopes(found, union, iou)
    by_iou, by_v = (plain.by_iou, alpha) if trade_off == "constant" else (alpha.square() - 1, (2 - alpha) * alpha)
    by_angle = by_v * apart.mul_(-8 / pi**2) / found.predicted.square().sum(0)
    by_predicted = torch.stack([by_angle * height, -by_angle * width])
    loss = plain.loss.addcmul_(alpha, v)
    return plain._replace(loss=loss, by_iou=by_iou, by_predicted=by_predicted)
