"""Errors of amounts, by ratio: an error of 1 for a true 10 counts as much as 100 for a true 1000."""

from functools import partial
from typing import Annotated

import torch
from torch import Tensor

from lossary.core.card import Card
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction
from lossary.core.rules import POSITIVE, checked
from lossary.losses._pointwise import pointwise

__all__ = [
    "MAPELoss",
    "MSLELoss",
    "SMAPELoss",
    "mape_loss",
    "msle_loss",
    "smape_loss",
]


@checked
def mape_loss(
    input: Tensor,
    target: Tensor,
    *,
    eps: Annotated[float, POSITIVE] = 1e-7,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The absolute error as a share of the true amount (a fraction: 0.1 is 10 percent).

    .. math:: \frac{|x - y|}{\max(|y|, \epsilon)}

    Args:
        input: Predictions, any shape.
        target: True amounts, the shape of ``input``. Mask those that are 0: a share of 0 is undefined.
        eps: The smallest divisor, in the units of the target, above 0.
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts; values elsewhere may be NaN.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or the shape of ``input``. The gradient at residual 0 is 0.

    Raises:
        ValueError: Shapes that differ, ``eps`` not above 0.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> mape_loss(torch.tensor([9.0, 1100.0]), torch.tensor([10.0, 1000.0]), reduction="none")
        tensor([0.1000, 0.1000])

    Source:
        Standard in forecasting; the paper numbers none. 1e-7 is Keras's, which returns percentages: 100 times as much.
        See Hyndman and Koehler, Another look at measures of forecast accuracy, 2006, section 2, for what it does near
        0.
    """

    def share(x: Tensor, y: Tensor) -> Tensor:
        return (x - y).abs() / y.abs().clamp_min(eps)

    return pointwise(share, input, target, sample_weight=sample_weight, mask=mask, reduction=reduction)


class MAPELoss(Loss):
    """:func:`mape_loss` as a Module."""

    fn = staticmethod(mape_loss)
    eps: Annotated[float, POSITIVE] = 1e-7
    reduction: Reduction = "mean"


@checked
def smape_loss(
    input: Tensor,
    target: Tensor,
    *,
    eps: Annotated[float, POSITIVE] = 1e-7,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The absolute error as a share of the midpoint of prediction and truth; never above 2.

    .. math:: \frac{2\,|x - y|}{\max(|x| + |y|, \epsilon)}

    Args:
        input: Predictions, any shape.
        target: True amounts, the shape of ``input``.
        eps: The smallest divisor, in the units of the target, above 0.
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts; values elsewhere may be NaN.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or the shape of ``input``, in [0, 2]. A prediction of 0 for a true 0 gives 0. The gradient at residual
        0 is 0.

    Raises:
        ValueError: Shapes that differ, ``eps`` not above 0.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> smape_loss(torch.tensor([50.0, 150.0, 0.0]), torch.tensor([100.0, 100.0, 0.0]), reduction="none")
        tensor([0.6667, 0.4000, 0.0000])

    Source:
        Makridakis, Accuracy measures: theoretical and practical concerns, 1993; the paper numbers none. Forecasting
        libraries agree on the factor 2 but differ in what they add below; some report percentages.
    """

    def share(x: Tensor, y: Tensor) -> Tensor:
        return 2 * ((x - y).abs() / (x.abs() + y.abs()).clamp_min(eps))

    return pointwise(share, input, target, sample_weight=sample_weight, mask=mask, reduction=reduction)


class SMAPELoss(Loss):
    """:func:`smape_loss` as a Module."""

    fn = staticmethod(smape_loss)
    eps: Annotated[float, POSITIVE] = 1e-7
    reduction: Reduction = "mean"


def _log_ratio(x: Tensor, y: Tensor) -> Tensor:
    """log(1 + x) - log(1 + y), mirrored below 0."""
    # For numbers near each other, the difference of two logarithms would lose their difference.
    step = (x - y) / (1 + y.abs())
    near = (step.abs() < 0.5) & ((x >= 0) == (y >= 0))
    close = torch.where(near, step, torch.zeros_like(step))
    ratio = torch.where(y >= 0, torch.log1p(close), -torch.log1p(-close))
    return torch.where(near, ratio, _log_amount(x) - _log_amount(y))


def _log_amount(x: Tensor) -> Tensor:
    # Neither sign(x) * log1p(|x|) nor clamps, whose slopes at 0 are 0 in torch, those of clamps since 2.14.
    sign = torch.where(x < 0, -1.0, 1.0).to(x.dtype)
    return sign * torch.log1p(sign * x)


@checked
def msle_loss(
    input: Tensor,
    target: Tensor,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The squared error of the logarithms of amounts: half the truth costs as much as double.

    .. math:: \big(\ell(x) - \ell(y)\big)^2, \quad \ell(a) = \mathrm{sign}(a) \log(1 + |a|)

    Args:
        input: Predicted amounts, any shape. The gradient brings one below 0 back.
        target: True amounts, the shape of ``input``.
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts; values elsewhere may be NaN.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or the shape of ``input``. At 0, where the second derivative jumps, it takes the value from above.

    Raises:
        ValueError: Shapes that differ, an unknown reduction.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> msle_loss(torch.tensor([99.0, -1.0]), torch.tensor([9.0, 0.0]), reduction="none")
        tensor([5.3019, 0.4805])

    Source:
        Standard for amounts; the paper numbers none. Keras and others clamp predictions at 0, so that one below has no
        gradient and stays there, or leave them: NaN. Here the logarithm continues below 0 as in Hafner et al.,
        arXiv:2301.04104 (symlog). RMSLE is the root of the mean and has the same minimum.
    """

    def squared(x: Tensor, y: Tensor) -> Tensor:
        return _log_ratio(x, y).square()

    return pointwise(squared, input, target, sample_weight=sample_weight, mask=mask, reduction=reduction)


class MSLELoss(Loss):
    """:func:`msle_loss` as a Module."""

    fn = staticmethod(msle_loss)
    reduction: Reduction = "mean"


_card = partial(
    Card,
    data="values",
    takes=("input-target",),
    input="amounts",
    kernel="none",
    item="element",
    at_call=frozenset({"sample_weight", "mask"}),
)
_PREDICTED, _TRUE = "`input`, the predicted amount", "`target`, the true amount"


CARDS = (
    _card(
        fn=mape_loss,
        module=MAPELoss,
        formula=r"\frac{|x - y|}{\max(|y|, \epsilon)}",
        symbols={
            r"x": _PREDICTED,
            r"y": _TRUE,
            r"\epsilon": "`eps`: the smallest divisor, above 0",
        },
        paper="Hyndman and Koehler, Another look at measures of forecast accuracy, 2006",
        equation="unnumbered",
        defaults="Keras",
        untuned="`eps` only prevents division by 0",
        when="Amounts well above 0 whose errors are judged in percent.",
        pitfalls=(
            "A true 0 divides by eps: one of them outweighs a million others. Mask it.",
            "It punishes predictions that are too low less than ones too high: the best answer lies below the median.",
            "Targets that were shifted to a mean of 0 are not amounts.",
        ),
        relatives=("smape_loss", "msle_loss", "l1_loss"),
    ),
    _card(
        fn=smape_loss,
        module=SMAPELoss,
        formula=r"\frac{2\,|x - y|}{\max(|x| + |y|, \epsilon)}",
        symbols={
            r"x": _PREDICTED,
            r"y": _TRUE,
            r"\epsilon": "`eps`: the smallest divisor, above 0",
        },
        paper="Makridakis, Accuracy measures: theoretical and practical concerns, 1993",
        equation="unnumbered",
        defaults="eps as in mape_loss",
        untuned="`eps` only prevents division by 0",
        when="Forecasts that are judged by it, as in the M3 and M4 competitions.",
        pitfalls=(
            "Where the truth is 0, every prediction except 0 costs 2 and has no gradient.",
            "Despite its name it is not symmetric: 50 for 100 costs more than 150 for 100.",
        ),
        relatives=("mape_loss", "msle_loss"),
    ),
    _card(
        fn=msle_loss,
        module=MSLELoss,
        formula=r"\big(\ell(x) - \ell(y)\big)^2, \quad \ell(a) = \mathrm{sign}(a) \log(1 + |a|)",
        symbols={
            r"\ell": "the logarithm of an amount, 0 at 0",
            r"x": _PREDICTED,
            r"y": _TRUE,
            r"a": "either amount",
        },
        paper="standard for amounts; below 0 arXiv:2301.04104",
        equation="textbook",
        defaults="no hyperparameters",
        when="Amounts over several powers of ten (prices, visits), where the ratio counts.",
        pitfalls=(
            "In code that clamps predictions at 0, those below 0 have no gradient and stay there.",
            "Amounts far below 1 are hardly told apart: choose units in which the smallest is about 1.",
            "For skewed amounts, the best answer is near the median, so the predictions add up to too little.",
        ),
        relatives=("mse_loss", "mape_loss", "tweedie_loss"),
        aliases=("mean_squared_logarithmic_error",),
    ),
)
