"""Several labels at a time: losses of a row of scores against the set of classes that hold."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, dtype

from lossary._check import (
    check_among,
    check_dim,
    check_factor,
    check_float,
    check_probabilities,
    check_range,
    check_same_shape,
    check_tensor,
    stretched,
    wide_integers,
)
from lossary._loss import Loss
from lossary._reduce import Reduction, align, counted, reduce
from lossary._rules import checked
from lossary.cards import Call, Card
from lossary.draws import labels as draw_labels
from lossary.draws import normal
from lossary.kernels.stable import ABSENT, accumulate, like_torch, softplus
from lossary.losses._facts import draw_logits, draw_signs
from lossary.losses._pointwise import decide, hide, pointwise

__all__ = [
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "SoftMarginLoss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "soft_margin_loss",
]


@checked
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    reduction: Reduction = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""The logistic loss of a score and a sign: ``binary_cross_entropy_with_logits`` for targets of -1 and +1.

    .. math:: \log(1 + e^{-t z})

    Args:
        input: Scores, any shape.
        target: -1 or +1, or booleans, the shape of ``input``.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"``.
        sample_weight: One weight an element, or one a sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts.

    Returns:
        A scalar, or the shape of ``input``, in torch's dtype.

    Raises:
        ValueError: Shapes that differ, a target that is neither -1 nor 1.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> soft_margin_loss(torch.tensor([-1000.0, 0.0]), torch.tensor([1, -1]), reduction="none")
        tensor([1.0000e+03, 6.9315e-01])

    Source:
        Cox, The Regression Analysis of Binary Sequences, 1958. torch's overflows to infinity, with a NaN gradient,
        from a score of 89 on the wrong side (float32). Nothing to average gives 0 here, NaN in torch.
    """
    input, target = stretched(input=input, target=target)
    check_among("target", counted(target, mask), (-1, 1))

    def logistic(x: Tensor, t: Tensor) -> Tensor:
        return softplus(decide(t, -x, x))

    loss = pointwise(logistic, input, target, sample_weight=sample_weight, mask=mask, reduction=reduction)
    return like_torch(loss, input, target)


class SoftMarginLoss(Loss):
    """:func:`soft_margin_loss` as a Module."""

    fn = staticmethod(soft_margin_loss)
    reduction: Reduction = "mean"


