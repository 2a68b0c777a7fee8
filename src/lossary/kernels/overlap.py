"""Sums per sample and class, over which Dice, Tversky, Jaccard and their relatives are formulas; no one-hot target."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.core import device as _device
from lossary.core.torch_internals import softmax_gradient
from lossary.kernels.fused import switch
from lossary.kernels.graph import distinct, gradients_by
from lossary.kernels.inplace import (
    at_class,
    class_index,
    class_softmax_gradient_,
    last_use,
    masked_softmax,
    short_index,
    softmax_gradient_,
)
from lossary.kernels.modes import full_precision, plain_only
from lossary.kernels.stable import accumulate, widened

#: Adjacent positions whose numbers are summed one after the other.
RUN = 1 << 8
#: Up to this many logits on a CPU, plain torch is faster than an autograd Function.
FEW_LOGITS = 1 << 13


class Sums(NamedTuple):
    """Statistics of a prediction and its truth: (N, C) each, or (C,) over the whole batch."""

    overlap: Tensor  # sum of p where the class is true; see `sigmoid_sums` for soft targets
    predicted: Tensor  # sum of p, or of p squared
    truth: Tensor  # number of true positions; the sum of soft ones, or of their squares


def softmax_sums(logits: Tensor, target: Tensor, keep: Tensor | None, *, squared: bool = False) -> Sums:
    """Sums of the softmax over ``logits`` (N, C, L) and class indices ``target`` (N, L), where ``keep`` (N, L)."""
    if switch.runs_on(logits) and not plain_only() and logits.shape[1] <= switch.CLASSES and logits.numel() > 0:
        return Sums(*_Fused.apply(logits, class_index(target, keep), keep, squared))
    if not (squared or plain_only() or _device.by_cache(logits)):
        return _sums_at_once(logits, target, keep)
    index = class_index(target, keep)
    counted = widened(torch.ones((), device=index.device)).expand_as(index) if keep is None else widened(keep)
    truth = _by_class(counted, index, logits.shape[1])
    sums = _plain_sums if plain_only() or logits.numel() <= FEW_LOGITS else _Softmax.apply
    with full_precision(logits):
        overlap, predicted, _ = sums(accumulate(logits), index, keep, squared)
    return Sums(overlap, predicted, truth.to(predicted.dtype))


def _sums_at_once(logits: Tensor, target: Tensor, keep: Tensor | None) -> Sums:
    """For devices where each operation is a pass through memory.

    Where a position does not count, its index is 0 and so is its first probability, the only one that is masked.
    """
    index = short_index(target, keep)
    with full_precision(logits):
        return Sums(*_SumsOf.apply(_SoftmaxAtIndex.apply(accumulate(logits), keep), index, keep))


class _SoftmaxAtIndex(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, keep: Tensor | None) -> Tensor:
        p = F.softmax(logits, 1)
        if keep is not None:
            p.select(1, 0).mul_(keep)
        ctx.save_for_backward(p)
        return p

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None]:
        return softmax_gradient(grads[0], ctx.saved_tensors[0]), None


class _SumsOf(torch.autograd.Function):
    """Overlap, predicted and true sums of probabilities (N, C, L) of :class:`_SoftmaxAtIndex`.

    Its backward computes one gradient by all of them. Where nothing counts it is 0, but for the first, whose p is 0.
    """

    @staticmethod
    def forward(ctx: Any, p: Tensor, index: Tensor, keep: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        values = p.new_empty(2, *index.shape)  # the probability of the true class, and whether the position counts
        torch.gather(p, 1, index[:, None], out=values[0][:, None])
        counted = values[1].fill_(1) if keep is None else values[1].copy_(keep)
        overlap, truth = _by_runs(values, index, p.shape[1])
        ctx.save_for_backward(index, keep)
        ctx.like = p.shape
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(truth)
        return overlap, p.sum(2) if keep is None else torch.bmm(p, counted[:, :, None])[:, :, 0], truth

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, None, None]:
        index, keep = ctx.saved_tensors
        given = [g for g in grads[:2] if g is not None]
        if not given:
            return None, None, None
        by_overlap, by_predicted = (given[0].new_zeros(ctx.like[:2]) if g is None else g for g in grads[:2])
        each, wanted = by_predicted[:, :, None], by_overlap.gather(1, index)
        asked = each.expand(ctx.like).clone() if keep is None else each * keep[:, None]
        return asked.scatter_add_(1, index[:, None], wanted[:, None]), None, None


def _by_runs(values: Tensor, index: Tensor, classes: int) -> Tensor:
    """Sums (K, N, classes) of ``values`` (K, N, L) by class ``index`` (N, L), of runs of positions first.

    Scattered sums are sequential: over a run they keep float32's digits.
    """
    runs, rest = divmod(index.shape[1], RUN)
    whole = runs * RUN
    sums = values.new_zeros(*values.shape[:2], runs + (rest > 0), classes)
    if whole:
        part, places = (x[..., :whole].unflatten(-1, (runs, RUN)) for x in (values, index))
        sums[:, :, :runs].scatter_add_(3, places.expand(part.shape), part)
    if rest:
        part, places = values[..., whole:], index[:, whole:]
        sums[:, :, runs].scatter_add_(2, places.expand(part.shape), part)
    return sums.sum(2)


def sigmoid_sums(
    logits: Tensor, target: Tensor, keep: Tensor | None, *, squared: bool = False, product: bool = False
) -> Sums:
    """Sums of the sigmoid of ``logits`` (N, C, L) and ``target`` (N, C, L) in [0, 1], where ``keep`` (N, C, L).

    The overlap of a soft target is the sum of min(p, g); with squares, of the product p g. Both are the overlap of sets
    if g is 0 or 1, and make p = g the best answer otherwise. With ``product``, a product is combined with plain sums,
    and the best answer is p = 1 there.
    """
    p = accumulate(logits).sigmoid()
    if keep is not None:
        p, target = p * keep, torch.where(keep, target, torch.zeros_like(target))
    g = target.to(p.dtype)
    hard = not target.dtype.is_floating_point  # both are the same then, and the product is faster
    overlap = p * g if squared or hard or product else torch.minimum(p, g)
    return Sums(overlap.sum(2), (p.square() if squared else p).sum(2), (g.square() if squared else g).sum(2))


def one_minus(top: Tensor, bottom: Tensor, smooth: float, times: float = 1.0) -> Tensor:
    """``1 - (times * top + smooth) / (bottom + smooth)``; 0 / 0 is 1."""
    if not (smooth == 0 or plain_only() or _device.by_cache(top)):
        return _OneMinus.apply(top, bottom, smooth, times)
    return _one_minus(top, bottom, smooth, times)


def _one_minus(top: Tensor, bottom: Tensor, smooth: float, times: float) -> Tensor:
    top, bottom = (top if times == 1 else times * top) + smooth, bottom + smooth
    if smooth == 0:
        empty = bottom == 0  # nothing predicted, nothing true: a perfect score
        top, bottom = torch.where(empty, 1, top), torch.where(empty, 1, bottom)
    return 1 - top / bottom


class _OneMinus(torch.autograd.Function):
    """The same for devices where every operation on a few numbers is a launch: half of autograd's."""

    @staticmethod
    def forward(ctx: Any, top: Tensor, bottom: Tensor, smooth: float, times: float) -> Tensor:
        ctx.smooth, ctx.times = smooth, times
        below = bottom + smooth
        found = torch.rsub((top + smooth / times).div_(below), 1, alpha=times)
        ctx.save_for_backward(top, bottom, below, found)
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, Tensor | None, None, None]:
        top, bottom, below, found = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient must be differentiable: that of plain torch is
            given = distinct((top, bottom))
            by_top, by_bottom = gradients_by(_one_minus(given[0], given[1], ctx.smooth, ctx.times), given, grads[0])
            return by_top, by_bottom, None, None
        each = grads[0] / below
        by_top = each * -ctx.times if ctx.needs_input_grad[0] else None
        by_bottom = each.addcmul_(each, found, value=-1) if ctx.needs_input_grad[1] else None
        return by_top, by_bottom, None, None


