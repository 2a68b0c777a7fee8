"""Matrix products whose precision is what the loss says, in forward and in backward."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.core import device as _device
from lossary.kernels.modes import full_precision, plain_only


def product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """a @ b.mT + bias in full precision: under autocast too, and so its gradient, whatever state backward runs under.

    A product of torch's is differentiated in the state that backward finds.
    """
    if not _device.autocast_is_on(a):
        if b.dim() == 2:
            return F.linear(a, b, bias)
        found = a @ b.mT
    else:
        with full_precision(a):
            found = a @ b.mT if plain_only() else _Product.apply(a, b)
    return found if bias is None else found + bias


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return a @ b.mT

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, Tensor | None]:
        (by_product,) = grads
        a, b = ctx.saved_tensors
        with full_precision(a):
            by_a = _Product.apply(by_product, b.mT) if ctx.needs_input_grad[0] else None
            by_b = _Product.apply(by_product.mT, a.mT) if ctx.needs_input_grad[1] else None
        return by_a, by_b
