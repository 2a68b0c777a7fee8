"""Shared by the losses of one class among many: layouts of scores and targets, and the way to the rows kernel.

``input`` is ready logits with the class dimension anywhere, or linear scores (:class:`Bilinear`) that are never
materialised. Targets are class indices, or one number per class: one-hot, probabilities.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lossary.core.card import Card
from lossary.core.check import (
    check_float,
    check_probabilities,
    check_range,
    check_several_classes,
    check_shape,
    values_visible,
    wide_integers,
    within,
    without_metadata,
)
from lossary.core.reduce import align, both, count, divide, one_weight, reduce
from lossary.core.torch_internals import first_largest
from lossary.kernels.fused.switch import ElementKernel
from lossary.kernels.ready import GapFormula, GapSlope, gap_sum, gaps
from lossary.kernels.rows.formula import row_loss
from lossary.kernels.rows.scores import Bilinear, RowGradients, Rows, Targets
from lossary.kernels.stable import ABSENT, accumulate, accumulator, parameters
from lossary.losses._pointwise import hide

Input = Tensor | Bilinear


@dataclass(frozen=True)
class Problem:
    """The checked arguments of a multiclass loss, class dimension last: items of shape ``shape``, C classes."""

    input: Input  # (*shape, C), of the input's dtype
    labels: Tensor | None  # (*shape) class indices, 0 where ignored; None: soft targets
    soft: Tensor | None  # (*shape, C)
    counted: Tensor | None  # (*shape), False where ignored or masked
    sample_weight: Tensor | None  # broadcasts to shape
    shape: torch.Size
    classes: int

    def of(self, scale: float | Tensor, shift: Tensor | None) -> "Problem":
        """The same with scores multiplied by ``scale`` and ``shift``, (C,), added to them."""
        made = _moved(self.input, scale, shift)
        return Problem(made, self.labels, self.soft, self.counted, self.sample_weight, self.shape, self.classes)

    def weight(self, class_weight: Tensor | None) -> Tensor | None:
        """One weight per item: its sample weight times its label's. Soft targets carry class weights themselves."""
        own = None if class_weight is None or self.labels is None else class_weight[self.labels]
        if own is None or self.sample_weight is None:
            return own if self.sample_weight is None else self.sample_weight
        return accumulate(own) * accumulate(self.sample_weight)  # half precision would keep three digits


def problem(
    input: Input, target: Tensor, *, dim: int, ignore_index: int, sample_weight: Tensor | None, mask: Tensor | None
) -> Problem:
    """Check and lay out the arguments of a multiclass loss. Without a batch, (C,), the class dimension comes first."""
    input, target, sample_weight, mask = map(without_metadata, (input, target, sample_weight, mask))
    scores = input.x if isinstance(input, Bilinear) else input
    check_float("input", scores)
    if isinstance(input, Bilinear):
        classes, shape = input.columns, input.x.shape[:1]
        dim, whole = -1, torch.Size((*shape, classes))
    else:
        whole = input.shape
        dim = class_dimension(input, dim)
        input = input if dim in (-1, input.dim() - 1) else input.movedim(dim, -1)
        classes, shape = input.shape[-1], input.shape[:-1]
    sample_weight, mask = align(sample_weight, mask, shape)
    target = wide_integers("target", target)
    if target.dtype != torch.int64:
        soft, labels, counted = _soft(target, whole, dim, ignore_index, mask), None, mask
    else:
        soft = None
        labels, counted = _indices(target, shape, scores, classes, ignore_index, mask)
    if mask is not None:
        input = _hide(input, mask)
    return Problem(input, labels, soft, counted, sample_weight, shape, classes)


def softmax_problem(input: Input, target: Tensor, *, sigmoid_form: str, **rest: Any) -> Problem:
    """:func:`problem` for a softmax loss, which needs at least two classes if the scores are ready.

    A linear head may have a single class: the first one, if classes are added as they come.
    """
    if isinstance(input, Tensor) and input.dim() > 0:
        check_several_classes("input", input, input.shape[class_dimension(input, rest["dim"])], sigmoid_form)
    return problem(input, target, **rest)


def class_dimension(input: Tensor, dim: int) -> int:
    if input.dim() == 0:
        raise ValueError("input: wanted at least one dimension, that of the classes; got a scalar")
    if input.dim() == 1:
        return 0
    if not -input.dim() <= dim < input.dim():
        raise ValueError(f"dim: wanted a dimension of input, {tuple(input.shape)}; got {dim}")
    return dim


def check_class_weight(name: str, weight: Tensor | None, classes: int) -> None:
    if weight is not None:
        check_shape(name, weight, (classes,))