def _plain_sums(logits: Tensor, index: Tensor, keep: Tensor | None, squared: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Overlap and predicted sums, (N, C), and the probabilities, by plain torch."""
    p = F.softmax(logits, 1)
    p = p if keep is None else p.masked_fill(~keep[:, None], 0)
    at_target = widened(p.gather(1, index[:, None]).squeeze(1))
    # Never as a product with a vector of ones: that also sums sequentially, and is off by 0.5 % at four million.
    return _by_class(at_target, index, p.shape[1]).to(p.dtype), (p.square() if squared else p).sum(2), p


def _by_class(values: Tensor, index: Tensor, classes: int) -> Tensor:
    # In a wide dtype: scattered sums are sequential, and lose a digit with every tenfold number of positions.
    return values.new_zeros(values.shape[0], classes).scatter_add_(1, index, values)


class _Fused(torch.autograd.Function):
    """The sums by Triton kernels, which read the logits once, and once more for the gradient."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, index: Tensor, keep: Tensor | None, squared: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        from lossary.kernels.fused import overlap as kernels

        ctx.squared = squared
        ctx.save_for_backward(logits, index, keep)
        found = kernels.sums(logits, index, keep, squared)
        ctx.mark_non_differentiable(found[2])
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, None, None, None]:
        logits, index, keep = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient must be differentiable: that of plain torch is
            with full_precision(logits):
                sums = torch.stack(_plain_sums(accumulate(logits), index, keep, ctx.squared)[:2])
            return gradients_by(sums, (logits,), torch.stack(grads[:2]))[0], None, None, None
        from lossary.kernels.fused import overlap as kernels

        return kernels.slopes(logits, index, keep, ctx.squared, *grads[:2]), None, None, None


