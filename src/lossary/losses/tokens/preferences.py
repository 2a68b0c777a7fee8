"""Preferences against a reference model: how language models learn which answers are liked."""

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

from torch import Tensor

from lossary.core.card import Range
from lossary.core.check import check_among, check_plain, check_shape, wide_integers
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, counted, reduce
from lossary.core.rules import FRACTION, NotNegative, Number, Positive, checked
from lossary.kernels.stable import parameters, softplus
from lossary.losses._pointwise import decide, hide
from lossary.losses.tokens._shared import (
    OF_AVERAGES,
    OF_SUMS,
    SMOOTHED,
    answers,
    check_constant,
    pair_card,
    preferred,
    sigmoid,
    token_card,
)

__all__ = ["DPOLoss", "IPOLoss", "KTOLoss", "dpo_loss", "ipo_loss", "kto_loss"]

Kind = Literal["sigmoid", "robust", "hinge", "exo", "nca", "bco", "sppo", "apo_zero", "apo_down"]


def _robust(lead: Tensor, smoothing: float) -> Tensor:
    return ((1 - smoothing) * softplus(-lead) - smoothing * softplus(lead)) / (1 - 2 * smoothing)


def _exo(lead: Tensor, smoothing: float) -> Tensor:
    """The divergence of the model's preference from that of the labels, (1 - e, e)."""
    log_yes, log_no = -softplus(-lead), -softplus(lead)
    yes, no = sigmoid(lead), sigmoid(-lead)
    return yes * (log_yes - math.log1p(-smoothing)) + no * (log_no - math.log(smoothing))


#: Functions of w and l (the log-ratios of the two answers to the reference model), beta, and the smoothing.
_OF_PAIRS: Mapping[str, Callable[[Tensor, Tensor, Number, float], Tensor]] = {
    "sigmoid": lambda w, l, beta, e: preferred(beta * (w - l), e),
    "robust": lambda w, l, beta, e: _robust(beta * (w - l), e),
    "hinge": lambda w, l, beta, _: (1 - beta * (w - l)).relu(),
    "exo": lambda w, l, beta, e: _exo(beta * (w - l), e),
    "nca": lambda w, l, beta, _: softplus(-beta * w) + (softplus(beta * w) + softplus(beta * l)) / 2,
    "bco": lambda w, l, beta, _: softplus(-beta * w) + softplus(beta * l),
    "sppo": lambda w, l, beta, _: (w - 0.5 / beta).square() + (l + 0.5 / beta).square(),
    "apo_zero": lambda w, l, beta, _: sigmoid(-beta * w) + sigmoid(beta * l),
    "apo_down": lambda w, l, beta, _: sigmoid(beta * w) + sigmoid(-beta * (w - l)),
}


