"""Regression: a predicted number, a true one, and a cost for the residual between them."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Choice
from lossary.core.check import as_numbers, check_float, check_numbers, check_same_shape
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, align, divide, one_weight
from lossary.core.rules import Number, checked
from lossary.distributed import across_ranks, gathered
from lossary.kernels.stable import accumulate, accumulator, common, like_torch, scales
from lossary.losses._pointwise import hide, pointwise, pointwise_by_torch
from lossary.losses.values._shared import value_card

__all__ = [
    "L1Loss",
    "MSELoss",
    "MeanBiasError",
    "QuantileLoss",
    "RMSELoss",
    "l1_loss",
    "mean_bias_error",
    "mse_loss",
    "quantile_loss",
    "rmse_loss",
]


def _both(weight: Tensor | None, sample_weight: Tensor | None, input: Tensor) -> Tensor | None:
    """torch's ``weight``, one per element, combined with ours."""
    if weight is None:
        return sample_weight
    check_same_shape("weight", weight, "input", input)
    rows, _ = align(sample_weight, None, input.shape)
    return weight if rows is None else accumulate(weight) * accumulate(rows)


@checked
def mean_bias_error(
    input: Tensor,
    target: Tensor,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The signed error: how far predictions lie above the truth on average. A diagnostic, not a training loss.

    .. math:: x - y

    Errors of opposite signs cancel and the value has no lower bound, so minimising it only pushes all predictions down.

    Args:
        input: Predictions, any shape.
        target: True values, the shape of ``input``.
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
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
        Standard in forecasting. Some write truth minus prediction; here, positive means a prediction that is too high.
    """
    return pointwise(torch.sub, input, target, sample_weight=sample_weight, mask=mask, reduction=reduction)


class MeanBiasError(Loss):
    """:func:`mean_bias_error` as a Module."""

    fn = staticmethod(mean_bias_error)
    reduction: Reduction = "mean"


@checked
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
        weight: As in torch: one weight per element, mean is ``sum(w l) / sum(w)``.
        halved: Multiply by 1/2, so that the gradient is the residual itself.
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
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
        Legendre 1805, Gauss 1809. As in torch, there is no factor 1/2; texts on the L2 divergence have it. Nothing to
        average gives 0 here, NaN in torch.
    """

    def squared(x: Tensor, y: Tensor, reduction: str) -> Tensor:
        loss = F.mse_loss(x, y, reduction=reduction)
        return loss / 2 if halved else loss

    weight = _both(weight, sample_weight, input)
    kernel = ("squares", 0.5 if halved else 1.0, 0.0, 0.0)
    of_elements: dict[str, Any] = {"sample_weight": weight, "mask": mask, "reduction": reduction}
    loss = pointwise_by_torch(squared, input, target, kernel=kernel, **of_elements)
    return like_torch(loss, input, target)


class MSELoss(Loss):
    """:func:`mse_loss` as a Module."""

    fn = staticmethod(mse_loss)
    reduction: Reduction = "mean"
    weight: Tensor | None = None
    halved: bool = False


@across_ranks
@checked
def rmse_loss(
    input: Tensor,
    target: Tensor,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""The root of the mean squared error of a batch, in the units of the target.

    .. math:: \sqrt{\frac{\sum_i w_i (x_i - y_i)^2}{\sum_i w_i}}

    Args:
        input: Predictions, any shape.
        target: True values, the shape of ``input``.
        sample_weight: One weight per element, or one per sample, (N,).
        mask: Boolean, True where an element counts; values elsewhere may be NaN.
        group: Process group over whose combined batches the mean is taken.

    Returns:
        A scalar. It is defined only for a whole batch, so there is no ``reduction``. The gradient is 0 where everything
        is right. Residuals whose squares overflow or underflow do no harm.

    Raises:
        ValueError: Shapes that differ.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> rmse_loss(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 2.0]))
        tensor(1.)

    Source:
        Gauss, Theoria combinationis, 1823; the paper numbers none. Its gradient has the same length however small the
        error is; in common code, ``sqrt(mse)``, it is NaN where everything is right.
    """
    check_float("input", input)
    check_same_shape("target", target, "input", input)
    sample_weight, mask = align(sample_weight, mask, input.shape)
    dtype = common(accumulator(input), target.dtype)
    residual = hide(input.to(dtype), mask) - hide(target.to(dtype), mask)
    weight = one_weight(sample_weight, mask, input.shape, dtype)
    weight = None if weight is None else weight.to(dtype)
    residual, weight = gathered(group, input=residual, sample_weight=weight)
    if not residual.numel():
        return residual.sum()
    if weight is None:
        return _length(residual.flatten()) / residual.numel() ** 0.5
    return divide(_length((residual * weight.sqrt()).flatten()), weight.sum().sqrt())


def _length(x: Tensor) -> Tensor:
    """|x| of a vector, even if its squares are out of range; the gradient at 0 is 0."""
    scale = scales(x, 0)
    squares = (x / scale).square().sum()
    zero = squares == 0
    return (squares + zero).sqrt() * ~zero * scale[0]


class RMSELoss(Loss):
    """:func:`rmse_loss` as a Module."""

    fn = staticmethod(rmse_loss)


@checked
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
        weight: As in torch: one weight per element, mean is ``sum(w l) / sum(w)``.
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
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
        Boscovich 1757, Laplace 1788. The mean of the absolute errors, not the absolute value of the mean error, as is
        sometimes written. Nothing to average gives 0 here, NaN in torch.
    """

    weight = _both(weight, sample_weight, input)
    loss = pointwise_by_torch(F.l1_loss, input, target, sample_weight=weight, mask=mask, reduction=reduction)
    return like_torch(loss, input, target)


