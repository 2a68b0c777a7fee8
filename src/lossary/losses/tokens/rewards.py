"""Which of two answers is better, without a reference model: for language models and for reward models."""

import math
from typing import Annotated

import torch
from torch import Tensor

from lossary.core.card import Range
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, reduce
from lossary.core.rules import FRACTION, NotNegative, Positive, checked
from lossary.kernels.stable import parameters, softplus
from lossary.losses.tokens._shared import (
    OF_AVERAGES,
    OF_SUMS,
    SMOOTHED,
    answers,
    check_constant,
    pair_card,
    preferred,
)

__all__ = [
    "BradleyTerryLoss",
    "CPOLoss",
    "ORPOLoss",
    "SimPOLoss",
    "bradley_terry_loss",
    "cpo_loss",
    "orpo_loss",
    "simpo_loss",
]

#: An average log-probability counts as at most this, so that its log-odds, 69 there, are finite.
NEARLY_CERTAIN = -1e-30


@checked
def cpo_loss(
    chosen_logps: Tensor,
    rejected_logps: Tensor,
    *,
    beta: Positive = 0.1,
    label_smoothing: Annotated[float, FRACTION] = 0.0,
    nll_weight: NotNegative = 1.0,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Contrastive preference optimization: DPO without a reference model, plus the chosen answer's likelihood.

    .. math:: -(1 - \epsilon) \log \sigma(h) - \epsilon \log \sigma(-h) - \alpha \log p(w), \quad
        h = \beta \log \frac{p(w)}{p(l)}

    Args:
        chosen_logps: (N,), log p(w), the sum over an answer's tokens: see :func:`sequence_logps`.
        rejected_logps: (N,), log p(l), likewise.
        beta: The preference's scale, above 0.
        label_smoothing: e in [0, 1], the share of preferences that are reversed.
        nll_weight: alpha, the weight of the likelihood; 0 leaves only the preference.
        sample_weight: (N,); mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where a pair counts.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or one loss per pair.

    Raises:
        ValueError: Shapes other than (N,), ``beta`` not above 0, ``label_smoothing`` outside of [0, 1].
        TypeError: Arguments that are not floating-point.

    Example:
        >>> import torch
        >>> cpo_loss(torch.tensor([-12.0]), torch.tensor([-15.0]), nll_weight=0.1)
        tensor(1.7544)

    Source:
        Xu et al., Contrastive Preference Optimization, arXiv:2401.08417, eq. 3 with the likelihood added to its mean,
        as there; beta is the paper's. Its log p is that of whole answers; TRL averages the likelihood over the batch's
        tokens, which is an ``nll_weight`` of 1 over their number per answer.
    """
    (w, l), sample_weight, mask = answers(sample_weight, mask, chosen_logps=chosen_logps, rejected_logps=rejected_logps)
    beta, nll_weight = parameters((beta, nll_weight), w)
    losses = preferred(beta * (w - l), label_smoothing) - nll_weight * w
    return reduce(losses, weight=sample_weight, mask=mask, reduction=reduction)


class CPOLoss(Loss):
    """:func:`cpo_loss` as a Module."""

    fn = staticmethod(cpo_loss)
    beta: Positive = 0.1
    label_smoothing: Annotated[float, FRACTION] = 0.0
    nll_weight: NotNegative = 1.0
    reduction: Reduction = "mean"


@checked
def simpo_loss(
    chosen_logps: Tensor,
    rejected_logps: Tensor,
    *,
    beta: Positive = 2.0,
    gamma: NotNegative = 1.0,
    label_smoothing: Annotated[float, FRACTION] = 0.0,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Simple preference optimization: the chosen answer's average log-probability should lead by a margin.

    .. math:: -(1 - \epsilon) \log \sigma(h) - \epsilon \log \sigma(-h), \quad
        h = \beta\, (\bar{w} - \bar{l}) - \gamma

    Args:
        chosen_logps: (N,), the mean of log p over an answer's tokens: ``sequence_logps(..., average=True)``.
        rejected_logps: (N,), likewise.
        beta: The scale of the lead, above 0.
        gamma: The margin, in units of the scaled lead.
        label_smoothing: e in [0, 1], the share of preferences that are reversed.
        sample_weight: (N,); mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where a pair counts.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or one loss per pair.

    Raises:
        ValueError: Shapes other than (N,), ``beta`` not above 0, ``gamma`` below 0.
        TypeError: Arguments that are not floating-point.

    Example:
        >>> import torch
        >>> simpo_loss(torch.tensor([-0.8]), torch.tensor([-1.3]))
        tensor(0.6931)

    Source:
        Meng, Xia and Chen, SimPO, arXiv:2405.14734, eq. 6; beta and gamma are the paper's for Llama 3; its other models
        have 2 to 2.5 and 0.3 to 1.6. TRL's defaults, 0.1 and 0.5, are not the paper's, and its trainer adds CPO's
        likelihood unless told not to.
    """
    (w, l), sample_weight, mask = answers(sample_weight, mask, chosen_logps=chosen_logps, rejected_logps=rejected_logps)
    beta, gamma = parameters((beta, gamma), w)
    losses = preferred(beta * (w - l) - gamma, label_smoothing)
    return reduce(losses, weight=sample_weight, mask=mask, reduction=reduction)


class SimPOLoss(Loss):
    """:func:`simpo_loss` as a Module."""

    fn = staticmethod(simpo_loss)
    beta: Positive = 2.0
    gamma: NotNegative = 1.0
    label_smoothing: Annotated[float, FRACTION] = 0.0
    reduction: Reduction = "mean"


@checked
def orpo_loss(
    chosen_logps: Tensor,
    rejected_logps: Tensor,
    *,
    beta: NotNegative = 0.1,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Odds ratio preference optimization: the chosen answer's likelihood, plus its odds against the rejected one's.

    .. math:: -\bar{w} - \beta \log \sigma\left( \log \frac{e^{\bar{w}}}{1 - e^{\bar{w}}}
        - \log \frac{e^{\bar{l}}}{1 - e^{\bar{l}}} \right)

    Args:
        chosen_logps: (N,), the mean of log p over an answer's tokens: ``sequence_logps(..., average=True)``.
        rejected_logps: (N,), likewise.
        beta: The weight of the odds against the likelihood; lambda in the paper.
        sample_weight: (N,); mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where a pair counts.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or one loss per pair. A probability of 1 has infinite odds, so in the odds a log-probability counts as
        at most -1e-30, with a gradient of 0 above.

    Raises:
        ValueError: Shapes other than (N,), ``beta`` below 0.
        TypeError: Arguments that are not floating-point.

    Example:
        >>> import torch
        >>> orpo_loss(torch.tensor([-0.5]), torch.tensor([-1.0]))
        tensor(0.5320)

    Source:
        Hong, Lee and Thorne, ORPO, arXiv:2403.07691, eqs. 6 and 7; beta is the paper's for Mistral. Common code takes
        the logarithm of 1 - exp(x) directly: at a log-probability of -1e-8 it is -inf in float32. TRL's likelihood
        includes the prompt's tokens, and is a mean over the batch's tokens.
    """
    (w, l), sample_weight, mask = answers(sample_weight, mask, chosen_logps=chosen_logps, rejected_logps=rejected_logps)
    (beta,) = parameters((beta,), w)
    losses = beta * softplus(_log_odds(l) - _log_odds(w)) - w
    return reduce(losses, weight=sample_weight, mask=mask, reduction=reduction)


def _log_odds(logp: Tensor) -> Tensor:
    """log(p / (1 - p)) of log p."""
    logp = logp.clamp_max(NEARLY_CERTAIN)
    near = logp > -math.log(2)
    # The branch not taken is kept away from the ends, where its gradient times 0 would be NaN.
    of_near, of_far = torch.where(near, logp, -1.0), torch.where(near, -1.0, logp)
    return logp - torch.where(near, (-torch.expm1(of_near)).log(), torch.log1p(-of_far.exp()))


class ORPOLoss(Loss):
    """:func:`orpo_loss` as a Module."""

    fn = staticmethod(orpo_loss)
    beta: NotNegative = 0.1
    reduction: Reduction = "mean"


@checked
def bradley_terry_loss(
    chosen_rewards: Tensor,
    rejected_rewards: Tensor,
    *,
    center: NotNegative = 0.0,
    margins: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The loss of reward models: the better answer's reward should be the larger one.

    .. math:: -\log \sigma(w - l - m) + c\, (w + l)^2

    Args:
        chosen_rewards: (N,), w, the model's reward for the better answer.
        rejected_rewards: (N,), l, that for the other.
        center: c, at least 0: it keeps the rewards around 0, which the preference alone does not.
        margins: (N,), m, how much better each is, constants; None for 0.
        sample_weight: (N,); mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where a pair counts.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or one loss per pair.

    Raises:
        ValueError: Shapes other than (N,), margins that require gradients, ``center`` below 0.
        TypeError: Rewards that are not floating-point.

    Example:
        >>> import torch
        >>> bradley_terry_loss(torch.tensor([1.5, 0.2]), torch.tensor([0.5, 0.4]))
        tensor(0.5557)

    Source:
        Bradley and Terry, Rank Analysis of Incomplete Block Designs, 1952; for language models Ouyang et al.,
        arXiv:2203.02155, eq. 1. Margins are from Touvron et al., arXiv:2307.09288, eq. 2; centering is from Eisenstein
        et al., arXiv:2312.09244, eq. 2, who use 0.01.
    """
    check_constant(margins=margins)
    given = {"chosen_rewards": chosen_rewards, "rejected_rewards": rejected_rewards}
    if margins is not None:
        given["margins"] = margins
    (w, l, *m), sample_weight, mask = answers(sample_weight, mask, **given)
    (center,) = parameters((center,), w)
    losses = softplus(l - w + m[0] if m else l - w)
    if isinstance(center, Tensor) or center > 0:  # beyond 1e19 the square is infinite, and 0 times it is NaN
        losses = losses + center * (w + l).square()
    return reduce(losses, weight=sample_weight, mask=mask, reduction=reduction)


class BradleyTerryLoss(Loss):
    """:func:`bradley_terry_loss` as a Module."""

    fn = staticmethod(bradley_terry_loss)
    center: NotNegative = 0.0
    reduction: Reduction = "mean"


_AVERAGES = {
    r"\bar{w}": "`chosen_logps`, the better answer's average log-probability per token",
    r"\bar{l}": "`rejected_logps`, that of the other answer",
}

CARDS = (
    pair_card(
        fn=cpo_loss,
        module=CPOLoss,
        formula=r"-(1 - \epsilon) \log \sigma(h) - \epsilon \log \sigma(-h) - \alpha \log p(w), \quad "
        r"h = \beta \log \frac{p(w)}{p(l)}",
        symbols={
            **SMOOTHED,
            r"h": "the better answer's lead",
            r"\alpha": "`nll_weight`: the weight of the better answer's likelihood",
            r"p(w)": "the model's probability of the better answer; `chosen_logps` is its logarithm",
            r"p(l)": "that of the other answer; `rejected_logps` is its logarithm",
        },
        paper="arXiv:2401.08417",
        equation="3",
        defaults="the paper",
        search={"beta": Range(0.01, 1.0, log=True), "nll_weight": Range(0.0, 1.0)},
        when="Pairs of answers, and no memory to spare for a reference model.",
        pitfalls=(OF_SUMS,),
        relatives=("dpo_loss", "simpo_loss", "orpo_loss"),
    ),
    pair_card(
        fn=simpo_loss,
        module=SimPOLoss,
        formula=r"-(1 - \epsilon) \log \sigma(h) - \epsilon \log \sigma(-h), \quad "
        r"h = \beta (\bar{w} - \bar{l}) - \gamma",
        symbols={
            **SMOOTHED,
            **_AVERAGES,
            r"h": "the better answer's lead beyond the margin",
            r"\gamma": "`gamma`, the margin",
        },
        paper="arXiv:2405.14734",
        equation="6",
        defaults="the paper's for Llama 3",
        search={"beta": Range(1.0, 10.0, log=True), "gamma": Range(0.0, 3.0)},
        when="Pairs of answers of very different lengths, and no reference model.",
        pitfalls=(OF_AVERAGES, "gamma is relative to the lead times beta: the paper tunes their ratio, 0.1 to 0.8."),
        relatives=("cpo_loss", "orpo_loss", "dpo_loss"),
    ),
    pair_card(
        fn=orpo_loss,
        module=ORPOLoss,
        formula=r"-\bar{w} - \beta \log \sigma\left( \log \frac{e^{\bar{w}}}{1 - e^{\bar{w}}} "
        r"- \log \frac{e^{\bar{l}}}{1 - e^{\bar{l}}} \right)",
        symbols={**_AVERAGES, r"\beta": "`beta`: the weight of the odds", r"\sigma": "the sigmoid"},
        paper="arXiv:2403.07691",
        equation="6",
        defaults="the paper's for Mistral",
        search={"beta": Range(0.05, 1.0, log=True)},
        when="Fine-tuning and preferences in one run, without a reference model.",
        pitfalls=(OF_AVERAGES, "log(1 - exp(x)), computed directly, is -inf in float32 for x above -3e-8."),
        relatives=("simpo_loss", "cpo_loss"),
    ),
    pair_card(
        fn=bradley_terry_loss,
        module=BradleyTerryLoss,
        input="scores",
        at_call=frozenset({"sample_weight", "mask", "margins"}),
        formula=r"-\log \sigma(w - l - m) + c (w + l)^2",
        symbols={
            r"\sigma": "the sigmoid",
            r"w": "`chosen_rewards`",
            r"l": "`rejected_rewards`",
            r"m": "`margins`, 0 without them",
            r"c": "`center`",
        },
        paper="arXiv:2203.02155",
        equation="1",
        defaults="none",
        search={"center": Range(1e-4, 0.1, log=True)},
        when="A reward model trained on pairs of answers; any ranking by pairs with a graded margin.",
        pitfalls=("Only differences are learned: each trained model's rewards have their own zero, see `center`.",),
        relatives=("ranknet_loss", "margin_ranking_loss", "dpo_loss"),
        aliases=("reward_model_loss", "RewardModelLoss"),
    ),
)