@checked
def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: Reduction = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Binary cross-entropy of every label, averaged over a row's labels: an item is a row.

    .. math:: -\frac1C \sum_c w_c \left[y_c \log\sigma(z_c) + (1 - y_c) \log(1 - \sigma(z_c))\right]

    Args:
        input: Logits, (..., C).
        target: The shape of ``input``: bool, integers 0 and 1, or probabilities.
        weight: As torch's: a factor a class, (C,), not part of any divisor.
        reduction: ``"none"`` (the shape of ``input`` less the last dimension), ``"sum"`` or ``"mean"`` over rows.
        sample_weight: One weight a row; mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where a row counts.

    Returns:
        A scalar, or one loss a row, in torch's dtype.

    Raises:
        ValueError: Shapes that differ, a target outside of [0, 1].
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> multilabel_soft_margin_loss(torch.zeros(1, 3), torch.tensor([[1, 0, 1]]))
        tensor(0.6931)

    Source:
        Arguments and defaults are torch's. Nothing to average gives 0 here, NaN in torch.
    """
    check_float("input", input)
    wide, target = stretched(input=input, target=target)
    check_same_shape("input", input, "target", wide)
    if input.dim() == 0:
        raise ValueError("input: wanted at least one dimension, that of the labels; got a scalar")
    check_probabilities("target", counted(target, mask))
    if weight is not None:
        check_tensor("weight", weight)
        check_factor("weight", weight, input)
    sample_weight, mask = align(sample_weight, mask, input.shape[:-1])
    x, y = accumulate(input), target.to(accumulate(input).dtype)
    if mask is not None:
        x, y = hide(x, mask.unsqueeze(-1)), hide(y, mask.unsqueeze(-1))
    losses = F.binary_cross_entropy_with_logits(x, y, reduction="none")
    if weight is not None:
        losses = losses * weight
    loss = reduce(losses.mean(-1), weight=sample_weight, mask=mask, reduction=reduction)
    return like_torch(loss, input, target)


class MultiLabelSoftMarginLoss(Loss):
    """:func:`multilabel_soft_margin_loss` as a Module."""

    fn = staticmethod(multilabel_soft_margin_loss)
    weight: Tensor | None = None
    reduction: Reduction = "mean"


@checked
def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    reduction: Reduction = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Every label that holds must win over every one that does not by a margin of 1.

    .. math:: \frac1C \sum_{j \in Y} \sum_{i \notin Y} \max(0, 1 - (z_j - z_i))

    Args:
        input: Scores, (N, C) or (C,).
        target: The shape of ``input``: class indices of any integer dtype, up to the first -1.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.
        sample_weight: (N,) weights; mean is ``sum(w l) / sum(w)``.
        mask: (N,) booleans, True where a row counts.

    Returns:
        A scalar, or one loss a row, in torch's dtype. The gradient exactly at the margin is 0.

    Raises:
        ValueError: Shapes that differ.
        TypeError: Targets that are no integers.
        IndexError: A target outside of [-1, C).

    Example:
        >>> import torch
        >>> multilabel_margin_loss(torch.tensor([[0.1, 0.2, 0.4, 0.8]]), torch.tensor([[3, 0, -1, 1]]))
        tensor(0.8500)

    Source:
        Elisseeff and Weston, A Kernel Method for Multi-Labelled Classification, 2001; arguments are torch's. It has a
        second derivative and linear memory here; nothing to average gives 0, in torch NaN.
    """
    check_float("input", input)
    check_dim("input", input, (1, 2), "(N, C) or (C,)")
    check_same_shape("target", target, "input", input)
    target = wide_integers("target", target)
    if target.dtype != torch.int64:
        raise TypeError(f"target: wanted integer class indices, padded by -1; got {target.dtype}")
    sample_weight, mask = align(sample_weight, mask, input.shape[:-1])
    x = accumulate(input)
    if mask is not None:
        x, target = hide(x, mask.unsqueeze(-1)), hide(target, mask.unsqueeze(-1))
    check_range("target", target, input.shape[-1], -1)
    loss = reduce(_label_violations(x, target), weight=sample_weight, mask=mask, reduction=reduction)
    return like_torch(loss, input)


def _label_violations(x: Tensor, target: Tensor) -> Tensor:
    """The sum over a row's labels of the violations by all other classes, over C.

    Other classes are sorted once; those that violate the margin of a label are then the last few, and a
    difference of sums gives them all: O(C log C) a row, where all pairs are O(C^2).
    """
    named = (target >= 0).cumprod(-1).bool()  # up to the first -1
    index = torch.where(named, target, torch.zeros_like(target))
    holds = torch.zeros_like(x).scatter_add(-1, index, named.to(x.dtype)) > 0
    others = torch.where(holds, ABSENT, x).sort(-1).values
    threshold = x.gather(-1, index) - 1
    first = torch.searchsorted(others.detach().contiguous(), threshold.detach().contiguous(), right=True)
    others = torch.where(others > ABSENT, others, torch.zeros_like(others))
    sums = F.pad(others.flip(-1).cumsum(-1).flip(-1), (0, 1))  # of the k-th and all after it; 0 after the last
    violations = sums.gather(-1, first) - (x.shape[-1] - first) * threshold
    total = torch.where(named, violations, torch.zeros_like(violations)).sum(-1) / max(x.shape[-1], 1)
    return torch.where(x.isnan().any(-1), torch.nan, total)  # a NaN finds no place in an order, and would be lost


class MultiLabelMarginLoss(Loss):
    """:func:`multilabel_margin_loss` as a Module."""

    fn = staticmethod(multilabel_margin_loss)
    reduction: Reduction = "mean"


