"""Cross-entropy and focal loss changed by powers of the true class's probability."""

from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.core.card import Range
from lossary.core.check import as_numbers, check_numbers, wide_integers
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction
from lossary.core.rules import ClassWeight, NotNegative, checked
from lossary.kernels.stable import softplus
from lossary.losses.classes._by_torch import AMPLE, mean_by_torch
from lossary.losses.classes._shared import (
    TAKES_LOGITS,
    Input,
    check_class_weight,
    class_card,
    class_loss,
    softmax_problem,
)
from lossary.losses.classes.softmax import focal_terms

__all__ = [
    "PolyFocalLoss",
    "PolyLoss",
    "poly_focal_loss",
    "poly_loss",
]


def _poly(gap: Tensor, *epsilon: float | Tensor) -> Tensor:
    miss, loss = F.logsigmoid(gap), softplus(gap)
    for power, value in enumerate(epsilon, start=1):
        loss = loss + value * torch.exp(power * miss)
    return loss


def _poly_by_torch(
    input: Input, target: Tensor, ignore_index: int, epsilon: tuple[float | Tensor, ...]
) -> Tensor | None:
    """The mean by torch's cross-entropy; None where that is less exact."""
    numbers = [e for e in epsilon if isinstance(e, (int, float))]
    if len(numbers) < len(epsilon):
        return None

    def changed(entropy: Tensor) -> Tensor:
        wrong = -torch.expm1(-entropy)
        return entropy + sum(e * wrong**power for power, e in enumerate(numbers, start=1))

    # How much faster than a small cross-entropy the loss may change with it.
    steepest = 1 + sum(power * abs(e) for power, e in enumerate(numbers, start=1))
    return mean_by_torch(changed, input, target, ignore_index, AMPLE * steepest)


#: One coefficient, or several in the order of their powers.
Epsilons = Annotated[float | Tensor | Sequence[float], check_numbers]


