"""How a student learns from a teacher's scores: distances between their softmaxes."""

import math
from functools import partial
from typing import Annotated, Literal

import torch
from torch import Tensor

from lossary.core.card import Card, Choice, Range
from lossary.core.check import check_float, check_number, check_same_shape
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, align, reduce
from lossary.core.rules import Positive, checked
from lossary.kernels.stable import ABSENT, accumulate, logaddexp, parameters
from lossary.losses._pointwise import hide
from lossary.losses.classes._shared import class_dimension
from lossary.losses.classes.divergence import times

__all__ = [
    "DistillationLoss",
    "JensenShannonLoss",
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
    """Log-probabilities of both, classes last; masked items made harmless."""

    def log_softmax(x: Tensor) -> Tensor:
        x = accumulate(x.movedim(class_dimension(x, dim), -1))
        x = x if mask is None else hide(x, mask.unsqueeze(-1))
        return (x / temperature).log_softmax(-1)

    return log_softmax(input), log_softmax(target)


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


_card = partial(
    Card,
    data="classes",
    takes=("input-teacher",),
    input="logits",
    kernel="none",
    item="row",
    at_call=frozenset({"sample_weight", "mask"}),
)


CARDS = (
    _card(
        fn=distillation_loss,
        module=DistillationLoss,
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
)
