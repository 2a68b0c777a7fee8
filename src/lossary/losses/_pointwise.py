"""What the losses of one number against another share: checks, precision, masks and the reduction."""

from collections.abc import Callable

import torch
from torch import Tensor

from lossary._check import check_float, check_same_shape
from lossary._reduce import align, reduce
from lossary.kernels.stable import accumulate


def pointwise(
    formula: Callable[[Tensor, Tensor], Tensor],
    input: Tensor,
    target: Tensor,
    *,
    sample_weight: Tensor | None,
    mask: Tensor | None,
    reduction: str,
) -> Tensor:
    """``formula(input, target)``, one loss an element, reduced. Targets may be of any dtype."""
    check_float("input", input)
    check_same_shape("target", target, "input", input)
    dtype = torch.promote_types(accumulate(input).dtype, target.dtype)
    x, y = input.to(dtype), target.to(dtype)
    if mask is not None:
        mask = align("mask", mask, x.shape)
        x, y = hide(x, mask), hide(y, mask)
    if sample_weight is not None:
        sample_weight = align("sample_weight", sample_weight, x.shape)
    return reduce(formula(x, y), weight=sample_weight, mask=mask, reduction=reduction)


def hide(x: Tensor, mask: Tensor) -> Tensor:
    """0 where an element does not count: a NaN there (a missing value) would otherwise come back as 0 * NaN."""
    return torch.where(mask, x, torch.zeros((), dtype=x.dtype, device=x.device))
