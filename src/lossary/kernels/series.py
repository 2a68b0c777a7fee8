"""Power series for which autograd saves nothing but their argument."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lossary.kernels.modes import plain_only


def series(t: Tensor, coefficients: Sequence[float]) -> Tensor:
    """c_0 + c_1 t + c_2 t^2 + ..., differentiable to any order."""
    return _horner(t, coefficients) if plain_only() else _Series.apply(t, tuple(coefficients))


def _horner(t: Tensor, coefficients: Sequence[float]) -> Tensor:
    found = torch.full_like(t, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        found = torch.addcmul(torch.full((), c, dtype=t.dtype, device=t.device), found, t)
    return found


class _Series(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, t: Tensor, coefficients: tuple[float, ...]) -> Tensor:
        ctx.save_for_backward(t)
        ctx.coefficients = coefficients
        return _horner(t, coefficients)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None]:
        (t,) = ctx.saved_tensors
        slope = tuple(k * c for k, c in enumerate(ctx.coefficients))[1:] or (0.0,)
        return grads[0] * series(t, slope), None
