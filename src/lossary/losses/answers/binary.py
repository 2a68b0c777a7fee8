"""Yes or no, for one label or many: losses of a logit (or probability) against a binary target."""

from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.core.card import Range
from lossary.core.check import (
    check_factor,
    check_float,
    check_probabilities,
    check_same_shape,
    check_tensor,
)
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, counted
from lossary.core.rules import FRACTION, Factor, Number, checked
from lossary.kernels.elementwise import Argument, ElementFormula, fits_cache
from lossary.kernels.stable import clamped_log, like_torch, softplus
from lossary.losses._pointwise import by_triton, pointwise, torchs_own
from lossary.losses.answers._shared import logit_card, without

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "BalancedBCELoss",
    "balanced_bce_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
]


def binary_loss(
    formula: ElementFormula,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *arguments: Argument,
    **rest: Any,
) -> Tensor:
    """:func:`pointwise` with targets in [0, 1] and torch's ``weight``: any factor that broadcasts to the input."""
    check_tensor("target", target)

    def checked(x: Tensor, y: Tensor, *arguments: Argument) -> Tensor:
        check_probabilities("target", y)  # here, while their block is in cache
        return formula(x, y, *arguments)

    if weight is None:
        return pointwise(checked, input, target, *arguments, **rest)
    rest.pop("kernel", None)
    check_tensor("weight", weight)
    check_factor("weight", weight, input)

    def weighted(x: Tensor, y: Tensor, weight: Tensor, *arguments: Argument) -> Tensor:
        return checked(x, y, *arguments) * weight

    return pointwise(weighted, input, target, weight, *arguments, **rest)


