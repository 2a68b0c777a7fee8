"""Negative log-likelihoods of distributions over numbers: counts, and values with their own noise."""

import math
from functools import partial
from typing import Annotated

import torch
from torch import Tensor

from lossary.core.card import Card
from lossary.core.check import check_float, check_number, check_same_shape, stretched
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, align, reduce
from lossary.core.rules import NOT_NEGATIVE, POSITIVE, checked
from lossary.kernels.stable import accumulate, like_torch
from lossary.losses._pointwise import check_not_negative, hide, pointwise

__all__ = [
    "GaussianNLLLoss",
    "KLGaussianLoss",
    "PoissonNLLLoss",
    "gaussian_nll_loss",
    "kl_gaussian_loss",
    "poisson_nll_loss",
]


@checked
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    eps: Annotated[float, NOT_NEGATIVE] = 1e-8,
    reduction: Reduction = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""The negative log-likelihood of counts under a Poisson distribution.

    .. math:: e^x - t\,x \quad\text{or}\quad x - t \log(x + \epsilon)

    Args:
        input: The logarithm of the expected count, any shape; the expected count itself without ``log_input``.
        target: Counts, the shape of ``input``, or with lengths of 1 in it.
        log_input: Whether ``input`` is a logarithm.
        full: Add Stirling's approximation of log t! for t above 1, which changes no gradient.
        eps: Keeps the logarithm finite without ``log_input``.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"``.
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts.

    Returns:
        A scalar, or the shape of ``input``, in torch's dtype.

    Raises:
        ValueError: Shapes that differ, a negative rate (torch: NaN).
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> poisson_nll_loss(torch.tensor([0.0, 1.0]), torch.tensor([1, 3]))
        tensor(0.3591)

    Source:
        Poisson 1837; arguments and defaults are torch's. Nothing to average gives 0 here, NaN in torch.
    """
    input, target = stretched(input=input, target=target)
    if not log_input:
        check_not_negative("input", input, align(sample_weight, mask, input.shape)[1])

    def terms(x: Tensor, t: Tensor) -> Tensor:
        loss = torch.exp(x) - t * x if log_input else x - t * torch.log(x + eps)
        if not full:
            return loss
        large = torch.where(t > 1, t, torch.ones_like(t))
        stirling = large * torch.log(large) - large + 0.5 * torch.log(2 * math.pi * large)
        return loss + torch.where(t > 1, stirling, torch.zeros_like(stirling))

    loss = pointwise(terms, input, target, sample_weight=sample_weight, mask=mask, reduction=reduction)
    return like_torch(loss, input, target)


class PoissonNLLLoss(Loss):
    """:func:`poisson_nll_loss` as a Module."""

    fn = staticmethod(poisson_nll_loss)
    log_input: bool = True
    full: bool = False
    eps: Annotated[float, NOT_NEGATIVE] = 1e-8
    reduction: Reduction = "mean"


@checked
def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: float | Tensor,
    full: bool = False,
    eps: Annotated[float, POSITIVE] = 1e-6,
    reduction: Reduction = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""The negative log-likelihood of values under a Gaussian whose variance is predicted too.

    .. math:: \tfrac12 \left(\log v + \frac{(x - y)^2}{v}\right), \quad v = \max(\mathrm{var}, \epsilon)

    Args:
        input: Predicted means, any shape.
        target: True values, the shape of ``input``, or with lengths of 1 in it.
        var: Variances, at least 0: a number, the shape of ``input``, or that shape with the last dimension missing
            or with lengths of 1 in it.
        full: Add the constant log(2 pi) / 2.
        eps: Lower bound of the variance, above 0. The gradient passes through, so a smaller variance can recover.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"``.
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts.

    Returns:
        A scalar, or the shape of ``input``, in torch's dtype.

    Raises:
        ValueError: Shapes that do not fit, a negative variance.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> gaussian_nll_loss(torch.tensor([0.0]), torch.tensor([2.0]), torch.tensor([4.0]))
        tensor(1.1931)

    Source:
        Nix and Weigend, Estimating the Mean and Variance of the Target Probability Distribution, 1994; arguments and
        defaults are torch's. Checking ``var`` does not synchronise, unlike in torch; nothing to average gives 0 here,
        NaN in torch.
    """
    check_float("input", input)
    input, target = stretched(input=input, target=target)
    x, y = accumulate(input), accumulate(target)
    _, counted = align(sample_weight, mask, x.shape)
    v = _variance(var, x, counted)
    if counted is not None:
        v = torch.where(counted, v, torch.ones_like(v))
    v = v + (v.clamp_min(eps) - v).detach()

    def terms(x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        loss = 0.5 * (torch.log(v) + (x - y).square() / v)
        return loss + 0.5 * math.log(2 * math.pi) if full else loss

    loss = pointwise(terms, x, y, v, sample_weight=sample_weight, mask=mask, reduction=reduction)
    return like_torch(loss, input, target, *([var] if isinstance(var, Tensor) else []))


def _variance(var: float | Tensor, x: Tensor, counts: Tensor | None) -> Tensor:
    """The variances in the shape of ``x``, checked where they count."""
    if not isinstance(var, Tensor):
        check_number("var", var, low=0)
        return torch.full_like(x, var)
    if var.shape == x.shape[:-1] and x.dim() > 0:
        var = var.unsqueeze(-1)
    fits = var.dim() == x.dim() and all(a in (1, b) for a, b in zip(var.shape, x.shape, strict=True))
    if not fits:
        raise ValueError(
            f"var: wanted the shape of input, {tuple(x.shape)}, or lengths of 1 in it; got {tuple(var.shape)}"
        )
    check_not_negative("var", var, counts)
    return accumulate(var).expand(x.shape)


class GaussianNLLLoss(Loss):
    """:func:`gaussian_nll_loss` as a Module, called ``(input, target, var)``."""

    fn = staticmethod(gaussian_nll_loss)
    full: bool = False
    eps: Annotated[float, POSITIVE] = 1e-6
    reduction: Reduction = "mean"


#: The coefficients of (e^s - 1 - s) / s^2, as many as matter for s below 1/2.
_EXP = tuple(1 / math.factorial(k + 2) for k in range(14))


def _exp_gap(s: Tensor) -> Tensor:
    """e^s - 1 - s, at least 0: near 0 by its series, because the terms cancel there."""
    near = s.abs() < 0.5
    small, large = torch.where(near, s, 0), torch.where(near, 1, s)
    series = torch.full_like(s, _EXP[-1])
    for c in reversed(_EXP[:-1]):
        series = series * small + c
    return torch.where(near, series * small.square(), torch.expm1(large) - large)


@checked
def kl_gaussian_loss(
    input: Tensor,
    log_var: Tensor,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The divergence of a Gaussian code from the standard normal, as paid by a variational autoencoder.

    .. math:: \tfrac12 \sum_j \left(\mu_j^2 + e^{s_j} - 1 - s_j\right)

    Args:
        input: Means mu of the codes, (N, ...).
        log_var: Logarithms s of their variances, the shape of ``input``.
        sample_weight: One weight per code, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where a code counts, (N,); values elsewhere may be NaN.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"`` over codes, of sums over their components.

    Returns:
        A scalar, or one loss per code, never below 0. Add it to the sum of a sample's reconstruction errors, not to
        their mean.

    Raises:
        ValueError: Shapes that differ, a single number.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> kl_gaussian_loss(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
        tensor(0.8591)

    Source:
        Kingma and Welling, Auto-Encoding Variational Bayes, arXiv:1312.6114, appendix B (the paper numbers none). For a
        variance near 1 its terms cancel, so a series is used there. Common code also averages over components, which
        divides the divergence's weight by their number.
    """
    check_float("input", input)
    check_same_shape("log_var", log_var, "input", input)
    if input.dim() == 0:
        raise ValueError("input: wanted (N, ...); got a single number")
    weight, mask = align(sample_weight, mask, input.shape[:1])
    there = None if mask is None else mask.view(-1, *[1] * (input.dim() - 1))
    mean, s = hide(accumulate(input), there), hide(accumulate(log_var), there)
    losses = 0.5 * (mean.square() + _exp_gap(s))
    return reduce(losses[..., None].flatten(1).sum(1), weight=weight, mask=mask, reduction=reduction)


class KLGaussianLoss(Loss):
    """:func:`kl_gaussian_loss` as a Module, called ``(input, log_var)``."""

    fn = staticmethod(kl_gaussian_loss)
    reduction: Reduction = "mean"


_card = partial(
    Card,
    data="values",
    kernel="none",
    item="element",
    defaults="torch",
)


_AT_CALL = frozenset({"sample_weight", "mask"})


CARDS = (
    _card(
        fn=poisson_nll_loss,
        module=PoissonNLLLoss,
        takes=("input-target",),
        input="log-rates",
        formula=r"e^x - t x",
        symbols={
            r"x": "`input`, the logarithm of the expected count; without `log_input` the loss is x - t log x",
            r"t": "`target`, the observed count",
        },
        paper="Poisson, Recherches sur la probabilite des jugements, 1837",
        equation="textbook",
        untuned="`eps` only guards a logarithm, `full` adds a constant",
        at_call=_AT_CALL,
        when="Counts: how many events in an hour, how many photons in a pixel.",
        pitfalls=(
            "The prediction is the logarithm of the rate unless log_input is off.",
            "Counts that vary more than their mean need a negative binomial instead.",
        ),
        relatives=("gaussian_nll_loss", "mse_loss"),
    ),
    _card(
        fn=gaussian_nll_loss,
        module=GaussianNLLLoss,
        takes=("input-target-variance",),
        input="values",
        formula=r"\tfrac12 \left(\log v + (x - y)^2 / v\right)",
        symbols={
            r"v": "`var`, the predicted variance, at least `eps`",
            r"x": "`input`, the predicted mean",
            r"y": "`target`, the true value",
        },
        paper="Nix and Weigend, Estimating the Mean and Variance of the Target Probability Distribution, 1994",
        equation="textbook",
        untuned="`eps` only keeps the variance above 0, `full` adds a constant",
        at_call=_AT_CALL,
        when="The noise differs from sample to sample, and its size should be predicted too.",
        pitfalls=(
            "Badly fitted points lower their own weight through a large variance: start with a fixed one.",
            "It takes the variance, not its logarithm or the standard deviation.",
        ),
        relatives=("mse_loss", "poisson_nll_loss", "quantile_loss"),
    ),
    Card(
        fn=kl_gaussian_loss,
        module=KLGaussianLoss,
        data="values",
        takes=("mean-log-variance",),
        input="values",
        kernel="none",
        item="row",
        formula=r"\tfrac12 \sum_j \left(\mu_j^2 + e^{s_j} - 1 - s_j\right)",
        symbols={
            r"j": "every component of a code",
            r"\mu_j": "`input`, its mean",
            r"s_j": "`log_var`, the logarithm of its variance",
        },
        paper="arXiv:1312.6114",
        equation="unnumbered",
        defaults="no hyperparameters",
        at_call=_AT_CALL,
        when="Codes that should be near a standard normal distribution, as in a variational autoencoder.",
        pitfalls=(
            "Added to a reconstruction error averaged over pixels, it weighs too much by the number of pixels.",
            "It takes the logarithm of the variance, not the standard deviation or its logarithm.",
        ),
        relatives=("gaussian_nll_loss", "kl_divergence_loss"),
    ),
)
