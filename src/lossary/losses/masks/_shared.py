"""What the overlap losses share: checked sums, one minus a smoothed fraction, the data of their cards."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Card, Choice
from lossary.core.check import (
    check_float,
    check_probabilities,
    check_range,
    check_same_shape,
    check_several_classes,
    check_shape,
    values_visible,
    wide_integers,
    within,
)
from lossary.core.loss import Loss
from lossary.core.reduce import align, both, reduce
from lossary.core.rules import NOT_NEGATIVE
from lossary.distributed import Ranks
from lossary.kernels.overlap import Sums, one_minus, sigmoid_sums, softmax_sums
from lossary.kernels.stable import accumulate, widened
from lossary.losses._pointwise import hide

#: What a score covers: each sample's class, or each class over the whole batch.
Aggregate = Literal["per_sample", "batch"]


#: What happens to classes without a true position: they count, or are left out of the mean.
Absent = Literal["include", "skip"]
#: From this many scores on, float64 is used: a thousand equal classes round equally, which their sum would show in its
#: fifth digit. For fewer, the two conversions would take a twentieth of a small batch's time.
MANY = 1 << 10
#: Added to numerator and denominator.
Smooth = Annotated[float, NOT_NEGATIVE]


class Positions(NamedTuple):
    """Scores and their truth, checked, with positions in one dimension, and which of them count."""

    logits: Tensor  # (N, C, L), 0 where masked
    target: Tensor  # (N, L) class indices or (N, C, L) regions, 0 where masked
    keep: Tensor | None  # of the target's shape; None where all count
    weight: Tensor | None  # (N, 1) or (N, C), for images or for their classes
    exists: Tensor | None  # (N, 1) or (N, C): whether the mask leaves any position; None without a mask


class Regions(NamedTuple):
    """Sums over regions, and what counts of the scores made from them: (N, C), or (C,) over the batch."""

    sums: Sums
    weight: Tensor | None = None
    exists: Tensor | None = None
    group: ProcessGroup | None = None  # over which the mean is taken; sums over the batch already include all ranks


class Fraction(NamedTuple):
    """What a score is: ``times * top / bottom``."""

    top: Tensor
    bottom: Tensor
    times: float = 1.0


def softmax_regions(
    input: Tensor,
    target: Tensor,
    ignore_index: int | None,
    aggregate: Aggregate,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    class_weight: Tensor | None = None,
    group: ProcessGroup | None = None,
    *,
    squared: bool = False,
) -> Regions:
    """Sums of the softmax over dim 1 of ``input`` (N, C, ...) against class indices ``target`` (N, ...)."""
    scores = class_scores(input, target, ignore_index, sample_weight, mask, "sigmoid_dice_loss")
    if class_weight is not None:  # before anything is gathered
        check_shape("class_weight", class_weight, input.shape[1:2])
    sums = softmax_sums(scores.logits, scores.target, scores.keep, squared=squared)
    return _aggregated(sums, scores, aggregate, group)


def sigmoid_regions(
    input: Tensor,
    target: Tensor,
    ignore_index: int | None,
    aggregate: Aggregate,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    class_weight: Tensor | None = None,
    group: ProcessGroup | None = None,
    *,
    squared: bool = False,
    product: bool = False,
) -> Regions:
    """Sums of the sigmoid of ``input`` (N, C, ...) against ``target`` in [0, 1] of the same shape."""
    scores = region_scores(input, target, ignore_index, sample_weight, mask)
    check_probabilities("target", scores.target, ignore_index)
    sums = sigmoid_sums(scores.logits, scores.target, scores.keep, squared=squared, product=product)
    if class_weight is not None:
        check_shape("class_weight", class_weight, input.shape[1:2])
    return _aggregated(sums, scores, aggregate, group)


def class_scores(
    input: Tensor,
    target: Tensor,
    ignore_index: int | None,
    sample_weight: Tensor | None,
    mask: Tensor | None,
    sigmoid_form: str,
) -> Positions:
    """Logits (N, C, ...) and class indices (N, ...)."""
    _check_channels(input)
    check_several_classes("input", input, input.shape[1], f"as {sigmoid_form}")
    target = wide_integers("target", target)
    if target.dtype != torch.int64:
        raise TypeError(f"target: wanted integer class indices; got {target.dtype}")
    check_shape("target", target, (input.shape[0], *input.shape[2:]))
    weight, _ = align(sample_weight, None, input.shape[:2])
    _, mask = align(None, mask, target.shape)
    if mask is not None:
        mask = mask.expand(target.shape)
        input, target = hide(input, mask.unsqueeze(1)), hide(target, mask)
    keep = both(_kept_labels(target, input.shape[1], ignore_index), mask)
    keep = None if keep is None else _in_one(keep, 1)
    exists = None if mask is None else _in_one(mask, 1).any(1, keepdim=True)
    return Positions(_in_one(input, 2), _in_one(target, 1), keep, weight, exists)


def region_scores(
    input: Tensor, target: Tensor, ignore_index: int | None, sample_weight: Tensor | None, mask: Tensor | None
) -> Positions:
    """Logits and targets of the same shape."""
    _check_channels(input)
    check_same_shape("target", target, "input", input)
    target = wide_integers("target", target)
    weight, _ = align(sample_weight, None, input.shape[:2])
    _, mask = align(None, mask, target.shape)
    if mask is not None:
        mask = mask.expand(target.shape)
        input, target = hide(input, mask), hide(target, mask)
    keep = both(None if ignore_index is None else target != ignore_index, mask)
    exists = None if mask is None else _in_one(mask, 2).any(2)
    keep = None if keep is None else _in_one(keep, 2)
    return Positions(_in_one(input, 2), _in_one(target, 2), keep, weight, exists)


def _in_one(tensor: Tensor, first: int) -> Tensor:
    """With the dimensions from ``first`` on as one; without any, there is one position per sample."""
    return tensor.flatten(first) if tensor.dim() > first else tensor.unsqueeze(first)


def _check_channels(input: Tensor) -> None:
    check_float("input", input)
    if input.dim() < 2:
        raise ValueError(f"input: wanted (N, C, ...); got shape {tuple(input.shape)}")


def _kept_labels(target: Tensor, classes: int, ignore_index: int | None) -> Tensor | None:
    """Which labels count; None if all do and values may be looked at: one pass over them instead of four."""
    is_label = ignore_index is not None and 0 <= ignore_index < classes
    if target.numel() > 0 and values_visible(target) and not is_label and within(target, 0, classes - 1):
        return None
    check_range("target", target, classes, ignore_index)
    return None if ignore_index is None else target != ignore_index


def _aggregated(sums: Sums, scores: Positions, aggregate: Aggregate, group: ProcessGroup | None) -> Regions:
    """Over the whole batch, each image's sums are multiplied by its weight."""
    weight, exists = scores.weight, scores.exists
    if aggregate == "per_sample":
        return Regions(sums, weight, exists, group)
    pooled = Sums(*(s.sum(0) if weight is None else (s * weight.to(s.dtype)).sum(0) for s in sums))
    exists = None if exists is None else exists.any(0)
    if group is not None:
        own = torch.stack(pooled)[None]  # one item per rank
        ranks = Ranks.of(group, input=own, mask=exists)
        pooled = Sums(*ranks.in_order(own).sum(0))
        exists = None if exists is None else ranks.in_order(exists[None]).any(0)
    return Regions(pooled, None, exists)


