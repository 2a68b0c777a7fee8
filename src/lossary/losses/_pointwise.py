"""What the losses of one number against another share: checks, precision, masks and the reduction."""

from __future__ import annotations  # torch 2.9 compiles no inner function with a union in its annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lossary.core.check import check_float, check_same_shape
from lossary.core.reduce import align, count, divide, reduce
from lossary.kernels.elementwise import Argument, ElementSlope, block_sum, fits_cache
from lossary.kernels.stable import accumulator

ElementFormula = Callable[..., Tensor]


def pointwise(
    formula: ElementFormula,
    input: Tensor,
    target: Tensor,
    *arguments: Argument,
    sample_weight: Tensor | None,
    mask: Tensor | None,
    reduction: str,
    slope: ElementSlope | None = None,
) -> Tensor:
    """``formula(input, target, *arguments)``, one loss an element, reduced. Targets may be of any dtype.

    A sum or mean over many elements goes block by block: tensors that the formula needs are given among the
    arguments, broadcast to the input, and are never captured. There ``slope(input, target, share, *arguments, out)``
    may give ``share`` times the losses' sum and leave its derivatives by the input in ``out``; None where it cannot.
    """
    x, sample_weight, mask = _prepared(input, target, sample_weight, mask)
    if reduction == "none" or fits_cache(x):
        losses = _items(formula, x, target, mask, *arguments)
        return reduce(losses, weight=sample_weight, mask=mask, reduction=reduction)

    def scaled_sum(
        x: Tensor, y: Tensor, weight: Tensor | None, mask: Tensor | None, share: Any, *arguments: Argument
    ) -> Tensor:
        return reduce(_items(formula, x, y, mask, *arguments), weight=weight, mask=mask, reduction="sum") * share

    def scaled_slope(x: Tensor, y: Tensor, _: None, __: None, *arguments: Argument, out: Tensor) -> Tensor | None:
        return None if slope is None else slope(x, y.to(x.dtype), *arguments, out=out)

    plain = sample_weight is None and mask is None
    # Scaled within the blocks: scaling the gradient afterwards would be one more way through memory.
    divisor = count(x, sample_weight, mask) if reduction == "mean" else 1
    share = 1 / divisor if isinstance(divisor, int) else divide(x.new_ones(()), divisor)
    of_elements = (x, target, sample_weight, mask, share, *arguments)
    return block_sum(scaled_sum, *of_elements, slope=scaled_slope if plain and slope is not None else None)


def pointwise_by_torch(
    formula: ElementFormula,
    input: Tensor,
    target: Tensor,
    *,
    sample_weight: Tensor | None,
    mask: Tensor | None,
    reduction: str,
) -> Tensor:
    """:func:`pointwise` of a formula that is one operator of torch's, which blocks would not make faster."""
    x, sample_weight, mask = _prepared(input, target, sample_weight, mask)
    return reduce(_items(formula, x, target, mask), weight=sample_weight, mask=mask, reduction=reduction)


def _prepared(
    input: Tensor, target: Tensor, sample_weight: Tensor | None, mask: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    check_float("input", input)
    check_same_shape("target", target, "input", input)
    x = input.to(torch.promote_types(accumulator(input), target.dtype))
    return x, *align(sample_weight, mask, x.shape)


def _items(formula: ElementFormula, x: Tensor, y: Tensor, mask: Tensor | None, *arguments: Argument) -> Tensor:
    y = y.to(x.dtype)
    if mask is not None:
        x, y = hide(x, mask), hide(y, mask)
    return formula(x, y, *arguments)


def decide(target: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """``yes`` where the target is above 0, ``no`` where it is not, NaN where it is NaN.

    A comparison with NaN is false, so that a plain ``where`` would read a missing answer as "no".
    """
    return torch.where(target > 0, yes, torch.where(target <= 0, no, target))


def hide(x: Tensor, mask: Tensor | None) -> Tensor:
    """0 where an element does not count: a NaN there (a missing value) would otherwise come back as 0 * NaN."""
    return x if mask is None else torch.where(mask, x, torch.zeros((), dtype=x.dtype, device=x.device))
