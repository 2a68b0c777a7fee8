"""Sorted errors: the Jaccard loss as a function of nonnegative errors, linear as long as their order stays the same.

The Lovasz extension of a set function weights each error by how much the function grows when its position joins those
with larger errors. For the Jaccard loss this growth has a closed form in counts. Computed as a difference of two nearly
equal fractions, as in common code, it is wrong in the third digit.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.core import device as _device
from lossary.core.torch_internals import softmax_gradient
from lossary.kernels.graph import distinct, gradients_by
from lossary.kernels.inplace import at_class, class_index, last_use, masked_softmax, short_index, softmax_gradient_
from lossary.kernels.modes import full_precision, plain_only
from lossary.kernels.stable import accumulate, logaddexp, widened

#: From this many errors on, torch sorts integers on a CPU by their digits, in a tenth of the time that floats take.
RADIX = 1 << 15
#: Up to this many positions, float32 can distinguish adjacent counts.
FLOATS = 1 << 24
#: Below this many positions, it can distinguish halves.
HALVES = 1 << 23
#: So many positions may have a square of which float32 keeps a quarter.
QUARTERS = 1 << 11
#: Products of vectors in one operation: long ones are cut in parts, so that all of a device sums them.
PRODUCTS = 1 << 14
#: Numbers summed by one product with a triangular matrix.
SUMMED = 1 << 8


def lovasz_jaccard(
    errors: Tensor, truth: Tensor, *, per_sample: bool, weight: Tensor | None = None, below_two: bool = False
) -> Tensor:
    """The Lovasz extension of the Jaccard loss of each class.

    Args:
        errors: (N, C, L), none below 0; 0 at positions that do not count.
        truth: (N, C, L), True where the class is true.
        per_sample: Each class in each sample separately, rather than over the whole batch.
        weight: (N, 1) or (N, C): how often each of a sample's positions counts in its class.
        below_two: Whether all errors are known to be below 2.

    Returns:
        (N, C), or (C,) over the whole batch. Its gradient by the errors depends only on their order; for tied errors
        any order gives a correct one.
    """
    if not plain_only():
        return _Lovasz.apply(errors, truth, per_sample, weight, below_two)
    return (errors * _by_floats(errors.detach(), truth, per_sample, weight)).sum(2 if per_sample else (0, 2))


def softmax_errors(logits: Tensor, target: Tensor, keep: Tensor | None) -> tuple[Tensor, Tensor]:
    """1 - p at class indices ``target`` (N, L), p elsewhere, 0 where not ``keep`` (N, L); and where the class is true.

    Both (N, C, L).
    """
    index = class_index(target, keep)
    with full_precision(logits):
        errors = _plain_errors if plain_only() else _SoftmaxErrors.apply
        found = errors(accumulate(logits), index, keep)
    truth = torch.zeros_like(found, dtype=torch.bool)
    put = Tensor.scatter if plain_only() else Tensor.scatter_
    return found, put(truth, 1, index[:, None], True if keep is None else keep[:, None])


def lovasz_softmax(
    logits: Tensor, target: Tensor, keep: Tensor | None, *, per_sample: bool, absent: bool
) -> tuple[Tensor, Tensor]:
    """:func:`lovasz_jaccard` of :func:`softmax_errors` in one, where :func:`at_once` says so; sums carry no weights.

    Args:
        logits: (N, C, L).
        target: (N, L) class indices.
        keep: (N, L), which positions count; None for all.
        per_sample: As in :func:`lovasz_jaccard`.
        absent: Whether a class that is true nowhere has a loss, its largest error, or 0.

    Returns:
        The loss and whether the class is true anywhere, each (N, C), or (C,) over the whole batch.
    """
    index = short_index(target, keep)
    with full_precision(logits):
        p, key, order = _SortedSoftmax.apply(accumulate(logits), index, keep, per_sample)
        return _LovaszOf.apply(p, key, order, index, per_sample, absent)


def at_once(logits: Tensor) -> bool:
    """Whether each operation on ``logits`` is a pass through memory, and need not be plain torch."""
    return not (plain_only() or _device.by_cache(logits) or logits.numel() == 0)


def _by_floats(errors: Tensor, truth: Tensor, per_sample: bool, weight: Tensor | None) -> Tensor:
    """The growth of the Jaccard loss at each position (N, C, L); all rows are sorted at once."""
    each = None if weight is None else weight[..., None].expand_as(errors)
    if per_sample:
        return _growth_by_rows(errors, truth, each)
    growth = _growth_by_rows(_pooled(errors), _pooled(truth), None if each is None else _pooled(each))
    return growth.view(errors.transpose(0, 1).shape).transpose(0, 1)


def _pooled(x: Tensor) -> Tensor:
    """One row per class, (C, N * L)."""
    return x.transpose(0, 1).flatten(1)


def _growth_by_rows(errors: Tensor, truth: Tensor, weight: Tensor | None) -> Tensor:
    order = errors.sort(dim=-1, descending=True, stable=True).indices
    sorted_truth = truth.gather(-1, order)
    if weight is None:
        growth = _growth(sorted_truth.int(), _ranks(errors.shape[-1], errors))
    else:
        growth = _weighted_growth(sorted_truth, weight.gather(-1, order)).to(errors.dtype)
    return torch.zeros_like(errors).scatter(-1, order, growth)


def _by_digits(errors: Tensor, truth: Tensor, per_sample: bool) -> tuple[Tensor, Tensor]:
    """The same row by row, with each row's sum of errors times growth. torch sorts by digits only a single row."""
    growth = errors.new_empty(errors.shape)  # not empty_like, whose rows may not be views of it
    rows = [_rows(x, per_sample) for x in (errors, truth, growth)]
    rank = _ranks(rows[0][0].numel(), errors)
    # Every row in the same memory: fresh memory from the system takes longer to arrive than all work in it.
    key, ordered, found = (torch.empty_like(rank, dtype=torch.int32) for _ in range(3))
    order, by_place = torch.empty_like(rank, dtype=torch.int64), torch.empty_like(rank)
    buffers = (found, torch.empty_like(rank), torch.empty_like(rank))
    totals: list[Tensor] = []
    for error, true, place in zip(*rows, strict=True):
        # The bits of nonnegative floats, read as integers, have the same order, and leave room for the truth as the
        # last bit. With all bits inverted except the first (the sign) and the last, the largest comes first.
        torch.mul(error.view(torch.int32), 2, out=key.view(error.shape)).add_(true).bitwise_xor_(0x7FFFFFFE)
        torch.sort(key, out=(ordered, order))
        by_place.scatter_(0, order, _growth(ordered.bitwise_and_(1), rank, buffers))
        place.copy_(by_place.view(place.shape))
        totals.append(by_place.view(error.shape).mul_(error).sum())
    return torch.stack(totals).view(errors.shape[:2] if per_sample else -1), growth


