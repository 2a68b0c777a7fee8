"""Time to an event. Some people are censored: all that is known is that theirs has not happened yet."""

from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Card, Choice, Range
from lossary.core.check import check_among, check_dim, check_float, check_labels, check_shape, wide_integers
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, align, divide, one_weight, reduce
from lossary.core.rules import Positive, checked
from lossary.distributed import across_ranks, gathered
from lossary.kernels.order import running_logsumexp
from lossary.kernels.stable import ABSENT, accumulator, clamped_log, parameters, softplus, widened
from lossary.losses._pointwise import check_not_negative, hide

__all__ = [
    "CoxPHLoss",
    "LogisticHazardLoss",
    "WeibullNLLLoss",
    "cox_ph_loss",
    "logistic_hazard_loss",
    "weibull_nll_loss",
]

Ties = Literal["efron", "breslow"]


class Lives(NamedTuple):
    """What is known about N people, checked, and which of them count; 0 for those who do not."""

    input: Tensor  # accumulated
    time: Tensor
    event: Tensor  # 1 where the event was seen, in the dtype of `input`
    weight: Tensor | None
    mask: Tensor | None


def _lives(
    input: Tensor, time: Tensor, event: Tensor, dims: int, sample_weight: Tensor | None, mask: Tensor | None
) -> Lives:
    check_float("input", input)
    check_dim("input", input, dims, ("(N,)", "(N, T)")[dims - 1])
    time = wide_integers("time", time)
    check_shape("time", time, (input.shape[0],))
    check_shape("event", event, (input.shape[0],))
    weight, mask = align(sample_weight, mask, input.shape[:1])
    event = hide(wide_integers("event", event), mask)
    check_among("event", event, (0, 1))
    dtype = accumulator(input)
    scores = hide(input.to(dtype), mask if mask is None or dims == 1 else mask[:, None])
    return Lives(scores, hide(time, mask), event.to(dtype), weight, mask)


def _tied(values: Tensor, first: Tensor) -> Tensor:
    """Sums over people with the same time, for each of them; ``first`` is the place of the first of them."""
    return torch.zeros_like(values).index_add(0, first, values)[first]


