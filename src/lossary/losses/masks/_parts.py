"""What losses of two parts share: the weights of each part, and its mean over the positions of all ranks."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.check import check_shape, wide_integers
from lossary.core.reduce import align, both, count, divide, scaled
from lossary.kernels.stable import accumulate
from lossary.losses._pointwise import hide
from lossary.losses.classes._shared import problem


def foreground_weight(class_weight: Tensor | None, include_background: bool, input: Tensor) -> Tensor | None:
    """The classes' weights in Dice; without a background, 0 for class 0."""
    if include_background or input.dim() < 2:
        return class_weight
    foreground = torch.arange(input.shape[1], device=input.device) > 0
    # Two of different lengths are left for Dice to refuse.
    if class_weight is None or class_weight.shape != foreground.shape:
        return foreground.to(input.dtype) if class_weight is None else class_weight
    return class_weight * foreground


def check_images(sample_weight: Tensor | None, input: Tensor) -> None:
    """One weight an image: both parts have it, whose items are classes here and positions there."""
    if sample_weight is not None:
        check_shape("sample_weight", sample_weight, tuple(input.shape[:1]))


def positions(
    target: Tensor,
    ignore_index: int | None,
    class_weight: Tensor | None,
    sample_weight: Tensor | None,
    mask: Tensor | None,
) -> tuple[Tensor, dict[str, Any]]:
    """Regions without the ignored value, and what counts of them: keywords of the binary losses."""
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
    """The mean of a part over positions of one class each; over those of all ranks."""
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
    """The mean of a part over positions of all regions; over those of all ranks."""
    if group is None:
        return part(input, target, **counted)
    divisor = count(input, counted["sample_weight"], counted["mask"])
    return divide(part(input, target, reduction="sum", **counted), divisor, group=group)


def weighed_sum(dice_weight: float | Tensor, dice: Tensor, weight: float | Tensor, other: Tensor) -> Tensor:
    return scaled(dice, dice_weight) + scaled(other, weight)
