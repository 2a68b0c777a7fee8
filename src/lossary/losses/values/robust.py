"""Robust regression: quadratic near the answer, linear far out, so that outliers pull with bounded force."""

from functools import partial
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.core.card import Range
from lossary.core.check import check_same_shape
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction
from lossary.core.rules import NOT_NEGATIVE, POSITIVE, checked
from lossary.kernels.stable import like_torch
from lossary.losses._pointwise import pointwise, pointwise_by_torch
from lossary.losses.values._shared import value_card

__all__ = [
    "CharbonnierLoss",
    "HuberLoss",
    "LogCoshLoss",
    "SmoothL1Loss",
    "charbonnier_loss",
    "huber_loss",
    "log_cosh_loss",
    "smooth_l1_loss",
]


@checked
def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: Reduction = "mean",
    delta: Annotated[float, POSITIVE] = 1.0,
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
        delta: The residual where the loss turns linear, in the units of the target, above 0.
        weight: As in torch: one factor per element, not part of the mean's divisor (unlike in ``mse_loss``).
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
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
        ``smooth_l1_loss`` at beta = delta, and equal to it only at 1; the two are often confused. Nothing to average
        gives 0 here, NaN in torch.
    """
    if weight is not None:
        check_same_shape("weight", weight, "input", input)

    huber = partial(F.huber_loss, delta=delta)
    if weight is None:
        loss = pointwise_by_torch(huber, input, target, sample_weight=sample_weight, mask=mask, reduction=reduction)
    else:

        def weighted(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
            return huber(x, y, reduction="none") * weight

        of_elements: dict[str, Any] = {"sample_weight": sample_weight, "mask": mask, "reduction": reduction}
        loss = pointwise(weighted, input, target, weight, **of_elements)
    return like_torch(loss, input, target)


class HuberLoss(Loss):
    """:func:`huber_loss` as a Module."""

    fn = staticmethod(huber_loss)
    reduction: Reduction = "mean"
    delta: Annotated[float, POSITIVE] = 1.0
    weight: Tensor | None = None


@checked
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    reduction: Reduction = "mean",
    beta: Annotated[float, NOT_NEGATIVE] = 1.0,
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
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
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
        Girshick, Fast R-CNN, arXiv:1504.08083, eq. 3 (beta = 1); beta is torch's. Far out its slope is 1 whatever beta
        is, while Huber's is delta. Nothing to average gives 0 here, NaN in torch.
    """

    smooth = partial(F.smooth_l1_loss, beta=beta)
    loss = pointwise_by_torch(smooth, input, target, sample_weight=sample_weight, mask=mask, reduction=reduction)
    return like_torch(loss, input, target)


class SmoothL1Loss(Loss):
    """:func:`smooth_l1_loss` as a Module."""

    fn = staticmethod(smooth_l1_loss)
    reduction: Reduction = "mean"
    beta: Annotated[float, NOT_NEGATIVE] = 1.0


#: From here on log cosh r is |r| - log 2 to the last digit of float64.
_STRAIGHT = 20.0


def _log_cosh(x: Tensor, y: Tensor) -> Tensor:
    # log(1 + 2 sinh(r/2)^2) never cancels, and would overflow only where the loss is a straight line. The common form
    # with softplus returns 0 at 1e-4 in float32.
    r = x - y
    bent = r.clamp(-_STRAIGHT, _STRAIGHT)
    return torch.log1p(2 * torch.sinh(bent / 2).square()) + (r - bent).abs()