def _draw_indices(g: Generator, dt: dtype) -> Call:
    order = torch.rand(6, 5, generator=g).argsort(-1)
    lengths = draw_labels(g, 6, 6, 1)
    return Call((normal(g, dt, 6, 5), torch.where(torch.arange(5) < lengths, order, -1)))


_EXTREME = ((0.0, 50.0, -50.0, 1e4, -1e4),)


def _edges_signs(dt: dtype) -> tuple[Call, ...]:
    z = torch.tensor(_EXTREME, dtype=dt)
    return (
        Call((z, torch.tensor([[1, 1, -1, -1, 1]], dtype=torch.int8))),
        Call((z, torch.tensor([[True, False, True, False, True]]))),
        Call((z[:0], torch.zeros(0, 5, dtype=torch.bool))),
    )


def _edges_sets(dt: dtype) -> tuple[Call, ...]:
    z = torch.tensor(_EXTREME, dtype=dt)
    return (
        Call((z, torch.tensor([[True, False, True, False, True]]))),
        Call((z, torch.tensor([[0.5, 0.0, 1.0, 0.25, 1.0]], dtype=dt))),
        Call((z[:0], torch.zeros(0, 5, dtype=torch.bool))),
    )


def _edges_indices(dt: dtype) -> tuple[Call, ...]:
    z = torch.tensor([[2.0, 1.0, 1.0, 0.0], [1e4, -1e4, 0.0, 0.0]], dtype=dt)
    return (
        Call((z, torch.tensor([[0, -1, 2, 1], [1, 1, -1, -1]], dtype=torch.int32))),  # at the margin; named twice
        Call((z, torch.tensor([[-1, 0, 1, 2], [3, 2, 1, 0]]))),  # no label, every label
        Call((z[0], torch.tensor([1, 2, -1, -1]))),
        Call((z[:0], torch.zeros(0, 4, dtype=torch.int64))),
    )


_card = partial(Card, data="binary", kernel="none", defaults="torch", at_call=frozenset({"sample_weight", "mask"}))

CARDS = (
    _card(
        fn=soft_margin_loss,
        module=SoftMarginLoss,
        formula=r"\log(1 + e^{-t z})",
        item="element",
        paper="Cox, The Regression Analysis of Binary Sequences, 1958",
        equation="",
        draw=draw_signs,
        edges=_edges_signs,
        when="Binary targets that come as -1 and +1.",
        pitfalls=("Written as log(1 + exp(-tz)) it overflows from a score of 89 on, in float32.",),
        relatives=("binary_cross_entropy_with_logits", "hinge_loss"),
    ),
    _card(
        fn=multilabel_soft_margin_loss,
        module=MultiLabelSoftMarginLoss,
        formula=r"-\frac1C \sum_c w_c \left[y_c \log\sigma(z_c) + (1 - y_c) \log(1 - \sigma(z_c))\right]",
        item="row",
        paper="torch",
        equation="",
        draw=draw_logits,
        edges=_edges_sets,
        variants=({}, {"weight": torch.tensor([0.5, 2.0, 1.0, 0.0, 3.0])}),
        when="Several labels at a time, where a row is one item.",
        pitfalls=("It is the mean over labels of binary_cross_entropy_with_logits, no margin is in it.",),
        relatives=("binary_cross_entropy_with_logits", "multilabel_margin_loss"),
    ),
    _card(
        fn=multilabel_margin_loss,
        module=MultiLabelMarginLoss,
        formula=r"\frac1C \sum_{j \in Y} \sum_{i \notin Y} \max(0, 1 - (z_j - z_i))",
        item="row",
        paper="Elisseeff and Weston, A Kernel Method for Multi-Labelled Classification, 2001",
        equation="",
        draw=_draw_indices,
        edges=_edges_indices,
        when="Several labels at a time, where only their order against the others counts.",
        pitfalls=("Targets are indices up to the first -1, not zeros and ones: those mean the classes 0 and 1.",),
        relatives=("multilabel_soft_margin_loss", "multiclass_hinge_loss"),
    ),
)
