"""Sorted errors: the Jaccard loss as a function of errors from 0 up, linear wherever their order stays.

Lovasz's extension of a set function weighs each error by what the function grows as the position joins those of
larger errors. For the Jaccard loss that growth has a closed form in counts; as a difference of two fractions close to
each other, as common code takes it, it is wrong in the third digit.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.kernels.inplace import last_use, masked_softmax, plain_only, softmax_gradient_
from lossary.kernels.stable import accumulate

#: From so many errors on, torch sorts a row of integers on CPU by their digits, in a tenth of the time of floats.
RADIX = 1 << 15


def lovasz_jaccard(errors: Tensor, truth: Tensor, *, per_sample: bool) -> Tensor:
    """Lovasz's extension of the Jaccard loss of each class.

    Args:
        errors: (N, C, L), none below 0; of a position that does not count, 0.
        truth: (N, C, L), True where the class is true.
        per_sample: Each sample's class by itself, not each class of the whole batch.

    Returns:
        (N, C), or (C,) over the whole batch. Its gradient by the errors depends on their order alone; where errors
        are tied any order gives a right one.
    """
    with torch.no_grad():
        by = _by_digits if _has_digits(errors, per_sample) else _by_floats
        growth = by(errors, truth, per_sample)
    return (errors * growth).sum(2 if per_sample else (0, 2))


def softmax_errors(logits: Tensor, target: Tensor, keep: Tensor) -> Tensor:
    """1 - p at class indices ``target`` (N, L), p elsewhere: (N, C, L); 0 where not ``keep`` (N, L)."""
    index = torch.where(keep, target, torch.zeros_like(target)).long()
    with torch.autocast(logits.device.type, enabled=False):
        errors = _plain_errors if plain_only() else _SoftmaxErrors.apply
        return errors(accumulate(logits), index[:, None], keep)


def _has_digits(errors: Tensor, per_sample: bool) -> bool:
    row = errors.shape[2] if per_sample else errors.shape[0] * errors.shape[2]
    return not plain_only() and errors.device.type == "cpu" and errors.dtype == torch.float32 and row >= RADIX


def _by_floats(errors: Tensor, truth: Tensor, per_sample: bool) -> Tensor:
    """What the Jaccard loss grows by at each position (N, C, L); all rows sorted at once."""
    if not per_sample:  # one row a class
        rows = (x.transpose(0, 1).flatten(1)[None] for x in (errors, truth))
        growth = _by_floats(*rows, per_sample=True)
        return growth.view(errors.transpose(0, 1).shape).transpose(0, 1)
    order = errors.sort(dim=-1, descending=True, stable=True).indices
    return torch.zeros_like(errors).scatter(-1, order, _growth(truth.gather(-1, order), errors.dtype))


def _by_digits(errors: Tensor, truth: Tensor, per_sample: bool) -> Tensor:
    """The same row by row: torch sorts integers by their digits if they are one row, in ascending order."""
    growth = errors.new_empty(errors.shape)  # not empty_like, whose rows may be no view of it
    for error, true, place in zip(*(_rows(x, per_sample) for x in (errors, truth, growth)), strict=True):
        # The bits of floats from 0 up, read as a number, are in the floats' order, and leave room for the truth as
        # a last bit. Turned over, but for the first, which is the sign, the largest comes first.
        key = error.flatten().view(torch.int32).mul(2).add_(true.flatten()).bitwise_xor_(0x7FFFFFFF)
        ordered, order = key.sort()
        by_rank = _growth(ordered.bitwise_and_(1) == 0, errors.dtype)
        place.copy_(torch.empty_like(by_rank).scatter_(0, order, by_rank).view_as(place))
    return growth


def _rows(x: Tensor, per_sample: bool) -> Iterator[Tensor]:
    """What is sorted together: each sample's class, or each class of the batch."""
    return iter(x.flatten(0, 1)) if per_sample else iter(x.transpose(0, 1))


def _growth(truth: Tensor, dtype: torch.dtype) -> Tensor:
    """What the Jaccard loss grows by as positions (..., n) join one after the other."""
    found = truth.cumsum(-1, dtype=torch.int32)  # counts: float32 ends at 2^24 positions
    missed = found[..., -1:] - found
    union = missed + torch.arange(1, truth.shape[-1] + 1, dtype=torch.int32, device=truth.device)
    missed, union = missed.to(dtype), union.to(dtype)
    # A true position takes 1 / U from intersection over union; any other makes the union of U - 1 one of U. Where
    # nothing is true the first position makes the loss 1, and the others change nothing.
    whole = truth.clone()
    whole[..., :1] |= found[..., -1:] == 0
    return torch.where(whole, 1, missed / (union - 1).clamp_min_(1)) / union


def _plain_errors(logits: Tensor, index: Tensor, keep: Tensor) -> Tensor:
    p = F.softmax(logits, 1)
    # Not 1 - p, of which float32 knows no less than 6e-8.
    others = p.scatter(1, index, 0).sum(1, keepdim=True)
    return p.scatter(1, index, others).masked_fill(~keep[:, None], 0)


class _SoftmaxErrors(torch.autograd.Function):
    """:func:`_plain_errors` that keeps its result alone and turns it into the gradient in place."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, index: Tensor, keep: Tensor) -> Tensor:
        errors = masked_softmax(logits, keep).scatter_(1, index, 0)
        errors.scatter_(1, index, errors.sum(1, keepdim=True))
        ctx.save_for_backward(errors, index, keep)
        return errors

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None]:
        errors, index, keep = ctx.saved_tensors
        (asked,) = grads
        # The target's error is 1 - p: what is asked of p is minus what is asked of it, and the errors stand for all
        # probabilities but the target's.
        at_target = keep[:, None] * (1 - errors.gather(1, index))
        of_target = -asked.gather(1, index)
        if torch.is_grad_enabled():
            mean = (errors * asked).sum(1, keepdim=True) + of_target
            return (errors * (asked - mean)).scatter(1, index, at_target * (of_target - mean)), None, None
        grad = errors if last_use() else errors.clone()
        mean = of_target.clone()
        softmax_gradient_(grad, lambda rows, places, _: asked[rows, :, places], mean[:, 0])
        return grad.scatter_(1, index, at_target * (of_target - mean)), None, None