def _by_keys(errors: Tensor, truth: Tensor, per_sample: bool, below_two: bool) -> tuple[Tensor, Tensor]:
    """The same for all rows at once: the sorted integers contain the truth, which then needs no reordering."""
    bits = _bits(errors)
    rows, true = (errors, truth) if per_sample else (errors.transpose(0, 1), truth.transpose(0, 1))
    # In the layout in which rows are sorted: each class of the batch is one row.
    key = torch.add(true, rows.view(bits), alpha=2, out=torch.empty(rows.shape, dtype=bits, device=rows.device))
    if not below_two:
        key.add_(torch.iinfo(bits).min)  # for errors of 2 and more, doubling overflows into the sign
    key, order = (key if per_sample else key.flatten(1)).sort(dim=-1, descending=True, stable=True)
    if key.shape[-1] <= FLOATS:
        by_place = _growth_by_others(key, errors.dtype)
    else:
        rank = _ranks(key.shape[-1], errors)
        by_place = _growth(key.bitwise_and_(1), rank, (None, rank.new_empty(key.shape), None))
    del key
    growth = torch.empty_like(by_place).scatter_(-1, order, by_place).view(rows.shape)
    growth = growth if per_sample else growth.transpose(0, 1)
    return (errors * growth).sum(2 if per_sample else (0, 2)), growth


def _growth_by_others(key: Tensor, dtype: torch.dtype) -> Tensor:
    """:func:`_growth` in fewer passes through memory, from keys (..., n) whose last bit is the truth."""
    other = torch.bitwise_and(key, 1, out=torch.empty(key.shape, dtype=torch.uint8, device=key.device)).bitwise_xor_(1)
    # With F untrue positions so far and T true ones in all, below + 1 = T + F; an untrue one has missed below - rank.
    counts = other.cumsum(-1, dtype=torch.int32)
    below = counts + (key.shape[-1] - 1 - counts[..., -1:]).to(dtype)
    growth = torch.addcmul(below, other, _ranks(key.shape[-1], below), value=-1)
    growth.div_(torch.addcmul(below, below, below, out=below))
    growth[..., :1].nan_to_num_(1.0)  # 0 / 0 if the largest error is the whole loss
    return growth


