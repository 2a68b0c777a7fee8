"""Matrix products whose precision is what the loss says, in forward and in backward."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.core import device as _device
from lossary.kernels.modes import full_precision, plain_only


def product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """a @ b.mT + bias in full precision: under autocast too, and so its gradient, whatever state backward runs under.

    A product of torch's is differentiated in the state that backward finds. So it is where no context is open at all.
    """
    plain = plain_only()
    if not _device.autocast_is_on(a) and (plain or not _device.inside_autocast()):
        if b.dim() == 2:
            return F.linear(a, b, bias)
        found = a @ b.mT
    else:
        with full_precision(a):
            found = a @ b.mT if plain else _Product.apply(a, b, bias is not None)
    return found if bias is None else found + bias


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, biased: bool) -> Tensor:
        by_a, by_b, _ = ctx.needs_input_grad
        # What torch's own product keeps, in its order with a bias and without one: a checkpoint makes the one again
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
