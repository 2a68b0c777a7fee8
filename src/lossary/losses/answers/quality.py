"""Scores of detectors: a logit says how well a candidate fits; the target is the fit itself (an IoU), or 0."""

from typing import Annotated, Any

import torch
from torch import Tensor

from lossary.core.card import Range
from lossary.core.check import check_tensor
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction
from lossary.core.rules import NOT_NEGATIVE, NotNegative, Number, checked
from lossary.kernels.stable import parameters, softplus
from lossary.losses._pointwise import decide
from lossary.losses.answers._shared import logit_card
from lossary.losses.answers.binary import binary_loss

__all__ = ["QualityFocalLoss", "VarifocalLoss", "quality_focal_loss", "varifocal_loss"]


def _entropy(z: Tensor, y: Tensor) -> Tensor:
    return y * softplus(-z) + (1 - y) * softplus(z)


@checked
def quality_focal_loss(
    input: Tensor,
    target: Tensor,
    *,
    beta: Annotated[float, NOT_NEGATIVE] = 2.0,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Cross-entropy with a quality in [0, 1], faded out where the score is near it: focal loss for soft targets.

    .. math:: -|y - \sigma(z)|^\beta \left[y \log\sigma(z) + (1 - y) \log(1 - \sigma(z))\right]

    Args:
        input: Logits, any shape; for detectors (N, C), one candidate per row.
        target: The shape of ``input``: the quality in [0, 1], such as the IoU of the candidate's box at its class, 0 at
            the others.
        beta: How fast scores near their quality fade, at least 0; 0 is the plain cross-entropy.
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"`` over all elements (detectors divide
            the sum by the number of positives).

    Returns:
        A scalar, or the shape of ``input``.

    Raises:
        ValueError: Shapes that differ, ``beta`` below 0, a target outside of [0, 1].
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> quality_focal_loss(torch.tensor([0.0, 0.0]), torch.tensor([0.5, 0.9]), reduction="none")
        tensor([0.0000, 0.1109])

    Source:
        Li et al., Generalized Focal Loss, arXiv:2006.04388, eq. 2, with its beta. At targets 0 and 1 it is
        :func:`sigmoid_focal_loss` at gamma = beta. The score's distance from 1 is computed as the sigmoid of -z: 1 -
        sigmoid(z), as in common code, is 0 for logits from 17 on in float32.
    """

    def formula(z: Tensor, y: Tensor) -> Tensor:
        off = (y * torch.sigmoid(-z) - (1 - y) * torch.sigmoid(z)).abs()
        met = off == 0  # where powers below 1 have no slope
        fade = torch.where(met, float(beta == 0), torch.where(met, 1, off) ** beta)
        return fade * _entropy(z, y)

    of_elements: dict[str, Any] = {"sample_weight": sample_weight, "mask": mask, "reduction": reduction}
    return binary_loss(formula, input, target, **of_elements)


class QualityFocalLoss(Loss):
    """:func:`quality_focal_loss` as a Module."""

    fn = staticmethod(quality_focal_loss)
    beta: Annotated[float, NOT_NEGATIVE] = 2.0
    reduction: Reduction = "mean"


@checked
def varifocal_loss(
    input: Tensor,
    target: Tensor,
    *,
    alpha: NotNegative = 0.75,
    gamma: NotNegative = 2.0,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Cross-entropy with a quality in [0, 1]: positives are weighted by how well they fit, easy negatives fade.

    .. math:: -q \left[q \log p + (1 - q) \log(1 - p)\right] \text{ for } q > 0, \quad
              -\alpha\, p^\gamma \log(1 - p) \text{ for } q = 0; \quad p = \sigma(z)

    Args:
        input: Logits, any shape; for detectors (N, C), one candidate per row.
        target: The shape of ``input``: q, the IoU of a positive candidate's box at its class; 0 at all others.
        alpha: Weight of the negatives, at least 0.
        gamma: How fast easy negatives fade, at least 0.
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"`` over all elements (detectors divide
            the sum by the number of positives).

    Returns:
        A scalar, or the shape of ``input``.

    Raises:
        ValueError: Shapes that differ, ``alpha`` or ``gamma`` below 0, a target outside of [0, 1], or one that requires
            a gradient: the loss jumps where it becomes 0.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> varifocal_loss(torch.tensor([0.0, 0.0]), torch.tensor([0.8, 0.0]), reduction="none")
        tensor([0.5545, 0.1300])

    Source:
        Zhang et al., VarifocalNet, arXiv:2008.13367, with its alpha and gamma. Powers are computed from logarithms, so
        the faintest negative keeps its gradient.
    """
    check_tensor("input", input)
    check_tensor("target", target)
    if target.requires_grad and torch.is_grad_enabled():
        raise ValueError(
            "target: wanted a tensor without requires_grad, since the loss jumps where it becomes 0; "
            "got one with it: detach it"
        )
    alpha, gamma = parameters((alpha, gamma), input)

    def formula(z: Tensor, q: Tensor, alpha: Number, gamma: Number) -> Tensor:
        return decide(q, q * _entropy(z, q), alpha * torch.exp(-gamma * softplus(-z)) * softplus(z))

    of_elements: dict[str, Any] = {"sample_weight": sample_weight, "mask": mask, "reduction": reduction}
    return binary_loss(formula, input, target, None, alpha, gamma, **of_elements)