def _softmax_keys(p: Tensor, index: Tensor, keep: Tensor | None, per_sample: bool) -> tuple[Tensor, Tensor]:
    """Errors of probabilities (N, C, L) from the smallest on, as integers whose last bit is the truth, and their order.

    The last bit of an error has no place of its own. Where a position does not count, it is an error of 0, not true:
    those come first, so that nothing true is missed there, and nothing grows.
    """
    bits, column = _bits(p), index[:, None]
    at_target = p.gather(1, column)
    others = p.scatter_(1, column, 0).sum(1, keepdim=True).view(bits).bitwise_or_(1)
    last: Tensor | int = -2
    if keep is not None:
        last = torch.mul(keep[:, None], -2, out=torch.empty_like(others))
        others.mul_(keep[:, None])
    key = torch.empty(p.shape if per_sample else p.transpose(0, 1).shape, dtype=bits, device=p.device)
    of_sample = key if per_sample else key.transpose(0, 1)
    torch.bitwise_and(p.view(bits), last, out=of_sample).scatter_(1, column, others)
    p.scatter_(1, column, at_target)
    return (key if per_sample else key.flatten(1)).sort(dim=-1, stable=True)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """The products of rows, (..., n), each summed in equally long parts, of which there may be a power of 2."""
    parts = math.gcd(a.shape[-1], 1 << (PRODUCTS // a.shape[:-1].numel()).bit_length())
    long = a.shape[-1] // parts
    return torch.bmm(a.view(-1, 1, long), b.view(-1, long, 1)).view(*a.shape[:-1], parts).sum(-1)


def _bits(x: Tensor) -> torch.dtype:
    """Integers as wide as the floats of ``x``: those of 0 and more have the same order, read as either."""
    return torch.int32 if x.dtype == torch.float32 else torch.int64


def _growth_upwards(key: Tensor, dtype: torch.dtype, whole: float) -> tuple[Tensor, Tensor]:
    """:func:`_growth` from the smallest error on, for devices where each operation is a pass through memory.

    Args:
        key: Sorted integers, (..., n), whose last bit is the truth.
        dtype: That of the growth.
        whole: That of the largest error of a class that is true nowhere: 1 if it is the loss, 0 if there is none.

    Returns:
        The growth, (..., n), and how many positions are true, (..., 1).
    """
    true = torch.bitwise_and(key, 1, out=torch.empty(key.shape, dtype=torch.uint8, device=key.device))
    counts, length = true.cumsum(-1, dtype=torch.int32), key.shape[-1]
    # With T true positions up to this one and r from here on, the union U is T + r, or T + r - 1 if this one is true.
    # A true one takes 1 from an intersection over U; any other extends the union from U - 1 to U, and T are missed. So
    # the growth is (U + 1) / (U + 1) / U or T / U / (U - 1), and either divisor is (T + r - 1/2)^2 - 1/4: one pass.
    if length < HALVES:
        steps = torch.arange(-length, 0, 0.5, dtype=dtype, device=key.device)  # -r and, in between, 1/2 - r
        growth = torch.addcmul(counts, true, steps[::2], value=-1)
        below = F.mse_loss(counts, steps[1::2].expand(key.shape), reduction="none")
        small = min(length, QUARTERS) if dtype == torch.float32 else length
        below[..., length - small :].sub_(0.25)
    else:
        rest = torch.arange(length, 0, -1, dtype=dtype, device=key.device)
        growth = torch.addcmul(counts, true, rest)
        below = counts + rest.sub_(1)
        below.addcmul_(below, below)
    growth.div_(below)
    growth[..., -1:].nan_to_num_(whole)  # 0 / 0
    return growth, counts[..., -1:]


def _weighted_growth(truth: Tensor, weight: Tensor) -> Tensor:
    """:func:`_growth` where each position counts ``weight`` times, (..., n)."""
    weight = widened(weight)  # running sums: float32 counts only to 2^24
    true, other = weight * truth, weight * ~truth
    total = true.sum(-1, keepdim=True)
    missed = (total - running_sum(true)).clamp_min(0)
    union = total + running_sum(other)
    before = union - other
    first = (before <= 0) & (other > 0)  # of a class that is true nowhere: the whole loss
    growth = (true * before + missed * other) / torch.where(before > 0, before * union, torch.ones_like(union))
    return torch.where(first, torch.ones_like(growth), growth)


def running_sum(x: Tensor) -> Tensor:
    """``x.cumsum(-1)``; in deterministic mode, if torch's is not, by products with a triangular matrix."""
    if _device.by_cache(x) or x.numel() == 0 or not torch.are_deterministic_algorithms_enabled():
        return x.cumsum(-1)
    parts = F.pad(x, (0, -x.shape[-1] % SUMMED)).unflatten(-1, (-1, SUMMED))
    inside = parts @ x.new_ones(SUMMED, SUMMED).triu()
    if parts.shape[-2] > 1:
        before = F.pad(running_sum(inside[..., -1])[..., :-1], (1, 0))
        inside = inside + before[..., None]
    return inside.flatten(-2)[..., : x.shape[-1]]


def running_logsumexp(x: Tensor) -> Tensor:
    """The log-sum-exp of each row up to each entry, with correct derivatives of every order."""
    return _by_doubling(x) if plain_only() else _RunningLogSumExp.apply(x)


def _by_doubling(x: Tensor) -> Tensor:
    step = 1
    while step < x.shape[-1]:
        x = torch.cat([x[..., :step], logaddexp(x[..., step:], x[..., :-step])], dim=-1)
        step *= 2
    return x


class _RunningLogSumExp(torch.autograd.Function):
    """In one pass each way: ``torch.logcumsumexp``, whose own second gradient is NaN and which sums in its dtype."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        sums = widened(x).logcumsumexp(-1)
        ctx.save_for_backward(x, sums)
        return sums.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Tensor | None:
        x, sums = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient must be differentiable: that of plain torch is
            (x,) = distinct((x,))
            return gradients_by(_by_doubling(x), (x,), grads[0])[0]
        # Each sign separately, as logarithms; log 0 is finite here, so that infinity is never subtracted from itself.
        none, grad = torch.finfo(sums.dtype).min / 4, grads[0].to(sums.dtype)
        logs = (torch.where(g > 0, g.log(), none) - sums for g in (grad, -grad))
        more, less = ((log.flip(-1).logcumsumexp(-1).flip(-1) + x).exp() for log in logs)
        return (more - less).to(x.dtype)


def _rows(x: Tensor, per_sample: bool) -> Tensor:
    """What is sorted together, in turn: each class of each sample, or each class of the batch."""
    return x.flatten(0, 1) if per_sample else x.transpose(0, 1)


def _growth(truth: Tensor, rank: Tensor, buffers: tuple[Tensor | None, ...] = (None, None, None)) -> Tensor:
    """The growth of the Jaccard loss as positions (..., n) join one after the other.

    Args:
        truth: int32, 1 where the class is true.
        rank: Numbers the positions from 0.
        buffers: Memory for the results: int32, and two with the dtype of ``rank``.
    """
    counts, growth, below = buffers
    counts = torch.cumsum(truth, -1, dtype=torch.int32, out=counts)  # counts: float32 counts only to 2^24
    total = counts[..., -1:].clone()
    missed = torch.sub(total, counts, out=growth) if growth is not None else (total - counts).to(rank.dtype)
    # With U = below + 1: a true position takes 1 from an intersection over a union of U; any other extends the union
    # from U - 1 to U. The first has no below; if nothing is true, it makes the loss 1.
    below = torch.add(missed, rank, out=below)
    growth = torch.addcmul(missed, truth, rank, out=growth).div_(below).div_(below.add_(1))
    growth[..., :1] = below[..., :1].reciprocal()  # which now holds U
    return growth


def _ranks(length: int, like: Tensor) -> Tensor:
    return torch.arange(length, dtype=like.dtype, device=like.device)


class _Lovasz(torch.autograd.Function):
    """:func:`lovasz_jaccard` that saves only the growth: times the gradient by the sums, it is that by the errors."""

    @staticmethod
    def forward(
        ctx: Any, errors: Tensor, truth: Tensor, per_sample: bool, weight: Tensor | None, below_two: bool
    ) -> Tensor:
        length = errors.shape[2] if per_sample else errors.shape[0] * errors.shape[2]
        if weight is None and _device.by_cache(errors) and errors.dtype == torch.float32 and length >= RADIX:
            total, growth = _by_digits(errors, truth, per_sample)
        elif weight is None and not _device.by_cache(errors):
            total, growth = _by_keys(errors, truth, per_sample, below_two)
        else:
            growth = _by_floats(errors, truth, per_sample, weight)
            total = (errors * growth).sum(2 if per_sample else (0, 2))
        ctx.save_for_backward(growth)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None, None, None]:
        (growth,) = ctx.saved_tensors
        by_row = grads[0][..., None]
        return growth.mul_(by_row) if last_use() else growth * by_row, None, None, None, None


class _SortedSoftmax(torch.autograd.Function):
    """The softmax of logits, and its :func:`_softmax_keys`."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, index: Tensor, keep: Tensor | None, per_sample: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        p = F.softmax(logits, 1)
        key, order = _softmax_keys(p, index, keep, per_sample)
        ctx.save_for_backward(p)
        ctx.mark_non_differentiable(key, order)
        ctx.set_materialize_grads(False)
        return p, key, order

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, None, None, None]:
        return None if grads[0] is None else softmax_gradient(grads[0], ctx.saved_tensors[0]), None, None, None


class _LovaszOf(torch.autograd.Function):
    """:func:`lovasz_softmax` of what :class:`_SortedSoftmax` returns."""

    @staticmethod
    def forward(
        ctx: Any, p: Tensor, key: Tensor, order: Tensor, index: Tensor, per_sample: bool, absent: bool
    ) -> tuple[Tensor, Tensor]:
        growth, count = _growth_upwards(key, p.dtype, float(absent))
        if absent:
            growth[..., -1:].clamp_max_(key[..., -1:])  # nothing grows where nothing counts
        total, present = _dot(key.view(p.dtype), growth), (count > 0)[..., 0]
        growth = torch.empty_like(growth).scatter_(-1, order, growth)
        samples, classes, places = p.shape
        ctx.save_for_backward(growth if per_sample else growth.view(classes, samples, places).transpose(0, 1), index)
        ctx.mark_non_differentiable(present)
        ctx.set_materialize_grads(False)
        return total, present

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, None, None, None, None, None]:
        growth, index = ctx.saved_tensors
        if grads[0] is None:
            return None, None, None, None, None, None
        by_row, column = grads[0][..., None], index[:, None]
        asked = growth.mul_(by_row) if last_use() else growth * by_row
        # A target's error is 1 - p: the gradient by p is minus the gradient by it.
        if torch.is_grad_enabled() or torch.are_deterministic_algorithms_enabled():
            asked = asked.scatter(1, column, -asked.gather(1, column))
        else:
            asked.scatter_(1, column, -1.0, reduce="multiply")
        return asked, None, None, None, None, None


