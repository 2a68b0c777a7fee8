"""Negative log-likelihoods of numbers that are never below 0 and vary more than Poisson counts."""

import math
from functools import partial
from typing import Annotated

import torch
from torch import Tensor

from lossary.core.card import Card, Range
from lossary.core.check import check_number, check_same_shape
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, align
from lossary.core.rules import checked
from lossary.kernels.series import series
from lossary.kernels.stable import accumulate, softplus, widened
from lossary.losses._pointwise import check_not_negative, hide, pointwise

__all__ = [
    "NegativeBinomialNLLLoss",
    "TweedieLoss",
    "negative_binomial_nll_loss",
    "tweedie_loss",
]

Power = Annotated[float, partial(check_number, low=1, high=2)]


def _largest(z: Tensor) -> float:
    """The largest exponent whose exponential is safely finite."""
    return math.log(torch.finfo(z.dtype).max) - 1


def _times_exp(y: Tensor, z: Tensor) -> Tensor:
    """y exp(z) for y >= 0: 0 where y is, and finite where the product is, even if exp(z) is infinite."""
    huge = z > _largest(z)
    far = huge & (y > 0)
    by_log = torch.exp(torch.where(far, z, torch.zeros_like(z)) + torch.where(far, y, torch.ones_like(y)).log())
    return torch.where(far, by_log, y * torch.exp(torch.where(huge, torch.zeros_like(z), z)))


