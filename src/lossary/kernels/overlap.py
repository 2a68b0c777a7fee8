"""Sums per sample and class, over which Dice, Tversky, Jaccard and their kin are formulas; no one-hot target."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.kernels.inplace import last_use, plain_only
from lossary.kernels.stable import accumulate, widened

#: Probabilities that are worked on at once: on CPU they stay in cache, an accelerator wants large operations.
CPU_BLOCK = 1 << 18


class Sums(NamedTuple):
    """What is known of a prediction beside its truth: (N, C) each, or (C,) over the whole batch."""

    overlap: Tensor  # sum of p where the class is true; see `sigmoid_sums` for soft targets
    predicted: Tensor  # sum of p; of p squared if so asked
    truth: Tensor  # number of true positions; the sum of soft ones, of squares if so asked


def softmax_sums(logits: Tensor, target: Tensor, keep: Tensor, *, squared: bool = False) -> Sums:
    """Sums of the softmax over ``logits`` (N, C, L) beside class indices ``target`` (N, L), where ``keep`` (N, L)."""
    index = torch.where(keep, target, torch.zeros_like(target)).long()
    truth = _by_class(widened(keep), index, logits.shape[1])
    sums = _plain_sums if plain_only() else _Softmax.apply
    with torch.autocast(logits.device.type, enabled=False):
        overlap, predicted, _ = sums(accumulate(logits), index, keep, squared)
    return Sums(overlap, predicted, truth.to(predicted.dtype))


def sigmoid_sums(logits: Tensor, target: Tensor, keep: Tensor, *, squared: bool = False) -> Sums:
    """Sums of the sigmoid of ``logits`` (N, C, L) beside ``target`` (N, C, L) in [0, 1], where ``keep`` (N, C, L).

    The overlap of a soft target is the sum of the smaller of p and g; of squares, of the product. Either is that of
    sets where g is 0 or 1, and makes p = g the best answer elsewhere: a product beside plain sums asks for p = 1.
    """
    p = accumulate(logits).sigmoid() * keep
    g = torch.where(keep, target, torch.zeros_like(target)).to(p.dtype)
    if squared:
        return Sums((p * g).sum(2), p.square().sum(2), g.square().sum(2))
    return Sums(torch.minimum(p, g).sum(2), p.sum(2), g.sum(2))


def _plain_sums(logits: Tensor, index: Tensor, keep: Tensor, squared: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Overlap and predicted sums, (N, C), and the probabilities, by plain torch."""
    p = F.softmax(logits, 1)
    # Never as a product with a vector of ones: that sums one after the other too, and is off by 0.5 % at four million.
    predicted = ((p.square() if squared else p) * keep[:, None]).sum(2)
    at_target = widened(p.gather(1, index[:, None])[:, 0] * keep)
    return _by_class(at_target, index, p.shape[1]).to(p.dtype), predicted, p


def _by_class(values: Tensor, index: Tensor, classes: int) -> Tensor:
    # Of wide values: scattered sums run one after the other, and lose a digit with every tenfold number of positions.
    return values.new_zeros(values.shape[0], classes).scatter_add(1, index, values)


def _blocks(p: Tensor) -> Iterator[tuple[slice, slice]]:
    """Samples and positions of ``p`` (N, C, L), so many at a time as stay in cache."""
    items, classes, places = p.shape
    if p.device.type != "cpu":
        yield slice(0, items), slice(0, places)
        return
    width = max(1, min(places, CPU_BLOCK // classes))
    rows = max(1, CPU_BLOCK // max(1, classes * places))
    for row in range(0, items, rows):
        for place in range(0, places, width):
            yield slice(row, row + rows), slice(place, place + width)


class _Softmax(torch.autograd.Function):
    """:func:`_plain_sums` that keeps the probabilities and turns them into the gradient in place.

    They are an output, so that a gradient that is differentiated again reaches the logits through them.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, index: Tensor, keep: Tensor, squared: bool) -> tuple[Tensor, Tensor, Tensor]:
        p = F.softmax(logits, 1)
        ctx.squared, ctx.all_count = squared, p.device.type == "cpu" and bool(keep.all())
        predicted = widened(p.new_zeros(p.shape[:2]))
        for rows, places in _blocks(p):
            part = p[rows, :, places]
            part = part.square() if squared else part
            predicted[rows] += (part if ctx.all_count else part * keep[rows, None, places]).sum(2)
        at_target = _at(p, index) * keep
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(p, index, keep, at_target)
        return _by_class(widened(at_target), index, p.shape[1]).to(p.dtype), predicted.to(p.dtype), p

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None, None]:
        p, index, keep, at_target = ctx.saved_tensors
        nothing = p.new_zeros(p.shape[:2])
        by_overlap, by_predicted = (nothing if g is None else g for g in grads[:2])
        wanted = by_overlap.gather(1, index)
        # d/dz_k = p_k (a_k - sum_j p_j a_j), where a_k is what the sums ask of p_k.
        if torch.is_grad_enabled() or grads[2] is not None:
            asked = _asked(p, by_predicted[:, :, None], ctx.squared).expand_as(p)
            asked = asked.scatter_add(1, index[:, None], wanted[:, None]) * keep[:, None]
            asked = asked if grads[2] is None else asked + grads[2]
            return p * (asked - (p * asked).sum(1, keepdim=True)), None, None, None
        grad = p if last_use() else p.clone()
        mean = at_target * wanted
        for rows, places in _blocks(p):
            part = grad[rows, :, places]
            asked = _asked(part, by_predicted[rows, :, None], ctx.squared)
            mean[rows, places] += (part * asked).sum(1) if ctx.squared else (by_predicted[rows, None] @ part)[:, 0]
            factor = asked - mean[rows, None, places]
            part *= factor if ctx.all_count else factor * keep[rows, None, places]
        wanted += _asked(at_target, by_predicted.gather(1, index), ctx.squared)
        return grad.scatter_(1, index[:, None], (at_target * (wanted - mean))[:, None]), None, None, None


def _asked(p: Tensor, by_predicted: Tensor, squared: bool) -> Tensor:
    return 2 * p * by_predicted if squared else by_predicted


def _at(p: Tensor, index: Tensor) -> Tensor:
    """(N, L) the entries of ``p`` (N, C, L) at class ``index`` (N, L)."""
    # Selected from one row of numbers, in less than half the time of gather().
    first = torch.arange(p.shape[0], device=p.device)[:, None] * p.shape[1]
    place = (first + index).mul_(p.shape[2]).add_(torch.arange(p.shape[2], device=p.device))
    return p.reshape(-1).index_select(0, place.view(-1)).view(index.shape)