@checked
def dpo_loss(
    chosen_logps: Tensor,
    rejected_logps: Tensor,
    ref_chosen_logps: Tensor,
    ref_rejected_logps: Tensor,
    *,
    beta: Positive = 0.1,
    label_smoothing: Annotated[float, FRACTION] = 0.0,
    kind: Kind = "sigmoid",
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Direct preference optimization: the chosen answer should gain more on a reference model than the rejected one.

    .. math:: -(1 - \epsilon) \log \sigma(h) - \epsilon \log \sigma(-h), \quad
        h = \beta \left( \log \frac{p(w)}{q(w)} - \log \frac{p(l)}{q(l)} \right)

    Args:
        chosen_logps: (N,), log p(w), the sum over an answer's tokens: see :func:`sequence_logps`.
        rejected_logps: (N,), log p(l), likewise.
        ref_chosen_logps: (N,), log q(w), from the reference model, a constant.
        ref_rejected_logps: (N,), log q(l).
        beta: How costly it is to leave the reference model, above 0.
        label_smoothing: e in [0, 1], the share of preferences that are reversed; below 0.5 for ``"robust"``,
            above 0 for ``"exo"``.
        kind: The function of the two log-ratios. ``"sigmoid"``: the formula above; conservative DPO if e > 0.
            ``"robust"``: the same without the bias from e. ``"hinge"``: max(0, 1 - h), as in SLiC. ``"exo"``: the
            divergence of (sigmoid(h), sigmoid(-h)) from (1 - e, e). ``"nca"``, ``"bco"``: each answer against the
            reference on its own. ``"sppo"``: their squared distances from 1 / (2 beta) and -1 / (2 beta).
            ``"apo_zero"``: the chosen one up, the rejected one down. ``"apo_down"``: both down, the rejected one more.
        sample_weight: (N,); mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where a pair counts; values elsewhere may be NaN.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or one loss per pair. At the hinge's kink the gradient is 0.

    Raises:
        ValueError: Shapes other than (N,), a reference that requires gradients, a ``label_smoothing`` that the
            kind does not use.
        TypeError: Arguments that are not floating-point.

    Example:
        >>> import torch
        >>> chosen, rejected = torch.tensor([-12.0, -40.0]), torch.tensor([-15.0, -35.0])
        >>> dpo_loss(chosen, rejected, torch.tensor([-14.0, -41.0]), torch.tensor([-14.0, -37.0]))
        tensor(0.6494)

    Source:
        Rafailov et al., Direct Preference Optimization, arXiv:2305.18290, eq. 7; beta is its code's. Kinds: robust
        arXiv:2403.00409, hinge arXiv:2305.10425, exo arXiv:2402.00856 (eq. 16), nca arXiv:2402.05369, bco
        arXiv:2404.04656, sppo arXiv:2405.00675 with probabilities 1 and 0, apo arXiv:2408.06266 (eqs. 7, 8). A fused
        copy of these formulas in a well-known trainer dropped the smoothing silently; here, kinds without it refuse it.
    """
    check_constant(ref_chosen_logps=ref_chosen_logps, ref_rejected_logps=ref_rejected_logps)
    _check_smoothing(kind, label_smoothing)
    (w, l, of_w, of_l), sample_weight, mask = answers(
        sample_weight,
        mask,
        chosen_logps=chosen_logps,
        rejected_logps=rejected_logps,
        ref_chosen_logps=ref_chosen_logps,
        ref_rejected_logps=ref_rejected_logps,
    )
    (beta,) = parameters((beta,), w)
    losses = _OF_PAIRS[kind](w - of_w, l - of_l, beta, label_smoothing)
    return reduce(losses, weight=sample_weight, mask=mask, reduction=reduction)


def _check_smoothing(kind: str, smoothing: float) -> None:
    if kind == "robust":
        check_plain("label_smoothing", smoothing, low=0, high=0.5, open_high=True)
    elif kind == "exo":
        check_plain("label_smoothing", smoothing, low=0, high=1, open_low=True, open_high=True)
    elif kind != "sigmoid" and smoothing != 0:
        raise ValueError(f"label_smoothing: wanted 0 with kind={kind!r}, which has none; got {smoothing}")


class DPOLoss(Loss):
    """:func:`dpo_loss` as a Module."""

    fn = staticmethod(dpo_loss)
    beta: Positive = 0.1
    label_smoothing: Annotated[float, FRACTION] = 0.0
    kind: Kind = "sigmoid"
    reduction: Reduction = "mean"


@checked
def ipo_loss(
    chosen_logps: Tensor,
    rejected_logps: Tensor,
    ref_chosen_logps: Tensor,
    ref_rejected_logps: Tensor,
    *,
    beta: Positive = 0.1,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""DPO that stops: against a reference model, the chosen answer should lead by 1 / (2 beta) and no more.

    .. math:: \left( \log \frac{p(w)}{q(w)} - \log \frac{p(l)}{q(l)} - \frac{1}{2 \beta} \right)^2

    Args:
        chosen_logps: (N,), log p(w), the mean over an answer's tokens, as returned by
            ``sequence_logps(..., average=True)``: see Source.
        rejected_logps: (N,), log p(l), likewise.
        ref_chosen_logps: (N,), log q(w), from the reference model, a constant.
        ref_rejected_logps: (N,), log q(l).
        beta: The paper's tau, above 0: half the inverse of the lead to reach.
        sample_weight: (N,); mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where a pair counts.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or one loss per pair.

    Raises:
        ValueError: Shapes other than (N,), a reference that requires gradients, ``beta`` not above 0.
        TypeError: Arguments that are not floating-point.

    Example:
        >>> import torch
        >>> ipo_loss(*torch.tensor([[-1.0], [-3.0], [-2.0], [-2.0]]), beta=0.2)
        tensor(0.2500)

    Source:
        Azar et al., A General Theoretical Paradigm to Understand Learning from Human Preferences, arXiv:2310.12036,
        eq. 17. The paper's log p is that of the whole answer; its authors say that their results used the mean over
        tokens, as does TRL: with sums, the square grows with the answer's length. beta is TRL's.
    """
    check_constant(ref_chosen_logps=ref_chosen_logps, ref_rejected_logps=ref_rejected_logps)
    (w, l, of_w, of_l), sample_weight, mask = answers(
        sample_weight,
        mask,
        chosen_logps=chosen_logps,
        rejected_logps=rejected_logps,
        ref_chosen_logps=ref_chosen_logps,
        ref_rejected_logps=ref_rejected_logps,
    )
    (beta,) = parameters((beta,), w)
    losses = ((w - of_w) - (l - of_l) - 0.5 / beta).square()
    return reduce(losses, weight=sample_weight, mask=mask, reduction=reduction)


class IPOLoss(Loss):
    """:func:`ipo_loss` as a Module."""

    fn = staticmethod(ipo_loss)
    beta: Positive = 0.1
    reduction: Reduction = "mean"


@checked
def kto_loss(
    logps: Tensor,
    ref_logps: Tensor,
    target: Tensor,
    *,
    beta: Positive = 0.1,
    desirable_weight: NotNegative = 1.0,
    undesirable_weight: NotNegative = 1.0,
    kl: float | Tensor = 0.0,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Kahneman-Tversky optimization: single answers that are liked or not; gains and losses level off.

    .. math:: \lambda_y\, \sigma(-y\, \beta (r - z)), \quad r = \log \frac{p}{q}, \quad y = \pm 1

    Args:
        logps: (N,), log p, the sum over an answer's tokens: see :func:`sequence_logps`.
        ref_logps: (N,), log q, from the reference model, a constant.
        target: (N,), 1 or True for an answer that is liked, 0 or False for one that is not.
        beta: How costly it is to leave the reference model, above 0.
        desirable_weight: lambda of answers that are liked; not part of the mean's divisor.
        undesirable_weight: lambda of the others.
        kl: z, one number per batch: how far the model is from the reference, as found by :func:`kto_reference_point`.
            Below 0 it counts as 0; a constant.
        sample_weight: (N,); mean is ``sum(w l) / sum(w)``.
        mask: (N,) boolean, True where an answer counts.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or one loss per answer.

    Raises:
        ValueError: Shapes other than (N,), a target other than 0 and 1, a reference or ``kl`` that requires gradients.
        TypeError: Log-probabilities that are not floating-point.

    Example:
        >>> import torch
        >>> logps, ref_logps = torch.tensor([-12.0, -30.0]), torch.tensor([-14.0, -29.0])
        >>> kto_loss(logps, ref_logps, torch.tensor([1, 0]), kl=0.5)
        tensor(0.4626)

    Source:
        Ethayarajh et al., KTO, arXiv:2402.01306, eq. 7, less its constant; beta is the paper's. The paper sets the
        ratio of the weights so that the weighted counts of the two kinds are between 1:1 and 4:3. A fused copy of this
        loss in a well-known trainer left the weights out.
    """
    check_constant(ref_logps=ref_logps, kl=kl if isinstance(kl, Tensor) else None)
    target = wide_integers("target", target)
    check_among("target", counted(target, mask), (0, 1))
    (p, q), sample_weight, mask = answers(sample_weight, mask, logps=logps, ref_logps=ref_logps)
    check_shape("target", target, tuple(p.shape))
    beta, liked, disliked, z = parameters((beta, desirable_weight, undesirable_weight, kl), p)
    gain = beta * (p - q - (z.clamp_min(0) if isinstance(z, Tensor) else max(z, 0.0)))
    losses = decide(hide(target, mask).to(p.dtype), liked * sigmoid(-gain), disliked * sigmoid(gain))
    return reduce(losses, weight=sample_weight, mask=mask, reduction=reduction)


class KTOLoss(Loss):
    """:func:`kto_loss` as a Module."""

    fn = staticmethod(kto_loss)
    beta: Positive = 0.1
    desirable_weight: NotNegative = 1.0
    undesirable_weight: NotNegative = 1.0
    reduction: Reduction = "mean"


_AGAINST_REFERENCE = {
    r"p(w)": "the model's probability of the better answer; `chosen_logps` is its logarithm",
    r"q(w)": "its probability under the reference model; `ref_chosen_logps` is its logarithm",
    r"p(l)": "the model's probability of the other answer; `rejected_logps` is its logarithm",
    r"q(l)": "its probability under the reference model; `ref_rejected_logps` is its logarithm",
}
_GRADIENT = "Compute the reference's log-probabilities under no_grad; a fused head that forgets it trains both models."

CARDS = (
    pair_card(
        fn=dpo_loss,
        module=DPOLoss,
        takes=("chosen-rejected-references",),
        formula=r"-(1 - \epsilon) \log \sigma(h) - \epsilon \log \sigma(-h), \quad "
        r"h = \beta \left( \log \frac{p(w)}{q(w)} - \log \frac{p(l)}{q(l)} \right)",
        symbols={**SMOOTHED, **_AGAINST_REFERENCE, r"h": "the better answer's lead, relative to the reference"},
        paper="arXiv:2305.18290",
        equation="7",
        defaults="beta: the paper's code",
        search={"beta": Range(0.01, 1.0, log=True)},
        when="Pairs of answers, one of them better, and the initial model as the reference.",
        pitfalls=(OF_SUMS, _GRADIENT, "Both answers may lose probability, as long as the rejected one loses more."),
        relatives=("ipo_loss", "simpo_loss", "kto_loss", "bradley_terry_loss"),
    ),
    pair_card(
        fn=ipo_loss,
        module=IPOLoss,
        takes=("chosen-rejected-references",),
        formula=r"\left( \log \frac{p(w)}{q(w)} - \log \frac{p(l)}{q(l)} - \frac{1}{2 \beta} \right)^2",
        symbols={**_AGAINST_REFERENCE, r"\beta": "`beta`, the paper's tau"},
        paper="arXiv:2310.12036",
        equation="17",
        defaults="beta: TRL",
        search={"beta": Range(0.01, 1.0, log=True)},
        when="Like dpo_loss, where preferences are certain and DPO would drift far from the reference.",
        pitfalls=(OF_AVERAGES, "A small beta asks for a large lead: 1 / (2 beta)."),
        relatives=("dpo_loss",),
    ),
    token_card(
        fn=kto_loss,
        module=KTOLoss,
        takes=("answer-reference-target",),
        item="row",
        formula=r"\lambda_y \sigma(-y \beta (r - z)), \quad r = \log \frac{p}{q}, \quad y = \pm 1",
        symbols={
            r"\lambda_y": "`desirable_weight` for answers that are liked, `undesirable_weight` for others",
            r"y": "1 where `target` is 1, -1 where it is 0",
            r"\sigma": "the sigmoid",
            r"\beta": "`beta`",
            r"r": "the answer's gain over the reference model",
            r"z": "`kl`: the typical gain of an answer",
            r"p": "the model's probability of the answer; `logps` is its logarithm",
            r"q": "its probability under the reference model; `ref_logps` is its logarithm",
        },
        paper="arXiv:2402.01306",
        equation="7",
        defaults="the paper",
        search={"beta": Range(0.01, 1.0, log=True)},
        at_call=frozenset({"sample_weight", "mask", "kl", "ref_logps"}),
        when="Single answers that are liked or not: thumbs up and down.",
        pitfalls=(OF_SUMS, "kl is from answers to other prompts: from the answers themselves, the loss would cancel."),
        relatives=("dpo_loss",),
    ),
)
