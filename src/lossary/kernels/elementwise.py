"""Sums over elements, block by block: a formula of ten operations goes through memory once instead of ten times.

On a CPU the operations of a formula over a large tensor wait for memory, and each saves a tensor for backward. Over
blocks that stay in cache the same formula is several times as fast, and only the gradient itself, computed while a
block is in cache, is saved for backward.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lossary.core import device as _device
from lossary.kernels.fused import switch
from lossary.kernels.graph import check_closed, distinct, gradients_by, learns
from lossary.kernels.modes import plain_only
from lossary.kernels.stable import widened

#: Elements of a block on a CPU. A formula's temporaries then stay within a few MiB, and each operation takes long
#: enough to hide the cost of calling it.
CACHED_ELEMENTS = 1 << 18
#: Elements of a block elsewhere: large operations, with temporaries that are small compared with a large batch.
LARGE_ELEMENTS = 1 << 25

Argument = Tensor | float | None
ElementFormula = Callable[..., Tensor]
#: A formula's value in closed form, with its gradient by the first argument in ``out``; None if neither is known.
ElementSlope = Callable[..., Tensor | None]


def fits_cache(x: Tensor, *, known: bool = False) -> bool:
    """A small tensor fits in cache anyway; compilers and accelerators choose their own blocks.

    If a slope is known, an accelerator uses blocks too, because this takes half of autograd's operations.
    """
    return plain_only() or (not _device.by_cache(x) and not known) or x.numel() <= CACHED_ELEMENTS


def block_sum(
    formula: ElementFormula,
    x: Tensor,
    *arguments: Argument,
    slope: ElementSlope | None = None,
    dtype: torch.dtype | None = None,
    rows: bool = False,
) -> Tensor:
    """``formula(x, *arguments)``, a scalar, summed over blocks of elements; see :func:`fits_cache`.

    Args:
        formula: Its value over all elements must be the sum of its values over parts of them. A tensor that it
            needs is passed among the arguments, never captured.
        x: Any shape that is not empty.
        arguments: Tensors that broadcast to ``x`` and are split like it; numbers and None are passed on unchanged.
            Gradients flow to every tensor.
        slope: Used with the same arguments instead of the formula if only ``x`` is learned: half the operations.
        dtype: Of the sum; by default that of ``x``.
        rows: Whether the formula needs whole rows of ``x``, (n, D), rather than single elements.
    """
    given: Sequence[Any] = (x, *arguments)
    given, dtype = given if rows else _flat(given), x.dtype if dtype is None else dtype
    if torch.is_grad_enabled() and any(map(learns, given)):
        return _BlockSum.apply(formula, slope, dtype, *given)
    return _run(formula, None, dtype, given, differentiate=False)[0]


class _BlockSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, formula: ElementFormula, slope: ElementSlope | None, dtype: torch.dtype, *given: Argument
    ) -> Tensor:
        total, ctx.gradients = _run(formula, slope, dtype, given, differentiate=True)
        ctx.formula, ctx.slope, ctx.numbers = formula, slope, [None if isinstance(a, Tensor) else a for a in given]
        ctx.save_for_backward(*(a if isinstance(a, Tensor) else None for a in given))
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (by_total,) = grads
        given = [n if t is None else t for t, n in zip(ctx.saved_tensors, ctx.numbers, strict=True)]
        if torch.is_grad_enabled():  # the gradient must be differentiable: that of the plain formula is
            given = distinct(given)  # two arguments may be the same tensor
            return None, None, None, *gradients_by(ctx.formula(*given), given, by_total)
        # Returned once and scaled in place: a product would be a second copy.
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            gradients = _run(ctx.formula, ctx.slope, by_total.dtype, given, differentiate=True)[1]
        if not _device.values_visible(by_total) or by_total != 1:
            gradients = [None if g is None else _scaled_(g, by_total) for g in gradients]
        return None, None, None, *gradients


def _run(
    formula: ElementFormula,
    slope: ElementSlope | None,
    dtype: torch.dtype,
    given: Sequence[Any],
    *,
    differentiate: bool,
) -> tuple[Tensor, list[Tensor | None]]:
    """The sum, and its gradient by every tensor that is learned."""
    x = given[0]
    cut = [isinstance(a, Tensor) and a.dim() == x.dim() and a.shape[0] == x.shape[0] for a in given]
    learn = [differentiate and learns(a) for a in given]
    # A slope may read the values it has computed.
    slope = slope if learn[0] and not any(learn[1:]) and _device.has_values(x) else None
    # Not zeros if they are split: that is one more pass through memory.
    gradients = [
        (torch.empty_like if c else torch.zeros_like)(a) if needed else None
        for a, c, needed in zip(given, cut, learn, strict=True)
    ]
    total = widened(torch.zeros((), dtype=dtype, device=x.device))  # over many blocks float32 loses digits
    step = max(1, (CACHED_ELEMENTS if _device.by_cache(x) else LARGE_ELEMENTS) * x.shape[0] // x.numel())
    for start in range(0, x.shape[0], step):
        block = slice(start, start + step)
        parts = [a[block].detach() if c else a for a, c in zip(given, cut, strict=True)]
        known = None if slope is None or gradients[0] is None else slope(*parts, out=gradients[0][block])
        if known is not None:
            total += known
            continue
        value, found = _block(formula, parts, learn, first=start == 0)
        total += value
        for whole, c, part in zip(gradients, cut, found, strict=True):
            if whole is not None and c:
                whole[block] = 0 if part is None else part
            elif whole is not None and part is not None:
                whole.add_(part)
    return total.to(dtype), gradients


def _block(
    formula: ElementFormula, parts: Sequence[Any], learn: Sequence[bool], *, first: bool
) -> tuple[Tensor, Sequence[Tensor | None]]:
    """A block's value, and its gradient by every tensor that is learned."""
    with torch.set_grad_enabled(any(learn) or torch.is_grad_enabled()):
        parts = [p.detach().requires_grad_() if needed else p for p, needed in zip(parts, learn, strict=True)]
        value = formula(*parts)
    if first:
        check_closed(value, [p for p, needed in zip(parts, learn, strict=True) if needed])
    return value.detach(), gradients_by(value, parts)


def fused_slope(
    kernel: switch.ElementKernel, x: Tensor, y: Tensor, share: float | Tensor, out: Tensor
) -> Tensor | None:
    """A loss with a Triton kernel: ``share`` times its sum, its gradient in ``out``; None if memory has gaps."""
    from lossary.kernels.fused import elements

    return elements.value_and_slope(kernel, x, y, share, out)


def _scaled_(gradient: Tensor, by_total: Tensor) -> Tensor:
    if not switch.runs_on(gradient):
        return gradient.mul_(by_total)
    from lossary.kernels.fused import elements

    return elements.scale_(gradient, by_total)


def _flat(given: Sequence[Any]) -> Sequence[Any]:
    """One dimension instead of several, if every tensor has one entry per element, in the same order.

    Otherwise the first dimension is split: with few long rows, blocks may be larger than wanted.
    """
    x = given[0]
    if all(a.shape == x.shape and a.is_contiguous() for a in given if isinstance(a, Tensor) and a.dim() > 0):
        return [a.view(-1) if isinstance(a, Tensor) and a.dim() > 0 else a for a in given]
    return given