@checked
def poly_loss(
    input: Input,
    target: Tensor,
    *,
    epsilon: Epsilons = 1.0,
    class_weight: ClassWeight | None = None,
    ignore_index: int = -100,
    dim: int = 1,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Softmax cross-entropy with the first coefficients of its power series in 1 - p changed.

    .. math:: -\log p_y + \sum_{j=1}^{N} \varepsilon_j (1 - p_y)^j

    Args:
        input: Logits, (N, C), (N, C, d1, ...) or (C,); or linear scores, never materialised.
        target: Class indices of any integer dtype, the shape of ``input`` less the class dimension; or
            probabilities in the shape of ``input``.
        epsilon: The change of the first coefficient (Poly-1), or of the first N.
        class_weight: (C,), one weight per class: for indices the mean is ``sum(w l) / sum(w)``.
        ignore_index: An index target that does not count.
        dim: The class dimension; -1 for (B, L, C).
        sample_weight: One weight per item, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an item counts.
        reduction: ``"none"`` (the shape of ``input`` less the class dimension), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or one loss per item.

    Raises:
        ValueError: Shapes that do not fit, a single class of logits, an ``epsilon`` that is not finite.
        TypeError: Floating-point class indices.
        IndexError: A target outside of [0, C) that is not ``ignore_index``.

    Example:
        >>> import torch
        >>> poly_loss(torch.zeros(1, 2), torch.tensor([0]))
        tensor(1.1931)

    Source:
        Leng et al., PolyLoss, arXiv:2204.12511; epsilon = 1 is the default of its listing; it reports 2 for ImageNet.
    """
    target, (coefficients, _) = wide_integers("target", target), as_numbers(epsilon)
    plain = class_weight is None and sample_weight is None and mask is None and dim in (1, -1)
    if plain and reduction == "mean":
        loss = _poly_by_torch(input, target, ignore_index, coefficients)
        if loss is not None:
            return loss
    p = softmax_problem(
        input,
        target,
        sigmoid_form="sigmoid_poly_focal_loss",
        dim=dim,
        ignore_index=ignore_index,
        sample_weight=sample_weight,
        mask=mask,
    )
    check_class_weight("class_weight", class_weight, p.classes)
    return class_loss(_poly, p, scalars=coefficients, class_weight=class_weight, reduction=reduction)


class PolyLoss(Loss):
    """:func:`poly_loss` as a Module."""

    fn = staticmethod(poly_loss)
    epsilon: Epsilons = 1.0
    class_weight: ClassWeight | None = None
    ignore_index: int = -100
    dim: int = 1
    reduction: Reduction = "mean"


def _poly_focal(gap: Tensor, epsilon: float | Tensor, gamma: float | Tensor, *alpha: Tensor) -> Tensor:
    loss, miss = focal_terms(gap, gamma, *alpha)
    return loss + epsilon * torch.exp((gamma + 1) * miss)


@checked
def poly_focal_loss(
    input: Input,
    target: Tensor,
    *,
    epsilon: float | Tensor = 1.0,
    gamma: NotNegative = 2.0,
    alpha: ClassWeight | None = None,
    class_weight: ClassWeight | None = None,
    ignore_index: int = -100,
    dim: int = 1,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Softmax focal loss with the first coefficient of its power series changed by epsilon (Poly-1).

    .. math:: -\alpha_y (1 - p_y)^\gamma \log p_y + \varepsilon (1 - p_y)^{\gamma + 1}

    Args:
        input: Logits, (N, C), (N, C, d1, ...) or (C,); or linear scores, never materialised.
        target: Class indices of any integer dtype, the shape of ``input`` less the class dimension; or
            probabilities in the shape of ``input``.
        epsilon: Change of the first coefficient.
        gamma: How fast right answers fade, at least 0.
        alpha: (C,), one factor per class, of the focal term alone; not part of the mean's divisor.
        class_weight: (C,), one weight per class: for indices the mean is ``sum(w l) / sum(w)``.
        ignore_index: An index target that does not count.
        dim: The class dimension; -1 for (B, L, C).
        sample_weight: One weight per item, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an item counts.
        reduction: ``"none"`` (the shape of ``input`` less the class dimension), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or one loss per item.

    Raises:
        ValueError: Shapes that do not fit, a single class of logits, ``gamma`` below 0.
        TypeError: Floating-point class indices.
        IndexError: A target outside of [0, C) that is not ``ignore_index``.

    Example:
        >>> import torch
        >>> poly_focal_loss(torch.zeros(1, 2), torch.tensor([0]))
        tensor(0.2983)

    Source:
        Leng et al., PolyLoss, arXiv:2204.12511, with focal loss as the base. As in its listing, alpha does not multiply
        the added term.
    """
    p = softmax_problem(
        input,
        target,
        sigmoid_form="sigmoid_poly_focal_loss",
        dim=dim,
        ignore_index=ignore_index,
        sample_weight=sample_weight,
        mask=mask,
    )
    check_class_weight("alpha", alpha, p.classes)
    check_class_weight("class_weight", class_weight, p.classes)
    return class_loss(
        _poly_focal,
        p,
        scalars=(epsilon, gamma),
        per_class=(alpha,),
        class_weight=class_weight,
        reduction=reduction,
    )


class PolyFocalLoss(Loss):
    """:func:`poly_focal_loss` as a Module."""

    fn = staticmethod(poly_focal_loss)
    epsilon: float | Tensor = 1.0
    gamma: NotNegative = 2.0
    alpha: ClassWeight | None = None
    class_weight: ClassWeight | None = None
    ignore_index: int = -100
    dim: int = 1
    reduction: Reduction = "mean"


CARDS = (
    class_card(
        fn=poly_loss,
        module=PolyLoss,
        formula=r"-\log p_y + \sum_{j=1}^{N} \varepsilon_j (1 - p_y)^j",
        symbols={
            r"p_y": "the probability given to the true class: softmax of `input` there",
            r"y": "`target`, the true class",
            r"j": "the power, from 1 to N",
            r"N": "the number of coefficients in `epsilon`: 1 for Poly-1",
            r"\varepsilon_j": (
                "`epsilon`: the change of the series' j-th coefficient, which is 1 / j in the cross-entropy"
            ),
        },
        paper="arXiv:2204.12511",
        equation="unconfirmed",
        defaults="the paper's listing",
        search={"epsilon": Range(-1.0, 6.0)},
        when="You have a well-tuned cross-entropy and can tune one more number.",
        pitfalls=(
            "The best epsilon depends on the data: the paper uses 2 for ImageNet and -1 for detection.",
            *TAKES_LOGITS,
        ),
        relatives=("cross_entropy", "focal_loss", "poly_focal_loss"),
    ),
    class_card(
        fn=poly_focal_loss,
        module=PolyFocalLoss,
        formula=r"-\alpha_y (1 - p_y)^\gamma \log p_y + \varepsilon (1 - p_y)^{\gamma + 1}",
        symbols={
            r"\alpha_y": "`alpha` of the true class, 1 without it; for the focal term alone",
            r"y": "`target`, the true class",
            r"p_y": "the probability given to the true class: softmax of `input` there",
            r"\gamma": "`gamma`: how fast examples that are already right fade; 0 is Poly-1 of the plain cross-entropy",
            r"\varepsilon": "`epsilon`: the change of the first coefficient of the power series",
        },
        paper="arXiv:2204.12511",
        equation="unconfirmed",
        defaults="epsilon: the paper's listing; gamma: the focal loss",
        search={"epsilon": Range(-1.0, 4.0), "gamma": Range(0.0, 5.0)},
        when="Like the focal loss, with one more number to tune.",
        pitfalls=("alpha does not multiply the added term.", *TAKES_LOGITS),
        relatives=("focal_loss", "poly_loss", "sigmoid_poly_focal_loss"),
    ),
)