@checked
def log_cosh_loss(
    input: Tensor,
    target: Tensor,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Half the squared error near 0, the absolute error far out, smooth to every order in between.

    .. math:: \log\cosh(x - y)

    Args:
        input: Predictions, any shape.
        target: True values, the shape of ``input``. The turn lies at a residual of about 1: scale targets first.
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
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
        See Saleh and Saleh, arXiv:2208.04564. Common code uses a softplus, which returns 0 for small residuals.
    """
    return pointwise(_log_cosh, input, target, sample_weight=sample_weight, mask=mask, reduction=reduction)


class LogCoshLoss(Loss):
    """:func:`log_cosh_loss` as a Module."""

    fn = staticmethod(log_cosh_loss)
    reduction: Reduction = "mean"


@checked
def charbonnier_loss(
    input: Tensor,
    target: Tensor,
    *,
    eps: Annotated[float, POSITIVE] = 1e-3,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The absolute error with its corner rounded to a hyperbola, smooth to every order.

    .. math:: \sqrt{(x - y)^2 + \epsilon^2}

    Args:
        input: Predictions, any shape.
        target: True values, the shape of ``input``.
        eps: The loss at residual 0, and roughly the residual beyond which it is the absolute error; in the units of the
            target, above 0.
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts; values elsewhere may be NaN.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or the shape of ``input``; at least ``eps`` per element.

    Raises:
        ValueError: Shapes that differ, ``eps`` not above 0.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> charbonnier_loss(torch.tensor([0.0, 3.0]), torch.zeros(2), eps=4.0, reduction="none")
        tensor([4., 5.])

    Source:
        Charbonnier et al., Two deterministic half-quadratic regularization algorithms for computed imaging, 1994;
        eps = 1e-3 is Lai et al., arXiv:1710.01992, section 3.3, for images in [0, 1]. Some code adds eps, not its
        square, some subtracts eps, Kornia has eps = 1 and subtracts 1: only eps itself changes the gradient.
    """

    def hyperbola(x: Tensor, y: Tensor) -> Tensor:
        return torch.hypot(x - y, x.new_full((), eps))  # the square of eps would be 0 in float32 from 1e-23 down

    return pointwise(hyperbola, input, target, sample_weight=sample_weight, mask=mask, reduction=reduction)


class CharbonnierLoss(Loss):
    """:func:`charbonnier_loss` as a Module."""

    fn = staticmethod(charbonnier_loss)
    eps: Annotated[float, POSITIVE] = 1e-3
    reduction: Reduction = "mean"


CARDS = (
    value_card(
        fn=huber_loss,
        module=HuberLoss,
        formula=(
            r"\tfrac12 r^2 \text{ for } |r| \le \delta, \; \delta(|r| - \tfrac12\delta) \text{ beyond}; "
            r"\quad r = x - y"
        ),
        symbols={
            r"r": "the residual: `input` minus `target`",
            r"\delta": (
                "`delta`: the residual at which squared turns into absolute error, in units of the target, above 0"
            ),
            r"x": "`input`, the prediction",
            r"y": "`target`, the true value",
        },
        paper="Huber, Robust Estimation of a Location Parameter, 1964",
        equation="unconfirmed",
        defaults="torch",
        search={"delta": Range(0.1, 10.0, log=True)},
        when="Targets with some outliers. Set delta to the size of a typical residual.",
        pitfalls=(
            "It is not smooth_l1_loss: the two agree only at delta = beta = 1.",
            "delta has the target's units: 1 is small for prices and large for probabilities.",
            "Its second derivative jumps at delta.",
        ),
        relatives=("smooth_l1_loss", "log_cosh_loss", "mse_loss", "l1_loss"),
    ),
    value_card(
        fn=smooth_l1_loss,
        module=SmoothL1Loss,
        formula=r"\frac{r^2}{2\beta} \text{ for } |r| < \beta, \; |r| - \tfrac12\beta \text{ beyond}; \quad r = x - y",
        symbols={
            r"r": "the residual: `input` minus `target`",
            r"\beta": "`beta`: half the width of the rounded part, in units of the target; 0 gives the absolute error",
            r"x": "`input`, the prediction",
            r"y": "`target`, the true value",
        },
        paper="arXiv:1504.08083",
        equation="3",
        defaults="the paper, box coordinates of detectors",
        search={"beta": Range(0.01, 5.0, log=True)},
        when="Box coordinates and other targets of a known scale, with outliers.",
        pitfalls=("It is not huber_loss: the two agree only at delta = beta = 1.",),
        relatives=("huber_loss", "l1_loss"),
    ),
    value_card(
        fn=log_cosh_loss,
        module=LogCoshLoss,
        formula=r"\log\cosh(x - y)",
        symbols={
            r"x": "`input`, the prediction, in units in which the loss turns linear at errors of about 1",
            r"y": "`target`, the true value",
        },
        paper="arXiv:2208.04564",
        equation="unconfirmed",
        defaults="no hyperparameters",
        when="As Huber with delta = 1, where second derivatives matter.",
        pitfalls=(
            "Written with softplus it returns 0 for residuals of 1e-4 in float32.",
            "Written as log(cosh(r)) it overflows at 90 in float32.",
        ),
        relatives=("huber_loss", "mse_loss"),
    ),
    value_card(
        fn=charbonnier_loss,
        module=CharbonnierLoss,
        formula=r"\sqrt{(x - y)^2 + \epsilon^2}",
        symbols={
            r"x": "`input`, the prediction",
            r"y": "`target`, the true value",
            r"\epsilon": "`eps`: the loss at residual 0, above 0",
        },
        paper="Charbonnier et al., Two deterministic half-quadratic regularization algorithms for computed imaging, "
        "1994",
        equation="section 3.3 of arXiv:1710.01992, in this form",
        defaults="arXiv:1710.01992",
        search={"eps": Range(1e-3, 1.0, log=True)},
        when="Image restoration, in [0, 1]; anywhere else as a smooth l1_loss.",
        pitfalls=(
            "Where everything is right it is eps, not 0.",
            "Half precision: in float16, adding eps squared, 1e-6, has no effect; here it is added in float32.",
        ),
        relatives=("l1_loss", "huber_loss", "log_cosh_loss"),
    ),
)
