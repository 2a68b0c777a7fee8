"""Negative log-likelihoods of distributions other than the categorical: counts, noisy values, sequences."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import torch
from torch import Generator, Tensor, dtype

from lossary._check import (
    check_dim,
    check_float,
    check_number,
    check_range,
    check_shape,
    stretched,
    values_visible,
    wide_integers,
)
from lossary._loss import Loss
from lossary._reduce import Reduction, align, reduce
from lossary._rules import NOT_NEGATIVE, POSITIVE, checked
from lossary.cards import Call, Card
from lossary.draws import labels as draw_labels
from lossary.draws import normal
from lossary.kernels.stable import accumulate, like_torch
from lossary.losses._pointwise import hide, pointwise

__all__ = [
    "CTCLoss",
    "GaussianNLLLoss",
    "PoissonNLLLoss",
    "ctc_loss",
    "gaussian_nll_loss",
    "poisson_nll_loss",
]


def _check_not_negative(name: str, tensor: Tensor, counts: Tensor | None) -> None:
    """Of what counts: what stands elsewhere may be anything."""
    if not values_visible(tensor) or (counts is not None and not values_visible(counts)):
        return
    tensor = hide(tensor, counts)
    if (tensor < 0).any():
        raise ValueError(f"{name}: wanted no negative number; got {tensor[tensor < 0].flatten()[0].item()}")


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
    input, target = stretched(input=input, target=target)
    if not log_input:
        _check_not_negative("input", input, align(sample_weight, mask, input.shape)[1])

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
    _check_not_negative("var", var, counts)
    return accumulate(var).expand(x.shape)


class GaussianNLLLoss(Loss):
    """:func:`gaussian_nll_loss` as a Module, called ``(input, target, var)``."""

    fn = staticmethod(gaussian_nll_loss)
    full: bool = False
    eps: Annotated[float, POSITIVE] = 1e-6
    reduction: Reduction = "mean"


@checked
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor | Sequence[int],
    target_lengths: Tensor | Sequence[int],
    blank: int = 0,
    reduction: Reduction = "mean",
    zero_infinity: bool = False,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""The negative log-likelihood of a sequence of labels, over all ways to lay it along a longer input (CTC).

    .. math:: -\log \sum_{\pi \to y} \prod_t p_t(\pi_t)

    Args:
        log_probs: (T, N, C) log-probabilities, as of ``log_softmax`` over C; without a batch (T, C).
        targets: (N, S) labels, of which a sample's first ``target_lengths`` count, or those of all samples in a row.
        input_lengths: (N,) how many of the T steps are a sample's.
        target_lengths: (N,) how many labels are a sample's.
        blank: The class that says nothing; no label may be it.
        reduction: ``"none"`` (N,), ``"sum"``, or ``"mean"`` of each loss over its number of labels, at least 1.
        zero_infinity: A sample whose labels do not fit into its steps has loss 0, not infinity.
        sample_weight: (N,) weights; mean is ``sum(w l) / sum(w)``.
        mask: (N,) booleans, True where a sample counts; values elsewhere may be NaN.

    Returns:
        A scalar, or one loss a sample.

    Raises:
        ValueError: Shapes that do not fit, a length outside of the input's, a label that is ``blank``.
        TypeError: Labels or lengths that are no integers.
        IndexError: A label outside of [0, C).

    Example:
        >>> import torch
        >>> log_probs = torch.full((4, 1, 3), 1 / 3).log()
        >>> ctc_loss(log_probs, torch.tensor([[1, 2]]), [4], [2])
        tensor(0.8432)

    Source:
        Graves et al., Connectionist Temporal Classification, ICML 2006, eq. 8; kernels, arguments and defaults are
        torch's. The gradient is that of the formula; torch's is right only behind a ``log_softmax``, where both agree.
        A sample of infinite loss has gradient 0 (torch: NaN). There is no second derivative.
    """
    check_float("log_probs", log_probs)
    check_dim("log_probs", log_probs, (2, 3), "(T, N, C) or (T, C)")
    alone = log_probs.dim() == 2
    x = accumulate(log_probs.unsqueeze(1) if alone else log_probs)
    steps, count, classes = x.shape
    if not 0 <= blank < classes:
        raise ValueError(f"blank: wanted a class in [0, {classes}); got {blank}")
    lengths = _lengths("input_lengths", input_lengths, count, steps, x)
    labels = wide_integers("targets", targets.unsqueeze(0) if alone and targets.dim() == 1 else targets)
    check_dim("targets", labels, (1, 2), "(N, S), or all labels in one row")
    check_range("targets", labels, classes)
    longest = labels.shape[1] if labels.dim() == 2 else labels.shape[0]
    own = _lengths("target_lengths", target_lengths, count, longest, x)
    _check_labels_fit(labels, own, count, blank)
    weights, counted = align(sample_weight, mask, x.shape[1:2])
    if counted is not None:
        x = hide(x, counted[:, None])
    losses = _ctc(x, labels, lengths, own, blank)
    if zero_infinity:
        losses = torch.where(losses == math.inf, 0, losses)
    if reduction == "mean":
        losses = losses / own.clamp_min(1)
    if alone and reduction == "none":
        losses, weights, counted = (None if t is None else t.squeeze(0) for t in (losses, weights, counted))
        assert losses is not None
    loss = reduce(losses, weight=weights, mask=counted, reduction=reduction)
    return like_torch(loss, log_probs)