def _plain_errors(logits: Tensor, index: Tensor, keep: Tensor | None) -> Tensor:
    p, column = F.softmax(logits, 1), index[:, None]
    # Not 1 - p, which float32 cannot resolve below 6e-8.
    others = p.scatter(1, column, 0).sum(1, keepdim=True)
    errors = p.scatter(1, column, others)
    return errors if keep is None else errors.masked_fill(~keep[:, None], 0)


class _SoftmaxErrors(torch.autograd.Function):
    """:func:`_plain_errors` that saves only its result and turns it into the gradient in place."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, index: Tensor, keep: Tensor | None) -> Tensor:
        column, errors = index[:, None], masked_softmax(logits, keep)
        at_target = at_class(errors, index)
        errors.scatter_(1, column, 0)
        errors.scatter_(1, column, errors.sum(1, keepdim=True))
        ctx.save_for_backward(errors, index, keep, at_target)
        return errors

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None]:
        errors, index, keep, at_target = ctx.saved_tensors
        (asked,) = grads
        if torch.is_grad_enabled():  # the gradient must be differentiable, through what is an output
            at_target = 1 - at_class(errors, index)
            at_target = at_target if keep is None else keep * at_target
        # The target's error is 1 - p: the gradient by p is minus the gradient by it. The other errors are the
        # probabilities themselves.
        of_target = -at_class(asked, index)
        if torch.is_grad_enabled() or not _device.by_cache(errors):
            column = index[:, None]
            put = Tensor.scatter_ if last_use() else Tensor.scatter  # an output, which requires a gradient itself
            p = put(errors.detach() if last_use() else errors, 1, column, at_target[:, None])
            return softmax_gradient(asked.scatter(1, column, of_target[:, None]), p), None, None
        mean = of_target.clone()
        grad = errors.detach() if last_use() else errors.clone()  # an output, which requires a gradient itself
        softmax_gradient_(grad, lambda rows, places, _: asked[rows, :, places], mean)
        return grad.scatter_(1, index[:, None], (at_target * (of_target - mean))[:, None]), None, None
