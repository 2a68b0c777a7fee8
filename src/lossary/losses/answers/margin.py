"""Signed scores that must win by a hard or soft margin, for one label or several."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.core.card import Card, Range
from lossary.core.check import (
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
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, align, counted, reduce
from lossary.core.rules import NotNegative, checked
from lossary.kernels.order import running_sum
from lossary.kernels.stable import ABSENT, accumulate, like_torch, softplus
from lossary.losses._pointwise import decide, hide, pointwise

__all__ = [
    "HingeLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "SoftMarginLoss",
    "SquaredHingeLoss",
    "hinge_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "soft_margin_loss",
    "squared_hinge_loss",
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
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
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
        Cox, The Regression Analysis of Binary Sequences, 1958. torch's overflows to infinity, with a NaN gradient, for
        scores from 89 on the wrong side (float32). Nothing to average gives 0 here, NaN in torch.
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
        weight: As in torch, one factor per class, (C,), not part of any divisor.
        reduction: ``"none"`` (the shape of ``input`` less the last dimension), ``"sum"`` or ``"mean"`` over rows.
        sample_weight: One weight per row; mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where a row counts.

    Returns:
        A scalar, or one loss per row, in torch's dtype.

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
    r"""Every label that holds must beat every one that does not by a margin of 1.

    .. math:: \frac1C \sum_{j \in Y} \sum_{i \notin Y} \max(0, 1 - (z_j - z_i))

    Args:
        input: Scores, (N, C) or (C,).
        target: The shape of ``input``: class indices of any integer dtype, up to the first -1.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.
        sample_weight: (N,) weights; mean is ``sum(w l) / sum(w)``.
        mask: (N,) booleans, True where a row counts.

    Returns:
        A scalar, or one loss per row, in torch's dtype. The gradient exactly at the margin is 0.

    Raises:
        ValueError: Shapes that differ.
        TypeError: Targets that are not integers.
        IndexError: A target outside of [-1, C).

    Example:
        >>> import torch
        >>> multilabel_margin_loss(torch.tensor([[0.1, 0.2, 0.4, 0.8]]), torch.tensor([[3, 0, -1, 1]]))
        tensor(0.8500)

    Source:
        Elisseeff and Weston, A Kernel Method for Multi-Labelled Classification, 2001; arguments are torch's. This
        version has a second derivative and linear memory; nothing to average gives 0, NaN in torch.
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

    Other classes are sorted once; those that violate a label's margin are then the last few, and a difference of sums
    covers them all: O(C log C) per row, where all pairs are O(C^2).
    """
    named = (target >= 0).cumprod(-1).bool()  # up to the first -1
    index = torch.where(named, target, torch.zeros_like(target))
    holds = torch.zeros_like(x).scatter_add(-1, index, named.to(x.dtype)) > 0
    others = torch.where(holds, ABSENT, x).sort(-1).values
    threshold = x.gather(-1, index) - 1
    first = torch.searchsorted(others.detach().contiguous(), threshold.detach().contiguous(), right=True)
    others = torch.where(others > ABSENT, others, torch.zeros_like(others))
    sums = F.pad(running_sum(others.flip(-1)).flip(-1), (0, 1))  # of the k-th and all later ones; 0 after the last
    violations = sums.gather(-1, first) - (x.shape[-1] - first) * threshold
    total = torch.where(named, violations, torch.zeros_like(violations)).sum(-1) / max(x.shape[-1], 1)
    return torch.where(x.isnan().any(-1), torch.nan, total)  # sorting would lose a NaN


class MultiLabelMarginLoss(Loss):
    """:func:`multilabel_margin_loss` as a Module."""

    fn = staticmethod(multilabel_margin_loss)
    reduction: Reduction = "mean"


_card = partial(
    Card,
    data="answers",
    kernel="none",
    defaults="torch",
    at_call=frozenset({"sample_weight", "mask"}),
)


def shortfall(x: Tensor, y: Tensor, margin: float | Tensor) -> Tensor:
    """How far a score is from the margin on the right side, as a formula of scores and signs."""
    return (margin - decide(y, x, -x)).relu()


def _squared_shortfall(x: Tensor, y: Tensor, margin: float | Tensor) -> Tensor:
    return shortfall(x, y, margin).square()


@checked
def hinge_loss(
    input: Tensor,
    target: Tensor,
    *,
    margin: NotNegative = 1.0,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The loss of the support vector machine: linear in how far a score falls short of the margin.

    .. math:: \max(0, m - t\,z), \quad t = \pm 1

    Args:
        input: Scores, any shape; above 0 says yes.
        target: The shape of ``input``: booleans, or +1 for yes against -1 or 0 for no.
        margin: m, in units of the score, at least 0.
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or the shape of ``input``. The gradient exactly at the margin is 0.

    Raises:
        ValueError: Shapes that differ, a target that is not -1, 0 or 1.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> hinge_loss(torch.tensor([0.5, 2.0, 0.5]), torch.tensor([1, 1, -1]), reduction="none")
        tensor([0.5000, 0.0000, 1.5000])

    Source:
        Cortes and Vapnik, Support-Vector Networks, 1995; margin 1.
    """
    check_among("target", counted(target, mask), (-1, 0, 1))
    return pointwise(shortfall, input, target, margin, sample_weight=sample_weight, mask=mask, reduction=reduction)


class HingeLoss(Loss):
    """:func:`hinge_loss` as a Module."""

    fn = staticmethod(hinge_loss)
    margin: NotNegative = 1.0
    reduction: Reduction = "mean"


