"""Overlap of predicted and true regions: one minus a score of set agreement, for segmentation."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Generator, Tensor, dtype

from lossary._check import check_choice, check_float, check_number, check_range, check_same_shape, check_shape
from lossary._loss import Loss
from lossary._reduce import Reduction, reduce
from lossary.cards import Call, Card, Choice
from lossary.draws import normal
from lossary.kernels.overlap import Sums, sigmoid_sums, softmax_sums

__all__ = ["DiceLoss", "SigmoidDiceLoss", "dice_loss", "sigmoid_dice_loss"]

#: Over what a score is taken: each sample's class, or each class of the whole batch.
Aggregate = Literal["per_sample", "batch"]
#: What becomes of classes without a true position: they count, or are left out of the mean.
Absent = Literal["include", "skip"]
#: A score in [0, 1] of the sums as a fraction: (numerator, denominator).
Score = Callable[[Sums], tuple[Tensor, Tensor]]


def _softmax_form(
    score: Score, input: Tensor, target: Tensor, *, squared: bool = False, ignore_index: int | None, **rest: Any
) -> Tensor:
    if input.dim() < 2 or input.shape[1] < 2:
        raise ValueError(
            f"input: wanted (N, C, ...) with at least two classes (one class wants the sigmoid form); "
            f"got shape {tuple(input.shape)}"
        )
    check_float("input", input)
    if target.dtype.is_floating_point or target.dtype == torch.bool:
        raise TypeError(f"target: wanted integer class indices; got {target.dtype}")
    check_shape("target", target, (input.shape[0], *input.shape[2:]))
    check_range("target", target, input.shape[1], ignore_index)
    keep = torch.ones_like(target, dtype=torch.bool) if ignore_index is None else target != ignore_index
    # (N, C) is one position a sample
    sums = softmax_sums(
        input[..., None].flatten(2), target[..., None].flatten(1), keep[..., None].flatten(1), squared=squared
    )
    return _loss(score, sums, **rest)


def _sigmoid_form(
    score: Score, input: Tensor, target: Tensor, *, squared: bool = False, ignore_index: int | None, **rest: Any
) -> Tensor:
    if input.dim() < 2:
        raise ValueError(f"input: wanted (N, C, ...); got shape {tuple(input.shape)}")
    check_float("input", input)
    check_same_shape("target", target, "input", input)
    keep = torch.ones_like(target, dtype=torch.bool) if ignore_index is None else target != ignore_index
    flat = (t[..., None].flatten(2) for t in (input, target, keep))
    return _loss(score, sigmoid_sums(*flat, squared=squared), **rest)


def _loss(
    score: Score,
    sums: Sums,
    *,
    smooth: float,
    aggregate: Aggregate,
    absent: Absent,
    class_weight: Tensor | None,
    reduction: str,
) -> Tensor:
    """1 - score, reduced over sample-classes or classes."""
    check_number("smooth", smooth, low=0)
    check_choice("aggregate", aggregate, ("per_sample", "batch"))
    check_choice("absent", absent, ("include", "skip"))
    if class_weight is not None:
        check_shape("class_weight", class_weight, (sums.truth.shape[1],))
    if aggregate == "batch":
        sums = Sums(*(s.sum(0) for s in sums))
    numerator, denominator = score(sums)
    numerator, denominator = numerator + smooth, denominator + smooth
    empty = denominator == 0  # nothing predicted, nothing true: a perfect score
    loss = 1 - torch.where(empty, 1, numerator) / torch.where(empty, 1, denominator)
    return reduce(loss, weight=class_weight, mask=sums.truth > 0 if absent == "skip" else None, reduction=reduction)


def _dice(sums: Sums) -> tuple[Tensor, Tensor]:
    return 2 * sums.overlap, sums.predicted + sums.truth


def dice_loss(
    input: Tensor,
    target: Tensor,
    *,
    smooth: float = 1.0,
    squared: bool = False,
    aggregate: Aggregate = "per_sample",
    absent: Absent = "include",
    ignore_index: int | None = -100,
    class_weight: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""One minus the Dice coefficient of the softmax's regions and the true ones, class by class.

    .. math:: 1 - \frac{2 \sum p\, g + \epsilon}{\sum p + \sum g + \epsilon}

    Args:
        input: (N, C, ...) logits, C >= 2.
        target: (N, ...) class indices of any integer dtype.
        smooth: epsilon, in positions: what an empty class's score leans to 1 with. 0 / 0 counts as a perfect score.
        squared: sums of squares in the denominator (V-Net).
        aggregate: ``"per_sample"`` scores each sample's class, ``"batch"`` each class over the whole batch: steadier
            where classes are rare.
        absent: ``"include"`` counts classes without a true position; ``"skip"`` leaves them out.
        ignore_index: Positions of this label count nowhere; None for no such label.
        class_weight: (C,) weights of the classes' losses.
        reduction: ``"none"``, ``"sum"`` or ``"mean"``.

    Returns:
        A scalar; or (N, C), with ``aggregate="batch"`` (C,). ``mean`` is over those that are not left out.

    Raises:
        ValueError: Wrong shapes, a single class (its softmax is always 1), an unknown option.
        TypeError: Targets that are no integers.
        IndexError: A target outside of [0, C).

    Example:
        >>> import torch
        >>> logits = torch.tensor([[[9.0, -9.0, 9.0, -9.0], [-9.0, 9.0, -9.0, 9.0]]])
        >>> dice_loss(logits, torch.tensor([[0, 1, 0, 0]]), smooth=0.0)
        tensor(0.2667)

    Source:
        Milletari et al., V-Net, arXiv:1606.04797, section 3 (squared, without epsilon); Drozdzal et al.,
        arXiv:1608.04117, eq. 1 (not squared, epsilon = 1). Common code scores a class that is absent as perfect
        whatever is predicted, or counts ignored positions in the denominator.
    """
    return _softmax_form(
        _dice,
        input,
        target,
        smooth=smooth,
        squared=squared,
        aggregate=aggregate,
        absent=absent,
        ignore_index=ignore_index,
        class_weight=class_weight,
        reduction=reduction,
    )