def score_loss(
    fraction: Fraction,
    regions: Regions,
    smooth: float,
    absent: Absent,
    class_weight: Tensor | None,
    reduction: str,
) -> Tensor:
    """One minus a fraction, smoothed above and below, reduced over samples' classes or classes."""
    truth, (top, bottom, times) = regions.sums.truth, fraction
    dtype = top.dtype
    if top.numel() >= MANY:
        top, bottom = widened(top), widened(bottom)
    loss = one_minus(top, bottom, smooth, times).to(dtype)
    present = truth != 0 if absent == "skip" else None
    return reduce_scores(loss, regions.weight, regions.exists, class_weight, present, reduction, regions.group)


def reduce_scores(
    scores: Tensor,
    weight: Tensor | None,
    exists: Tensor | None,
    class_weight: Tensor | None,
    present: Tensor | None,
    reduction: str,
    group: ProcessGroup | None = None,
    *,
    zeroed: bool = False,
) -> Tensor:
    """Scores of images' classes, or of classes, reduced over those that exist and are ``present``.

    With ``zeroed`` the others' scores and their gradients are 0 already.
    """
    if weight is not None and class_weight is not None:
        weight = accumulate(weight) * accumulate(class_weight)  # in half precision it would have three digits
    each = class_weight if weight is None else weight
    return reduce(scores, weight=each, mask=both(exists, present), reduction=reduction, group=group, zeroed=zeroed)


def share_wrong(wrong: Tensor, total: Tensor, smooth: float) -> Tensor:
    """``wrong / (total + smooth)``; computed as 1 minus what is right, a small loss would be a rounding error."""
    total = total + smooth
    nothing = total == 0
    return torch.where(nothing, 0, wrong) / torch.where(nothing, 1, total)


_SEARCH = {"smooth": Choice((1e-3, 1.0)), "aggregate": Choice(("per_sample", "batch"))}


_PITFALLS = (
    "On its own it has weak gradients where nothing overlaps yet: add cross-entropy.",
    "Absent classes: some code scores them as perfect whatever is predicted, so their false positives cost nothing.",
    "Half precision: sums over more than 65504 positions overflow unless taken in float32, as here.",
)


def card(
    fn: Callable[..., Tensor],
    module: type[Loss],
    *,
    search: Mapping[str, Any],
    at_call: frozenset[str] = frozenset({"sample_weight", "mask", "group"}),
    **facts: Any,
) -> Card:
    """A card of this family; the softmax and sigmoid forms differ in their data, not in their facts."""
    regions = fn.__name__.startswith("sigmoid_")
    if regions:
        when = "Segmentation of one region, or of regions that may overlap; usually added to binary cross-entropy."
        pitfalls = _PITFALLS
    else:
        when = "Segmentation into exclusive classes of very different sizes; usually added to cross-entropy."
        pitfalls = (*_PITFALLS, "A softmax over one channel is 1 everywhere: use the sigmoid form for one region.")
    return Card(
        fn=fn,
        module=module,
        data="masks",
        takes=("input-target",) if regions else ("input-label",),
        input="logits",
        kernel="overlap",
        item="image-class",
        search={**_SEARCH, **search},
        separable=False,
        mean_is_plain=False,
        at_call=at_call,
        when=when,
        pitfalls=pitfalls,
        **facts,
    )
