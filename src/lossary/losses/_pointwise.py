"""What the losses of one number against another share: checks, precision, masks and the reduction."""

from collections.abc import Callable

import torch
from torch import Tensor

from lossary._check import check_float, check_same_shape
from lossary._reduce import align, reduce
from lossary.kernels.stable import accumulator


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
    dtype = torch.promote_types(accumulator(input), target.dtype)
    x, y = input.to(dtype), target.to(dtype)
    sample_weight, mask = align(sample_weight, mask, x.shape)
    if mask is not None:
        x, y = hide(x, mask), hide(y, mask)
    return reduce(formula(x, y), weight=sample_weight, mask=mask, reduction=reduction)


def decide(target: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """``yes`` where the target is above 0, ``no`` where it is not, NaN where it is NaN.

    A comparison with NaN is false, so that a plain ``where`` would read a missing answer as "no".
    """
    return torch.where(target > 0, yes, torch.where(target <= 0, no, target))


def hide(x: Tensor, mask: Tensor) -> Tensor:
    """0 where an element does not count: a NaN there (a missing value) would otherwise come back as 0 * NaN."""
    return torch.where(mask, x, torch.zeros((), dtype=x.dtype, device=x.device))
