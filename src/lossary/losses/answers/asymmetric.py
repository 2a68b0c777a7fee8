"""Many labels, of which few hold: losses that treat yes and no differently."""

import math
from functools import partial
from typing import Annotated, Any

import torch
from torch import Tensor

from lossary.core.card import Range
from lossary.core.check import check_number
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction
from lossary.core.rules import NOT_NEGATIVE, checked
from lossary.kernels.stable import softplus
from lossary.losses.answers._shared import logit_card, powerable
from lossary.losses.answers.binary import binary_loss

__all__ = ["AsymmetricLoss", "asymmetric_loss"]

#: A probability subtracted from another: below 1.
Shift = Annotated[float, partial(check_number, low=0, high=1, open_high=True)]


def _shifted(z: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """max(p - m, 0), and -log of one minus that, exact on either side of 1/2 and down to the threshold."""
    if margin == 0:
        return torch.sigmoid(z), softplus(z)
    above = (z - math.log(margin / (1 - margin))).relu()
    # p - m as a product: a difference would lose its digits at the threshold, where it is raised to a power.
    p = torch.sigmoid(z) * (1 - margin) * -torch.expm1(-above)
    small = p < 0.5
    near = -torch.log1p(-torch.where(small, p, 0))
    far = -torch.log(margin + torch.sigmoid(-z))
    return p, torch.where(small, near, far)


@checked
def asymmetric_loss(
    input: Tensor,
    target: Tensor,
    *,
    gamma_positive: Annotated[float, NOT_NEGATIVE] = 0.0,
    gamma_negative: Annotated[float, NOT_NEGATIVE] = 4.0,
    margin: Shift = 0.05,
    hold_focus: bool = False,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Binary cross-entropy that fades out easy labels, absent ones more than present ones (ASL).

    .. math:: -y\,(1 - p)^{\gamma_+} \log p - (1 - y)\, p_m^{\gamma_-} \log(1 - p_m), \quad p_m = \max(p - m, 0)

    Args:
        input: Logits, any shape; for many labels (N, C).
        target: The shape of ``input``: bool, integers 0 and 1, or probabilities in [0, 1].
        gamma_positive: How fast present labels fade once they are found, at least 0.
        gamma_negative: How fast absent labels fade once they are ruled out, at least 0.
        margin: m in [0, 1), a probability: an absent label that scores below it costs nothing.
        hold_focus: Whether the gradient treats the powers as constants.
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"`` over all elements (the paper's code
            sums).

    Returns:
        A scalar, or the shape of ``input``. The gradient exactly at the threshold p = m is 0.

    Raises:
        ValueError: Shapes that differ, a power below 0, ``margin`` outside of [0, 1), a target outside of [0, 1].
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> asymmetric_loss(torch.tensor([0.0, 0.0, -3.0]), torch.tensor([1, 0, 0]), reduction="none")
        tensor([0.6931, 0.0245, 0.0000])

    Source:
        Ridnik et al., Asymmetric Loss For Multi-Label Classification, arXiv:2009.14119; the defaults are its
        recommendation; its code and timm use 1 for the power of positives. They clamp logarithms at 1e-8, which is 0 in
        float16: infinite losses and NaN gradients. Their ``disable_torch_grad_focal_loss`` is ``hold_focus``; it turns
        gradients on for the whole program, even where they were off.
    """

    def asymmetric(z: Tensor, y: Tensor) -> Tensor:
        held = torch.Tensor.detach if hold_focus else _same
        p, negative = _shifted(z, margin)
        positive = held(_faded(torch.sigmoid(-z), gamma_positive)) * softplus(-z)
        return y * positive + (1 - y) * held(_faded(p, gamma_negative)) * negative

    of_elements: dict[str, Any] = {"sample_weight": sample_weight, "mask": mask, "reduction": reduction}
    return binary_loss(asymmetric, input, target, **of_elements)


def _faded(wrong: Tensor, gamma: float) -> Tensor:
    return powerable(wrong, gamma) ** gamma


def _same(x: Tensor) -> Tensor:
    return x


class AsymmetricLoss(Loss):
    """:func:`asymmetric_loss` as a Module."""

    fn = staticmethod(asymmetric_loss)
    gamma_positive: Annotated[float, NOT_NEGATIVE] = 0.0
    gamma_negative: Annotated[float, NOT_NEGATIVE] = 4.0
    margin: Shift = 0.05
    hold_focus: bool = False
    reduction: Reduction = "mean"


CARDS = (
    logit_card(
        fn=asymmetric_loss,
        module=AsymmetricLoss,
        formula=r"-y (1 - p)^{\gamma_+} \log p - (1 - y) p_m^{\gamma_-} \log(1 - p_m)",
        symbols={
            r"y": "`target`: 1 for a label that holds, 0 for one that does not, or a probability between",
            r"p": "the probability of the label: sigmoid of `input`",
            r"\gamma_+": "`gamma_positive`: how fast present labels fade once they are found",
            r"p_m": "p minus `margin`, m, or 0 where that is below 0",
            r"\gamma_-": "`gamma_negative`: how fast absent labels fade once they are ruled out",
        },
        paper="arXiv:2009.14119",
        equation="unconfirmed",
        defaults="what the paper recommends",
        search={
            "gamma_positive": Range(0.0, 2.0),
            "gamma_negative": Range(0.0, 6.0),
            "margin": Range(0.0, 0.2),
        },
        exact={"hold_focus": False},
        when="Many labels of which few hold at a time, and some present ones were never annotated.",
        pitfalls=(
            "Code that clamps the logarithm at 1e-8 takes log(0) in float16: NaN gradients.",
            "Absent labels hardly count, so the outputs are far above the true probabilities.",
            "The paper's code sums over labels and the batch: its learning rates are for a sum.",
        ),
        relatives=("sigmoid_focal_loss", "binary_cross_entropy_with_logits"),
    ),
)