class _Softmax(torch.autograd.Function):
    """:func:`_plain_sums` that saves the probabilities and turns them into the gradient in place.

    They are an output, so that a gradient that is differentiated again reaches the logits through them.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, index: Tensor, keep: Tensor | None, squared: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        p = masked_softmax(logits, keep)
        at_target = at_class(p, index)
        predicted = (p.square() if squared else p).sum(2)
        ctx.squared = squared
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(p, index, at_target)
        return _by_class(widened(at_target), index, p.shape[1]).to(p.dtype), predicted, p

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None, None]:
        p, index, at_target = ctx.saved_tensors
        nothing = p.new_zeros(p.shape[:2])
        by_overlap, by_predicted = (nothing if g is None else g for g in grads[:2])
        wanted = by_overlap.gather(1, index)
        if torch.is_grad_enabled() or grads[2] is not None:
            asked = _asked(p, by_predicted[:, :, None], ctx.squared).expand_as(p)
            asked = asked.scatter_add(1, index[:, None], wanted[:, None])
            asked = asked if grads[2] is None else asked + grads[2]
            return p * (asked - (p * asked).sum(1, keepdim=True)), None, None, None
        grad = p.detach() if last_use() else p.clone()  # as an output, p requires a gradient itself
        mean = at_target * wanted
        if ctx.squared:
            softmax_gradient_(grad, lambda n, _, part: _asked(part, by_predicted[n, :, None], ctx.squared), mean)
        else:
            class_softmax_gradient_(grad, by_predicted, mean)
        # Written, not added: this takes two thirds of the time.
        wanted += _asked(at_target, by_predicted.gather(1, index), ctx.squared)
        wanted.sub_(mean, alpha=1 if ctx.squared else 2).mul_(at_target)
        return grad.scatter_(1, index[:, None], wanted[:, None]), None, None, None


def _asked(p: Tensor, by_predicted: Tensor, squared: bool) -> Tensor:
    return 2 * p * by_predicted if squared else by_predicted
