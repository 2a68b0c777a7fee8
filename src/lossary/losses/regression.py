"""Regression: a number predicted, a number wanted, and a price for the residual between them."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, dtype

from lossary._check import check_number, check_same_shape
from lossary._loss import Loss
from lossary._reduce import Reduction
from lossary.cards import Call, Card, Choice, Range
from lossary.draws import normal
from lossary.kernels.stable import like_torch
from lossary.losses._pointwise import pointwise

__all__ = [
    "HuberLoss",
    "L1Loss",
    "LogCoshLoss",
    "MSELoss",
    "MeanBiasError",
    "QuantileLoss",
    "SmoothL1Loss",
    "huber_loss",
    "l1_loss",
    "log_cosh_loss",
    "mean_bias_error",
    "mse_loss",
    "quantile_loss",
    "smooth_l1_loss",
]


def _both(weight: Tensor | None, sample_weight: Tensor | None, input: Tensor) -> Tensor | None:
    """torch's ``weight``, one an element, together with ours."""
    if weight is None:
        return sample_weight
    check_same_shape("weight", weight, "input", input)
    return weight if sample_weight is None else weight * sample_weight


def mean_bias_error(
    input: Tensor,
    target: Tensor,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The signed error: how far predictions lie above the truth on average. A diagnostic, no training loss.

    .. math:: x - y

    Errors of opposite signs cancel and the value has no lower bound, so that minimising it only pushes all
    predictions down.

    Args:
        input: Predictions, any shape.
        target: True values, the shape of ``input``.
        sample_weight: One weight an element, or one a sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts; values elsewhere may be NaN.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or the shape of ``input``; above 0 where predictions are too high.

    Raises:
        ValueError: Shapes that differ, an unknown reduction.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> mean_bias_error(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 1.0]))
        tensor(0.5000)

    Source:
        Standard in forecasting. Some write truth minus prediction; here the sign is that of the prediction's error.
    """
    return pointwise(torch.sub, input, target, sample_weight=sample_weight, mask=mask, reduction=reduction)


class MeanBiasError(Loss):
    """:func:`mean_bias_error` as a Module."""

    fn = staticmethod(mean_bias_error)
    reduction: Reduction = "mean"


def mse_loss(
    input: Tensor,
    target: Tensor,
    reduction: Reduction = "mean",
    weight: Tensor | None = None,
    *,
    halved: bool = False,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""The squared error. Its minimiser is the mean, which one outlier can drag anywhere.

    .. math:: (x - y)^2

    Args:
        input: Predictions, any shape.
        target: True values, the shape of ``input``.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"`` over all elements.
        weight: As torch's: one weight an element, mean is ``sum(w l) / sum(w)``.
        halved: The factor 1/2, with which the gradient is the residual itself.
        sample_weight: One weight an element, or one a sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts; values elsewhere may be NaN.

    Returns:
        A scalar, or the shape of ``input``, in torch's dtype.

    Raises:
        ValueError: Shapes that differ (torch broadcasts them with a warning), an unknown reduction.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> mse_loss(torch.tensor([2.5, 0.0]), torch.tensor([3.0, -0.5]))
        tensor(0.2500)

    Source:
        Legendre 1805, Gauss 1809. No factor 1/2, as in torch; texts that speak of the L2 divergence have it.
        Nothing to average gives 0 here, NaN in torch.
    """

    def squared(x: Tensor, y: Tensor) -> Tensor:
        loss = F.mse_loss(x, y, reduction="none")
        return loss / 2 if halved else loss

    weight = _both(weight, sample_weight, input)
    loss = pointwise(squared, input, target, sample_weight=weight, mask=mask, reduction=reduction)
    return like_torch(loss, input, target)


class MSELoss(Loss):
    """:func:`mse_loss` as a Module."""

    fn = staticmethod(mse_loss)
    reduction: Reduction = "mean"
    weight: Tensor | None = None
    halved: bool = False


