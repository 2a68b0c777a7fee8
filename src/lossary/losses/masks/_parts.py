"""What losses of two parts share: each part's weights, its mean over the positions of all ranks, and card facts."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Card
from lossary.core.check import check_shape, wide_integers
from lossary.core.reduce import align, both, count, divide, scaled
from lossary.kernels.stable import accumulate
from lossary.losses._pointwise import hide
from lossary.losses.classes._shared import problem


def foreground_weight(class_weight: Tensor | None, include_background: bool, input: Tensor) -> Tensor | None:
    """The classes' weights in Dice; 0 for class 0 if the background is left out."""
    if include_background or input.dim() < 2:
        return class_weight
    foreground = torch.arange(input.shape[1], device=input.device) > 0
    # Different lengths are left for Dice to refuse.
    if class_weight is None or class_weight.shape != foreground.shape:
        return foreground.to(input.dtype) if class_weight is None else class_weight
    return class_weight * foreground


def check_images(sample_weight: Tensor | None, input: Tensor) -> None:
    """One weight per image, for both parts: the items of one part are classes, those of the other positions."""
    if sample_weight is not None:
        check_shape("sample_weight", sample_weight, tuple(input.shape[:1]))


def positions(
    target: Tensor,
    ignore_index: int | None,
    class_weight: Tensor | None,
    sample_weight: Tensor | None,
    mask: Tensor | None,
) -> tuple[Tensor, dict[str, Any]]:
    """Regions without the ignored value, and, as keywords of the binary losses, what counts of them."""
    target = wide_integers("target", target)
    weight, mask = align(sample_weight, mask, target.shape)
    keep = both(None if ignore_index is None else target != ignore_index, mask)
    if class_weight is not None:
        each = class_weight.reshape(1, -1, *(1 for _ in target.shape[2:]))
        weight = each if weight is None else accumulate(weight) * accumulate(each)
    return hide(target, keep), {"mask": keep, "sample_weight": weight}


def over_classes(
    part: Callable[..., Tensor],
    input: Tensor,
    target: Tensor,
    class_weight: Tensor | None,
    ignore_index: int,
    sample_weight: Tensor | None,
    mask: Tensor | None,
    group: ProcessGroup | None,
) -> Tensor:
    """The mean of a part over positions with one class each, those of all ranks included."""
    rest: dict[str, Any] = {"ignore_index": ignore_index, "sample_weight": sample_weight, "mask": mask}
    if group is None:
        return part(input, target, **rest)
    p = problem(input, target, dim=1, **rest)
    items = input.new_empty(()).expand(p.shape)
    return divide(
        part(input, target, reduction="sum", **rest), count(items, p.weight(class_weight), p.counted), group=group
    )


def over_regions(
    part: Callable[..., Tensor], input: Tensor, target: Tensor, counted: dict[str, Any], group: ProcessGroup | None
) -> Tensor:
    """The mean of a part over the positions of all regions, those of all ranks included."""
    if group is None:
        return part(input, target, **counted)
    divisor = count(input, counted["sample_weight"], counted["mask"])
    return divide(part(input, target, reduction="sum", **counted), divisor, group=group)


def weighed_sum(dice_weight: float | Tensor, dice: Tensor, weight: float | Tensor, other: Tensor) -> Tensor:
    return scaled(dice, dice_weight) + scaled(other, weight)


compound_card = partial(
    Card,
    data="masks",
    input="logits",
    kernel="overlap",
    item="batch",
    separable=False,
    mean_is_plain=False,
    at_call=frozenset({"sample_weight", "mask", "group"}),
)


SOFTMAX: dict[str, Any] = {
    "takes": ("input-label",),
    "when": "Segmentation into exclusive classes: the usual choice in medical imaging.",
}


SIGMOID: dict[str, Any] = {
    "takes": ("input-target",),
    "when": "Segmentation of one region, or of regions that may overlap.",
}


IGNORED = "Ignored positions must count in neither part; some code passes them to one of the two."


CHANNEL = "A softmax over one channel is 1 everywhere: use the sigmoid form for one region."
