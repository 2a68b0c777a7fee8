"""Negative log-likelihoods of distributions other than the categorical: counts, noisy values, sequences."""

import math
from functools import partial

import torch
from torch import Generator, Tensor, dtype
from torch.nn import CTCLoss
from torch.nn.functional import ctc_loss

from lossary._check import check_float, check_number, check_same_shape, values_visible
from lossary._loss import Loss
from lossary._reduce import Reduction, align
from lossary.cards import Call, Card
from lossary.draws import labels as draw_labels
from lossary.draws import normal
from lossary.kernels.stable import accumulate, like_torch
from lossary.losses._pointwise import pointwise

__all__ = [
    "CTCLoss",  # torch's own, whose kernels nothing here could improve
    "GaussianNLLLoss",
    "PoissonNLLLoss",
    "ctc_loss",
    "gaussian_nll_loss",
    "poisson_nll_loss",
]


def _check_not_negative(name: str, tensor: Tensor) -> None:
    if values_visible(tensor) and (tensor < 0).any():
        raise ValueError(f"{name}: wanted no negative number; got {tensor[tensor < 0].flatten()[0].item()}")


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: Reduction = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""The negative log-likelihood of counts under a Poisson distribution.

    .. math:: e^x - t\,x \quad\text{or}\quad x - t \log(x + \epsilon)

    Args:
        input: The logarithm of the expected count, any shape; the expected count itself without ``log_input``.
        target: Counts, the shape of ``input``.
        log_input: Whether ``input`` is a logarithm.
        full: Add Stirling's approximation of log t! for t above 1, which no gradient sees.
        eps: Keeps the logarithm finite without ``log_input``.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"``.
        sample_weight: One weight an element, or one a sample, (N,); mean is ``sum(w l) / sum(w)``.
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
    check_number("eps", eps, low=0)
    if not log_input:
        _check_not_negative("input", input)

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
    eps: float = 1e-8
    reduction: Reduction = "mean"


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: float | Tensor,
    full: bool = False,
    eps: float = 1e-6,
    reduction: Reduction = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""The negative log-likelihood of values under a Gaussian whose variance is predicted too.

    .. math:: \tfrac12 \left(\log v + \frac{(x - y)^2}{v}\right), \quad v = \max(\mathrm{var}, \epsilon)

    Args:
        input: Predicted means, any shape.
        target: True values, the shape of ``input``.
        var: Variances, at least 0: a number, the shape of ``input``, or that shape with the last dimension missing
            or dimensions after the first of length 1.
        full: Add the constant log(2 pi) / 2.
        eps: Lower bound of the variance, above 0. The gradient passes it, so that a variance below can recover.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"``.
        sample_weight: One weight an element, or one a sample, (N,); mean is ``sum(w l) / sum(w)``.
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
        defaults are torch's. No synchronisation to look at ``var``, unlike torch's; nothing to average gives 0 here,
        NaN in torch.
    """
    check_number("eps", eps, low=0, open_low=True)
    check_float("input", input)
    check_same_shape("target", target, "input", input)
    x, y = accumulate(input), accumulate(target)
    v = _variance(var, x)
    _, counted = align(None, mask, x.shape)
    if counted is not None:
        v = torch.where(counted, v, torch.ones_like(v))
    v = v + (v.clamp_min(eps) - v).detach()

    def terms(x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        loss = 0.5 * (torch.log(v) + (x - y).square() / v)
        return loss + 0.5 * math.log(2 * math.pi) if full else loss

    loss = pointwise(terms, x, y, v, sample_weight=sample_weight, mask=mask, reduction=reduction)
    return like_torch(loss, input, target, *([var] if isinstance(var, Tensor) else []))


def _variance(var: float | Tensor, x: Tensor) -> Tensor:
    """The variances in the shape of ``x``."""
    if not isinstance(var, Tensor):
        check_number("var", var, low=0)
        return torch.full_like(x, var)
    _check_not_negative("var", var)
    if var.shape == x.shape[:-1] and x.dim() > 0:
        var = var.unsqueeze(-1)
    fits = var.dim() == x.dim() and all(a in (1, b) for a, b in zip(var.shape, x.shape, strict=True))
    if not fits or var.shape[:1] != x.shape[:1]:  # one variance for the whole batch is a number
        raise ValueError(f"var: wanted the shape of input, {tuple(x.shape)}, or one a row; got {tuple(var.shape)}")
    return accumulate(var).expand(x.shape)


class GaussianNLLLoss(Loss):
    """:func:`gaussian_nll_loss` as a Module, called ``(input, target, var)``."""

    fn = staticmethod(gaussian_nll_loss)
    full: bool = False
    eps: float = 1e-6
    reduction: Reduction = "mean"


def _draw_counts(g: Generator, dt: dtype) -> Call:
    # Halves: Stirling's approximation jumps in at a count of 1.
    return Call((normal(g, dt, 6, 5), draw_labels(g, 7, 6, 5).to(dt) + 0.5))


def _edges_counts(dt: dtype) -> tuple[Call, ...]:
    x = torch.tensor([[0.0, 30.0, -1e4, 1.0]], dtype=dt)
    counts = torch.tensor([[0.0, 1.0, 2.0, 100.0]], dtype=dt)
    return (
        Call((x, counts), {"log_input": True}),
        Call((x.abs(), counts), {"log_input": False}),  # a rate of 0
        Call((x[:0], torch.zeros(0, 4, dtype=torch.int64))),
    )


def _draw_noisy(g: Generator, dt: dtype) -> Call:
    variance = (normal(g, torch.float64, 6, 5).exp() + 0.1).to(dt)
    return Call((normal(g, dt, 6, 5), normal(g, dt, 6, 5), variance))


def _edges_noisy(dt: dtype) -> tuple[Call, ...]:
    x = torch.tensor([[0.0, 1.0], [1e4, -1e4]], dtype=dt)
    return (
        Call((x, torch.zeros_like(x), torch.ones_like(x))),
        Call((x, x.clone(), torch.zeros_like(x))),  # certain and right
        Call((x, torch.zeros_like(x), torch.tensor([0.0, 1e4], dtype=dt))),  # one variance a row
        Call((x[:0], x[:0].clone(), x[:0].clone())),
    )


_card = partial(Card, data="values", kernel="none", item="element", equation="", defaults="torch")
_AT_CALL = frozenset({"sample_weight", "mask"})

CARDS = (
    _card(
        fn=poisson_nll_loss,
        module=PoissonNLLLoss,
        formula=r"e^x - t x",
        paper="Poisson, Recherches sur la probabilite des jugements, 1837",
        draw=_draw_counts,
        edges=_edges_counts,
        variants=({}, {"full": True}, {"eps": 1e-4}),
        at_call=_AT_CALL,
        when="Counts: how many events in an hour, how many photons in a pixel.",
        pitfalls=(
            "The prediction is the logarithm of the rate unless log_input is off.",
            "Counts that scatter more than their mean want a negative binomial instead.",
        ),
        relatives=("gaussian_nll_loss", "mse_loss"),
    ),
    _card(
        fn=gaussian_nll_loss,
        module=GaussianNLLLoss,
        formula=r"\tfrac12 \left(\log v + (x - y)^2 / v\right)",
        paper="Nix and Weigend, Estimating the Mean and Variance of the Target Probability Distribution, 1994",
        draw=_draw_noisy,
        edges=_edges_noisy,
        variants=({}, {"full": True, "eps": 0.01}),
        at_call=_AT_CALL,
        when="The noise differs from sample to sample and its size is wanted too.",
        pitfalls=(
            "Points that fit badly lower their own weight by a large variance: start with a fixed one.",
            "It takes the variance, not its logarithm nor the standard deviation.",
        ),
        relatives=("mse_loss", "poisson_nll_loss", "quantile_loss"),
    ),
)
