"""Sums per sample and class, over which Dice, Tversky, Jaccard and their kin are formulas; no one-hot target."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.kernels.stable import accumulate, widened


class Sums(NamedTuple):
    """What is known of a prediction beside its truth: (N, C) each, or (C,) over the whole batch."""

    overlap: Tensor  # sum of p where the class is true; see `sigmoid_sums` for soft targets
    predicted: Tensor  # sum of p; of p squared if so asked
    truth: Tensor  # number of true positions; the sum of soft ones, of squares if so asked


def softmax_sums(logits: Tensor, target: Tensor, keep: Tensor, *, squared: bool = False) -> Sums:
    """Sums of the softmax over ``logits`` (N, C, L) beside class indices ``target`` (N, L), where ``keep`` (N, L)."""
    index = torch.where(keep, target, torch.zeros_like(target)).long()
    truth = _by_class(widened(keep), index, logits.shape[1])
    sums = _softmax_sums if torch.compiler.is_compiling() else _Softmax.apply
    with torch.autocast(logits.device.type, enabled=False):
        overlap, predicted = sums(logits, index, keep, squared)
    return Sums(overlap, predicted, truth.to(predicted.dtype))


def sigmoid_sums(logits: Tensor, target: Tensor, keep: Tensor, *, squared: bool = False) -> Sums:
    """Sums of the sigmoid of ``logits`` (N, C, L) beside ``target`` (N, C, L) in [0, 1], where ``keep`` (N, C, L).

    The overlap of a soft target is the sum of the smaller of p and g; of squares, of the product. Either is that of
    sets where g is 0 or 1, and makes p = g the best answer elsewhere: a product beside plain sums asks for p = 1.
    """
    p = accumulate(logits).sigmoid() * keep
    g = torch.where(keep, target, torch.zeros_like(target)).to(p.dtype)
    hard = not target.dtype.is_floating_point  # either is the same then, and the product is faster
    overlap = p * g if squared or hard else torch.minimum(p, g)
    return Sums(overlap.sum(2), (p.square() if squared else p).sum(2), (g.square() if squared else g).sum(2))


def _softmax_sums(logits: Tensor, index: Tensor, keep: Tensor, squared: bool) -> tuple[Tensor, Tensor]:
    """Overlap and predicted sums, (N, C), by plain torch."""
    p = F.softmax(accumulate(logits), 1) * keep[:, None]
    at_target = widened(p.gather(1, index[:, None])[:, 0])
    overlap = _by_class(at_target, index, p.shape[1]).to(p.dtype)
    # Never as a product with a vector of ones: that sums one after the other too, and is off by 0.5 % at four million.
    return overlap, (p.square() if squared else p).sum(2)


def _by_class(values: Tensor, index: Tensor, classes: int) -> Tensor:
    # Of wide values: scattered sums run one after the other, and lose a digit with every tenfold number of positions.
    return values.new_zeros(values.shape[0], classes).scatter_add(1, index, values)


class _Softmax(torch.autograd.Function):
    """:func:`_softmax_sums` that keeps nothing but its inputs: the probabilities are made again for the gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(logits: Tensor, index: Tensor, keep: Tensor, squared: bool) -> tuple[Tensor, Tensor]:
        return _softmax_sums(logits, index, keep, squared)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*inputs[:3])
        ctx.squared = inputs[3]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        logits, index, keep = ctx.saved_tensors
        g_overlap, g_predicted = grads
        # d/dz_k = p_k (a_k - sum_j p_j a_j), where a_k is what the sums ask of p_k.
        p = F.softmax(accumulate(logits), 1)
        column = index[:, None]
        at_target = p.gather(1, column) * g_overlap.gather(1, index)[:, None]
        wanted = p * g_predicted[:, :, None]
        if ctx.squared:
            wanted = 2 * wanted * p
        mean = wanted.sum(1, keepdim=True) + at_target
        grad = (wanted - p * mean).scatter_add(1, column, at_target) * keep[:, None]
        return grad.to(logits.dtype), None, None, None
