"""Matrix products in the precision that the loss specifies, in forward and in backward.

Factors in half precision are multiplied as they are if the device has units for that, and the result is float32: no
score is rounded to half precision. Gradients by scores, which become such factors, are rounded once.
"""

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.core import device as _device
from lossary.kernels.modes import full_precision, plain_only, transformed
from lossary.kernels.stable import HALF, accumulate


def multiplied_in(*tensors: Tensor) -> torch.dtype | None:
    """The half precision in which these are multiplied: their own, or that of autocast. None for full precision."""
    first = tensors[0]
    if not _device.multiplies_half(first) or transformed() or any(t.dtype == torch.float64 for t in tensors):
        return None
    if _device.autocast_is_on(first):
        dtype = torch.get_autocast_dtype(first.device.type)
    else:
        dtype = functools.reduce(torch.promote_types, (t.dtype for t in tensors))
    return dtype if dtype in HALF and _device.multiplies_half(first, dtype) else None


def product(a: Tensor, b: Tensor, bias: Tensor | None = None, half: torch.dtype | None = None) -> Tensor:
    """a @ b.mT + bias, summed in full precision, also under autocast; so is its gradient, wherever backward runs.

    torch differentiates its own products in the state that backward finds. That is used if no context is open at all.

    Args:
        a: Rows.
        b: Rows.
        bias: One number per row of ``b``.
        half: From :func:`multiplied_in`: the dtype to which the factors are rounded.
    """
    if half is not None and a.dim() == b.dim() == 2:
        with full_precision(a):
            found = _HalfProduct.apply(a, b, half)
    elif not _device.autocast_is_on(a) and (plain_only() or not _device.inside_autocast()):
        if b.dim() == 2:
            return F.linear(a, b, bias)
        found = a @ b.mT
    else:
        with full_precision(a):
            found = a @ b.mT if plain_only() else _Product.apply(a, b, bias is not None)
    return found if bias is None else found + bias


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, biased: bool) -> Tensor:
        by_a, by_b, _ = ctx.needs_input_grad
        # Saved in the order of torch's own product, with a bias and without one: a checkpoint may recompute the one
        # where it had the other, because it opens a context to do so.
        kept = (a if by_b else None, b.mT if by_a else None)
        ctx.save_for_backward(*(kept if biased else reversed(kept)))
        ctx.biased = biased
        return a @ b.mT

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, Tensor | None, None]:
        (by_product,) = grads
        a, columns = ctx.saved_tensors if ctx.biased else reversed(ctx.saved_tensors)
        with full_precision(by_product):
            by_a = _Product.apply(by_product, columns, False) if columns is not None else None
            by_b = _Product.apply(by_product.mT, a.mT, False) if a is not None else None
        return by_a, by_b, None


class _HalfProduct(torch.autograd.Function):
    """a @ b.mT of factors rounded to half precision, as accumulated; its gradients are such products too."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, half: torch.dtype) -> Tensor:
        ctx.save_for_backward(a, b)
        ctx.half = half
        scale = _power_of_two(a, half)
        narrow = a.to(half) if scale is None else (accumulate(a) * scale).to(half)
        out = torch.empty(a.shape[0], b.shape[0], dtype=torch.float32, device=a.device)
        multiply_(out, narrow, b.to(half).mT)
        return out if scale is None else out.div_(scale)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, Tensor | None, None]:
        (by_product,) = grads
        a, b = ctx.saved_tensors
        needs_a, needs_b, _ = ctx.needs_input_grad
        with full_precision(by_product):
            by_a = _HalfProduct.apply(by_product, b.mT, ctx.half).to(a.dtype) if needs_a else None
            by_b = _HalfProduct.apply(by_product.mT, a.mT, ctx.half).to(b.dtype) if needs_b else None
        return by_a, by_b, None


def _power_of_two(a: Tensor, half: torch.dtype) -> Tensor | None:
    """A factor for float32 numbers before they are rounded to float16, where small ones are lost."""
    if half != torch.float16 or a.dtype == half or a.numel() == 0:
        return None
    return headroom(a.detach().abs().amax())


def headroom(largest: Tensor) -> Tensor:
    """The power of 2 that brings numbers up to this size into the upper range of float16."""
    return torch.exp2(13 - largest.clamp(1e-30, 1e30).log2().ceil())


def multiply_(out: Tensor, a: Tensor, b: Tensor, *, alpha: float = 1.0, add: bool = False) -> Tensor:
    """out = alpha a @ b, or with ``add`` out += a @ b; for half-precision a and b into float32, unrounded."""
    if a.dtype != out.dtype and out.device.type != "cpu":
        return _multiply_half_(out, a, b, alpha, add)
    if a.dtype != out.dtype or b.dtype != out.dtype:
        a, b = a.to(out.dtype), b.to(out.dtype)
    if add:
        return out.addmm_(a, b)
    return torch.mm(a, b, out=out) if alpha == 1 else torch.addmm(out, a, b, beta=0, alpha=alpha, out=out)


def _multiply_half_(out: Tensor, a: Tensor, b: Tensor, alpha: float, add: bool) -> Tensor:
    if not add and alpha == 1:
        return torch.mm(a, b, out_dtype=out.dtype, out=out)
    if _device.adds_half_products(out, a.dtype):
        return torch.addmm(out, a, b, out_dtype=out.dtype, beta=int(add), alpha=alpha, out=out)
    if add:
        return out.add_(torch.mm(a, b, out_dtype=out.dtype))
    return torch.mm(a, b, out_dtype=out.dtype, out=out).mul_(alpha)
