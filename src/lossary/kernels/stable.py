"""Log-space helpers that stay exact and differentiable at the extremes."""

import math
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.core.check import within
from lossary.core.device import autocast_is_on, has_float64, values_visible
from lossary.kernels.graph import distinct, gradients_by
from lossary.kernels.modes import plain_only

#: Stands for "no such score". Finite, so that a row without any score has a finite log-sum-exp and zero
#: gradients; exp() of it is 0 compared with any real score.
ABSENT = -1e30
LOG2_E = math.log2(math.e)
#: In these, sums and exponentials lose the digits that matter: they are computed in float32.
HALF = (torch.float16, torch.bfloat16)
#: Lengths whose squares, and the squares of their relevant entries, are well within float32's range.
ORDINARY = (1e-9, 1e9)


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)), exact everywhere: torch's own is linear above 20, with an error of 6e-11 in float64."""
    return F.softplus(x, threshold=40.0)  # from here on it equals x to the last digit


def clamped_log(x: Tensor, low: float = -100.0) -> Tensor:
    """log(x), at least ``low``; the gradient is 0 below that, and where 1 / x would overflow the dtype."""
    # Written this way, a NaN stays NaN, and what has no gradient is selected, not multiplied by 0.
    return torch.where(~(x < 2**10 * torch.finfo(x.dtype).tiny), x, x.detach()).log().clamp_min(low)


def short_of_one(exponent: Tensor) -> Tensor:
    """1 - exp(u), with the slope of exp: torch's own of expm1 is expm1(u) + 1, of which far below 0 nothing is left."""
    held = exponent.detach()
    return held.exp() - exponent.exp() - torch.expm1(held)


def logaddexp(a: Tensor, b: Tensor) -> Tensor:
    """log(exp(a) + exp(b)) with all derivatives: the second of ``torch.logaddexp`` is NaN next to :data:`ABSENT`."""
    return torch.where(a >= b, a + softplus(b - a), b + softplus(a - b))


def accumulate(x: Tensor) -> Tensor:
    """Half-precision input as float32."""
    return x.float() if x.dtype in HALF else x


def widened(x: Tensor) -> Tensor:
    """In float64, for sums so long or so close to cancelling that float32 loses them; not every device has it."""
    return x.double() if has_float64(x) else x.float()


def accumulator(x: Tensor) -> torch.dtype:
    return torch.float32 if x.dtype in HALF else x.dtype


def parameters(values: Iterable[float | Tensor], x: Tensor) -> tuple[float | Tensor, ...]:
    """Hyperparameters for a formula over ``x``: numbers, and tensors on its device in the dtype of its sums.

    A number stays a number: as a tensor it would be one more operation for each use.
    """
    dtype, device = accumulator(x), x.device
    return tuple([v.to(device, dtype) if isinstance(v, Tensor) else float(v) for v in values])


def like_torch(loss: Tensor, *inputs: Tensor) -> Tensor:
    """The loss in the dtype that torch's own function returns: that common to the inputs; float32 under autocast."""
    if autocast_is_on(loss):
        return loss
    dtype = inputs[0].dtype
    for other in inputs[1:]:
        dtype = common(dtype, other.dtype)
    return loss.to(dtype)


def common(dtype: torch.dtype, other: torch.dtype) -> torch.dtype:
    """The dtype in which both meet; nearly always they are one, and torch's own answer takes an operation."""
    return dtype if dtype == other else torch.promote_types(dtype, other)


def unit(x: Tensor, dim: int = -1) -> Tensor:
    """x / |x| along ``dim``; a zero vector stays zero, with a zero gradient."""
    # A product, because the gradient of a quotient needs twice as many tensors of the size of x.
    y, inverse = in_range(x, dim)
    return y * inverse


def sphere(x: Tensor, radius: float | Tensor) -> Tensor:
    """radius * x / |x| for rows x, (N, D), in one product; the radius is one number, or one per row."""
    if isinstance(radius, Tensor) and radius.dim() > 0:
        radius = radius[:, None]
    y, inverse = in_range(x)
    return y * (inverse if _is_one(radius) else inverse * radius)


