"""How a student learns from a teacher's scores: distances between their softmaxes."""

import math
from functools import partial
from typing import Annotated, Literal, NamedTuple

import torch
from torch import Tensor

from lossary.core.card import Card, Choice, Range
from lossary.core.check import (
    check_float,
    check_number,
    check_range,
    check_same_shape,
    check_shape,
    check_tensor,
    wide_integers,
)
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, align, both, reduce
from lossary.core.rules import NotNegative, Positive, checked
from lossary.kernels.stable import ABSENT, accumulate, logaddexp, parameters, softplus
from lossary.losses._pointwise import hide
from lossary.losses.classes._shared import class_dimension
from lossary.losses.classes.divergence import times

__all__ = [
    "DecoupledDistillationLoss",
    "DistillationLoss",
    "JensenShannonLoss",
    "decoupled_distillation_loss",
    "distillation_loss",
    "jensen_shannon_loss",
]

#: Whose probabilities weight the differences of logarithms: the teacher's or the student's.
Direction = Literal["forward", "reverse"]
#: Strictly between the two.
Share = Annotated[float, partial(check_number, low=0, high=1, open_low=True, open_high=True)]


def directed(log_p: Tensor, log_q: Tensor, direction: Direction) -> Tensor:
    """The divergence of a student's log-probabilities (..., C) from a teacher's, or the reverse."""
    if direction == "reverse":
        log_p, log_q = log_q, log_p
    return times(log_q.exp(), log_q - log_p).sum(-1)


def mixed(log_p: Tensor, log_q: Tensor, beta: float) -> Tensor:
    """The Jensen-Shannon divergence of a student's log-probabilities (..., C) and a teacher's."""
    log_p, log_q = log_p.clamp_min(ABSENT), log_q.clamp_min(ABSENT)  # infinities would cancel
    above = log_p - log_q
    of_teacher = times(log_q.exp(), -_log_mixture(above, 1 - beta, beta))
    of_student = times(log_p.exp(), -_log_mixture(-above, beta, 1 - beta))
    return (beta * of_teacher + (1 - beta) * of_student).sum(-1)


def _log_mixture(above: Tensor, share: float, rest: float) -> Tensor:
    """log(rest + share e^above): how far a mixture lies above the other part, exact near 0.

    ``rest`` is 1 - share, given because it would be 0 for a share that rounds to 1.
    """
    small = above.abs() < 1
    near = torch.log1p(share * torch.expm1(torch.where(small, above, 0)))
    log_rest = math.log(rest) if rest < share else math.log1p(-share)  # of the smaller one, which has all its digits
    far = logaddexp(torch.full_like(above, log_rest), above + math.log(share))
    return torch.where(small, near, far)