@checked
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: Reduction = "mean",
    pos_weight: Factor | None = None,
    *,
    label_smoothing: Annotated[float, FRACTION] = 0.0,
    ignore_index: int | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Cross-entropy of a yes-or-no target, from the logit; for many labels, one logit per label.

    .. math:: -\left[w_+\, y \log\sigma(z) + (1 - y) \log(1 - \sigma(z))\right]

    Args:
        input: Logits, any shape; for many labels (N, C).
        target: The shape of ``input``: bool, integers 0 and 1, or probabilities in [0, 1].
        weight: As in torch, a factor that broadcasts to ``input``, not part of the mean's divisor.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"`` over all elements.
        pos_weight: Factor of the positive term, a number or (C,): negatives divided by positives balances the two. Not
            part of the mean's divisor.
        label_smoothing: e in [0, 1]: targets become ``(1 - e) y + e / 2``.
        ignore_index: A target that does not count, such as -1 for labels nobody annotated; None for no such value.
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts; False for labels that nobody annotated.

    Returns:
        A scalar, or the shape of ``input``, in torch's dtype.

    Raises:
        ValueError: Shapes that differ or do not broadcast, a target outside of [0, 1], a ``pos_weight`` below 0.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> logits = torch.tensor([2.0, -1.0])
        >>> binary_cross_entropy_with_logits(logits, torch.tensor([True, False]))
        tensor(0.2201)

    Source:
        Good, Rational Decisions, 1952. Bool and integer targets work (torch needs floats); nothing to average gives 0
        here, NaN in torch. A sigmoid before :func:`binary_cross_entropy` loses precision that the logit has. Smoothing
        is that of two-class cross-entropy and Keras; the ``smooth_factor`` of segmentation_models_pytorch is half.
    """
    check_float("input", input)
    check_tensor("target", target)
    check_factor("pos_weight", pos_weight, input)
    if ignore_index is not None:
        target, mask = without(target, ignore_index, mask)
    smoothed = isinstance(label_smoothing, Tensor) or label_smoothing > 0
    plain = not smoothed and weight is None and pos_weight is None and sample_weight is None and mask is None
    if plain and reduction != "none" and fits_cache(input) and torchs_own(input, target) and not by_triton(input):
        check_same_shape("target", target, "input", input)
        check_probabilities("target", target)
        return F.binary_cross_entropy_with_logits(input, target.to(input.dtype), reduction=reduction)

    def bce(x: Tensor, y: Tensor, pos_weight: Argument) -> Tensor:
        y = (1 - label_smoothing) * y + label_smoothing / 2 if smoothed else y
        if pos_weight is None:
            return F.binary_cross_entropy_with_logits(x, y, reduction="none")
        return pos_weight * y * softplus(-x) + (1 - y) * softplus(x)  # torch's does not let pos_weight learn

    of_elements: dict[str, Any] = {"sample_weight": sample_weight, "mask": mask, "reduction": reduction}
    is_number = not isinstance(pos_weight, Tensor) and not smoothed
    kernel = ("entropy", 1.0 if pos_weight is None else float(pos_weight), 0.0, 0.0) if is_number else None
    loss = binary_loss(bce, input, target, weight, pos_weight, kernel=kernel, **of_elements)
    return like_torch(loss, input, target)


class BCEWithLogitsLoss(Loss):
    """:func:`binary_cross_entropy_with_logits` as a Module."""

    fn = staticmethod(binary_cross_entropy_with_logits)
    weight: Tensor | None = None
    reduction: Reduction = "mean"
    pos_weight: Factor | None = None
    label_smoothing: Annotated[float, FRACTION] = 0.0
    ignore_index: int | None = None


@checked
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: Reduction = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Cross-entropy of a yes-or-no target, from the probability. If you have logits, use those.

    .. math:: -\left[y \log p + (1 - y) \log(1 - p)\right]

    Args:
        input: Probabilities in [0, 1], any shape.
        target: The shape of ``input``: bool, integers 0 and 1, or probabilities in [0, 1].
        weight: As in torch, a factor that broadcasts to ``input``, not part of the mean's divisor.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"`` over all elements.
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts.

    Returns:
        A scalar, or the shape of ``input``, in torch's dtype.

    Raises:
        ValueError: Shapes that differ, a probability outside of [0, 1].
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> binary_cross_entropy(torch.tensor([0.9, 0.1]), torch.tensor([1, 0]))
        tensor(0.1054)

    Source:
        Good, Rational Decisions, 1952. Logarithms are at least -100, as in torch, with gradient 0 beyond that
        (torch: 1e12), and for probabilities below 1e-35 in float32. A prediction that is certain and right has the true
        one-sided gradient, where torch has 0.
    """
    check_probabilities("input", counted(input, mask))

    def bce(p: Tensor, y: Tensor) -> Tensor:
        return -(y * clamped_log(p) + (1 - y) * _clamped_log_rest(p))

    loss = binary_loss(bce, input, target, weight, sample_weight=sample_weight, mask=mask, reduction=reduction)
    return like_torch(loss, input, target)


def _clamped_log_rest(p: Tensor) -> Tensor:
    """log(1 - p), at least -100, exact for small p. Only p = 1 itself reaches the clamp."""
    fine = ~(p >= 1)  # written like this, a NaN stays a NaN
    return torch.where(fine, torch.log1p(-torch.where(fine, p, torch.zeros_like(p))), torch.full_like(p, -100.0))


class BCELoss(Loss):
    """:func:`binary_cross_entropy` as a Module."""

    fn = staticmethod(binary_cross_entropy)
    weight: Tensor | None = None
    reduction: Reduction = "mean"