def sphere_apart(x: Tensor, radius: float | Tensor, half: torch.dtype | None) -> tuple[Tensor, Tensor | None]:
    """:func:`sphere`; for products in half precision instead the unchanged vectors, and radius / |x| (N,)."""
    if half is None:
        return sphere(x, radius), None
    y, inverse = in_range(x)
    each = inverse.squeeze(1)
    return y, each if _is_one(radius) else each * radius


def _is_one(radius: float | Tensor) -> bool:
    return not isinstance(radius, Tensor) and radius == 1


def in_range(x: Tensor, dim: int = -1) -> tuple[Tensor, Tensor]:
    """Vectors y parallel to x whose squares are neither rounded to 0 nor infinite; and 1 / |y|, with ``dim`` kept.

    y is x itself if that holds for its own squares and values may be read: a fifth of the operations, which matters for
    small batches. 1 / |y| is 0 for a zero vector, with a zero gradient (a division by a clamped norm gives 1e12).
    """
    length = _ordinary_length(x, dim)
    if length is not None:
        return x, length.reciprocal()
    if not plain_only():
        return _InRange.apply(x, dim)
    return _in_range(x, dim)


def _in_range(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    y = divided(x, scales(x, dim))
    squares = y.square().sum(dim, keepdim=True)
    zero = squares == 0
    return y, (squares + zero).rsqrt() * ~zero


class _InRange(torch.autograd.Function):
    """The same in fewer passes through memory, without reading values."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        scale = scales(x, dim)
        y = x / scale
        length = torch.linalg.vector_norm(y, dim=dim, keepdim=True)
        inverse = length.reciprocal().masked_fill_(length == 0, 0)
        ctx.dim = dim
        ctx.save_for_backward(x, scale, y, inverse)
        ctx.set_materialize_grads(False)
        return y, inverse

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, None]:
        x, scale, y, inverse = ctx.saved_tensors
        by_y, by_inverse = grads
        if torch.is_grad_enabled():  # the gradient must be differentiable: that of plain torch is
            (x,) = distinct((x,))  # what is passed in may also depend on x
            products = [(f * g).sum() for f, g in zip(_in_range(x, ctx.dim), grads, strict=True) if g is not None]
            return gradients_by(torch.stack(products).sum(), (x,))[0], None
        if by_inverse is None:
            return None if by_y is None else by_y / bounded(scale), None
        along = by_inverse * inverse.pow(3)
        found = y * -along if by_y is None else torch.addcmul(by_y, y, along, value=-1)
        return found.div_(bounded(scale)), None


def scales(x: Tensor, dim: int = -1) -> Tensor:
    """Divisors that bring vectors' squares into range: 1 for all but extremely short and long vectors."""
    # Not along -1, where torch refuses an empty batch of tensors without values.
    largest = torch.linalg.vector_norm(x.detach(), torch.inf, dim % x.dim(), keepdim=True)
    low = torch.finfo(x.dtype).tiny ** (1 / 3)  # 2e-13 in float32
    scale = largest / largest.clamp(low, 1 / low)
    return scale + (scale == 0)


def divided(x: Tensor, scale: Tensor) -> Tensor:
    """``x / scale`` of :func:`scales`, with a gradient that stays within range."""
    return x.detach() / scale + (x - x.detach()) / bounded(scale) if x.requires_grad else x / scale


def bounded(scale: Tensor) -> Tensor:
    """The same for gradients: for vectors shorter than about 1e-32 (float32), the gradient is that at this length."""
    return scale.clamp_min(torch.finfo(scale.dtype).tiny ** 0.5)


def _ordinary_length(x: Tensor, dim: int) -> Tensor | None:
    """|x| if none is 0, tiny or huge and values may be read."""
    if x.numel() == 0 or not values_visible(x):
        return None
    length = torch.linalg.vector_norm(x, dim=dim, keepdim=True)
    return length if within(length.detach(), *ORDINARY) else None