@checked
def squared_hinge_loss(
    input: Tensor,
    target: Tensor,
    *,
    margin: NotNegative = 1.0,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The hinge loss squared: without a corner at the margin, harder on large violations.

    .. math:: \max(0, m - t\,z)^2, \quad t = \pm 1

    Args:
        input: Scores, any shape; above 0 says yes.
        target: The shape of ``input``: booleans, or +1 for yes against -1 or 0 for no.
        margin: m, in units of the score, at least 0.
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or the shape of ``input``.

    Raises:
        ValueError: Shapes that differ, a target that is not -1, 0 or 1.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> squared_hinge_loss(torch.tensor([0.5, 2.0, 0.5]), torch.tensor([1, 1, -1]), reduction="none")
        tensor([0.2500, 0.0000, 2.2500])

    Source:
        The L2-SVM, see Tang, arXiv:1306.0239; margin 1.
    """
    check_among("target", counted(target, mask), (-1, 0, 1))
    return pointwise(
        _squared_shortfall, input, target, margin, sample_weight=sample_weight, mask=mask, reduction=reduction
    )


class SquaredHingeLoss(Loss):
    """:func:`squared_hinge_loss` as a Module."""

    fn = staticmethod(squared_hinge_loss)
    margin: NotNegative = 1.0
    reduction: Reduction = "mean"


_binary = partial(
    Card,
    data="answers",
    takes=("input-target",),
    input="scores",
    kernel="none",
    item="element",
    search={"margin": Range(0.1, 5.0, log=True)},
    at_call=frozenset({"sample_weight", "mask"}),
)


CARDS = (
    _card(
        fn=soft_margin_loss,
        module=SoftMarginLoss,
        takes=("input-target",),
        input="scores",
        formula=r"\log(1 + e^{-t z})",
        symbols={
            r"t": "`target`: +1 for yes, -1 for no",
            r"z": "`input`, the score; above 0 says yes",
        },
        item="element",
        paper="Cox, The Regression Analysis of Binary Sequences, 1958",
        equation="textbook",
        when="Binary targets that come as -1 and +1.",
        pitfalls=("Written as log(1 + exp(-tz)) it overflows for scores from 89 on, in float32.",),
        relatives=("binary_cross_entropy_with_logits", "hinge_loss"),
    ),
    _card(
        fn=multilabel_soft_margin_loss,
        module=MultiLabelSoftMarginLoss,
        takes=("input-target",),
        input="logits",
        formula=r"-\frac1C \sum_c w_c \left[y_c \log\sigma(z_c) + (1 - y_c) \log(1 - \sigma(z_c))\right]",
        symbols={
            r"C": "the number of labels: the last dimension of `input`",
            r"c": "every label",
            r"w_c": "`weight` of label c, 1 without it",
            r"y_c": "`target`: 1 where label c holds, 0 where it does not, or a probability between",
            r"\sigma": "the logistic sigmoid, which turns a logit into a probability",
            r"z_c": "`input`, the logit of label c",
        },
        item="row",
        paper="torch",
        equation="code",
        when="Several labels at a time, where a row is one item.",
        pitfalls=("It is binary_cross_entropy_with_logits averaged over labels: there is no margin in it.",),
        relatives=("binary_cross_entropy_with_logits", "multilabel_margin_loss"),
    ),
    _card(
        fn=multilabel_margin_loss,
        module=MultiLabelMarginLoss,
        takes=("input-labels",),
        input="scores",
        formula=r"\frac1C \sum_{j \in Y} \sum_{i \notin Y} \max(0, 1 - (z_j - z_i))",
        symbols={
            r"C": "the number of classes: the last dimension of `input`",
            r"j": "every label that holds",
            r"Y": "the labels that hold: the classes in `target` up to its first -1",
            r"i": "every class that does not hold",
            r"z_j": "`input`, the score of a label that holds",
            r"z_i": "`input`, the score of a class that does not",
        },
        item="row",
        paper="Elisseeff and Weston, A Kernel Method for Multi-Labelled Classification, 2001",
        equation="program",
        when="Several labels at a time, where only their ranking against the others counts.",
        pitfalls=("Targets are indices up to the first -1, not zeros and ones: those mean the classes 0 and 1.",),
        relatives=("multilabel_soft_margin_loss", "multiclass_hinge_loss"),
    ),
    _binary(
        fn=hinge_loss,
        module=HingeLoss,
        formula=r"\max(0, m - t z)",
        symbols={
            r"m": "`margin`, in units of the score, at least 0",
            r"t": "`target`: +1 for yes, -1 for no (also given as 0)",
            r"z": "`input`, the score; above 0 says yes",
        },
        paper="Cortes and Vapnik, Support-Vector Networks, 1995",
        equation="textbook",
        defaults="the support vector machine",
        when="A linear or kernel classifier where only the decision counts, not its probability.",
        pitfalls=(
            "Scores are not logits: beyond the margin nothing tells a good score from a better one.",
            "Without a penalty on the weights the margin means nothing: scores can grow for free.",
        ),
        relatives=("squared_hinge_loss", "multiclass_hinge_loss", "binary_cross_entropy_with_logits"),
    ),
    _binary(
        fn=squared_hinge_loss,
        module=SquaredHingeLoss,
        formula=r"\max(0, m - t z)^2",
        symbols={
            r"m": "`margin`, in units of the score, at least 0",
            r"t": "`target`: +1 for yes, -1 for no (also given as 0)",
            r"z": "`input`, the score; above 0 says yes",
        },
        paper="arXiv:1306.0239",
        equation="unconfirmed",
        defaults="the support vector machine",
        when="Like the hinge loss, with a smooth corner, if few examples are mislabelled.",
        pitfalls=("One mislabelled example far on the wrong side counts with its distance squared.",),
        relatives=("hinge_loss", "multiclass_hinge_loss"),
    ),
)