class DiceLoss(Loss):
    """:func:`dice_loss` as a Module."""

    fn = staticmethod(dice_loss)
    smooth: float = 1.0
    squared: bool = False
    aggregate: Aggregate = "per_sample"
    absent: Absent = "include"
    ignore_index: int | None = -100
    class_weight: Tensor | None = None
    reduction: Reduction = "mean"


def sigmoid_dice_loss(
    input: Tensor,
    target: Tensor,
    *,
    smooth: float = 1.0,
    squared: bool = False,
    aggregate: Aggregate = "per_sample",
    absent: Absent = "include",
    ignore_index: int | None = None,
    class_weight: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""One minus the Dice coefficient of each channel's region and the true one: binary and overlapping regions.

    .. math:: 1 - \frac{2 \sum p\, g + \epsilon}{\sum p + \sum g + \epsilon}, \qquad p = \sigma(\text{input})

    Args:
        input: (N, C, ...) logits; C = 1 for one region.
        target: 0/1 of bool, integer or float dtype, of the shape of ``input``.
        smooth: epsilon, in positions. 0 / 0 counts as a perfect score.
        squared: sums of squares in the denominator (V-Net).
        aggregate: ``"per_sample"`` scores each sample's channel, ``"batch"`` each channel over the whole batch.
        absent: ``"include"`` counts channels without a true position; ``"skip"`` leaves them out.
        ignore_index: Positions of this target value count nowhere; None for no such value.
        class_weight: (C,) weights of the channels' losses.
        reduction: ``"none"``, ``"sum"`` or ``"mean"``.

    Returns:
        A scalar; or (N, C), with ``aggregate="batch"`` (C,). ``mean`` is over those that are not left out.

    Raises:
        ValueError: Wrong shapes, an unknown option.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[[9.0, -9.0, 9.0, -9.0]]])
        >>> sigmoid_dice_loss(logits, torch.tensor([[[1, 0, 0, 0]]]), smooth=0.0)
        tensor(0.3334)

    Source:
        As :func:`dice_loss`. An input (N, L) is N samples of L channels of one position each: one region of L positions
        is (N, 1, L).
    """
    return _sigmoid_form(
        _dice,
        input,
        target,
        smooth=smooth,
        squared=squared,
        aggregate=aggregate,
        absent=absent,
        ignore_index=ignore_index,
        class_weight=class_weight,
        reduction=reduction,
    )


class SigmoidDiceLoss(Loss):
    """:func:`sigmoid_dice_loss` as a Module."""

    fn = staticmethod(sigmoid_dice_loss)
    smooth: float = 1.0
    squared: bool = False
    aggregate: Aggregate = "per_sample"
    absent: Absent = "include"
    ignore_index: int | None = None
    class_weight: Tensor | None = None
    reduction: Reduction = "mean"


def _draw_indices(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 4, 3, 2, 5, scale=2.0), torch.randint(3, (4, 2, 5), generator=g)))


def _draw_regions(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 4, 3, 2, 5, scale=2.0), torch.randint(2, (4, 3, 2, 5), generator=g)))


def _edges_indices(dt: dtype) -> tuple[Call, ...]:
    saturated = torch.tensor([[[1e4, -1e4, 0.0, 0.0], [-1e4, 1e4, 0.0, 0.0], [0.0, 0.0, 0.0, -1e4]]], dtype=dt)
    target = torch.tensor([[0, 1, 0, 1]], dtype=torch.int32)  # class 2 has no position
    return (
        Call((saturated, target)),
        Call((-saturated, target)),
        # one class everywhere, and of some variants the ignored one: everything ignored, 0 / 0
        Call((saturated, torch.zeros_like(target)), {"smooth": 0.0}),
        Call((saturated, torch.ones_like(target)), {"smooth": 0.0}),
        Call((saturated[:0], target[:0])),  # empty
        Call((saturated[:, :, :0], target[:, :0])),  # no positions
    )


def _edges_regions(dt: dtype) -> tuple[Call, ...]:
    saturated = torch.tensor([[[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4]]], dtype=dt)
    full = torch.tensor([[[True, False, True], [False, False, False], [True, True, True]]])
    return (
        Call((saturated, full)),
        Call((-saturated, full.to(dt))),
        Call((saturated, torch.zeros(1, 3, 3, dtype=torch.int64)), {"smooth": 0.0}),
        Call((saturated[:0], full[:0])),  # empty
    )


def _golden_softmax(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call | None:
    if params["mode"] != "multiclass":
        return None
    return Call((inputs["input"], inputs["target"]), {n: v for n, v in params.items() if n != "mode"})


def _golden_sigmoid(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call | None:
    if params["mode"] != "binary":
        return None
    # One region of L positions a sample.
    regions = (inputs["input"][:, None], inputs["target"][:, None])
    return Call(regions, {n: v for n, v in params.items() if n != "mode"})


_VARIANTS = (
    {},
    {"smooth": 0.0, "absent": "skip"},
    {"aggregate": "batch", "smooth": 1e-3, "ignore_index": 1},
    {"class_weight": torch.tensor([0.0, 1.0, 2.5])},
)
_DICE_VARIANTS = (*_VARIANTS, {"squared": True, "ignore_index": 0})
_SEARCH = {"smooth": Choice((0.0, 1e-3, 1.0)), "aggregate": Choice(("per_sample", "batch"))}
_PITFALLS = (
    "Alone it has weak gradients where nothing overlaps yet: add cross-entropy.",
    "Absent classes: some code scores them as perfect whatever is predicted, and false positives cost nothing.",
    "Half precision: sums over more than 65504 positions overflow unless taken in float32, as here.",
)


def _card(fn: Callable[..., Tensor], module: type[Loss], *, golden: str, formula: str, **facts: Any) -> Card:
    """What the cards of this family share."""
    regions = fn.__name__.startswith("sigmoid_")
    return Card(
        fn=fn,
        module=module,
        formula=formula,
        data="masks",
        kernel="overlap",
        item="image-class",
        draw=_draw_regions if regions else _draw_indices,
        edges=_edges_regions if regions else _edges_indices,
        golden={golden: _golden_sigmoid if regions else _golden_softmax},
        separable=False,
        mean_is_plain=False,
        **facts,
    )


_DICE = r"1 - \frac{2 \sum p\, g + \epsilon}{\sum p + \sum g + \epsilon}"
_DICE_FACTS: dict[str, Any] = {
    "formula": _DICE,
    "paper": "arXiv:1606.04797",
    "equation": "",
    "defaults": "not squared and epsilon = 1: arXiv:1608.04117, eq. 1",
    "variants": _DICE_VARIANTS,
    "search": {**_SEARCH, "squared": Choice((False, True))},
}

CARDS = (
    _card(
        dice_loss,
        DiceLoss,
        golden="dice",
        when="Segmentation into exclusive classes of very different sizes, usually beside cross-entropy.",
        pitfalls=(*_PITFALLS, "A softmax over one channel is 1 everywhere: one region wants `sigmoid_dice_loss`."),
        relatives=("sigmoid_dice_loss",),
        **_DICE_FACTS,
    ),
    _card(
        sigmoid_dice_loss,
        SigmoidDiceLoss,
        golden="dice",
        when="Segmentation of one region, or of regions that may overlap; usually beside binary cross-entropy.",
        pitfalls=_PITFALLS,
        relatives=("dice_loss",),
        **_DICE_FACTS,
    ),
)