@checked
def balanced_bce_loss(
    input: Tensor,
    target: Tensor,
    *,
    positive_weight: Factor = 1.0,
    negative_weight: Factor = 1.0,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Binary cross-entropy with a weight for each answer.

    .. math:: -\left[w_+\, y \log\sigma(z) + w_-\, (1 - y) \log(1 - \sigma(z))\right]

    Args:
        input: Logits, any shape. For probabilities: ``binary_cross_entropy`` with a weight per element.
        target: The shape of ``input``: bool, integers 0 and 1, or probabilities in [0, 1].
        positive_weight: w+, a number or a tensor that broadcasts to ``input``; see :func:`class_weights`.
        negative_weight: w-, likewise.
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"`` over all elements: w+ and w- are
            not part of the divisor.

    Returns:
        A scalar, or the shape of ``input``.

    Raises:
        ValueError: Shapes that differ, a negative weight, a target outside of [0, 1].
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> balanced_bce_loss(torch.zeros(2), torch.tensor([1, 0]), positive_weight=3.0, reduction="none")
        tensor([2.0794, 0.6931])

    Source:
        Xie and Tu, arXiv:1504.06375, with free weights. Code that passes the two weights as torch's ``weight``
        multiplies elements by position instead: an error for most batches, a wrong number for N = 2.
    """
    check_factor("positive_weight", positive_weight, input)
    check_factor("negative_weight", negative_weight, input)

    def balanced(x: Tensor, y: Tensor, positive: Number, negative: Number) -> Tensor:
        return positive * y * softplus(-x) + negative * (1 - y) * softplus(x)

    of_elements: dict[str, Any] = {"sample_weight": sample_weight, "mask": mask, "reduction": reduction}
    return binary_loss(balanced, input, target, None, positive_weight, negative_weight, **of_elements)


class BalancedBCELoss(Loss):
    """:func:`balanced_bce_loss` as a Module."""

    fn = staticmethod(balanced_bce_loss)
    positive_weight: Factor = 1.0
    negative_weight: Factor = 1.0
    reduction: Reduction = "mean"


CARDS = (
    logit_card(
        fn=binary_cross_entropy_with_logits,
        module=BCEWithLogitsLoss,
        formula=r"-\left[w_+ y \log\sigma(z) + (1 - y) \log(1 - \sigma(z))\right]",
        symbols={
            r"w_+": "`pos_weight`: how much a yes counts, 1 without it",
            r"y": "`target`: 1 for yes, 0 for no, or a probability between; mixed by `label_smoothing`",
            r"\sigma": "the logistic sigmoid, which turns a logit into a probability",
            r"z": "`input`, the logit",
        },
        paper="Good, Rational Decisions, 1952",
        equation="textbook",
        defaults="torch",
        search={"pos_weight": Range(0.1, 10.0, log=True)},
        when="Yes or no, and several labels that may hold together.",
        pitfalls=(
            "It takes logits: a sigmoid in front of it squeezes the gradient and loses large logits.",
            "weight lines up with the last dimension: two weights for the two answers are an error or, with two "
            "columns, something else. Use balanced_bce_loss.",
        ),
        relatives=("binary_cross_entropy", "balanced_bce_loss", "sigmoid_focal_loss"),
    ),
    logit_card(
        fn=binary_cross_entropy,
        module=BCELoss,
        input="probabilities",
        formula=r"-\left[y \log p + (1 - y) \log(1 - p)\right]",
        symbols={
            r"y": "`target`: 1 for yes, 0 for no, or a probability between",
            r"p": "`input`, the predicted probability of yes, in [0, 1]",
        },
        paper="Good, Rational Decisions, 1952",
        equation="textbook",
        defaults="torch",
        when="Where you only have probabilities; with logits use the form that takes them.",
        pitfalls=(
            "The minus sign covers both terms; without the brackets the second has the wrong sign.",
            "In half precision 1 - p is 0 for every p above 0.9995: certain but wrong looks the same as right.",
        ),
        relatives=("binary_cross_entropy_with_logits", "balanced_bce_loss"),
    ),
    logit_card(
        fn=balanced_bce_loss,
        module=BalancedBCELoss,
        formula=r"-\left[w_+ y \log\sigma(z) + w_- (1 - y) \log(1 - \sigma(z))\right]",
        symbols={
            r"w_+": "`positive_weight`: how much a yes counts",
            r"y": "`target`: 1 for yes, 0 for no, or a probability between",
            r"\sigma": "the logistic sigmoid, which turns a logit into a probability",
            r"z": "`input`, the logit",
            r"w_-": "`negative_weight`: how much a no counts",
        },
        paper="arXiv:1504.06375",
        equation="2",
        defaults="no weighting",
        search={"positive_weight": Range(0.1, 10.0, log=True)},
        when="One answer is much rarer than the other and both matter equally.",
        pitfalls=(
            "It weights easy and hard examples of a class alike; the focal loss tells them apart.",
            "With weights the outputs are no longer probabilities: calibrate before reading them as such.",
        ),
        relatives=("binary_cross_entropy_with_logits", "sigmoid_focal_loss"),
    ),
)