def _logs(
    input: Tensor, target: Tensor, temperature: float | Tensor, dim: int, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Log-probabilities of both, classes last."""
    log_p, log_q = ((_classes_last(x, dim, mask) / temperature).log_softmax(-1) for x in (input, target))
    return log_p, log_q


def _classes_last(x: Tensor, dim: int, mask: Tensor | None) -> Tensor:
    """Masked items made harmless."""
    x = accumulate(x.movedim(class_dimension(x, dim), -1))
    return x if mask is None else hide(x, mask.unsqueeze(-1))


def _checked(
    input: Tensor, target: Tensor, dim: int, sample_weight: Tensor | None, mask: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    check_float("input", input)
    check_float("target", target)
    check_same_shape("target", target, "input", input)
    items = input.movedim(class_dimension(input, dim), -1).shape[:-1]
    return align(sample_weight, mask, items)


@checked
def distillation_loss(
    input: Tensor,
    target: Tensor,
    *,
    temperature: Positive = 2.0,
    direction: Direction = "forward",
    dim: int = 1,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""How far a student's softmax is from a teacher's, both at a temperature that brings out small scores.

    .. math:: \tau^2 \sum_c q_c \,(\log q_c - \log p_c), \quad
        q = \mathrm{softmax}(u / \tau),\ p = \mathrm{softmax}(z / \tau)

    For linear heads whose scores would not fit in memory: :func:`linear_distillation`.

    Args:
        input: The student's logits z, (N, C), (N, C, d1, ...) or (C,).
        target: The teacher's logits u, in the shape of ``input``. Gradients flow to it: detach a teacher.
        temperature: tau, above 0; a Parameter is learned. Its square preserves the scale of the gradients.
        direction: ``"forward"`` weights by the teacher's probabilities: the student covers all that the teacher finds
            likely. ``"reverse"`` swaps p and q: the student keeps to what it can.
        dim: The class dimension; -1 for (B, L, C).
        sample_weight: One weight per item, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an item counts; logits elsewhere may be anything.
        reduction: ``"none"`` (the shape of ``input`` less the class dimension), ``"sum"`` or ``"mean"`` over items.

    Returns:
        A scalar, or one divergence per item.

    Raises:
        ValueError: Shapes that differ, ``temperature`` not above 0.
        TypeError: Arguments that are not floating-point.

    Example:
        >>> import torch
        >>> student, teacher = torch.zeros(1, 3), torch.tensor([[4.0, 0.0, 0.0]])
        >>> distillation_loss(student, teacher)
        tensor(1.7322)

    Source:
        Hinton et al., Distilling the Knowledge in a Neural Network, arXiv:1503.02531, section 2; tau = 2 is from its
        table 1. Reverse: Gu et al., MiniLLM, arXiv:2306.08543, eq. 1. ``F.kl_div`` with ``"mean"`` is C times too
        small, and without the square the loss fades as the temperature grows.
    """
    sample_weight, mask = _checked(input, target, dim, sample_weight, mask)
    (temperature,) = parameters((temperature,), input)
    losses = directed(*_logs(input, target, temperature, dim, mask), direction) * temperature**2
    return reduce(losses, weight=sample_weight, mask=mask, reduction=reduction)


class DistillationLoss(Loss):
    """:func:`distillation_loss` as a Module."""

    fn = staticmethod(distillation_loss)
    temperature: Positive = 2.0
    direction: Direction = "forward"
    dim: int = 1
    reduction: Reduction = "mean"


@checked
def jensen_shannon_loss(
    input: Tensor,
    target: Tensor,
    *,
    beta: Share = 0.5,
    temperature: Positive = 1.0,
    dim: int = 1,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""How far a student's and a teacher's softmax are from their mixture: bounded, and between both directions.

    .. math:: \beta \, \mathrm{KL}(q \,\|\, m) + (1 - \beta) \, \mathrm{KL}(p \,\|\, m), \quad
        m = \beta q + (1 - \beta) p

    Args:
        input: The student's logits, (N, C), (N, C, d1, ...) or (C,); p is their softmax.
        target: The teacher's logits, in the shape of ``input``; q is their softmax. Gradients flow to it: detach a
            teacher.
        beta: The teacher's share of the mixture, between 0 and 1: 1/2 is symmetric. Towards 0, the loss over beta is
            the forward divergence; towards 1, the loss over 1 - beta is the reverse one.
        temperature: Of both softmaxes, above 0; a Parameter is learned. Not squared into the loss.
        dim: The class dimension; -1 for (B, L, C).
        sample_weight: One weight per item, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an item counts; logits elsewhere may be anything.
        reduction: ``"none"`` (the shape of ``input`` less the class dimension), ``"sum"`` or ``"mean"`` over items.

    Returns:
        A scalar, or one divergence per item, at most log 2.

    Raises:
        ValueError: Shapes that differ, ``beta`` not between 0 and 1, ``temperature`` not above 0.
        TypeError: Arguments that are not floating-point.

    Example:
        >>> import torch
        >>> jensen_shannon_loss(torch.tensor([[100.0, 0.0]]), torch.tensor([[0.0, 100.0]]))
        tensor(0.6931)

    Source:
        Lin, Divergence Measures Based on the Shannon Entropy, 1991; as distillation: Agarwal et al., GKD,
        arXiv:2306.13649, eq. 1. There, and in TRL and Liger, beta = 0 and 1 mean the two divergences, which are not on
        the same scale as values in between: here they are :func:`distillation_loss`.
    """
    sample_weight, mask = _checked(input, target, dim, sample_weight, mask)
    (temperature,) = parameters((temperature,), input)
    losses = mixed(*_logs(input, target, temperature, dim, mask), beta)
    return reduce(losses, weight=sample_weight, mask=mask, reduction=reduction)


class JensenShannonLoss(Loss):
    """:func:`jensen_shannon_loss` as a Module."""

    fn = staticmethod(jensen_shannon_loss)
    beta: Share = 0.5
    temperature: Positive = 1.0
    dim: int = 1
    reduction: Reduction = "mean"


@checked
def decoupled_distillation_loss(
    input: Tensor,
    target: Tensor,
    labels: Tensor,
    *,
    alpha: NotNegative = 1.0,
    beta: NotNegative = 8.0,
    temperature: Positive = 4.0,
    dim: int = 1,
    ignore_index: int | None = -100,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Distillation in two parts: how sure the teacher is of the true class, and how it ranks the others (DKD).

    .. math:: \tau^2 \Big( \alpha \big( q_y \log \tfrac{q_y}{p_y} + \bar q_y \log \tfrac{\bar q_y}{\bar p_y} \big)
        + \beta \sum_{c \ne y} \tfrac{q_c}{\bar q_y} \log \tfrac{q_c \bar p_y}{\bar q_y p_c} \Big),
        \quad \bar p_y = 1 - p_y

    With ``beta`` as large as the teacher is unsure, the probability of all other classes, this is
    :func:`distillation_loss`; there, a teacher that is sure says next to nothing of the others.

    Args:
        input: The student's logits, (N, C), (N, C, d1, ...) or (C,).
        target: The teacher's logits, in the shape of ``input``. Gradients flow to it: detach a teacher.
        labels: The true classes, (N,), (N, d1, ...) or (), of any integer dtype.
        alpha: At least 0, how much the true class against all others counts.
        beta: At least 0, how much the others among themselves count.
        temperature: tau, above 0; a Parameter is learned.
        dim: The class dimension; -1 for (B, L, C).
        ignore_index: Items with this label do not count; None for no such label.
        sample_weight: One weight per item, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an item counts; logits and labels elsewhere may be anything.
        reduction: ``"none"`` (the shape of ``labels``), ``"sum"`` or ``"mean"`` over items.

    Returns:
        A scalar, or one loss per item; ``mean`` averages those not ignored. Where the teacher finds all other classes
        impossible, it ranks none.

    Raises:
        ValueError: Shapes that differ, ``temperature`` not above 0, ``alpha`` or ``beta`` below 0.
        TypeError: Logits that are not floating-point, labels that are not integers.
        IndexError: A label outside of [0, C).

    Example:
        >>> import torch
        >>> student, teacher = torch.zeros(1, 3), torch.tensor([[4.0, 1.0, 0.0]])
        >>> decoupled_distillation_loss(student, teacher, torch.tensor([0]))
        tensor(2.4763)

    Source:
        Zhao et al., Decoupled Knowledge Distillation, arXiv:2203.08679; alpha, beta and tau are its code's for
        CIFAR-100. That takes logarithms of probabilities, which are infinite where one rounds to 0.
    """
    check_tensor("labels", labels)
    sample_weight, mask = _checked(input, target, dim, sample_weight, mask)
    classes = class_dimension(input, dim)
    labels = wide_integers("labels", labels)
    if labels.dtype != torch.int64:
        raise TypeError(f"labels: wanted integer class indices; got {labels.dtype}")
    check_shape("labels", labels, tuple(input.movedim(classes, -1).shape[:-1]))
    mask = None if mask is None else mask.expand(labels.shape)
    labels = hide(labels, mask)
    check_range("labels", labels, input.shape[classes], ignore_index)
    kept = None if ignore_index is None else labels != ignore_index
    temperature, alpha, beta = parameters((temperature, alpha, beta), input)
    z, u = (_classes_last(x, dim, mask) for x in (input, target))
    own = torch.arange(input.shape[classes], device=labels.device) == labels.unsqueeze(-1)
    student, teacher = (_apart(x, own, temperature) for x in (z, u))
    losses = temperature**2 * _decoupled(student, teacher, alpha, beta)
    return reduce(losses, weight=sample_weight, mask=both(mask, kept), reduction=reduction)


class _Apart(NamedTuple):
    """The true class apart from all others."""

    gap: Tensor  # (...) the logarithm of its odds
    log: Tensor  # (..., C) those of the others' shares among themselves
    possible: Tensor  # (...) whether there are any others


def _apart(x: Tensor, own: Tensor, temperature: float | Tensor) -> _Apart:
    """From logits, (..., C): each beside the largest of the others, because of large ones rounding would be left."""
    x = x.clamp_min(ABSENT)  # infinities would cancel
    top = x.detach().masked_fill(own, ABSENT).amax(-1, keepdim=True)
    x = (x - top) / temperature
    others = x.masked_fill(own, ABSENT)
    rest = others.logsumexp(-1, keepdim=True)
    gap = hide(x, own).sum(-1) - rest.squeeze(-1)
    return _Apart(gap, others - rest, ~(top < ABSENT / 2).squeeze(-1))  # so written, a NaN stays one


def _decoupled(student: _Apart, teacher: _Apart, alpha: float | Tensor, beta: float | Tensor) -> Tensor:
    pairs = ((student.gap, teacher.gap), (-student.gap, -teacher.gap))
    target = sum(times((-softplus(-q)).exp(), softplus(-p) - softplus(-q)) for p, q in pairs)
    ranks = times(teacher.log.exp(), teacher.log - student.log).sum(-1)
    return alpha * target + beta * hide(ranks, teacher.possible)


class DecoupledDistillationLoss(Loss):
    """:func:`decoupled_distillation_loss` as a Module."""

    fn = staticmethod(decoupled_distillation_loss)
    alpha: NotNegative = 1.0
    beta: NotNegative = 8.0
    temperature: Positive = 4.0
    dim: int = 1
    ignore_index: int | None = -100
    reduction: Reduction = "mean"


_card = partial(
    Card,
    data="classes",
    input="logits",
    kernel="none",
    item="row",
    at_call=frozenset({"sample_weight", "mask"}),
)


CARDS = (
    _card(
        fn=distillation_loss,
        module=DistillationLoss,
        takes=("input-teacher",),
        formula=r"\tau^2 \sum_c q_c (\log q_c - \log p_c)",
        symbols={
            r"\tau": "`temperature`, above 0",
            r"c": "every class",
            r"q_c": (
                "the teacher's probability of class c: softmax of `target` over the temperature; the student's with "
                "the reverse `direction`"
            ),
            r"p_c": "the student's: softmax of `input` over the temperature; the teacher's with the reverse one",
        },
        paper="arXiv:1503.02531",
        equation="section 2",
        defaults="temperature: the paper's table 1",
        search={"temperature": Range(1.0, 10.0, log=True), "direction": Choice(("forward", "reverse"))},
        when="A small network learns from a large one, in addition to the loss of the labels.",
        pitfalls=(
            "A teacher's logits get a gradient unless they are detached.",
            "It takes logits of both: a softmax in front of it flattens them.",
            "Without the square of the temperature, its weight against the labels' loss depends on the temperature.",
        ),
        relatives=("kl_divergence_loss", "jensen_shannon_loss", "cross_entropy"),
    ),
    _card(
        fn=jensen_shannon_loss,
        module=JensenShannonLoss,
        takes=("input-teacher",),
        formula=(
            r"\beta \sum_c q_c \log \frac{q_c}{\beta q_c + (1 - \beta) p_c}"
            r" + (1 - \beta) \sum_c p_c \log \frac{p_c}{\beta q_c + (1 - \beta) p_c}"
        ),
        symbols={
            r"\beta": "`beta`, the teacher's share of the mixture",
            r"c": "every class",
            r"q_c": "the teacher's probability of class c: softmax of `target` over `temperature`",
            r"p_c": "the student's: softmax of `input` over `temperature`",
        },
        paper="arXiv:2306.13649",
        equation="1",
        defaults="beta: the symmetric one; temperature: off",
        search={"beta": Range(0.05, 0.95), "temperature": Range(0.5, 4.0, log=True)},
        when="A student that learns from a teacher on its own texts, where either divergence alone goes astray.",
        pitfalls=(
            "Where the two hardly overlap it is flat at its bound, so its gradient fades, unlike a divergence's.",
            "A teacher's logits get a gradient unless they are detached.",
        ),
        relatives=("distillation_loss", "kl_divergence_loss"),
    ),
    _card(
        fn=decoupled_distillation_loss,
        module=DecoupledDistillationLoss,
        takes=("input-teacher-label",),
        formula=(
            r"\tau^2 \Big( \alpha \big( q_y \log \tfrac{q_y}{p_y} + \bar q_y \log \tfrac{\bar q_y}{\bar p_y} \big)"
            r" + \beta \sum_{c \ne y} \tfrac{q_c}{\bar q_y} \log \tfrac{q_c \bar p_y}{\bar q_y p_c} \Big)"
        ),
        symbols={
            r"\tau": "`temperature`, above 0",
            r"\alpha": "`alpha`, at least 0: how much the true class against the others counts",
            r"\beta": "`beta`, at least 0: how much the others among themselves count",
            r"y": "the true class, from `labels`",
            r"c": "every other class",
            r"q_y": "the teacher's probability of the true class: softmax of `target` over the temperature",
            r"p_y": "the student's: softmax of `input` over the temperature",
            r"\bar q_y": "1 less the teacher's",
            r"\bar p_y": "1 less the student's",
            r"q_c": "the teacher's probability of class c",
            r"p_c": "the student's",
        },
        paper="arXiv:2203.08679",
        equation="unconfirmed",
        defaults="the paper's code, for CIFAR-100",
        mean_is_plain=False,
        search={"beta": Range(0.25, 16.0, log=True), "temperature": Range(1.0, 10.0, log=True)},
        when="A small network learns from a large one that is sure of itself, in addition to the loss of the labels.",
        pitfalls=(
            "A teacher's logits get a gradient unless they are detached.",
            "The best `beta` grows with how sure the teacher is: 8 of one data set is 0.5 of another.",
            "At the begin of training it may outweigh the labels: the paper's code lets it grow over the first epochs.",
        ),
        relatives=("distillation_loss", "jensen_shannon_loss", "cross_entropy"),
        aliases=("dkd_loss", "DKDLoss"),
    ),
)