def _risks(time: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """For people from the longest time to the shortest: where their time begins, and the log-hazard of all at risk."""
    backwards = -time
    first, last = (torch.searchsorted(backwards, backwards, right=right) for right in (False, True))
    return first, running_logsumexp(scores)[last - 1]


def _removed(scores: Tensor, risk: Tensor, event: Tensor, first: Tensor) -> Tensor:
    """What Efron's ties add to each event: of d events at one time, the l-th has l / d of their hazards removed."""
    top = torch.full_like(scores, ABSENT).scatter_reduce(0, first, torch.where(event, scores, ABSENT).detach(), "amax")
    shares = torch.where(event, torch.exp(torch.where(event, scores - top[first], 0)), 0)
    share = _tied(shares, first).clamp_min(torch.finfo(scores.dtype).tiny)
    seen = event.long()
    before = seen.cumsum(0) - seen
    fraction = torch.where(event, (before - before[first]).to(scores.dtype) / _tied(seen, first).clamp_min(1), 0)
    return torch.log1p(-fraction * torch.exp((share.log() + top[first] - risk).clamp_max(0)))


@across_ranks
@checked
def cox_ph_loss(
    input: Tensor,
    time: Tensor,
    event: Tensor,
    *,
    ties: Ties = "efron",
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Cox's partial likelihood: at each event, how likely it was to hit this person among all at risk.

    .. math:: \frac{1}{\sum_i \delta_i} \sum_i \delta_i \Big(\log \sum_{j:\, t_j \ge t_i} e^{s_j} - s_i\Big)

    Args:
        input: Logarithms s of the hazards, (N,): higher is sooner. A constant added to all changes nothing.
        time: Times t of the event or, if censored, of the last observation, (N,), any numbers.
        event: delta, (N,): True, or 1, if the event was seen; False, or 0, if censored.
        ties: How events at the same time share it. ``"efron"``: the l-th of d has l / d of their own hazards removed
            from those at risk; ``"breslow"``: nothing is removed.
        sample_weight: One weight per person, (N,): a person of weight 2 counts as two, also among those at risk.
        mask: Boolean, True where a person counts, (N,); values elsewhere may be NaN.
        group: Processes whose batches together form the people at risk.

    Returns:
        A scalar: the mean over events, 0 with zero gradients if there are none. It is defined only for a whole batch,
        so there is no ``reduction``.

    Raises:
        ValueError: Shapes that do not fit, events that are neither 0 nor 1.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> event = torch.tensor([True, True, False])
        >>> cox_ph_loss(torch.tensor([1.0, 0.0, 0.0]), torch.tensor([2, 3, 5]), event)
        tensor(0.6223)

    Source:
        Cox, Regression Models and Life-Tables, 1972; Breslow, Covariance Analysis of Censored Survival Data, 1974;
        Efron, The Efficiency of Cox's Likelihood Function for Censored Data, 1977; weights are those of R's coxph,
        whose default is also Efron's. It takes N log N time: one sort and one running log-sum-exp. Common code ignores
        ties, so their order in the batch changes the loss; it is NaN or infinite without an event, and overflows for
        hazards of e^89.
    """
    lives = _lives(input, time, event, 1, sample_weight, mask)
    if time.requires_grad and torch.is_grad_enabled():
        raise ValueError("time: wanted a tensor without requires_grad, since only its order counts; got one with it")
    weight = one_weight(lives.weight, lives.mask, input.shape, lives.input.dtype)
    weight = torch.ones_like(lives.input) if weight is None else weight
    given = {"input": lives.input, "time": lives.time, "event": lives.event, "sample_weight": weight}
    scores, times, seen, weight = gathered(group, None, **given)
    spoilt = (times.isnan() | seen.isnan()).any()  # comparisons do not see NaN
    times = torch.where(times.isnan(), 0, times)
    order = times.argsort(descending=True, stable=True)
    weight = widened(weight[order])
    at_risk = weight > 0
    event = at_risk & (seen[order] > 0)
    log_weight = torch.where(at_risk, weight, 1).log()
    scores = torch.where(at_risk, widened(scores[order]) + log_weight, ABSENT)
    first, risk = _risks(times[order], scores)
    losses = weight * (risk - scores + log_weight)
    if ties == "efron":
        mean = _tied(torch.where(event, weight, 0), first) / _tied(event.to(weight.dtype), first).clamp_min(1)
        losses = losses + mean * _removed(scores, risk, event, first)
    total, count = torch.where(event, losses, 0).sum(), torch.where(event, weight, 0).sum()
    return torch.where(spoilt, torch.nan, divide(total, count)).to(lives.input.dtype)


class CoxPHLoss(Loss):
    """:func:`cox_ph_loss` as a Module, called ``(input, time, event)``."""

    fn = staticmethod(cox_ph_loss)
    ties: Ties = "efron"


@checked
def weibull_nll_loss(
    input: Tensor,
    time: Tensor,
    event: Tensor,
    *,
    shape: Positive = 1.0,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The negative log-likelihood of times under a Weibull distribution whose scale is predicted.

    .. math:: e^z - \delta\, (\log k + z - \log t), \quad z = k\, (\log t - x)

    Args:
        input: The logarithm x of the scale, (N,): the time by which 63 percent have had the event.
        time: Times t of the event or, if censored, of the last observation, (N,), none below 0.
        event: delta, (N,): True, or 1, if the event was seen; False, or 0, if censored.
        shape: k, above 0. 1 has a constant hazard (the exponential distribution), above 1 it grows with time. Pass an
            ``nn.Parameter`` to learn it.
        sample_weight: One weight per person, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where a person counts, (N,); values elsewhere may be NaN.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"`` over all people, events or not.

    Returns:
        A scalar, or one loss per person. A time of 0 counts as e^-100.

    Raises:
        ValueError: Shapes that do not fit, events that are neither 0 nor 1, a time below 0.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> event = torch.tensor([True, False])
        >>> weibull_nll_loss(torch.zeros(2), torch.tensor([1.0, 2.0]), event, shape=2.0, reduction="none")
        tensor([0.3069, 4.0000])

    Source:
        Weibull, A Statistical Distribution Function of Wide Applicability, 1951; with censored times Kalbfleisch and
        Prentice, The Statistical Analysis of Failure Time Data, 1980, chapter 3. Common code takes hazard and survival
        separately, and then an early time is log 0.
    """
    lives = _lives(input, time, event, 1, sample_weight, mask)
    check_not_negative("time", lives.time, lives.mask)
    (k,) = parameters((shape,), input)
    log_time = clamped_log(lives.time.to(lives.input.dtype))
    z = k * (log_time - lives.input)
    log_shape = k.log() if isinstance(k, Tensor) else torch.full_like(z, k).log()
    # Not z - log t: its derivatives by the time would have to cancel.
    losses = z.exp() - lives.event * (log_shape + (k - 1) * log_time - k * lives.input)
    return reduce(losses, weight=lives.weight, mask=lives.mask, reduction=reduction)


class WeibullNLLLoss(Loss):
    """:func:`weibull_nll_loss` as a Module, called ``(input, time, event)``."""

    fn = staticmethod(weibull_nll_loss)
    shape: Positive = 1.0
    reduction: Reduction = "mean"


@checked
def logistic_hazard_loss(
    input: Tensor,
    time: Tensor,
    event: Tensor,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The negative log-likelihood of the interval of the event, from its chance in each interval up to there.

    .. math:: -\sum_{j < t} \log\big(1 - \sigma(z_j)\big) - \log \sigma\big((2 \delta - 1)\, z_t\big)

    Args:
        input: Logits z of the event in each of T intervals, given that it has not happened before, (N, T).
        time: The interval t of the event, or the last interval seen without it, (N,) integers in [0, T).
        event: delta, (N,): True, or 1, if the event was seen; False, or 0, if it had not happened by the end of t.
        sample_weight: One weight per person, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where a person counts, (N,); values elsewhere may be anything.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or one loss per person.

    Raises:
        ValueError: Shapes that do not fit, events that are neither 0 nor 1.
        TypeError: ``input`` that is not floating-point, intervals that are not integers.
        IndexError: An interval outside of [0, T).

    Example:
        >>> import torch
        >>> event = torch.tensor([True, False])
        >>> logistic_hazard_loss(torch.zeros(2, 3), torch.tensor([0, 2]), event, reduction="none")
        tensor([0.6931, 2.0794])

    Source:
        Gensheimer and Narasimhan, A scalable discrete-time survival model for neural networks, arXiv:1805.00917; Kvamme
        and Borgan, arXiv:1910.06724. It is one binary cross-entropy for each interval that was begun.
    """
    lives = _lives(input, time, event, 2, sample_weight, mask)
    place = check_labels("time", lives.time, input.shape[0], classes=input.shape[1])[:, None]
    z, columns = lives.input, torch.arange(input.shape[1], device=input.device)
    there = columns <= place
    came = (columns == place) & (lives.event[:, None] > 0)
    # A missing answer (NaN) is not a "no": 0 times it is NaN too.
    losses = torch.where(there, softplus(torch.where(came, -z, z)), 0).sum(1) + 0 * lives.event
    return reduce(losses, weight=lives.weight, mask=lives.mask, reduction=reduction)


class LogisticHazardLoss(Loss):
    """:func:`logistic_hazard_loss` as a Module, called ``(input, time, event)``."""

    fn = staticmethod(logistic_hazard_loss)
    reduction: Reduction = "mean"


_card = partial(Card, data="lifetimes", at_call=frozenset({"sample_weight", "mask"}))
_EVENT = "`event`: 1 if the event was seen, 0 if censored"


CARDS = (
    _card(
        fn=cox_ph_loss,
        module=CoxPHLoss,
        takes=("score-time-event",),
        input="scores",
        formula=r"\frac{1}{\sum_i \delta_i} \sum_i \delta_i \Big(\log \sum_{j: t_j \ge t_i} e^{s_j} - s_i\Big)",
        symbols={
            r"\delta_i": _EVENT,
            r"i": "every person",
            r"j": "every person at risk at time i, including i; tied events count less with `ties` 'efron'",
            r"t_j": "`time` of person j",
            r"t_i": "`time` of person i",
            r"s_j": "`input`, the log-hazard of person j",
            r"s_i": "`input`, the log-hazard of person i",
        },
        kernel="order",
        item="batch",
        separable=False,
        mean_is_plain=False,
        at_call=frozenset({"sample_weight", "mask", "group"}),
        paper="Cox, Regression Models and Life-Tables, 1972",
        equation="unconfirmed",
        defaults="R's coxph",
        search={"ties": Choice(("efron", "breslow"))},
        when="Who comes first matters, not when: times with censoring, and batches of many people.",
        pitfalls=(
            "People are compared only within a batch: small batches, with few at risk, are noisy and biased.",
            "Where code ignores ties, as between times in days, the loss depends on the order of the batch.",
            "Its scores have no zero: predicting a time also takes the baseline hazard.",
        ),
        relatives=("weibull_nll_loss", "logistic_hazard_loss", "listmle_loss"),
    ),
    _card(
        fn=weibull_nll_loss,
        module=WeibullNLLLoss,
        takes=("score-time-event",),
        input="log-rates",
        formula=r"e^z - \delta\, (\log k + z - \log t), \quad z = k\, (\log t - x)",
        symbols={
            r"z": "the logarithm of the hazard accumulated by time t",
            r"\delta": _EVENT,
            r"k": "`shape`, above 0: with 1 the hazard is constant, above it grows with time",
            r"t": "`time`, at least 0",
            r"x": "`input`, the logarithm of the scale",
        },
        kernel="none",
        item="row",
        paper="Kalbfleisch and Prentice, The Statistical Analysis of Failure Time Data, 1980",
        equation="chapter 3",
        defaults="the exponential distribution",
        search={"shape": Range(0.5, 3.0, log=True)},
        when="The time itself matters, and its distribution has one peak or none; batches may be small.",
        pitfalls=("Divide the times by about their mean first: a scale of e^0 is far from times in days.",),
        relatives=("cox_ph_loss", "logistic_hazard_loss", "tweedie_loss"),
    ),
    _card(
        fn=logistic_hazard_loss,
        module=LogisticHazardLoss,
        takes=("hazards-interval-event",),
        input="logits",
        formula=r"-\sum_{j < t} \log(1 - \sigma(z_j)) - \log \sigma\big((2 \delta - 1)\, z_t\big)",
        symbols={
            r"j": "every interval before the last one seen",
            r"t": "`time`, the last interval seen",
            r"\sigma": "the logistic sigmoid",
            r"z_j": "`input`, the logit of the event in interval j",
            r"\delta": _EVENT,
            r"z_t": "`input`, the logit of the event in interval t",
        },
        kernel="none",
        item="row",
        paper="arXiv:1910.06724",
        equation="7 of the published version",
        defaults="no hyperparameters",
        when="A whole survival curve of any shape, from times cut into some ten intervals.",
        pitfalls=(
            "A censored person did not have the event in the last interval; some code counts that interval half.",
            "Intervals with equal numbers of events are steadier than intervals of equal length.",
        ),
        relatives=("cox_ph_loss", "binary_cross_entropy_with_logits"),
    ),
)
