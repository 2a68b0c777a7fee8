"""Shared by the losses of one number against another: checks, precision, masks and reduction."""

from __future__ import annotations  # torch 2.9 cannot compile an inner function with a union in its annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lossary.core import device as _device
from lossary.core.check import check_float, check_same_shape, check_tensor, values_visible, wide_integers
from lossary.core.reduce import align, count, divide, reduce
from lossary.kernels.elementwise import Argument, ElementSlope, block_sum, fits_cache, fused_slope
from lossary.kernels.fused import switch
from lossary.kernels.graph import learns
from lossary.kernels.modes import plain_only
from lossary.kernels.stable import accumulator, common

#: Integers that torch can multiply by a mask; it cannot multiply the wider unsigned ones.
_WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)

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
    kernel: switch.ElementKernel | None = None,
) -> Tensor:
    """``formula(input, target, *arguments)``, one loss per element, reduced. Targets may have any dtype.

    A sum or mean over many elements goes block by block: tensors that the formula needs are passed as arguments,
    broadcast to the input, never captured. There ``slope(input, target, share, *arguments, out)`` may return ``share``
    times the sum and write its derivatives by the input to ``out``, or return None. ``kernel`` is the loss in Triton.
    """
    dtype, sample_weight, mask = _prepared(input, target, sample_weight, mask)
    # Slopes are derivatives by the input alone, without weights.
    if sample_weight is not None or mask is not None or any(map(learns, (target, *arguments))):
        slope = kernel = None
    if dtype != torch.float32 or not switch.runs_on(input):
        kernel = None
    given: Any = (input, target, *arguments), dtype, sample_weight, mask, reduction
    return _reduced(formula, *given, slope=slope, kernel=kernel)


def rowwise(
    formula: ElementFormula,
    input: Tensor,
    target: Tensor,
    *arguments: Argument,
    sample_weight: Tensor | None,
    mask: Tensor | None,
    reduction: str,
    slope: ElementSlope | None = None,
) -> Tensor:
    """:func:`pointwise` where an item is a row, along the last dimension: the formula maps (n, D) to (n,)."""
    check_tensor("input", input)
    shape, width = input.shape[:-1], input.shape[-1:].numel()
    dtype, *counting = _prepared(input, target, sample_weight, mask, shape)
    # Slopes are derivatives by the input alone, without weights, and look at values.
    alone = sample_weight is None and mask is None and not any(map(learns, (target, *arguments)))
    slope = slope if alone and _device.by_cache(input) else None
    sample_weight, mask = (None if t is None else t.expand(shape).reshape(-1, 1) for t in counting)
    rows = tuple(t.reshape(shape.numel(), width) for t in (input, target))

    def column(x: Tensor, y: Tensor, *arguments: Argument) -> Tensor:
        return formula(x, y, *arguments)[:, None]

    loss = _reduced(column, (*rows, *arguments), dtype, sample_weight, mask, reduction, slope=slope, rows=True)
    return loss.reshape(shape) if reduction == "none" else loss


def _reduced(
    formula: ElementFormula,
    given: tuple[Any, ...],
    dtype: torch.dtype,
    sample_weight: Tensor | None,
    mask: Tensor | None,
    reduction: str,
    *,
    slope: ElementSlope | None = None,
    kernel: switch.ElementKernel | None = None,
    rows: bool = False,
) -> Tensor:
    """The formula's losses, reduced; with ``rows`` a block is whole rows and the formula returns a column."""
    input, target, *arguments = given
    known = slope is not None or kernel is not None
    # A formula over rows takes many operations, each with a gradient: a slope with few pays off in cache too.
    in_rows = rows and slope is not None and learns(input) and input.numel() > 0 and not plain_only()
    if reduction == "none" or (fits_cache(input, known=known) and not in_rows):
        losses = _items(formula, input.to(dtype), target, mask, *arguments)
        return reduce(losses, weight=sample_weight, mask=mask, reduction=reduction)
    # Half precision is widened within the blocks: a copy would be one and a half times as long as it. Off the CPU,
    # where each operation goes through memory, bf16 stays as it is: a gradient rounded every time is within 4 steps.
    as_is = not _device.by_cache(input) and input.dtype == torch.bfloat16 and dtype == torch.float32

    def scaled_sum(
        x: Tensor, y: Tensor, weight: Tensor | None, mask: Tensor | None, share: Any, *arguments: Argument
    ) -> Tensor:
        losses = _items(formula, x.to(dtype), y, mask, *arguments)
        return reduce(losses, weight=weight, mask=mask, reduction="sum") * share

    def scaled_slope(x: Tensor, y: Tensor, _: None, __: None, *arguments: Any, out: Tensor) -> Tensor | None:
        found = None if kernel is None else fused_slope(kernel, x, y, arguments[0], out)
        if found is not None:
            return found
        x = x if as_is else x.to(dtype)
        return None if slope is None else slope(x, y.to(x.dtype), *arguments, out=out)

    # Scaled within the blocks: scaling the gradient afterwards would be one more pass through memory.
    share = 1.0
    if reduction == "mean":
        one = torch.ones((), dtype=dtype, device=input.device)
        divisor = count(one.expand((input.shape[0], 1) if rows else input.shape), sample_weight, mask)
        share = 1 / divisor if isinstance(divisor, int) else divide(one, divisor)
    of_elements = (input, target, sample_weight, mask, share, *arguments)
    return block_sum(scaled_sum, *of_elements, dtype=dtype, slope=scaled_slope if known else None, rows=rows)