class VarifocalLoss(Loss):
    """:func:`varifocal_loss` as a Module."""

    fn = staticmethod(varifocal_loss)
    alpha: NotNegative = 0.75
    gamma: NotNegative = 2.0
    reduction: Reduction = "mean"


_MEAN = (
    "The mean is over all elements, and nearly all are background: detectors divide the sum by the number of positives."
)

CARDS = (
    logit_card(
        fn=quality_focal_loss,
        module=QualityFocalLoss,
        formula=r"-|y - \sigma(z)|^\beta \left[y \log\sigma(z) + (1 - y) \log(1 - \sigma(z))\right]",
        symbols={
            r"z": "`input`, the logit",
            r"y": "`target`, the quality: the IoU of a candidate's box at its class, 0 at the others",
            r"\sigma": "the sigmoid",
            r"\beta": "`beta`: how fast scores near their quality fade",
        },
        paper="arXiv:2006.04388",
        equation="2",
        defaults="the paper",
        search={"beta": Range(0.5, 4.0)},
        when="Dense detectors whose score says how well the box fits, with a distribution focal loss for its sides.",
        pitfalls=(_MEAN, "At its target the loss is 0, unlike a cross-entropy with a soft target."),
        relatives=("varifocal_loss", "sigmoid_focal_loss", "binary_cross_entropy_with_logits"),
    ),
    logit_card(
        fn=varifocal_loss,
        module=VarifocalLoss,
        formula=(
            r"-q \left[q \log p + (1 - q) \log(1 - p)\right] \text{ for } q > 0, \; "
            r"-\alpha\, p^\gamma \log(1 - p) \text{ for } q = 0; \quad p = \sigma(z)"
        ),
        symbols={
            r"z": "`input`, the logit",
            r"p": "the score",
            r"\sigma": "the sigmoid",
            r"q": "`target`, the quality: the IoU of a positive candidate's box at its class, 0 at all others",
            r"\alpha": "`alpha`: the weight of negatives",
            r"\gamma": "`gamma`: how fast easy negatives fade",
        },
        paper="arXiv:2008.13367",
        equation="2",
        defaults="the paper",
        search={"alpha": Range(0.25, 1.0), "gamma": Range(0.5, 4.0)},
        when="Dense detectors whose score says how well the box fits, and candidates that are mostly background.",
        pitfalls=(_MEAN, "Positives that fit badly hardly count, and early in training that is all of them."),
        relatives=("quality_focal_loss", "sigmoid_focal_loss", "binary_cross_entropy_with_logits"),
    ),
)