def l1_loss(
    input: Tensor,
    target: Tensor,
    reduction: Reduction = "mean",
    weight: Tensor | None = None,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""The absolute error. Its minimiser is the median, which outliers hardly move.

    .. math:: |x - y|

    Args:
        input: Predictions, any shape.
        target: True values, the shape of ``input``.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"`` over all elements.
        weight: As torch's: one weight an element, mean is ``sum(w l) / sum(w)``.
        sample_weight: One weight an element, or one a sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts; values elsewhere may be NaN.

    Returns:
        A scalar, or the shape of ``input``, in torch's dtype. The gradient at residual 0 is 0.

    Raises:
        ValueError: Shapes that differ (torch broadcasts them with a warning), an unknown reduction.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> l1_loss(torch.tensor([2.5, 0.0]), torch.tensor([3.0, -0.5]))
        tensor(0.5000)

    Source:
        Boscovich 1757, Laplace 1788. The mean of the absolute errors, not the absolute value of the mean error, as
        it is sometimes put. Nothing to average gives 0 here, NaN in torch.
    """

    def absolute(x: Tensor, y: Tensor) -> Tensor:
        return F.l1_loss(x, y, reduction="none")

    weight = _both(weight, sample_weight, input)
    loss = pointwise(absolute, input, target, sample_weight=weight, mask=mask, reduction=reduction)
    return like_torch(loss, input, target)


class L1Loss(Loss):
    """:func:`l1_loss` as a Module."""

    fn = staticmethod(l1_loss)
    reduction: Reduction = "mean"
    weight: Tensor | None = None


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: Reduction = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Squared error for small residuals, absolute error for large ones.

    .. math:: \tfrac12 r^2 \text{ for } |r| \le \delta, \quad \delta\,(|r| - \tfrac12\delta) \text{ beyond};
              \quad r = x - y

    Args:
        input: Predictions, any shape.
        target: True values, the shape of ``input``.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"`` over all elements.
        delta: Where it turns linear, in the units of the target, above 0.
        weight: As torch's: one factor an element, not part of the mean's divisor (unlike in ``mse_loss``).
        sample_weight: One weight an element, or one a sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts; values elsewhere may be NaN.

    Returns:
        A scalar, or the shape of ``input``, in torch's dtype.

    Raises:
        ValueError: Shapes that differ (torch broadcasts them with a warning), ``delta`` not above 0.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> huber_loss(torch.tensor([0.5, 4.0]), torch.zeros(2), reduction="none")
        tensor([0.1250, 3.5000])

    Source:
        Huber, Robust Estimation of a Location Parameter, 1964; delta = 1 is torch's. It is delta times
        ``smooth_l1_loss`` at beta = delta, equal to it only at 1; the two are often taken for the same.
        Nothing to average gives 0 here, NaN in torch.
    """
    check_number("delta", delta, low=0, open_low=True)
    if weight is not None:
        check_same_shape("weight", weight, "input", input)

    def huber(x: Tensor, y: Tensor) -> Tensor:
        loss = F.huber_loss(x, y, reduction="none", delta=delta)
        return loss if weight is None else loss * weight

    loss = pointwise(huber, input, target, sample_weight=sample_weight, mask=mask, reduction=reduction)
    return like_torch(loss, input, target)


class HuberLoss(Loss):
    """:func:`huber_loss` as a Module."""

    fn = staticmethod(huber_loss)
    reduction: Reduction = "mean"
    delta: float = 1.0
    weight: Tensor | None = None


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    reduction: Reduction = "mean",
    beta: float = 1.0,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Absolute error with its corner at 0 rounded off.

    .. math:: \frac{r^2}{2\beta} \text{ for } |r| < \beta, \quad |r| - \tfrac12\beta \text{ beyond}; \quad r = x - y

    Args:
        input: Predictions, any shape.
        target: True values, the shape of ``input``.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"`` over all elements.
        beta: Half the width of the rounded part, in the units of the target; 0 gives ``l1_loss``.
        sample_weight: One weight an element, or one a sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts; values elsewhere may be NaN.

    Returns:
        A scalar, or the shape of ``input``, in torch's dtype.

    Raises:
        ValueError: Shapes that differ (torch broadcasts them with a warning), ``beta`` below 0.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> smooth_l1_loss(torch.tensor([0.5, 4.0]), torch.zeros(2), reduction="none")
        tensor([0.1250, 3.5000])

    Source:
        Girshick, Fast R-CNN, arXiv:1504.08083, eq. 3 (beta = 1); beta is torch's. Its slope stays 1 whatever beta
        is, where Huber's stays delta. Nothing to average gives 0 here, NaN in torch.
    """
    check_number("beta", beta, low=0)

    def smooth(x: Tensor, y: Tensor) -> Tensor:
        return F.smooth_l1_loss(x, y, reduction="none", beta=beta)

    loss = pointwise(smooth, input, target, sample_weight=sample_weight, mask=mask, reduction=reduction)
    return like_torch(loss, input, target)


class SmoothL1Loss(Loss):
    """:func:`smooth_l1_loss` as a Module."""

    fn = staticmethod(smooth_l1_loss)
    reduction: Reduction = "mean"
    beta: float = 1.0


def _log_cosh(x: Tensor, y: Tensor) -> Tensor:
    # Each form is exact where the other cancels or overflows: log cosh r = log(1 + 2 sinh(r/2)^2) near 0,
    # |r| + log((1 + e^-2|r|) / 2) far out. The softplus form in circulation gives 0 at 1e-4 in float32.
    r = x - y
    near = r.detach().abs() < 1
    small = torch.where(near, r, torch.zeros_like(r))
    large = torch.where(near, torch.ones_like(r), r.abs())
    return torch.where(
        near, torch.log1p(2 * torch.sinh(small / 2).square()), large + torch.log1p(torch.expm1(-2 * large) / 2)
    )


def log_cosh_loss(
    input: Tensor,
    target: Tensor,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Half the squared error near 0, the absolute error far out, smooth to every order between.

    .. math:: \log\cosh(x - y)

    Args:
        input: Predictions, any shape.
        target: True values, the shape of ``input``. The turn lies at a residual of about 1: scale targets first.
        sample_weight: One weight an element, or one a sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts; values elsewhere may be NaN.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or the shape of ``input``.

    Raises:
        ValueError: Shapes that differ, an unknown reduction.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> log_cosh_loss(torch.tensor([1e-4, 100.0]), torch.zeros(2), reduction="none")
        tensor([5.0000e-09, 9.9307e+01])

    Source:
        See Saleh and Saleh, arXiv:2208.04564. Common code adds a softplus, which returns 0 for small residuals.
    """
    return pointwise(_log_cosh, input, target, sample_weight=sample_weight, mask=mask, reduction=reduction)


class LogCoshLoss(Loss):
    """:func:`log_cosh_loss` as a Module."""

    fn = staticmethod(log_cosh_loss)
    reduction: Reduction = "mean"


def quantile_loss(
    input: Tensor,
    target: Tensor,
    *,
    quantile: float | Sequence[float] = 0.5,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The pinball loss: minimised by a quantile of the target instead of its mean.

    .. math:: q \max(0, y - x) + (1 - q) \max(0, x - y)

    Args:
        input: Predictions, any shape; with several quantiles (..., Q), one column a quantile.
        target: True values, the shape of ``input``; with several quantiles (...).
        quantile: q, the share of targets that shall lie below the prediction, in (0, 1); one or several.
        sample_weight: One weight an element of ``input``, or one a sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts; values elsewhere may be NaN.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or the shape of ``input``. The gradient at residual 0 is 0.

    Raises:
        ValueError: Shapes that do not fit, ``quantile`` outside of (0, 1).
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> quantile_loss(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 2.0]), quantile=0.9, reduction="none")
        tensor([0.9000, 0.1000])
        >>> quantile_loss(torch.tensor([[1.0, 3.0]]), torch.tensor([2.0]), quantile=(0.1, 0.9))
        tensor(0.1000)

    Source:
        Koenker and Bassett, Regression Quantiles, Econometrica 46, 1978. At q = 0.5 it is half the absolute error.
    """
    one = isinstance(quantile, (int, float, str))
    quantiles = (quantile,) if one else tuple(quantile)
    for value in quantiles:
        check_number("quantile", value, low=0, high=1)
        if value in (0, 1):
            raise ValueError(f"quantile: wanted a number strictly between 0 and 1; got {value}")
    if not one:
        if input.dim() == 0 or input.shape[-1] != len(quantiles):
            raise ValueError(f"input: wanted (..., {len(quantiles)}), a column a quantile; got {tuple(input.shape)}")
        check_same_shape("target", target, "one column of input", input[..., 0])
        target = target.unsqueeze(-1).expand(input.shape)

    def pinball(x: Tensor, y: Tensor) -> Tensor:
        q = torch.as_tensor(quantile, dtype=x.dtype, device=x.device)
        return q * (y - x).relu() + (1 - q) * (x - y).relu()

    return pointwise(pinball, input, target, sample_weight=sample_weight, mask=mask, reduction=reduction)


class QuantileLoss(Loss):
    """:func:`quantile_loss` as a Module."""

    fn = staticmethod(quantile_loss)
    quantile: float | Sequence[float] = 0.5
    reduction: Reduction = "mean"


def _draw(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5), normal(g, dt, 6, 5, scale=2.0)))


def _edges(dt: dtype) -> tuple[Call, ...]:
    x = torch.tensor([[0.0, 1.0, -1.0, 0.5], [1e4, -1e4, 1e-4, 0.375]], dtype=dt)
    return (
        Call((x, torch.zeros_like(x))),  # residual 0, the usual turns, huge and tiny
        Call((x, x.clone())),  # all right
        Call((x[1, :1], x[0, :1])),  # one element
        Call((x[:0], x[:0].clone())),  # empty
        Call((x, torch.ones(2, 4, dtype=torch.int32))),  # integer targets
    )


def _golden(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    renamed = {"q": "quantile"}
    return Call((inputs["input"], inputs["target"]), {renamed.get(n, n): v for n, v in params.items()})


_card = partial(
    Card,
    data="values",
    kernel="none",
    item="element",
    draw=_draw,
    edges=_edges,
    at_call=frozenset({"sample_weight", "mask"}),
)
_BROADCAST = "A target of (N,) beside predictions of (N, 1) broadcasts to (N, N) in torch; here it is an error."

CARDS = (
    _card(
        fn=mean_bias_error,
        module=MeanBiasError,
        formula="x - y",
        paper="standard in forecasting",
        equation="",
        defaults="no hyperparameters",
        golden={"mean_bias_error": _golden},
        when="To see whether a trained model predicts too high or too low. Never to train one.",
        pitfalls=("Errors of opposite signs cancel: a mean bias of 0 says nothing about accuracy.",),
        relatives=("l1_loss", "mse_loss"),
    ),
    _card(
        fn=mse_loss,
        module=MSELoss,
        formula="(x - y)^2",
        paper="Legendre 1805, Gauss 1809",
        equation="",
        defaults="torch",
        variants=({}, {"halved": True}),
        golden={"mse": _golden},
        when="Residuals without outliers, and the mean of the target is wanted.",
        pitfalls=(
            "One outlier of 100 weighs as much as 10,000 residuals of 1.",
            "With sigmoid or softmax outputs it has plateaus where the model is most wrong: use a cross-entropy.",
            _BROADCAST,
        ),
        relatives=("huber_loss", "l1_loss", "log_cosh_loss"),
    ),
    _card(
        fn=l1_loss,
        module=L1Loss,
        formula="|x - y|",
        paper="Boscovich 1757, Laplace 1788",
        equation="",
        defaults="torch",
        golden={"mae": _golden},
        when="Targets with outliers, and the median is wanted.",
        pitfalls=(
            "Its gradient does not shrink near the answer: lower the learning rate towards the end.",
            "It is less sensitive to outliers than the squared error, not blind to them.",
            _BROADCAST,
        ),
        relatives=("huber_loss", "smooth_l1_loss", "quantile_loss", "mse_loss"),
        aliases=("mae_loss", "MAELoss"),
    ),
    _card(
        fn=huber_loss,
        module=HuberLoss,
        formula=r"\tfrac12 r^2 \text{ for } |r| \le \delta, \; \delta(|r| - \tfrac12\delta) \text{ beyond}",
        paper="Huber, Robust Estimation of a Location Parameter, 1964",
        equation="",
        defaults="torch",
        variants=({}, {"delta": 0.375}, {"delta": 5.0}),
        golden={"huber": _golden},
        search={"delta": Range(0.1, 10.0, log=True)},
        when="Targets with some outliers. Set delta to the size of an ordinary residual.",
        pitfalls=(
            "It is not smooth_l1_loss: the two agree only at delta = beta = 1.",
            "delta has the target's units: 1 is small for prices and large for probabilities.",
            "Its second derivative jumps at delta.",
        ),
        relatives=("smooth_l1_loss", "log_cosh_loss", "mse_loss", "l1_loss"),
    ),
    _card(
        fn=smooth_l1_loss,
        module=SmoothL1Loss,
        formula=r"\frac{r^2}{2\beta} \text{ for } |r| < \beta, \; |r| - \tfrac12\beta \text{ beyond}",
        paper="arXiv:1504.08083",
        equation="3",
        defaults="the paper, box coordinates of detectors",
        variants=({}, {"beta": 0.375}, {"beta": 0.0}),
        golden={"smooth_l1": _golden},
        search={"beta": Range(0.01, 5.0, log=True)},
        when="Box coordinates and other targets of a known scale, with outliers.",
        pitfalls=("It is not huber_loss: the two agree only at delta = beta = 1.",),
        relatives=("huber_loss", "l1_loss"),
    ),
    _card(
        fn=log_cosh_loss,
        module=LogCoshLoss,
        formula=r"\log\cosh(x - y)",
        paper="arXiv:2208.04564",
        equation="",
        defaults="no hyperparameters",
        golden={"log_cosh": _golden},
        when="As Huber with delta = 1, where second derivatives matter.",
        pitfalls=(
            "Written with softplus it returns 0 for residuals of 1e-4 in float32.",
            "Written as log(cosh(r)) it overflows at 90 in float32.",
        ),
        relatives=("huber_loss", "mse_loss"),
    ),
    _card(
        fn=quantile_loss,
        module=QuantileLoss,
        formula=r"q \max(0, y - x) + (1 - q) \max(0, x - y)",
        paper="Koenker and Bassett, Regression Quantiles, 1978",
        equation="",
        defaults="the median",
        variants=({}, {"quantile": 0.125}, {"quantile": 0.9}),
        golden={"quantile": _golden},
        search={"quantile": Choice((0.1, 0.5, 0.9))},
        when="Prediction intervals, or costs that differ for too high and too low.",
        pitfalls=(
            "q is the share of targets below the prediction; with the residual's sign swapped it is 1 - q.",
            "Quantiles predicted one by one may cross.",
        ),
        relatives=("l1_loss",),
    ),
)