def pointwise_by_torch(
    formula: ElementFormula,
    input: Tensor,
    target: Tensor,
    *,
    sample_weight: Tensor | None,
    mask: Tensor | None,
    reduction: str,
    kernel: switch.ElementKernel | None = None,
) -> Tensor:
    """:func:`pointwise` with torch's ``formula(input, target, reduction=...)``, which blocks would not speed up."""
    dtype, sample_weight, mask = _prepared(input, target, sample_weight, mask)
    plain = sample_weight is None and mask is None and reduction != "none"
    if plain and kernel is not None and by_triton(input):
        items = partial(formula, reduction="none")
        return pointwise(items, input, target, sample_weight=None, mask=None, reduction=reduction, kernel=kernel)
    if plain and torchs_own(input, target):
        return formula(input, target.to(input.dtype), reduction=reduction)
    losses = _items(partial(formula, reduction="none"), input.to(dtype), target, mask)
    return reduce(losses, weight=sample_weight, mask=mask, reduction=reduction)


def by_triton(input: Tensor) -> bool:
    """Whether a loss with a Triton kernel uses it: for many elements, if Triton is asked for."""
    return switch.ON and switch.runs_on(input) and not fits_cache(input, known=True)


def torchs_own(input: Tensor, target: Tensor) -> bool:
    """Whether torch's own reduction is as good: of at least one element, in the loss's dtype.

    Off the CPU also in bf16: torch sums in float32, and a widened copy of each tensor would double the memory traffic.
    Not in float16, where the square of 300 is infinite.
    """
    if input.numel() == 0 or common(input.dtype, target.dtype) != input.dtype:
        return False
    return accumulator(input) == input.dtype or (input.dtype == torch.bfloat16 and not _device.by_cache(input))


def _prepared(
    input: Tensor,
    target: Tensor,
    sample_weight: Tensor | None,
    mask: Tensor | None,
    shape: torch.Size | None = None,
) -> tuple[torch.dtype, Tensor | None, Tensor | None]:
    """The losses' dtype; weights and mask lined up with items of ``shape``, by default the input's."""
    check_float("input", input)
    check_same_shape("target", target, "input", input)
    return common(accumulator(input), target.dtype), *align(
        sample_weight, mask, input.shape if shape is None else shape
    )


def _items(formula: ElementFormula, x: Tensor, y: Tensor, mask: Tensor | None, *arguments: Argument) -> Tensor:
    y = y.to(x.dtype)
    if mask is not None:
        x, y = hide(x, mask), hide(y, mask)
    return formula(x, y, *arguments)


def decide(target: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """``yes`` where the target is above 0, ``no`` where it is not, NaN where it is NaN.

    A comparison with NaN is false, so a plain ``where`` would read a missing answer as "no".
    """
    return torch.where(target > 0, yes, torch.where(target <= 0, no, target))


def hide(x: Tensor, mask: Tensor | None) -> Tensor:
    """0 where an element does not count: a NaN there (a missing value) would otherwise come back as 0 * NaN."""
    if mask is None:
        return x
    if x.dtype in _WHOLE:
        return x * mask  # integers are never NaN: one launch instead of two
    return torch.where(mask, x, torch.zeros((), dtype=x.dtype, device=x.device))


def check_not_negative(name: str, tensor: Tensor, counts: Tensor | None) -> None:
    """Of what counts: values elsewhere may be anything."""
    tensor = wide_integers(name, tensor)
    if not values_visible(tensor) or (counts is not None and not values_visible(counts)):
        return
    tensor = hide(tensor, counts)
    if (tensor < 0).any():
        raise ValueError(f"{name}: wanted no negative number; got {tensor[tensor < 0].flatten()[0].item()}")