def _moved(input: Input, scale: float | Tensor, shift: Tensor | None) -> Input:
    plain = not isinstance(scale, Tensor) and scale == 1
    if not isinstance(input, Bilinear):
        input = accumulate(input) if plain else accumulate(input) * scale
        return input if shift is None else input + shift.to(input.dtype)
    x = accumulate(input.x)
    factor, b = input.row_factor, input.b
    if not plain:
        factor = torch.ones_like(x[:, 0]) * scale if factor is None else factor * scale
        b = None if b is None else b * scale
    if shift is not None:
        shift = shift.to(x.dtype) if input.shards is None else shift[input.shards.own].to(x.dtype)
        b = shift if b is None else b + shift
    bound = input.bound if plain else None
    return Bilinear(
        input.x,
        input.w,
        b,
        input.unit,
        input.centers,
        factor,
        input.column_factor,
        input.half,
        bound,
        input.shards,
    )


def _hide(input: Input, mask: Tensor) -> Input:
    mask = mask.unsqueeze(-1)
    if isinstance(input, Bilinear):
        x, shards = hide(input.x, mask), input.shards
        return Bilinear(x, input.w, input.b, input.unit, input.centers, half=input.half, shards=shards)
    return hide(input, mask)


def _soft(target: Tensor, shape: torch.Size, dim: int, ignore_index: int, mask: Tensor | None) -> Tensor:
    if target.shape != shape:
        wanted = f"integer class indices, or probabilities in the shape of input, {tuple(shape)}"
        raise TypeError(f"target: wanted {wanted}; got {target.dtype} of shape {tuple(target.shape)}")
    if ignore_index >= 0:
        raise ValueError(f"ignore_index: wanted index targets with it; got {target.dtype} targets")
    soft = target.movedim(class_dimension(target, dim), -1)
    soft = soft if mask is None else hide(soft, mask.unsqueeze(-1))
    check_probabilities("target", soft)
    return soft