def _lengths(name: str, lengths: Tensor | Sequence[int], count: int, longest: int, x: Tensor) -> Tensor:
    tensor = wide_integers(name, lengths if isinstance(lengths, Tensor) else torch.tensor(lengths, dtype=torch.long))
    if tensor.dtype != torch.int64:
        raise TypeError(f"{name}: wanted integers; got {tensor.dtype}")
    tensor = tensor.reshape(1) if tensor.dim() == 0 else tensor
    check_shape(name, tensor, (count,))
    if values_visible(tensor) and ((tensor < 0) | (tensor > longest)).any():
        raise ValueError(f"{name}: wanted lengths from 0 to {longest}; got {tensor.tolist()}")
    return tensor.to(x.device)


def _check_labels_fit(labels: Tensor, lengths: Tensor, count: int, blank: int) -> None:
    if labels.dim() == 2:
        check_shape("targets", labels, (count, labels.shape[1]))
    if not values_visible(labels, lengths):
        return
    if labels.dim() == 1 and lengths.sum() != len(labels):
        raise ValueError(f"targets: wanted as many labels as target_lengths add up to; got {len(labels)}")
    said = labels != blank
    if labels.dim() == 2:
        said |= torch.arange(labels.shape[1]) >= lengths[:, None]
    if not said.all():
        raise ValueError(f"targets: wanted labels other than the blank, {blank}; got it among them")


def _ctc(x: Tensor, labels: Tensor, lengths: Tensor, own: Tensor, blank: int) -> Tensor:
    """(N,) losses. torch's operator takes the classes' shares of its gradient as behind a softmax: taken back here."""
    if x.shape[1] == 0:
        return x.sum((0, 2))
    # Not torch.ctc_loss: only this operator gives an infinite loss and, asked for it, a gradient of 0 with it.
    losses = torch.ops.aten._ctc_loss.Tensor(x, labels, lengths, own, blank, True)[0]
    inside = torch.arange(x.shape[0], device=x.device)[:, None] < lengths
    shares = torch.where(inside & (losses < math.inf), x.exp().sum(2), 0).sum(0)
    return losses - (shares - shares.detach())


class CTCLoss(Loss):
    """:func:`ctc_loss` as a Module, called ``(log_probs, targets, input_lengths, target_lengths)``."""

    fn = staticmethod(ctc_loss)
    blank: int = 0
    reduction: Reduction = "mean"
    zero_infinity: bool = False


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