@checked
def tweedie_loss(
    input: Tensor,
    target: Tensor,
    *,
    power: Power = 1.5,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The negative log-likelihood of amounts that are often exactly 0 and otherwise spread out (claims, rain, sales).

    .. math:: \frac{e^{(2 - p)\, x}}{2 - p} - y\, \frac{e^{(1 - p)\, x}}{1 - p}

    up to terms without x; at p = 1 it is Poisson's ``exp(x) - y x``, at p = 2 Gamma's ``x + y exp(-x)``.

    Args:
        input: The logarithm x of the expected amount, any shape.
        target: True amounts y, none below 0, the shape of ``input``.
        power: p, in [1, 2]: the variance grows as the expected amount to the power p.
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts; values elsewhere may be NaN.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or the shape of ``input``. It is smallest where ``exp(x)`` is the expected amount, and may be below 0.

    Raises:
        ValueError: Shapes that differ, an amount below 0, ``power`` outside of [1, 2].
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> tweedie_loss(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 3.0]), reduction="none")
        tensor([2.0000, 6.9366])

    Source:
        Jorgensen, Exponential Dispersion Models, 1987; the form without its constant and p = 1.5 are those of boosted
        trees (XGBoost's ``tweedie-nloglik``, LightGBM). Forecasting libraries have the same for p between 1 and 2 but
        divide by 0 at the ends, where the constant is left out here.
    """
    check_same_shape("target", target, "input", input)
    check_not_negative("target", target, align(sample_weight, mask, target.shape)[1])

    def terms(x: Tensor, y: Tensor) -> Tensor:
        mean = x if power == 2 else torch.exp((2 - power) * x) / (2 - power)
        return mean - (y * x if power == 1 else _times_exp(y, (1 - power) * x) / (1 - power))

    return pointwise(terms, input, target, sample_weight=sample_weight, mask=mask, reduction=reduction)


class TweedieLoss(Loss):
    """:func:`tweedie_loss` as a Module."""

    fn = staticmethod(tweedie_loss)
    power: Power = 1.5
    reduction: Reduction = "mean"


#: Up to this dispersion, Stirling's series has every digit of float64; beyond it, log-gamma does.
_SMALL = 0.1
#: B_2k / (2k (2k - 1)) for k from 1 up.
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
#: Below this t, log(1 + t) / t is a series, because two of its derivatives would cancel.
_NEAR = 2.0**-9
#: Its coefficients, as many as matter there.
_LOG = tuple((-1) ** k / (k + 1) for k in range(6))


def _mean_log(t: Tensor) -> Tensor:
    """log(1 + t) / t for t >= 0: 1 at 0, with all its derivatives right there."""
    low = t < _NEAR
    large = torch.where(low, torch.ones_like(t), t)
    small = torch.where(low, t, torch.zeros_like(t))
    return torch.where(low, series(small, _LOG), torch.log1p(large) / large)


def _rising(y: Tensor, a: Tensor) -> Tensor:
    r"""The logarithm of (1)(1 + a)(1 + 2a)... up to y factors: ``lgamma(y + 1/a) - lgamma(1/a) + y log a``.

    For small a these are large and nearly cancel: Stirling's series sums only what remains.
    """
    small = a < _SMALL
    b = torch.where(small, a, torch.full_like(a, _SMALL / 2))
    u = y * b
    terms = [series(s.square(), _STIRLING) * s for s in (b / (1 + u), b)]
    stirling = y * ((1 + u) * _mean_log(u) - 1) - 0.5 * torch.log1p(u) + terms[0] - terms[1]
    b = torch.where(small, torch.ones_like(a), a)
    gammas = torch.lgamma(y + 1 / b) - torch.lgamma(1 / b) + y * torch.log(b)
    return torch.where(small, stirling, gammas)


def _negative_binomial(x: Tensor, y: Tensor, a: Tensor) -> Tensor:
    # log(1 + a e^x) / a: from the logarithm of a e^x, which may be infinite; where a e^x is small, by a series in it.
    wide = (a > 0) & (x.detach() + a.detach().log() > -4)
    one, zero = torch.ones_like(a), torch.zeros_like(a)
    b, mean = torch.where(wide, a, one), torch.exp(torch.where(wide, zero, x).clamp_max(_largest(x) / 2))
    far = softplus(torch.where(wide, x, zero) + b.log()) / b
    total = torch.where(wide, far, mean * _mean_log(torch.where(wide, zero, a) * mean))
    return total + y * (a * total - x) - _rising(y, a)


@checked
def negative_binomial_nll_loss(
    input: Tensor,
    target: Tensor,
    dispersion: float | Tensor,
    full: bool = False,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The negative log-likelihood of counts that vary more than their mean; by how much is predicted too.

    .. math:: \big(y + \tfrac1\alpha\big) \log(1 + \alpha e^x) - y\,x
              - \log\frac{\alpha^y\, \Gamma(y + 1/\alpha)}{\Gamma(1/\alpha)}

    Args:
        input: The logarithm x of the expected count, any shape.
        target: Counts y, none below 0, the shape of ``input``.
        dispersion: alpha, at least 0: a number, or the shape of ``input``. The variance is ``mu + alpha mu^2``, where
            mu is the expected count; at 0, it is ``poisson_nll_loss``, gradients too. Predict it with a ``softplus``.
        full: Add log y!, which affects only the target's gradient.
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts; values elsewhere may be NaN.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or the shape of ``input``.

    Raises:
        ValueError: Shapes that differ, a count or a dispersion below 0.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> negative_binomial_nll_loss(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 3.0]), 0.5, reduction="none")
        tensor([1.2164, 0.1929])

    Source:
        Salinas et al., DeepAR, arXiv:1704.04110, section 3.1, with its mu and alpha (the paper numbers none). Common
        code uses log-gammas of a number of trials r = 1/alpha: there, a dispersion near 0 gives infinity or NaN, and
        digits are lost long before.
    """
    check_same_shape("target", target, "input", input)
    counted = align(sample_weight, mask, input.shape)[1]
    check_not_negative("target", target, counted)
    if isinstance(dispersion, Tensor):
        check_same_shape("dispersion", dispersion, "input", input)
        check_not_negative("dispersion", dispersion, counted)
        a = hide(accumulate(dispersion), counted)
    else:
        check_number("dispersion", dispersion, low=0)
        a = torch.full_like(accumulate(input), dispersion)

    def terms(x: Tensor, y: Tensor, a: Tensor) -> Tensor:
        wide = [widened(t) for t in (x, y, a)]  # log-gammas of large counts nearly cancel
        losses = _negative_binomial(*wide) + (torch.lgamma(wide[1] + 1) if full else 0)
        return losses.to(x.dtype)

    return pointwise(terms, input, target, a, sample_weight=sample_weight, mask=mask, reduction=reduction)


class NegativeBinomialNLLLoss(Loss):
    """:func:`negative_binomial_nll_loss` as a Module, called ``(input, target, dispersion)``."""

    fn = staticmethod(negative_binomial_nll_loss)
    full: bool = False
    reduction: Reduction = "mean"


_card = partial(
    Card,
    data="values",
    input="log-rates",
    kernel="none",
    item="element",
    at_call=frozenset({"sample_weight", "mask"}),
)


CARDS = (
    _card(
        fn=tweedie_loss,
        module=TweedieLoss,
        takes=("input-target",),
        formula=r"\frac{e^{(2 - p)\, x}}{2 - p} - y\, \frac{e^{(1 - p)\, x}}{1 - p}",
        symbols={
            r"p": "`power`, in [1, 2]: the variance grows as the expected amount to this power",
            r"x": "`input`, the logarithm of the expected amount",
            r"y": "`target`, the true amount, at least 0",
        },
        paper="Jorgensen, Exponential Dispersion Models, 1987",
        equation="code",
        defaults="XGBoost and LightGBM",
        search={"power": Range(1.1, 1.9)},
        when="Amounts with many zeros among them: insurance claims, rain, daily sales.",
        pitfalls=(
            "The prediction is the logarithm of the amount.",
            "Losses at different powers are not comparable: choose the power by a metric, not by the loss.",
        ),
        relatives=("poisson_nll_loss", "negative_binomial_nll_loss", "msle_loss"),
    ),
    _card(
        fn=negative_binomial_nll_loss,
        module=NegativeBinomialNLLLoss,
        takes=("input-target-variance",),
        formula=(
            r"\left(y + \tfrac1\alpha\right) \log(1 + \alpha e^x) - y\,x "
            r"- \log\frac{\alpha^y\, \Gamma(y + 1/\alpha)}{\Gamma(1/\alpha)}"
        ),
        symbols={
            r"y": "`target`, the observed count",
            r"\alpha": "`dispersion`: the variance is the mean plus this times the mean squared; 0 is Poisson's",
            r"x": "`input`, the logarithm of the expected count",
        },
        paper="arXiv:1704.04110",
        equation="unnumbered",
        defaults="no hyperparameters",
        untuned="`full` adds a constant",
        when="Counts that vary more than their mean: sales, visits, reads of a gene.",
        pitfalls=(
            "Code that takes r = 1 / alpha is infinite where counts are as regular as Poisson's.",
            "The prediction is the logarithm of the mean, not the mean, and not logits for a number of trials.",
        ),
        relatives=("poisson_nll_loss", "tweedie_loss", "gaussian_nll_loss"),
    ),
)