def _indices(
    target: Tensor, shape: torch.Size, scores: Tensor, classes: int, ignore_index: int, mask: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Class indices as int64, 0 where ignored or masked; and where they count, None for everywhere as far as seen."""
    if target.shape == (1,) and shape == ():  # torch accepts one row's label like this
        target = target.reshape(shape)
    if target.shape != shape:
        hint = "; for classes in the last dimension say dim=-1" if target.shape == scores.shape[:-1] else ""
        raise ValueError(f"target: wanted shape {tuple(shape)}; got {tuple(target.shape)}{hint}")
    target = hide(target, mask)
    if (
        target.numel() > 0
        and values_visible(target)
        and not 0 <= ignore_index < classes
        and within(target, 0, classes - 1)
    ):
        return target, mask
    check_range("target", target, classes, ignore_index)
    counted = both(target != ignore_index, mask)
    return hide(target, counted), counted


def class_loss(
    formula: GapFormula,
    p: Problem,
    *,
    scalars: tuple[float | Tensor, ...] = (),
    per_class: tuple[Tensor | None, ...] = (),
    class_weight: Tensor | None = None,
    reduction: str,
    slope: GapSlope | None = None,
    kernel: ElementKernel | None = None,
) -> Tensor:
    """The loss whose value for a row and its label is ``formula(gap, *scalars, *per_class)``.

    For soft targets it is the expected loss of a label drawn from them: the sum of ``target_c`` times the loss with
    label c. Cross-entropy, focal and poly losses are defined that way.

    Args:
        formula: See :func:`row_loss`; takes one gap per row. From each of ``per_class`` it gets the entry of the row's
            label; None is not passed.
        p: From :func:`problem`.
        scalars: Numbers for the formula.
        per_class: (C,) each, or None.
        class_weight: (C,). For indices the mean is ``sum(w l) / sum(w)``; for soft targets w belongs to the formula.
        reduction: ``"none"``, ``"sum"`` or ``"mean"``.
        slope: The formula's losses and their derivatives by the gap, in closed form.
        kernel: The same among Triton's kernels.
    """
    x = p.input.x if isinstance(p.input, Bilinear) else p.input
    dtype = accumulator(x)
    ours = parameters(scalars, x)
    tables = tuple(t.to(dtype) for t in per_class if t is not None)
    if p.soft is not None and isinstance(p.input, Bilinear):
        raise TypeError(
            "target: wanted integer class indices with linear scores, except for cross_entropy; got soft ones"
        )
    if p.soft is not None:
        soft = p.soft.to(dtype)
        # An impossible class, with a logit of -inf, stays finite, so it adds 0 if its probability is 0.
        losses = formula(every_gap(_shifted(x).clamp_min(ABSENT)), *ours, *tables)
        losses = losses * soft if class_weight is None else losses * soft * class_weight.to(dtype)
        return reduce(losses.sum(-1), weight=p.sample_weight, mask=p.counted, reduction=reduction)
    assert p.labels is not None
    labels = p.labels.reshape(-1)
    rows = tuple(t[labels] for t in tables)
    # As one weight, since an item that does not count has finite scores here, or none at all.
    own = p.weight(class_weight)
    booleans = own is None and isinstance(p.input, Bilinear)
    weight = p.counted if booleans else one_weight(own, p.counted, p.shape, dtype)
    weight = None if weight is None else weight.expand(p.shape).flatten()
    if isinstance(p.input, Bilinear):
        given = (partial(_of_rows, formula), p.input, Targets(labels, means=False), *ours, *rows)
        known = slope and partial(_slope_of_rows, slope), kernel and (*kernel, 0.0)
        loss = row_loss(*given, weight=weight, reduction=reduction, slope=known[0], kernel=known[1])
        return loss.reshape(p.shape) if reduction == "none" else loss
    gap = gaps(_rows(p.input), labels)
    if reduction == "none":
        losses = formula(gap, *ours, *rows)
        return (losses if weight is None else losses * weight).reshape(p.shape)
    total = gap_sum(formula, gap, *ours, *rows, weight=weight, slope=slope, kernel=kernel)
    if reduction == "sum":
        return total
    counted = None if p.counted is None or own is not None else p.counted.expand(p.shape).flatten()
    return divide(total, count(gap, weight if counted is None else None, counted))


def label_loss(
    formula: Callable[[Tensor, Tensor], Tensor],
    input: Tensor,
    target: Tensor,
    class_weight: Tensor | None,
    ignore_index: int,
    dim: int,
    sample_weight: Tensor | None,
    mask: Tensor | None,
    reduction: str,
) -> Tensor:
    """``formula(scores (..., C), labels (..., 1))``, one loss per item, reduced."""
    p = problem(input, target, dim=dim, ignore_index=ignore_index, sample_weight=sample_weight, mask=mask)
    if p.labels is None:
        raise TypeError(f"target: wanted integer class indices; got {target.dtype}")
    check_class_weight("class_weight", class_weight, p.classes)
    assert isinstance(p.input, Tensor)
    losses = formula(accumulate(p.input), p.labels.unsqueeze(-1))
    return reduce(losses, weight=p.weight(class_weight), mask=p.counted, reduction=reduction)


def _of_rows(formula: GapFormula, rows: Rows, *parameters: float | Tensor) -> Tensor:
    return formula(rows.rest - rows.target, *parameters)


def _slope_of_rows(slope: GapSlope, rows: Rows, *parameters: float | Tensor) -> tuple[Tensor, RowGradients]:
    losses, by_gap = slope(rows.rest - rows.target, *parameters)
    return losses, RowGradients(-by_gap, None, by_gap, None)


def _shifted(scores: Tensor) -> Tensor:
    """Scores minus their row's largest: the differences that matter, not rounded by a large common part."""
    scores = accumulate(scores)
    return scores if scores.shape[-1] == 0 else scores - scores.detach().amax(-1, keepdim=True)


def _rows(scores: Tensor) -> Tensor:
    # A view is an operation too.
    return scores if scores.dim() == 2 else scores.reshape(-1, scores.shape[-1])


def every_gap(scores: Tensor) -> Tensor:
    """The gap that each row would have with each class as its label, (..., C).

    log(1 - p) cancels where p is near 1, which can only happen for the largest class: its rest is summed directly.
    """
    largest = first_largest(scores)
    logp = scores.log_softmax(-1)
    rest_of_largest = scores.scatter(-1, largest, ABSENT).logsumexp(-1, keepdim=True)
    share = logp.exp().scatter(-1, largest, 0.0)
    rest = scores.logsumexp(-1, keepdim=True) + torch.log1p(-share)
    rest = torch.where(torch.zeros_like(scores, dtype=torch.bool).scatter(-1, largest, True), rest_of_largest, rest)
    return rest - scores


TAKES_LOGITS = (
    "It takes logits: a softmax in front of it squeezes the gradient.",
    "(B, L, C) scores need dim=-1; if L = C, nothing shows that it is missing.",
)

class_card = partial(
    Card,
    data="classes",
    takes=("input-label",),
    input="logits",
    kernel="rows",
    item="row",
    mean_is_plain=False,
    at_call=frozenset({"sample_weight", "mask"}),
)
