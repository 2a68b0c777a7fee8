"""What the losses of boxes share: sizes of two boxes, of their intersection and of the box around both; their cards."""

from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.core.card import Card
from lossary.core.check import check_tensor, values_visible, within
from lossary.kernels.stable import ORDINARY, divided


class Sizes(NamedTuple):
    """Lengths in n pairs of boxes, (2, n) each: along x, along y. Their unit keeps products within range."""

    predicted: Tensor
    true: Tensor
    shared: Tensor  # of the intersection: 0 if the two are apart
    hull: Tensor  # of the smallest box around both
    shift: Tensor  # twice the way from center to center


def sizes(x: Tensor, y: Tensor) -> Sizes:
    """The sizes of boxes (n, 4) against boxes (n, 4). Two corners in the wrong order span the box between them."""
    (low, high), (true_low, true_high) = _corners(x), _corners(y)
    shared = F.relu(torch.minimum(high, true_high) - torch.maximum(low, true_low))
    hull = torch.maximum(high, true_high) - torch.minimum(low, true_low)
    shift = (low - true_low) + (high - true_high)  # in this order, boxes far from the origin lose no digits
    found = Sizes(high - low, true_high - true_low, shared, hull, shift)
    scale = hull.detach().amax(0)
    if scale.numel() and values_visible(scale) and within(scale, *ORDINARY):
        return found
    # No loss here depends on the unit, so each pair may have its own.
    scale = scale + (scale == 0)
    return Sizes(*(divided(size, scale) for size in found))


def _corners(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """The corner of the least coordinates and that of the largest, (2, n) each."""
    a, b = boxes.T.contiguous().unflatten(0, (2, 2)).unbind()
    return torch.minimum(a, b), torch.maximum(a, b)


def overlap(found: Sizes) -> tuple[Tensor, Tensor]:
    """Intersection over union, (n,), 0 for two boxes without an area; and the union."""
    shared = found.shared[0] * found.shared[1]
    union = found.predicted[0] * found.predicted[1] + found.true[0] * found.true[1] - shared
    return ratio(shared, union, 0.0), union


def ratio(a: Tensor, b: Tensor, otherwise: float) -> Tensor:
    """a / b; where b is 0, ``otherwise``, with a zero gradient."""
    zero = b == 0
    if values_visible(zero) and not zero.any():
        return a / b
    return torch.where(zero, otherwise, a / (b + zero))


def check_boxes(input: Tensor) -> None:
    check_tensor("input", input)
    if input.shape[-1:] != (4,):
        raise ValueError(f"input: wanted (..., 4), two corners per box; got shape {tuple(input.shape)}")


box_card = partial(
    Card,
    data="boxes",
    takes=("boxes",),
    input="boxes",
    kernel="none",
    item="row",
    at_call=frozenset({"sample_weight", "mask"}),
)
