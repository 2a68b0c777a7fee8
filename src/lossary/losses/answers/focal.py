"""Yes or no where most answers are easy: cross-entropy that fades out what is already right."""

from typing import Annotated, Any

import torch
from torch import Tensor

from lossary.core.card import Range
from lossary.core.check import (
    check_tensor,
    values_visible,
)
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction
from lossary.core.rules import FRACTION, NOT_NEGATIVE, checked
from lossary.kernels.elementwise import Argument
from lossary.kernels.stable import softplus
from lossary.losses.answers._focal_slopes import slope_of_decided, slope_unseen, slope_unseen_decided
from lossary.losses.answers._shared import logit_card, powerable
from lossary.losses.answers.binary import binary_loss

__all__ = [
    "SigmoidFocalLoss",
    "SigmoidPolyFocalLoss",
    "sigmoid_focal_loss",
    "sigmoid_poly_focal_loss",
]


def entropy_and_fade(z: Tensor, y: Tensor, gamma: float, hard: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The cross-entropy; 1 - p_t, where p_t = y p + (1 - y)(1 - p); and its power gamma."""
    if hard or decided(y):  # half the work
        against = (1 - 2 * y) * z  # above 0 where it is wrong
        return _with_fade(softplus(against), torch.sigmoid(against), gamma)
    entropy = y * softplus(-z) + (1 - y) * softplus(z)
    return _with_fade(entropy, y * torch.sigmoid(-z) + (1 - y) * torch.sigmoid(z), gamma)


def _with_fade(entropy: Tensor, wrong: Tensor, gamma: float) -> tuple[Tensor, Tensor, Tensor]:
    wrong = powerable(wrong, gamma)
    return entropy, wrong, wrong**gamma


def decided(y: Tensor) -> bool:
    """Whether all targets are visible and 0 or 1."""
    # A target that learns would get the gradient of another formula.
    if y.requires_grad or not values_visible(y):
        return False
    between = torch.addcmul(y, y, y, value=-1).reshape(-1)
    return between.dot(between).item() == 0


def alpha_weighted(loss: Tensor, y: Tensor, alpha: float | None) -> Tensor:
    return loss if alpha is None else loss * ((2 * alpha - 1) * y + (1 - alpha))


@checked
def sigmoid_focal_loss(
    input: Tensor,
    target: Tensor,
    *,
    gamma: Annotated[float, NOT_NEGATIVE] = 2.0,
    alpha: Annotated[float, FRACTION] | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Binary cross-entropy that fades out examples that are already right.

    .. math:: -\alpha_t (1 - p_t)^\gamma \log p_t

    Args:
        input: Logits, any shape.
        target: The shape of ``input``: bool, integers 0 and 1, or probabilities in [0, 1].
        gamma: How fast right answers fade, at least 0; 0 is the plain cross-entropy.
        alpha: Weight of positives in [0, 1], negatives get 1 - alpha; None weights neither.
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"`` over all elements (the paper
            divides by the number of anchors with an object: divide the sum by it).

    Returns:
        A scalar, or the shape of ``input``.

    Raises:
        ValueError: Shapes that differ, ``gamma`` below 0, ``alpha`` or a target outside of [0, 1].
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> sigmoid_focal_loss(torch.tensor([4.0, 0.0]), torch.tensor([1, 1]), reduction="none")
        tensor([5.8716e-06, 1.7329e-01])

    Source:
        Lin et al., Focal Loss, arXiv:1708.02002, eq. 5; gamma = 2 is the paper's best, with alpha = 0.25. Common code
        takes a power of 1 - p, whose gradient is NaN for gamma below 1 at logits past 17 (float32).
    """
    check_tensor("target", target)
    hard = not target.dtype.is_floating_point

    def focal(z: Tensor, y: Tensor) -> Tensor:
        entropy, _, fade = entropy_and_fade(z, y, gamma, hard)
        return alpha_weighted(entropy * fade, y, alpha)

    def slope(z: Tensor, y: Tensor, share: float, *, out: Tensor) -> Argument:
        if isinstance(gamma, Tensor):
            return None
        of_elements = (z, y, gamma, alpha, share, out)
        if values_visible(z):
            return slope_of_decided(*of_elements) if hard or decided(y) else None
        if hard:
            return slope_unseen_decided(*of_elements)
        return slope_unseen(*of_elements) if gamma >= 1 else None

    of_elements: dict[str, Any] = {"sample_weight": sample_weight, "mask": mask, "reduction": reduction}
    plain = not isinstance(gamma, Tensor) and not isinstance(alpha, Tensor)
    kernel = ("focal", float(gamma), *((1.0, 1.0) if alpha is None else (alpha, 1.0 - alpha))) if plain else None
    return binary_loss(focal, input, target, slope=slope, kernel=kernel, **of_elements)


class SigmoidFocalLoss(Loss):
    """:func:`sigmoid_focal_loss` as a Module."""

    fn = staticmethod(sigmoid_focal_loss)
    gamma: Annotated[float, NOT_NEGATIVE] = 2.0
    alpha: Annotated[float, FRACTION] | None = None
    reduction: Reduction = "mean"


@checked
def sigmoid_poly_focal_loss(
    input: Tensor,
    target: Tensor,
    *,
    epsilon: float = 1.0,
    gamma: Annotated[float, NOT_NEGATIVE] = 2.0,
    alpha: Annotated[float, FRACTION] | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Sigmoid focal loss with the first coefficient of its power series changed by epsilon (Poly-1).

    .. math:: -\alpha_t (1 - p_t)^\gamma \log p_t + \varepsilon (1 - p_t)^{\gamma + 1}

    Args:
        input: Logits, any shape.
        target: The shape of ``input``: bool, integers 0 and 1, or probabilities in [0, 1].
        epsilon: Change of the first coefficient, at least -1 to keep it from turning negative.
        gamma: How fast right answers fade, at least 0.
        alpha: Weight of positives in [0, 1], negatives get 1 - alpha; None weights neither.
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"`` over all elements.

    Returns:
        A scalar, or the shape of ``input``.

    Raises:
        ValueError: Shapes that differ, ``gamma`` below 0, ``alpha`` or a target outside of [0, 1].
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> sigmoid_poly_focal_loss(torch.tensor([0.0]), torch.tensor([1]))
        tensor(0.2983)

    Source:
        Leng et al., PolyLoss, arXiv:2204.12511, with focal loss as the base. As in the paper's listing, alpha does not
        multiply the added term.
    """
    check_tensor("target", target)
    hard = not target.dtype.is_floating_point

    def poly(z: Tensor, y: Tensor) -> Tensor:
        entropy, wrong, fade = entropy_and_fade(z, y, gamma, hard)
        return alpha_weighted(entropy * fade, y, alpha) + epsilon * wrong * fade

    return binary_loss(poly, input, target, sample_weight=sample_weight, mask=mask, reduction=reduction)


class SigmoidPolyFocalLoss(Loss):
    """:func:`sigmoid_poly_focal_loss` as a Module."""

    fn = staticmethod(sigmoid_poly_focal_loss)
    epsilon: float = 1.0
    gamma: Annotated[float, NOT_NEGATIVE] = 2.0
    alpha: Annotated[float, FRACTION] | None = None
    reduction: Reduction = "mean"


CARDS = (
    logit_card(
        fn=sigmoid_focal_loss,
        module=SigmoidFocalLoss,
        formula=r"-\alpha_t (1 - p_t)^\gamma \log p_t",
        symbols={
            r"\alpha_t": "`alpha` where `target` is 1, 1 - `alpha` where it is 0; 1 everywhere without `alpha`",
            r"p_t": (
                "the probability given to the `target`: sigmoid of `input` where it is 1, one minus that where it is 0"
            ),
            r"\gamma": "`gamma`: how fast examples that are already right fade; 0 is the plain cross-entropy",
        },
        paper="arXiv:1708.02002",
        equation="5",
        defaults="gamma: the paper; alpha: off (the paper: 0.25)",
        search={"gamma": Range(0.0, 5.0), "alpha": Range(0.05, 0.95)},
        when="Few positives among very many easy negatives, as in dense detection.",
        pitfalls=(
            "(1 - p)^gamma as a power has a NaN gradient for gamma below 1 once p rounds to 1.",
            "alpha = 0.25 makes positives lighter: it was tuned together with gamma = 2.",
            "The paper divides by the number of positives, not of elements: the learning rate does not carry over.",
        ),
        relatives=("focal_loss", "binary_cross_entropy_with_logits", "sigmoid_poly_focal_loss"),
    ),
    logit_card(
        fn=sigmoid_poly_focal_loss,
        module=SigmoidPolyFocalLoss,
        formula=r"-\alpha_t (1 - p_t)^\gamma \log p_t + \varepsilon (1 - p_t)^{\gamma + 1}",
        symbols={
            r"\alpha_t": (
                "`alpha` where `target` is 1, 1 - `alpha` where it is 0; 1 everywhere without `alpha`; of the "
                "focal term alone"
            ),
            r"p_t": (
                "the probability given to the `target`: sigmoid of `input` where it is 1, one minus that where it is 0"
            ),
            r"\gamma": "`gamma`: how fast examples that are already right fade; 0 is Poly-1 of the plain cross-entropy",
            r"\varepsilon": "`epsilon`: the change of the first coefficient of the power series, at least -1",
        },
        paper="arXiv:2204.12511",
        equation="unconfirmed",
        defaults="epsilon = 1: the paper's listing; gamma: the focal loss",
        search={"epsilon": Range(-1.0, 4.0), "gamma": Range(0.0, 5.0)},
        when="Like the sigmoid focal loss, with one more number to tune.",
        pitfalls=("alpha does not multiply the added term.",),
        relatives=("sigmoid_focal_loss", "poly_focal_loss"),
    ),
)