class L1Loss(Loss):
    """:func:`l1_loss` as a Module."""

    fn = staticmethod(l1_loss)
    reduction: Reduction = "mean"
    weight: Tensor | None = None


#: One level or several, each strictly between 0 and 1.
Quantile = Annotated[float | Sequence[float], partial(check_numbers, low=0, high=1, open_low=True, open_high=True)]


@checked
def quantile_loss(
    input: Tensor,
    target: Tensor,
    *,
    quantile: Quantile = 0.5,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The pinball loss, minimised by a quantile of the target instead of its mean.

    .. math:: q \max(0, y - x) + (1 - q) \max(0, x - y)

    Args:
        input: Predictions, any shape; with several quantiles (..., Q), one column per quantile.
        target: True values, the shape of ``input``; with several quantiles (...).
        quantile: q, the share of targets that should lie below the prediction, in (0, 1); one or several.
        sample_weight: One weight per element of ``input``, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
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
    quantiles, one = as_numbers(quantile)
    if not one:
        if input.dim() == 0 or input.shape[-1] != len(quantiles):
            raise ValueError(f"input: wanted (..., {len(quantiles)}), a column per quantile; got {tuple(input.shape)}")
        check_same_shape("target", target, "one column of input", input[..., 0])
        target = target.unsqueeze(-1).expand(input.shape)

    levels: Any = quantiles[0] if one else torch.tensor(quantiles, dtype=accumulator(input), device=input.device)

    def pinball(x: Tensor, y: Tensor, q: Number) -> Tensor:
        return q * (y - x).relu() + (1 - q) * (x - y).relu()

    return pointwise(pinball, input, target, levels, sample_weight=sample_weight, mask=mask, reduction=reduction)


class QuantileLoss(Loss):
    """:func:`quantile_loss` as a Module."""

    fn = staticmethod(quantile_loss)
    quantile: Quantile = 0.5
    reduction: Reduction = "mean"


_BROADCAST = "A target of (N,) with predictions of (N, 1) broadcasts to (N, N) in torch; here it is an error."


CARDS = (
    value_card(
        fn=mean_bias_error,
        module=MeanBiasError,
        formula="x - y",
        symbols={
            r"x": "`input`, the prediction",
            r"y": "`target`, the true value",
        },
        has_minimum=False,
        paper="standard in forecasting",
        equation="textbook",
        defaults="no hyperparameters",
        when="To see whether a trained model predicts too high or too low. Never to train one.",
        pitfalls=("Errors of opposite signs cancel: a mean bias of 0 says nothing about accuracy.",),
        relatives=("l1_loss", "mse_loss"),
    ),
    value_card(
        fn=mse_loss,
        module=MSELoss,
        formula="(x - y)^2",
        symbols={
            r"x": "`input`, the prediction",
            r"y": "`target`, the true value",
        },
        paper="Legendre 1805, Gauss 1809",
        equation="textbook",
        defaults="torch",
        untuned="`halved` scales the gradient, as the learning rate does",
        when="Residuals without outliers, when the mean of the target is wanted.",
        pitfalls=(
            "One outlier of 100 weighs as much as 10,000 residuals of 1.",
            "With sigmoid or softmax outputs it has plateaus where the model is most wrong: use a cross-entropy.",
            _BROADCAST,
        ),
        relatives=("huber_loss", "l1_loss", "log_cosh_loss"),
    ),
    value_card(
        fn=rmse_loss,
        module=RMSELoss,
        formula=r"\sqrt{\frac{\sum_i w_i (x_i - y_i)^2}{\sum_i w_i}}",
        symbols={
            r"i": "every element of the batch",
            r"w_i": "`sample_weight`, 1 without it",
            r"x_i": "`input`, the prediction",
            r"y_i": "`target`, the true value",
        },
        item="batch",
        separable=False,
        mean_is_plain=False,
        at_call=frozenset({"sample_weight", "mask", "group"}),
        paper="Gauss, Theoria combinationis observationum, 1823",
        equation="unnumbered",
        defaults="no hyperparameters",
        when="A loss in the units of the target, for instance in a sum of losses. On its own, mse_loss is as good.",
        pitfalls=(
            "The gradient of sqrt(mse) is NaN where everything is right.",
            "The mean over batches is not the loss of all data: small batches report too little.",
            "Its gradient does not shrink near the answer: lower the learning rate towards the end.",
        ),
        relatives=("mse_loss", "l1_loss", "msle_loss"),
    ),
    value_card(
        fn=l1_loss,
        module=L1Loss,
        formula="|x - y|",
        symbols={
            r"x": "`input`, the prediction",
            r"y": "`target`, the true value",
        },
        paper="Boscovich 1757, Laplace 1788",
        equation="textbook",
        defaults="torch",
        when="Targets with outliers, when the median is wanted.",
        pitfalls=(
            "Its gradient does not shrink near the answer: lower the learning rate towards the end.",
            "It is less sensitive to outliers than the squared error, but not insensitive.",
            _BROADCAST,
        ),
        relatives=("huber_loss", "smooth_l1_loss", "quantile_loss", "mse_loss"),
        aliases=("mae_loss", "MAELoss"),
    ),
    value_card(
        fn=quantile_loss,
        module=QuantileLoss,
        formula=r"q \max(0, y - x) + (1 - q) \max(0, x - y)",
        symbols={
            r"q": "`quantile`: the share of targets that should lie below the prediction, in (0, 1)",
            r"y": "`target`, the true value",
            r"x": "`input`, the prediction",
        },
        paper="Koenker and Bassett, Regression Quantiles, 1978",
        equation="unconfirmed",
        defaults="the median",
        search={"quantile": Choice((0.1, 0.5, 0.9))},
        when="Prediction intervals, or different costs for too high and too low.",
        pitfalls=(
            "q is the share of targets below the prediction; with the residual's sign swapped it is 1 - q.",
            "Quantiles predicted separately may cross.",
        ),
        relatives=("l1_loss",),
    ),
)
