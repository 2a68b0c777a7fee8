"""Scores of a whole forecast distribution against the one number observed, in that number's units."""

import math
from functools import partial

import torch
from torch import Tensor

from lossary.core.card import Card
from lossary.core.check import check_float, check_same_shape, check_shape
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, align, reduce
from lossary.core.rules import checked
from lossary.kernels.stable import accumulate, accumulator, common
from lossary.losses._pointwise import check_not_negative, hide, pointwise

__all__ = [
    "EnsembleCRPSLoss",
    "GaussianCRPSLoss",
    "ensemble_crps_loss",
    "gaussian_crps_loss",
]

#: Beyond this many standard deviations, a Gaussian is 0 in float64.
_FAR = 40.0


def _gaussian_crps(x: Tensor, y: Tensor, std: Tensor) -> Tensor:
    r = x - y
    far = r.abs() > _FAR * std  # also for a standard deviation of 0, which gives the absolute error
    point = far | (std < torch.finfo(r.dtype).tiny ** 0.75)  # too narrow to divide by: 3e-29 in float32
    z = torch.where(point, torch.zeros_like(r), r) / torch.where(point, torch.ones_like(std), std)
    width = math.sqrt(2 / math.pi) * torch.exp(-0.5 * z.square()) - 1 / math.sqrt(math.pi)
    near = r * torch.erf(z / math.sqrt(2)) + std * width
    return torch.where(far, r.abs() - std / math.sqrt(math.pi), near)


