"""One class among many: cross-entropy over a softmax, and a form that fades easy examples."""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.core.card import Range
from lossary.core.check import wide_integers
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, divide
from lossary.core.rules import FRACTION, ClassWeight, NotNegative, checked
from lossary.kernels.fused import switch
from lossary.kernels.rows.scores import Bilinear
from lossary.kernels.stable import accumulate, accumulator, like_torch, softplus
from lossary.losses.classes._by_torch import AMPLE, by_torch, is_torchs, layout_of, mean_by_torch, unseen_by_torch
from lossary.losses.classes._linear_entropy import linear_cross_entropy
from lossary.losses.classes._shared import (
    TAKES_LOGITS,
    Input,
    Problem,
    check_class_weight,
    class_card,
    class_loss,
    problem,
    softmax_problem,
)

__all__ = [
    "CrossEntropyLoss",
    "FocalLoss",
    "NLLLoss",
    "cross_entropy",
    "focal_loss",
    "nll_loss",
]


@checked
def cross_entropy(
    input: Input,
    target: Tensor,
    weight: ClassWeight | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: Annotated[float, FRACTION] = 0.0,
    *,
    dim: int = 1,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Softmax cross-entropy: the negative log of the probability given to the true class.

    .. math:: -\sum_c w_c\, t_c \log \frac{e^{z_c}}{\sum_j e^{z_j}}

    Args:
        input: Logits, (N, C), (N, C, d1, ...) or (C,); or linear scores, never materialised.
        target: Class indices of any integer dtype, the shape of ``input`` less the class dimension; or
            probabilities (one-hot, soft) in the shape of ``input``, bool or floating-point.
        weight: (C,), one weight per class. For indices the mean is ``sum(w l) / sum(w)``; for probabilities it divides
            by the number of items, as in torch.
        ignore_index: An index target that does not count.
        reduction: ``"none"`` (the shape of ``input`` less the class dimension), ``"sum"`` or ``"mean"``.
        label_smoothing: e in [0, 1]: targets become ``(1 - e) t + e / C``.
        dim: The class dimension; -1 for (B, L, C).
        sample_weight: One weight per item, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an item counts; logits elsewhere may be anything.

    Returns:
        A scalar, or one loss per item, in torch's dtype; in float32 for linear scores in half precision.

    Raises:
        ValueError: Shapes that do not fit, a single class of logits, ``label_smoothing`` outside of [0, 1].
        TypeError: Floating-point class indices, integer logits.
        IndexError: A target outside of [0, C) that is not ``ignore_index``.

    Example:
        >>> import torch
        >>> cross_entropy(torch.tensor([[10.0, 9.0, 9.0]]), torch.tensor([0]))
        tensor(0.5514)

    Source:
        Bridle 1990; label smoothing: Szegedy et al., arXiv:1512.00567, sec. 7. If everything is ignored, the loss is 0
        here and NaN in torch; a class with logit -inf and target 0 adds nothing here, NaN in torch; a single class is
        an error here and a constant 0 in torch.
    """
    target = wide_integers("target", target)
    plain = weight is None and sample_weight is None and mask is None
    if plain and dim in (1, -1) and reduction in ("mean", "sum"):
        loss = by_torch(input, target, ignore_index, reduction, label_smoothing)
        if loss is not None:
            return loss
    if plain and label_smoothing == 0:
        loss = unseen_by_torch(input, target, ignore_index, reduction, dim)
        if loss is not None:
            return loss
    p = softmax_problem(
        input,
        target,
        sigmoid_form="binary_cross_entropy_with_logits",
        dim=dim,
        ignore_index=ignore_index,
        sample_weight=sample_weight,
        mask=mask,
    )
    check_class_weight("weight", weight, p.classes)
    if isinstance(p.input, Bilinear):
        return linear_cross_entropy(p.input, p, weight, label_smoothing, reduction)
    if p.labels is not None and label_smoothing == 0 and p.input.dim() == 2 and switch.runs_on(p.input):
        return like_torch(class_loss(softplus, p, class_weight=weight, reduction=reduction), p.input)
    if is_torchs(p, weight, label_smoothing) and p.input.dtype == accumulator(p.input):
        scores = layout_of(p.input)
        loss = F.cross_entropy(scores, _labels(p, scores), reduction=reduction)
        return loss.reshape(p.shape) if reduction == "none" else loss
    # Widened inside the kernel: a float32 copy of half-precision logits would cost twice their memory.
    logp = F.log_softmax(layout_of(p.input), 1, dtype=accumulator(p.input))
    logp = logp.reshape(p.input.shape) if logp.dim() == 2 else logp.movedim(1, -1)
    return like_torch(_log_likelihood(logp, p, weight, label_smoothing, reduction), p.input)


def _labels(p: Problem, layout: Tensor) -> Tensor:
    assert p.labels is not None
    return p.labels.reshape(layout.shape[:1] + layout.shape[2:])


def _log_likelihood(logp: Tensor, p: Problem, weight: Tensor | None, smoothing: float, reduction: str) -> Tensor:
    """Cross-entropy of log-probabilities (*shape, C)."""
    if weight is not None:
        weight = weight.to(logp.dtype)
    if p.soft is not None:
        soft = p.soft.to(logp.dtype)
        logp = _skip(logp, (logp == -torch.inf) & (soft == 0))
        losses = -((1 - smoothing) * soft + smoothing / p.classes) * logp
        losses = (losses if weight is None else losses * weight).sum(-1)
        return _finish(losses, torch.ones_like(losses), p, reduction)
    assert p.labels is not None
    scores = layout_of(logp).contiguous()  # torch's backward refuses images stored in another order
    losses = F.nll_loss(scores, _labels(p, scores), reduction="none", ignore_index=-1).reshape(p.shape)
    share = torch.ones_like(losses) if weight is None else weight[p.labels]
    losses = losses * share
    if smoothing > 0:
        logp = _skip(logp, logp == -torch.inf)
        spread = -(logp if weight is None else logp * weight).sum(-1)
        losses = (1 - smoothing) * losses + smoothing / p.classes * spread
    return _finish(losses, share, p, reduction)


def _skip(logp: Tensor, impossible: Tensor) -> Tensor:
    """Log-probabilities, 0 for classes that a logit of -inf makes impossible: 0 * -inf is NaN."""
    return torch.where(impossible, torch.zeros_like(logp), logp)


def _finish(losses: Tensor, share: Tensor, p: Problem, reduction: str) -> Tensor:
    """Reduce weighted losses; the mean divides by the sum of the items' shares."""
    if p.sample_weight is not None:
        losses, share = losses * p.sample_weight, share * p.sample_weight
    if p.counted is not None:
        losses, share = (torch.where(p.counted, t, torch.zeros_like(t)) for t in (losses, share))
    if reduction == "none":
        return losses
    return losses.sum() if reduction == "sum" else divide(losses.sum(), share.sum())


class CrossEntropyLoss(Loss):
    """:func:`cross_entropy` as a Module."""

    fn = staticmethod(cross_entropy)
    weight: ClassWeight | None = None
    ignore_index: int = -100
    reduction: Reduction = "mean"
    label_smoothing: Annotated[float, FRACTION] = 0.0
    dim: int = 1


@checked
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: ClassWeight | None = None,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    *,
    dim: int = 1,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""The negative log-likelihood of the true class, from log-probabilities. If you have logits, use cross_entropy.

    .. math:: -w_y \log p_y

    Args:
        input: Log-probabilities, (N, C), (N, C, d1, ...) or (C,), taken as they are.
        target: Class indices of any integer dtype, the shape of ``input`` less the class dimension; or
            probabilities in the shape of ``input``.
        weight: (C,), one weight per class. For indices the mean is ``sum(w l) / sum(w)``.
        ignore_index: An index target that does not count.
        reduction: ``"none"`` (the shape of ``input`` less the class dimension), ``"sum"`` or ``"mean"``.
        dim: The class dimension; -1 for (B, L, C).
        sample_weight: One weight per item, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an item counts.

    Returns:
        A scalar, or one loss per item, in torch's dtype.

    Raises:
        ValueError: Shapes that do not fit.
        TypeError: Floating-point class indices.
        IndexError: A target outside of [0, C) that is not ``ignore_index``.

    Example:
        >>> import torch
        >>> nll_loss(torch.tensor([[0.5, 0.25, 0.25]]).log(), torch.tensor([0]))
        tensor(0.6931)

    Source:
        Fisher 1922. Despite its name it takes no logarithm: given probabilities it returns a plausible but wrong
        negative number. If everything is ignored, the loss is 0 here and NaN in torch.
    """
    p = problem(input, target, dim=dim, ignore_index=ignore_index, sample_weight=sample_weight, mask=mask)
    check_class_weight("weight", weight, p.classes)
    assert isinstance(p.input, Tensor)
    return like_torch(_log_likelihood(accumulate(p.input), p, weight, 0.0, reduction), p.input)


class NLLLoss(Loss):
    """:func:`nll_loss` as a Module."""

    fn = staticmethod(nll_loss)
    weight: ClassWeight | None = None
    ignore_index: int = -100
    reduction: Reduction = "mean"
    dim: int = 1


def focal_terms(gap: Tensor, gamma: float | Tensor, *alpha: Tensor) -> tuple[Tensor, Tensor]:
    """The focal loss and log(1 - p); in log space, since a power of 1 - p has a NaN gradient at p = 1."""
    miss = F.logsigmoid(gap)
    loss = torch.exp(gamma * miss) * softplus(gap)
    return (alpha[0] * loss if alpha else loss), miss


def _focal(gap: Tensor, gamma: float | Tensor, *alpha: Tensor) -> Tensor:
    return focal_terms(gap, gamma, *alpha)[0]


def _focal_slope(gap: Tensor, gamma: float, *alpha: Tensor) -> tuple[Tensor, Tensor]:
    fade, wrong = torch.exp(gamma * F.logsigmoid(gap)), gap.sigmoid()
    loss = fade * softplus(gap)
    by_gap = torch.lerp(gamma * loss, fade, wrong)
    return (alpha[0] * loss, alpha[0] * by_gap) if alpha else (loss, by_gap)


def _focal_by_torch(input: Input, target: Tensor, ignore_index: int, gamma: float | Tensor) -> Tensor | None:
    """The mean by torch's cross-entropy and a power of 1 - p, in half the operations; None where that is less exact."""
    # A power below 1 has an infinite derivative at 0.
    if not isinstance(gamma, (int, float)) or gamma < 1:
        return None

    def faded(entropy: Tensor) -> Tensor:
        return torch.expm1(-entropy).neg() ** gamma * entropy

    # A small cross-entropy h contributes about h^(1 + gamma), so by the inequality of power means h is ample.
    return mean_by_torch(faded, input, target, ignore_index, AMPLE ** (1 + gamma))


@checked
def focal_loss(
    input: Input,
    target: Tensor,
    *,
    gamma: NotNegative = 2.0,
    alpha: ClassWeight | None = None,
    class_weight: ClassWeight | None = None,
    ignore_index: int = -100,
    dim: int = 1,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Softmax cross-entropy that fades out examples that are already right.

    .. math:: -\alpha_y (1 - p_y)^\gamma \log p_y

    Args:
        input: Logits, (N, C), (N, C, d1, ...) or (C,); or linear scores, never materialised.
        target: Class indices of any integer dtype, the shape of ``input`` less the class dimension; or
            probabilities in the shape of ``input``: the sum over classes of ``t_c`` times the loss at label c.
        gamma: How fast right answers fade, at least 0; 0 is the plain cross-entropy.
        alpha: (C,), one factor per class, not part of the mean's divisor.
        class_weight: (C,), one weight per class: for indices the mean is ``sum(w l) / sum(w)``.
        ignore_index: An index target that does not count.
        dim: The class dimension; -1 for (B, L, C).
        sample_weight: One weight per item, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an item counts.
        reduction: ``"none"`` (the shape of ``input`` less the class dimension), ``"sum"`` or ``"mean"`` over the
            items that count.

    Returns:
        A scalar, or one loss per item.

    Raises:
        ValueError: Shapes that do not fit, a single class of logits, ``gamma`` below 0.
        TypeError: Floating-point class indices.
        IndexError: A target outside of [0, C) that is not ``ignore_index``.

    Example:
        >>> import torch
        >>> focal_loss(torch.tensor([[4.0, 0.0, 0.0]]), torch.tensor([0]))
        tensor(4.4923e-05)

    Source:
        Lin et al., Focal Loss, arXiv:1708.02002, eq. 5, for a softmax; gamma = 2 is the paper's best. Versions differ:
        some divide by the sum of alpha; for that, use ``class_weight``.
    """
    target = wide_integers("target", target)
    plain = all(given is None for given in (alpha, class_weight, sample_weight, mask)) and dim in (1, -1)
    if plain and reduction == "mean":
        loss = _focal_by_torch(input, target, ignore_index, gamma)
        if loss is not None:
            return loss
    p = softmax_problem(
        input,
        target,
        sigmoid_form="sigmoid_focal_loss",
        dim=dim,
        ignore_index=ignore_index,
        sample_weight=sample_weight,
        mask=mask,
    )
    check_class_weight("alpha", alpha, p.classes)
    check_class_weight("class_weight", class_weight, p.classes)
    kernel = ("gap focal", float(gamma), 0.0, 0.0) if alpha is None and not isinstance(gamma, Tensor) else None
    return class_loss(
        _focal,
        p,
        scalars=(gamma,),
        per_class=(alpha,),
        class_weight=class_weight,
        reduction=reduction,
        slope=_focal_slope,
        kernel=kernel,
    )


class FocalLoss(Loss):
    """:func:`focal_loss` as a Module."""

    fn = staticmethod(focal_loss)
    gamma: NotNegative = 2.0
    alpha: ClassWeight | None = None
    class_weight: ClassWeight | None = None
    ignore_index: int = -100
    dim: int = 1
    reduction: Reduction = "mean"


CARDS = (
    class_card(
        fn=cross_entropy,
        module=CrossEntropyLoss,
        takes=("input-label", "input-shares"),
        formula=r"-\sum_c w_c t_c \log \frac{e^{z_c}}{\sum_j e^{z_j}}",
        symbols={
            r"c": "every class",
            r"w_c": "`weight` of class c, 1 without it",
            r"t_c": (
                "`target`: 1 for the true class, 0 for others, or a probability per class; mixed by `label_smoothing`"
            ),
            r"z_c": "`input`, the logit of class c",
            r"j": "every class",
            r"z_j": "`input`, the logit of class j",
        },
        paper="Bridle, Training Stochastic Model Recognition Algorithms as Networks, 1990",
        equation="textbook",
        defaults="torch",
        search={"label_smoothing": Range(0.0, 0.3)},
        when="One class among many; the baseline for everything else.",
        pitfalls=(
            *TAKES_LOGITS,
            "With weights, the mean divides by the sum of the labels' weights for indices, but by N for probabilities.",
        ),
        relatives=("focal_loss", "poly_loss", "multiclass_hinge_loss", "nll_loss"),
    ),
    class_card(
        fn=nll_loss,
        module=NLLLoss,
        input="log-probabilities",
        formula=r"-w_y \log p_y",
        symbols={
            r"w_y": "`weight` of the true class, 1 without it",
            r"y": "`target`, the true class",
            r"p_y": "the probability given to the true class; `input` holds its logarithm",
        },
        paper="Fisher, On the Mathematical Foundations of Theoretical Statistics, 1922",
        equation="textbook",
        defaults="torch",
        when="Where you only have log-probabilities; with logits use cross_entropy.",
        pitfalls=("It takes no logarithm: for probabilities it returns a negative number without an error.",),
        relatives=("cross_entropy",),
    ),
    class_card(
        fn=focal_loss,
        module=FocalLoss,
        formula=r"-\alpha_y (1 - p_y)^\gamma \log p_y",
        symbols={
            r"\alpha_y": "`alpha` of the true class, 1 without it",
            r"y": "`target`, the true class",
            r"p_y": "the probability given to the true class: softmax of `input` there",
            r"\gamma": "`gamma`: how fast examples that are already right fade; 0 is the plain cross-entropy",
        },
        paper="arXiv:1708.02002",
        equation="5",
        defaults="gamma: the paper; alpha: off",
        search={"gamma": Range(0.0, 5.0)},
        when="Many easy examples drown the few hard ones.",
        pitfalls=(
            "(1 - p)^gamma as a power has a NaN gradient for gamma below 1 once p rounds to 1.",
            "It fades easy examples, not frequent classes: for the latter use alpha or class_weight.",
            *TAKES_LOGITS,
        ),
        relatives=("cross_entropy", "sigmoid_focal_loss", "poly_focal_loss"),
    ),
)
