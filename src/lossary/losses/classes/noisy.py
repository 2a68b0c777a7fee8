"""Cross-entropy when some labels are wrong."""

from functools import partial
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.core.card import Range
from lossary.core.check import check_number
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, reduce
from lossary.core.rules import FRACTION, ClassWeight, NotNegative, checked
from lossary.kernels.stable import ABSENT, accumulate, short_of_one, softplus
from lossary.losses.classes._shared import (
    TAKES_LOGITS,
    Input,
    check_class_weight,
    class_card,
    class_loss,
    softmax_problem,
)

__all__ = [
    "BiTemperedLogisticLoss",
    "GeneralizedCrossEntropyLoss",
    "SymmetricCrossEntropyLoss",
    "bi_tempered_logistic_loss",
    "generalized_cross_entropy_loss",
    "symmetric_cross_entropy_loss",
]


def _power(gap: Tensor, q: float | Tensor) -> Tensor:
    return short_of_one(q * F.logsigmoid(-gap)) / q


#: From almost cross-entropy to 1 - p.
Exponent = Annotated[float | Tensor, partial(check_number, low=0, open_low=True, high=1)]


@checked
def generalized_cross_entropy_loss(
    input: Input,
    target: Tensor,
    *,
    q: Exponent = 0.7,
    class_weight: ClassWeight | None = None,
    ignore_index: int = -100,
    dim: int = 1,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Between cross-entropy and 1 minus the true class's probability: labels that look wrong count less.

    .. math:: \frac{1 - p_y^q}{q}

    Args:
        input: Logits, (N, C), (N, C, d1, ...) or (C,); or linear scores, never materialised.
        target: Class indices of any integer dtype, the shape of ``input`` less the class dimension.
        q: In (0, 1]: towards 0 it is cross-entropy, at 1 it is 1 - p; a Parameter is learned.
        class_weight: (C,), one weight per class: the mean is ``sum(w l) / sum(w)``.
        ignore_index: An index target that does not count.
        dim: The class dimension; -1 for (B, L, C).
        sample_weight: One weight per item, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an item counts.
        reduction: ``"none"`` (the shape of ``input`` less the class dimension), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or one loss per item, at most 1 / q.

    Raises:
        ValueError: Shapes that do not fit, a single class of logits, ``q`` outside of (0, 1].
        TypeError: Floating-point class indices.
        IndexError: A target outside of [0, C) that is not ``ignore_index``.

    Example:
        >>> import torch
        >>> generalized_cross_entropy_loss(torch.zeros(1, 2), torch.tensor([0]), q=1.0)
        tensor(0.5000)

    Source:
        Zhang and Sabuncu, Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels,
        arXiv:1805.07836, eq. 6; q = 0.7 is what it trains with. Its truncated form, which prunes the training set, is a
        different loss. The paper's mean absolute error is twice this loss at q = 1.
    """
    p = softmax_problem(
        input,
        target,
        sigmoid_form="binary_cross_entropy_with_logits",
        dim=dim,
        ignore_index=ignore_index,
        sample_weight=sample_weight,
        mask=mask,
    )
    check_class_weight("class_weight", class_weight, p.classes)
    return class_loss(_power, p, scalars=(q,), class_weight=class_weight, reduction=reduction)


class GeneralizedCrossEntropyLoss(Loss):
    """:func:`generalized_cross_entropy_loss` as a Module."""

    fn = staticmethod(generalized_cross_entropy_loss)
    q: Exponent = 0.7
    class_weight: ClassWeight | None = None
    ignore_index: int = -100
    dim: int = 1
    reduction: Reduction = "mean"


def _symmetric(gap: Tensor, alpha: float | Tensor, of_reverse: float | Tensor) -> Tensor:
    return alpha * softplus(gap) + of_reverse * torch.sigmoid(gap)


#: A stand-in for the logarithm of 0.
LogZero = Annotated[float | Tensor, partial(check_number, high=0)]


@checked
def symmetric_cross_entropy_loss(
    input: Input,
    target: Tensor,
    *,
    alpha: NotNegative = 0.1,
    beta: NotNegative = 1.0,
    log_zero: LogZero = -4.0,
    class_weight: ClassWeight | None = None,
    ignore_index: int = -100,
    dim: int = 1,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Cross-entropy plus its reverse, with labels and predictions swapped, which stays small where a label is wrong.

    .. math:: -\alpha \log p_y - \beta \sum_c p_c \log q_c
        = -\alpha \log p_y - \beta A\, (1 - p_y), \quad \log q_c = A \text{ where } c \ne y

    Args:
        input: Logits, (N, C), (N, C, d1, ...) or (C,); or linear scores, never materialised.
        target: Class indices of any integer dtype, the shape of ``input`` less the class dimension; or
            probabilities in the shape of ``input``: the sum over classes of ``t_c`` times the loss at label c.
        alpha: The weight of the cross-entropy, at least 0; a Parameter is learned, also for the next two.
        beta: The weight of the reverse one, at least 0.
        log_zero: A, the stand-in for the logarithm of 0, at most 0.
        class_weight: (C,), one weight per class: for indices the mean is ``sum(w l) / sum(w)``.
        ignore_index: An index target that does not count.
        dim: The class dimension; -1 for (B, L, C).
        sample_weight: One weight per item, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an item counts.
        reduction: ``"none"`` (the shape of ``input`` less the class dimension), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or one loss per item.

    Raises:
        ValueError: Shapes that do not fit, a single class of logits, a weight below 0, ``log_zero`` above 0.
        TypeError: Floating-point class indices.
        IndexError: A target outside of [0, C) that is not ``ignore_index``.

    Example:
        >>> import torch
        >>> symmetric_cross_entropy_loss(torch.zeros(1, 2), torch.tensor([0]))
        tensor(2.0693)

    Source:
        Wang et al., Symmetric Cross Entropy for Robust Learning with Noisy Labels, arXiv:1908.06112, section 3; the
        defaults are the paper's for CIFAR-10. Its code clamps labels at 1e-4 instead, which is A = -9.2, and
        probabilities at 1e-7, below which the cross-entropy's gradient is 0.
    """
    p = softmax_problem(
        input,
        target,
        sigmoid_form="binary_cross_entropy_with_logits",
        dim=dim,
        ignore_index=ignore_index,
        sample_weight=sample_weight,
        mask=mask,
    )
    check_class_weight("class_weight", class_weight, p.classes)
    of_reverse = -beta * log_zero
    return class_loss(_symmetric, p, scalars=(alpha, of_reverse), class_weight=class_weight, reduction=reduction)


class SymmetricCrossEntropyLoss(Loss):
    """:func:`symmetric_cross_entropy_loss` as a Module."""

    fn = staticmethod(symmetric_cross_entropy_loss)
    alpha: NotNegative = 0.1
    beta: NotNegative = 1.0
    log_zero: LogZero = -4.0
    class_weight: ClassWeight | None = None
    ignore_index: int = -100
    dim: int = 1
    reduction: Reduction = "mean"


#: Newton steps to the normaliser, from below; more than six were never needed. Two more are for its derivatives.
STEPS = 8
#: For log p nearer to 0 than this the direct formula cancels, so its power series is used.
NEAR = 0.25


def _tempered_log_softmax(scores: Tensor, t: float) -> Tensor:
    """log p of the probabilities ``p = (1 + (t - 1)(lambda - z)) ** (-1 / (t - 1))`` that sum to 1, for t from 1 up."""
    scores = accumulate(scores)
    if t == 1:
        return scores.clamp_min(ABSENT).log_softmax(-1)
    k, absent = t - 1, scores <= ABSENT / 2
    z = scores - scores.detach().amax(-1, keepdim=True)

    def log_p(normaliser: Tensor) -> Tensor:
        return (-torch.log1p(k * (normaliser - z.masked_fill(absent, 0))) / k).masked_fill(absent, ABSENT)

    def newton(normaliser: Tensor) -> Tensor:
        # For (sum p) ** -k, which is concave in the normaliser and almost a line: from the left no step overshoots.
        log = log_p(normaliser)
        total = log.logsumexp(-1, keepdim=True)
        return normaliser + torch.expm1(k * total) / k * torch.exp(total - (t * log).logsumexp(-1, keepdim=True))

    with torch.no_grad():
        normaliser = torch.zeros_like(z[..., :1])
        for _ in range(STEPS):
            normaliser = newton(normaliser)
    # At the solution one step has the solution's first derivative, by the implicit function; two steps have both.
    return log_p(newton(newton(normaliser)))


def _lacking(log: Tensor, k: float) -> Tensor:
    """``-log_t(p) - (1 - p ** (1 + k)) / (1 + k)`` from log p, where t is 1 - k: about half the square of 1 - p."""
    near = log > -NEAR
    far, close = log.masked_fill(near, -1), log.masked_fill(~near, 0)
    direct = torch.expm1((1 + k) * far) / (1 + k) - (torch.expm1(k * far) / k if k > 0 else far)
    term, series = close, torch.zeros_like(close)
    for n in range(2, 16):
        term = term * close / n
        series = series + ((1 + k) ** (n - 1) - k ** (n - 1)) * term
    return torch.where(near, series, direct)


#: A loss that grows no faster than a logarithm, and a tail no lighter than an exponential's.
Tail = Annotated[float, partial(check_number, low=1, high=5)]


@checked
def bi_tempered_logistic_loss(
    input: Tensor,
    target: Tensor,
    *,
    t1: Annotated[float, FRACTION] = 0.8,
    t2: Tail = 1.2,
    class_weight: ClassWeight | None = None,
    ignore_index: int = -100,
    dim: int = 1,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Cross-entropy with a bounded logarithm and heavy-tailed probabilities, for when some labels are wrong.

    .. math:: -\log_{t_1} p_y - \frac{1 - \sum_c p_c^{2 - t_1}}{2 - t_1}, \quad
        p_c = \exp_{t_2}(z_c - \lambda), \quad \log_t x = \frac{x^{1 - t} - 1}{1 - t}

    with exp_t the inverse of log_t, and lambda such that the probabilities sum to 1; at t = 1 they are log and exp.

    Args:
        input: Logits, (N, C), (N, C, d1, ...) or (C,).
        target: Class indices of any integer dtype, the shape of ``input`` less the class dimension; or
            probabilities in the shape of ``input``: the sum over classes of ``t_c`` times the loss at label c.
        t1: In [0, 1]: the lower, the less a far outlier costs, at most ``1 / (1 - t1)``; 1 is the logarithm.
        t2: In [1, 5]: the higher, the heavier the tail, which forgives labels near the boundary; 1 is the softmax.
        class_weight: (C,), one weight per class: for indices the mean is ``sum(w l) / sum(w)``.
        ignore_index: An index target that does not count.
        dim: The class dimension; -1 for (B, L, C).
        sample_weight: One weight per item, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an item counts.
        reduction: ``"none"`` (the shape of ``input`` less the class dimension), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or one loss per item; at ``t1=1, t2=1`` it is cross-entropy.

    Raises:
        ValueError: Shapes that do not fit, a single class of logits, a temperature outside of its range.
        TypeError: Floating-point class indices.
        IndexError: A target outside of [0, C) that is not ``ignore_index``.

    Example:
        >>> import torch
        >>> bi_tempered_logistic_loss(torch.tensor([[2.0, 0.0]]), torch.tensor([1]))
        tensor(1.4531)

    Source:
        Amid, Warmuth, Anil and Koren, Robust Bi-Tempered Logistic Loss Based on Bregman Divergences, arXiv:1906.03361;
        0.8 and 1.2 are the paper's for CIFAR-100. Common code takes five steps of a fixed-point iteration towards
        lambda and stops short of it where scores are far apart; here lambda is exact, and so is its gradient. For
        probabilities as targets, the paper's divergence differs only by a term without ``input``.
    """
    p = softmax_problem(
        input,
        target,
        sigmoid_form="binary_cross_entropy_with_logits",
        dim=dim,
        ignore_index=ignore_index,
        sample_weight=sample_weight,
        mask=mask,
    )
    check_class_weight("class_weight", class_weight, p.classes)
    assert isinstance(p.input, Tensor)
    k, log = 1 - t1, _tempered_log_softmax(p.input, t2)
    powers = torch.exp((1 + k) * log) / (1 + k)
    if p.labels is not None:
        own = p.labels.unsqueeze(-1)
        others = log.exp().scatter(-1, own, 0).sum(-1)
        certain = others < 0.5  # then the others' sum tells more about p than its own logarithm, near 0
        of_own = torch.where(certain, torch.log1p(-others.masked_fill(~certain, 0)), log.gather(-1, own).squeeze(-1))
        losses = _lacking(of_own, k) + powers.scatter(-1, own, 0).sum(-1)
    else:
        assert p.soft is not None
        share = p.soft.to(log.dtype) if class_weight is None else p.soft.to(log.dtype) * class_weight.to(log.dtype)
        losses = (share * (_lacking(log, k) + powers.sum(-1, keepdim=True) - powers)).sum(-1)
    return reduce(losses, weight=p.weight(class_weight), mask=p.counted, reduction=reduction)


class BiTemperedLogisticLoss(Loss):
    """:func:`bi_tempered_logistic_loss` as a Module."""

    fn = staticmethod(bi_tempered_logistic_loss)
    t1: Annotated[float, FRACTION] = 0.8
    t2: Tail = 1.2
    class_weight: ClassWeight | None = None
    ignore_index: int = -100
    dim: int = 1
    reduction: Reduction = "mean"


_TRUE = {
    r"p_y": "the probability of the true class: softmax of `input` at `target`",
    r"y": "the true class, from `target`",
}

CARDS = (
    class_card(
        fn=generalized_cross_entropy_loss,
        module=GeneralizedCrossEntropyLoss,
        formula=r"\frac{1 - p_y^q}{q}",
        symbols={
            **_TRUE,
            r"q": "`q`, in (0, 1]: towards 0 it is cross-entropy, at 1 it is 1 - p_y",
        },
        paper="arXiv:1805.07836",
        equation="6",
        defaults="what the paper trains with",
        search={"q": Range(0.1, 1.0)},
        when="Some labels are wrong: the network finds them unlikely, and they count less than in cross-entropy.",
        pitfalls=(
            "With clean labels, cross-entropy learns faster; with many classes, a high q hardly starts to learn.",
            "p ** q after a softmax has a NaN gradient once p rounds to 0.",
            *TAKES_LOGITS,
        ),
        relatives=("cross_entropy", "poly_loss"),
    ),
    class_card(
        fn=symmetric_cross_entropy_loss,
        module=SymmetricCrossEntropyLoss,
        formula=r"-\alpha \log p_y - \beta A (1 - p_y)",
        symbols={
            r"\alpha": "`alpha`, the weight of cross-entropy",
            **_TRUE,
            r"\beta": "`beta`, the weight of the reverse cross-entropy",
            r"A": "`log_zero`, the stand-in for the logarithm of a label's 0",
        },
        paper="arXiv:1908.06112",
        equation="section 3",
        defaults="the paper's for CIFAR-10",
        search={"alpha": Range(0.01, 10.0, log=True), "beta": Range(0.1, 10.0, log=True)},
        when="Some labels are wrong: the bounded second term keeps learning where the first would memorise them.",
        pitfalls=(
            "beta and A are one hyperparameter: only their product counts.",
            "The paper uses alpha = 6 and beta = 0.1 for a hundred classes: tune them.",
            *TAKES_LOGITS,
        ),
        relatives=("generalized_cross_entropy_loss", "cross_entropy"),
    ),
    class_card(
        fn=bi_tempered_logistic_loss,
        module=BiTemperedLogisticLoss,
        formula=(
            r"-\log_{t_1} p_y - \frac{1 - \sum_c p_c^{2 - t_1}}{2 - t_1}, \quad p_c = \exp_{t_2}(z_c - \lambda), \quad "
            r"\log_t x = \frac{x^{1 - t} - 1}{1 - t}"
        ),
        symbols={
            r"p_y": "the probability of the true class",
            r"y": "the true class, from `target`",
            r"p_c": "the probability of class c",
            r"c": "every class",
            r"z_c": "its logit, from `input`",
            r"\lambda": "the number that makes the probabilities sum to 1",
            r"t_1": "`t1`, from 0, where the loss is bounded by 1, to 1",
            r"t_2": "`t2`, from 1 up: how heavy the tail is",
            r"\exp_{t_2}": "the inverse of the tempered logarithm at t = t_2",
            r"\log_t": "the tempered logarithm; at t = 1 the logarithm",
            r"t": "either temperature",
            r"x": "a number above 0",
        },
        kernel="none",
        paper="arXiv:1906.03361",
        equation="unconfirmed",
        defaults="the paper's for CIFAR-100",
        search={"t1": Range(0.2, 1.0), "t2": Range(1.0, 3.0)},
        when="Some labels are wrong, far from where they belong (t1 below 1) or near the boundary (t2 above 1).",
        pitfalls=(
            "At t2 above 1 its probabilities are not a softmax's, but the largest logit is still the likeliest class.",
            "A far outlier has no gradient left, so a bad start may never be corrected. Begin with cross-entropy.",
            "Its normaliser takes about ten passes over the scores, which stay in memory.",
            *TAKES_LOGITS,
        ),
        relatives=("cross_entropy", "generalized_cross_entropy_loss", "symmetric_cross_entropy_loss"),
    ),
)