@checked
def gaussian_crps_loss(
    input: Tensor,
    target: Tensor,
    std: Tensor,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The continuous ranked probability score of a Gaussian forecast: absolute error, minus credit for its spread.

    .. math:: \sigma \Big[ z\, \big(2 \Phi(z) - 1\big) + 2 \varphi(z) - \tfrac{1}{\sqrt\pi} \Big],
              \quad z = \frac{y - x}{\sigma}

    where Phi is the standard normal distribution function and phi its density.

    Args:
        input: Predicted means x, any shape.
        target: True values y, the shape of ``input``.
        std: Predicted standard deviations sigma, at least 0, the shape of ``input``. Predict them with a ``softplus``.
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts; values elsewhere may be NaN.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or the shape of ``input``, in the target's units, never below 0. With sigma = 0 it is the absolute
        error, whose gradient at 0 is 0.

    Raises:
        ValueError: Shapes that differ, a standard deviation below 0.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> gaussian_crps_loss(torch.zeros(2), torch.tensor([0.0, 2.0]), torch.ones(2), reduction="none")
        tensor([0.2337, 1.4528])

    Source:
        Gneiting et al., Calibrated Probabilistic Forecasting Using Ensemble Model Output Statistics and Minimum CRPS
        Estimation, 2005, eq. 5. It takes the standard deviation: the gradient by a variance would be infinite at 0.
    """
    check_float("input", input)
    check_same_shape("std", std, "input", input)
    _, counted = align(sample_weight, mask, input.shape)
    check_not_negative("std", std, counted)
    s = hide(accumulate(std), counted)

    def score(x: Tensor, y: Tensor, s: Tensor) -> Tensor:
        return _gaussian_crps(x, y, s.to(x.dtype))

    return pointwise(score, input, target, s, sample_weight=sample_weight, mask=mask, reduction=reduction)


class GaussianCRPSLoss(Loss):
    """:func:`gaussian_crps_loss` as a Module, called ``(input, target, std)``."""

    fn = staticmethod(gaussian_crps_loss)
    reduction: Reduction = "mean"


def _balance(x: Tensor) -> Tensor:
    """For each entry, how many in its row are smaller minus how many are larger, by one sort per row."""
    x = x.detach().contiguous()
    ordered = x.sort(-1).values
    below, not_above = (torch.searchsorted(ordered, x, right=right) for right in (False, True))
    return (below + not_above - x.shape[-1]).to(x.dtype)


@checked
def ensemble_crps_loss(
    input: Tensor,
    target: Tensor,
    *,
    fair: bool = False,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The continuous ranked probability score of a forecast given as several draws.

    .. math:: \frac1M \sum_i |x_i - y| - \frac{1}{2 M^2} \sum_{i, j} |x_i - x_j|

    Args:
        input: Draws x for each number, (..., M), M at least 1.
        target: True values y, (...).
        fair: M (M - 1) instead of M squared: draws from the true distribution are then the best answer, however few.
        sample_weight: One weight per number, the shape of ``target``, or one per sample, (N,); mean is
            ``sum(w l) / sum(w)``.
        mask: Boolean, True where a number counts: the shape of ``target``, or (N,); values elsewhere may be NaN.
        reduction: ``"none"`` (the shape of ``target``), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or the shape of ``target``, in its units, never below 0. A draw equal to the target has no gradient,
        and equal draws are not separated. One draw gives the absolute error.

    Raises:
        ValueError: Shapes that do not fit, no draws.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> draws = torch.tensor([[1.0, 2.0, 6.0]])
        >>> ensemble_crps_loss(draws, torch.tensor([2.0])), ensemble_crps_loss(draws, torch.tensor([2.0]), fair=True)
        (tensor(0.5556), tensor(0.))

    Source:
        Gneiting and Raftery, Strictly Proper Scoring Rules, Prediction, and Estimation, 2007, eq. 21, for the
        ensemble's distribution; fair: Ferro, Fair scores for ensemble forecasts, 2014. Time is M log M, by one sort: it
        sums, over draws, ``|x_i - y|`` times the share of other draws that x_i is not farther out than; every term is
        at least 0. Common code forms all M^2 differences, or subtracts two nearly equal sums.
    """
    check_float("input", input)
    if input.dim() == 0 or input.shape[-1] == 0:
        raise ValueError(f"input: wanted (..., M) with M >= 1; got {tuple(input.shape)}")
    check_shape("target", target, tuple(input.shape[:-1]))
    sample_weight, mask = align(sample_weight, mask, target.shape)
    dtype = common(accumulator(input), target.dtype)
    x, y = hide(input.to(dtype), None if mask is None else mask[..., None]), hide(target.to(dtype), mask)
    error, members = x - y[..., None], input.shape[-1]
    inner = _balance(x) / max(members - 1 if fair else members, 1)
    losses = (error.abs() * (1 - error.sign() * inner)).mean(-1)
    return reduce(losses, weight=sample_weight, mask=mask, reduction=reduction)


class EnsembleCRPSLoss(Loss):
    """:func:`ensemble_crps_loss` as a Module."""

    fn = staticmethod(ensemble_crps_loss)
    fair: bool = False
    reduction: Reduction = "mean"


_card = partial(
    Card,
    data="values",
    input="values",
    item="element",
    defaults="no hyperparameters",
    at_call=frozenset({"sample_weight", "mask"}),
)


CARDS = (
    _card(
        fn=gaussian_crps_loss,
        module=GaussianCRPSLoss,
        takes=("input-target-variance",),
        kernel="none",
        formula=(
            r"\sigma \left[ z\, (2 \Phi(z) - 1) + 2 \varphi(z) - \tfrac{1}{\sqrt\pi} \right], "
            r"\quad z = \frac{y - x}{\sigma}"
        ),
        symbols={
            r"\sigma": "`std`, the predicted standard deviation, at least 0",
            r"z": "the error in standard deviations",
            r"\Phi": "the standard normal distribution",
            r"\varphi": "its density",
            r"\pi": "the number 3.14159...",
            r"y": "`target`, the true value",
            r"x": "`input`, the predicted mean",
        },
        paper="Gneiting et al., Calibrated Probabilistic Forecasting Using Ensemble Model Output Statistics and "
        "Minimum CRPS Estimation, 2005",
        equation="5",
        when="As gaussian_nll_loss, with outliers: the cost grows with their distance, not with its square.",
        pitfalls=("It takes the standard deviation, where gaussian_nll_loss takes the variance.",),
        relatives=("gaussian_nll_loss", "ensemble_crps_loss", "quantile_loss", "l1_loss"),
    ),
    _card(
        fn=ensemble_crps_loss,
        module=EnsembleCRPSLoss,
        takes=("samples-target",),
        kernel="order",
        formula=r"\frac1M \sum_i |x_i - y| - \frac{1}{2 M^2} \sum_{i, j} |x_i - x_j|",
        symbols={
            r"M": "how many draws there are; the second M is M - 1 with `fair`",
            r"i": "every draw",
            r"x_i": "`input`, draw i",
            r"y": "`target`, the true value",
            r"j": "every draw again",
            r"x_j": "`input`, draw j",
        },
        paper="Gneiting and Raftery, Strictly Proper Scoring Rules, Prediction, and Estimation, 2007",
        equation="21",
        untuned="the number of draws decides `fair`",
        when="A network that draws samples, from noise or several heads, that should spread as the truth does.",
        pitfalls=("With few draws and without `fair`, the best score goes to draws that spread too little.",),
        relatives=("gaussian_crps_loss", "quantile_loss", "l1_loss"),
    ),
)
