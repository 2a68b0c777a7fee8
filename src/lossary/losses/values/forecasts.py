"""Scores of a whole forecast distribution beside the one number that came, in the number's own units."""

import math
from functools import partial

import torch
from torch import Tensor

from lossary.core.card import Card
from lossary.core.check import check_float, check_same_shape, check_shape
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, align, reduce
from lossary.core.rules import checked
from lossary.kernels.stable import accumulate, accumulator
from lossary.losses._pointwise import check_not_negative, hide, pointwise

__all__ = [
    "EnsembleCRPSLoss",
    "GaussianCRPSLoss",
    "ensemble_crps_loss",
    "gaussian_crps_loss",
]

#: From so many standard deviations on a Gaussian has nothing left in float64.
_FAR = 40.0


def _gaussian_crps(x: Tensor, y: Tensor, std: Tensor) -> Tensor:
    r = x - y
    far = r.abs() > _FAR * std  # also where the standard deviation is 0: there it is the absolute error
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
    r"""The continuous ranked probability score of a Gaussian forecast: the absolute error, less what was admitted.

    .. math:: \sigma \Big[ z\, \big(2 \Phi(z) - 1\big) + 2 \varphi(z) - \tfrac{1}{\sqrt\pi} \Big],
              \quad z = \frac{y - x}{\sigma}

    with the standard normal distribution's Phi and its density.

    Args:
        input: Predicted means x, any shape.
        target: True values y, the shape of ``input``.
        std: Predicted standard deviations sigma, at least 0, the shape of ``input``. Predict them as ``softplus`` of
            something.
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
        Estimation, 2005, eq. 5. It takes the standard deviation and not the variance, by which its gradient would be
        infinite at 0.
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
    """Of each how many in its row are smaller, less how many are larger: by one sort of the row."""
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
    r"""The continuous ranked probability score of a forecast that is given as several draws.

    .. math:: \frac1M \sum_i |x_i - y| - \frac{1}{2 M^2} \sum_{i, j} |x_i - x_j|

    Args:
        input: Draws x of each number, (..., M), M at least 1.
        target: True values y, (...).
        fair: M (M - 1) for M squared: draws of the true distribution are then the best answer, however few they are.
        sample_weight: One weight a number, the shape of ``target``, or one a sample, (N,); mean is
            ``sum(w l) / sum(w)``.
        mask: Boolean, True where a number counts: the shape of ``target``, or (N,); values elsewhere may be NaN.
        reduction: ``"none"`` (the shape of ``target``), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or the shape of ``target``, in its units, never below 0. A draw that is the target has no gradient,
        and draws that are equal do not part. One draw gives the absolute error.

    Raises:
        ValueError: Shapes that do not fit, no draws.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> draws = torch.tensor([[1.0, 2.0, 6.0]])
        >>> ensemble_crps_loss(draws, torch.tensor([2.0])), ensemble_crps_loss(draws, torch.tensor([2.0]), fair=True)
        (tensor(0.5556), tensor(0.))

    Source:
        Gneiting and Raftery, Strictly Proper Scoring Rules, Prediction, and Estimation, 2007, eq. 21 for the
        ensemble's distribution; fair: Ferro, Fair scores for ensemble forecasts, 2014. Time is M log M, by one sort:
        over draws it sums ``|x_i - y|`` times the share of the others that it does not lie outside of, all at least
        0. Common code forms all M^2 differences, or subtracts two sums that are nearly equal.
    """
    check_float("input", input)
    if input.dim() == 0 or input.shape[-1] == 0:
        raise ValueError(f"input: wanted (..., M) with M >= 1; got {tuple(input.shape)}")
    check_shape("target", target, tuple(input.shape[:-1]))
    sample_weight, mask = align(sample_weight, mask, target.shape)
    dtype = torch.promote_types(accumulator(input), target.dtype)
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
            r"\pi": "the number",
            r"y": "`target`, the true value",
            r"x": "`input`, the predicted mean",
        },
        paper="Gneiting et al., Calibrated Probabilistic Forecasting Using Ensemble Model Output Statistics and "
        "Minimum CRPS Estimation, 2005",
        equation="5",
        when="As gaussian_nll_loss, with outliers: its price grows as their distance, not as its square.",
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
        untuned="how many draws there are decides `fair`",
        when="A network that draws, by noise or by several heads, and whose draws shall spread as the truth does.",
        pitfalls=("Of few draws the score without `fair` is best for draws that spread too little.",),
        relatives=("gaussian_crps_loss", "quantile_loss", "l1_loss"),
    ),
)
