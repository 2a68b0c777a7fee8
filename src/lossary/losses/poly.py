"""PolyLoss: the power series of cross-entropy and focal loss in 1 - p, with its first coefficients changed."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary._check import as_numbers, check_numbers, check_tensor
from lossary._loss import Loss
from lossary._reduce import Reduction
from lossary._rules import FRACTION, NOT_NEGATIVE, ClassWeight, NotNegative, checked
from lossary.cards import Call, Range
from lossary.kernels.rows import Rows
from lossary.kernels.stable import softplus
from lossary.losses._classes import Input, check_class_weight, class_loss, softmax_problem
from lossary.losses._facts import CLASS_WEIGHT, TAKES_LOGITS, class_card, draw_logits, golden_classes, logit_card
from lossary.losses.binary import alpha_weighted, binary_loss, entropy_and_fade
from lossary.losses.multiclass import focal_terms

__all__ = [
    "PolyFocalLoss",
    "PolyLoss",
    "SigmoidPolyFocalLoss",
    "poly_focal_loss",
    "poly_loss",
    "sigmoid_poly_focal_loss",
]


def _poly(rows: Rows, *epsilon: float | Tensor) -> Tensor:
    gap = rows.rest - rows.target
    miss, loss = F.logsigmoid(gap), softplus(gap)
    for power, value in enumerate(epsilon, start=1):
        loss = loss + value * torch.exp(power * miss)
    return loss


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
        input: Logits, (N, C), (N, C, d1, ...) or (C,); or linear scores, never held whole.
        target: Class indices of any integer dtype, the shape of ``input`` less the class dimension; or
            probabilities in the shape of ``input``.
        epsilon: The change of the first coefficient (Poly-1), or of the first N.
        class_weight: (C,), a weight a class: for indices the mean is ``sum(w l) / sum(w)``.
        ignore_index: An index target that does not count.
        dim: The class dimension; -1 for (B, L, C).
        sample_weight: One weight an item, or one a sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an item counts.
        reduction: ``"none"`` (the shape of ``input`` less the class dimension), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or one loss an item.

    Raises:
        ValueError: Shapes that do not fit, a single class of logits, an ``epsilon`` that is not finite.
        TypeError: Floating-point class indices.
        IndexError: A target outside of [0, C) that is not ``ignore_index``.

    Example:
        >>> import torch
        >>> poly_loss(torch.zeros(1, 2), torch.tensor([0]))
        tensor(1.1931)

    Source:
        Leng et al., PolyLoss, arXiv:2204.12511; epsilon = 1 is its listing's default, it reports 2 for ImageNet.
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
    check_class_weight("class_weight", class_weight, p.classes)
    return class_loss(_poly, p, scalars=as_numbers(epsilon)[0], class_weight=class_weight, reduction=reduction)


class PolyLoss(Loss):
    """:func:`poly_loss` as a Module."""

    fn = staticmethod(poly_loss)
    epsilon: Epsilons = 1.0
    class_weight: ClassWeight | None = None
    ignore_index: int = -100
    dim: int = 1
    reduction: Reduction = "mean"


def _poly_focal(rows: Rows, epsilon: float | Tensor, gamma: float | Tensor, *alpha: Tensor) -> Tensor:
    loss, miss = focal_terms(rows, gamma, *alpha)
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
        input: Logits, (N, C), (N, C, d1, ...) or (C,); or linear scores, never held whole.
        target: Class indices of any integer dtype, the shape of ``input`` less the class dimension; or
            probabilities in the shape of ``input``.
        epsilon: Change of the first coefficient.
        gamma: How fast right answers fade, at least 0.
        alpha: (C,), a factor a class of the focal term alone, not part of the mean's divisor.
        class_weight: (C,), a weight a class: for indices the mean is ``sum(w l) / sum(w)``.
        ignore_index: An index target that does not count.
        dim: The class dimension; -1 for (B, L, C).
        sample_weight: One weight an item, or one a sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an item counts.
        reduction: ``"none"`` (the shape of ``input`` less the class dimension), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or one loss an item.

    Raises:
        ValueError: Shapes that do not fit, a single class of logits, ``gamma`` below 0.
        TypeError: Floating-point class indices.
        IndexError: A target outside of [0, C) that is not ``ignore_index``.

    Example:
        >>> import torch
        >>> poly_focal_loss(torch.zeros(1, 2), torch.tensor([0]))
        tensor(0.2983)

    Source:
        Leng et al., PolyLoss, arXiv:2204.12511, with focal loss as the base. As in its listing alpha does not
        multiply the added term.
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
        alpha: Weight of positives in [0, 1], negatives get 1 - alpha; None: neither.
        sample_weight: One weight an element, or one a sample, (N,); mean is ``sum(w l) / sum(w)``.
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
        Leng et al., PolyLoss, arXiv:2204.12511, with focal loss as the base. As in the paper's listing alpha
        does not multiply the added term.
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


def _golden_sigmoid(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call | None:
    if params["kind"] != "sigmoid":
        return None
    return Call((inputs["input"], inputs["target"]), {n: v for n, v in params.items() if n != "kind"})


CARDS = (
    class_card(
        fn=poly_loss,
        module=PolyLoss,
        formula=r"-\log p_y + \sum_j \varepsilon_j (1 - p_y)^j",
        paper="arXiv:2204.12511",
        equation="",
        defaults="the paper's listing",
        variants=({}, {"epsilon": -1.0}, {"epsilon": (2.0, -0.5, 0.25)}, {"class_weight": CLASS_WEIGHT}),
        golden={"poly1_ce": golden_classes},
        search={"epsilon": Range(-1.0, 6.0)},
        when="A well-tuned cross-entropy is at hand and one more number may be tuned.",
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
        paper="arXiv:2204.12511",
        equation="",
        defaults="epsilon: the paper's listing; gamma: the focal loss",
        variants=({}, {"gamma": 0.5, "epsilon": -0.5}, {"gamma": 5.0, "alpha": CLASS_WEIGHT}),
        golden={"poly1_focal": golden_classes},
        search={"epsilon": Range(-1.0, 4.0), "gamma": Range(0.0, 5.0)},
        when="As the focal loss, with one more number to tune.",
        pitfalls=("alpha does not multiply the added term.", *TAKES_LOGITS),
        relatives=("focal_loss", "poly_loss", "sigmoid_poly_focal_loss"),
    ),
    logit_card(
        fn=sigmoid_poly_focal_loss,
        module=SigmoidPolyFocalLoss,
        formula=r"-\alpha_t (1 - p_t)^\gamma \log p_t + \varepsilon (1 - p_t)^{\gamma + 1}",
        paper="arXiv:2204.12511",
        equation="",
        defaults="epsilon = 1: the paper's listing; gamma: the focal loss",
        draw=draw_logits,
        variants=({}, {"gamma": 0.5, "epsilon": -0.5}, {"gamma": 5.0, "alpha": 0.25}),
        golden={"poly1_focal": _golden_sigmoid},
        search={"epsilon": Range(-1.0, 4.0), "gamma": Range(0.0, 5.0)},
        when="As the sigmoid focal loss, with one more number to tune.",
        pitfalls=("alpha does not multiply the added term.",),
        relatives=("sigmoid_focal_loss", "poly_focal_loss"),
    ),
)
