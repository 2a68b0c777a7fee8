"""Many samples of some classes and few of others: losses that take the class counts into account."""

from typing import Annotated, Any

import torch
from torch import Tensor

from lossary.core.card import Range
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction
from lossary.core.rules import NOT_NEGATIVE, ClassCounts, ClassWeight, NotNegative, Positive, checked
from lossary.kernels.stable import ABSENT, accumulator, parameters, softplus
from lossary.losses.classes._shared import (
    TAKES_LOGITS,
    Input,
    Problem,
    check_class_weight,
    class_card,
    class_loss,
    softmax_problem,
)

__all__ = [
    "LDAMLoss",
    "LogitAdjustedLoss",
    "ldam_loss",
    "logit_adjusted_loss",
]


def _problem(input: Input, target: Tensor, class_counts: Tensor | None, **rest: Any) -> Problem:
    p = softmax_problem(input, target, sigmoid_form="binary_cross_entropy_with_logits", **rest)
    check_class_weight("class_counts", class_counts, p.classes)
    return p


@checked
def logit_adjusted_loss(
    input: Input,
    target: Tensor,
    *,
    class_counts: ClassCounts | None = None,
    tau: Annotated[float, NOT_NEGATIVE] = 1.0,
    class_weight: ClassWeight | None = None,
    ignore_index: int = -100,
    dim: int = 1,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Softmax cross-entropy of logits plus the log of each class's share: for accuracy averaged over classes.

    .. math:: -\log \frac{e^{z_y + \tau \log \pi_y}}{\sum_c e^{z_c + \tau \log \pi_c}}

    Balanced softmax is this loss with ``tau=1``. Predict with the logits as they are.

    Args:
        input: Logits, (N, C), (N, C, d1, ...) or (C,); or linear scores, never materialised.
        target: Class indices of any integer dtype, the shape of ``input`` less the class dimension; or
            probabilities in the shape of ``input``.
        class_counts: (C,) samples per class, as from ``torch.bincount``, or their shares, for pi; None: all equal,
            which is cross-entropy. A class without samples is no candidate, and costs 1e30 as a label.
        tau: The factor of the added log share, at least 0.
        class_weight: (C,), one weight per class: for indices the mean is ``sum(w l) / sum(w)``.
        ignore_index: An index target that does not count.
        dim: The class dimension; -1 for (B, L, C).
        sample_weight: One weight per item, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an item counts.
        reduction: ``"none"`` (the shape of ``input`` less the class dimension), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or one loss per item.

    Raises:
        ValueError: Shapes that do not fit, a single class of logits, a count or ``tau`` below 0.
        TypeError: Floating-point class indices.
        IndexError: A target outside of [0, C) that is not ``ignore_index``.

    Example:
        >>> import torch
        >>> logit_adjusted_loss(torch.zeros(2, 2), torch.tensor([0, 1]), class_counts=torch.tensor([90.0, 10.0]))
        tensor(1.2040)

    Source:
        Menon et al., Long-Tail Learning via Logit Adjustment, arXiv:2007.07314, eq. 10; it proves tau = 1 consistent.
        Balanced softmax: Ren et al., arXiv:2007.10740, eq. 4. Code that adds the logarithm again at prediction undoes
        the adjustment.
    """
    of_items: dict[str, Any] = {"dim": dim, "ignore_index": ignore_index, "sample_weight": sample_weight, "mask": mask}
    p = _problem(input, target, class_counts, **of_items)
    check_class_weight("class_weight", class_weight, p.classes)
    if class_counts is not None:
        p = p.of(1, _log_shares(p, class_counts) * tau)
    return class_loss(softplus, p, class_weight=class_weight, reduction=reduction)


def _log_shares(p: Problem, class_counts: Tensor) -> Tensor:
    """(C,) the logarithms of the counts: those of the shares up to a constant."""
    some = class_counts > 0
    return torch.where(some, torch.where(some, class_counts, 1).to(_dtype(p)).log(), ABSENT)


def _dtype(p: Problem) -> torch.dtype:
    return accumulator(p.input if isinstance(p.input, Tensor) else p.input.x)


class LogitAdjustedLoss(Loss):
    """:func:`logit_adjusted_loss` as a Module."""

    fn = staticmethod(logit_adjusted_loss)
    class_counts: ClassCounts | None = None
    tau: Annotated[float, NOT_NEGATIVE] = 1.0
    class_weight: ClassWeight | None = None
    ignore_index: int = -100
    dim: int = 1
    reduction: Reduction = "mean"


def _with_margin(gap: Tensor, scaled_margin: float | Tensor, *rarity: Tensor) -> Tensor:
    return softplus(gap + (scaled_margin * rarity[0] if rarity else scaled_margin))


@checked
def ldam_loss(
    input: Input,
    target: Tensor,
    *,
    class_counts: ClassCounts | None = None,
    max_margin: NotNegative = 0.5,
    scale: Positive = 30.0,
    class_weight: ClassWeight | None = None,
    ignore_index: int = -100,
    dim: int = 1,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Softmax cross-entropy with a margin that is larger for rarer classes (LDAM).

    .. math:: -\log \frac{e^{s (z_y - \Delta_y)}}{e^{s (z_y - \Delta_y)} + \sum_{c \ne y} e^{s z_c}}, \quad
        \Delta_c = m \left(\frac{\min_k n_k}{n_c}\right)^{1/4}

    Args:
        input: Scores, (N, C), (N, C, d1, ...) or (C,); in the paper, cosines with class directions. Or linear scores,
            never materialised.
        target: Class indices of any integer dtype, the shape of ``input`` less the class dimension; or
            probabilities in the shape of ``input``: the sum over classes of ``t_c`` times the loss at label c.
        class_counts: (C,) samples per class, n, as from ``torch.bincount``. With None all classes have the largest
            margin, as do classes without samples.
        max_margin: m, the margin of the rarest class, in units of the score, at least 0; a Parameter is learned.
        scale: s, above 0, by which scores and margins are multiplied; a Parameter is learned.
        class_weight: (C,), one weight per class: for indices the mean is ``sum(w l) / sum(w)``.
        ignore_index: An index target that does not count.
        dim: The class dimension; -1 for (B, L, C).
        sample_weight: One weight per item, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an item counts.
        reduction: ``"none"`` (the shape of ``input`` less the class dimension), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or one loss per item.

    Raises:
        ValueError: Shapes that do not fit, a single class of logits, a count or ``max_margin`` below 0, ``scale`` not
            above 0.
        TypeError: Floating-point class indices.
        IndexError: A target outside of [0, C) that is not ``ignore_index``.

    Example:
        >>> import torch
        >>> counts = torch.tensor([160.0, 10.0])
        >>> ldam_loss(torch.zeros(2, 2), torch.tensor([0, 1]), class_counts=counts, scale=1.0, reduction="none")
        tensor([0.8259, 0.9741])

    Source:
        Cao et al., Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss, arXiv:1906.07413, eq. 12 and
        13; the largest margin of 0.5 and the scale of 30 are its code's. It introduces class weights late in training
        (deferred re-weighting): set ``class_weight`` then.
    """
    of_items: dict[str, Any] = {"dim": dim, "ignore_index": ignore_index, "sample_weight": sample_weight, "mask": mask}
    p = _problem(input, target, class_counts, **of_items)
    check_class_weight("class_weight", class_weight, p.classes)
    max_margin, scale = parameters((max_margin, scale), p.input if isinstance(p.input, Tensor) else p.input.x)
    rarity = None if class_counts is None else _rarity(class_counts.to(_dtype(p)))
    return class_loss(
        _with_margin,
        p.of(scale, None),
        scalars=(scale * max_margin,),
        per_class=(rarity,),
        class_weight=class_weight,
        reduction=reduction,
    )


def _rarity(counts: Tensor) -> Tensor:
    """(C,) the fourth root of the least count over each: 1 for the rarest class, and for classes without samples."""
    least = torch.where(counts > 0, counts, torch.inf).amin()
    return (least / torch.where(counts > 0, counts, least)) ** 0.25


class LDAMLoss(Loss):
    """:func:`ldam_loss` as a Module."""

    fn = staticmethod(ldam_loss)
    class_counts: ClassCounts | None = None
    max_margin: NotNegative = 0.5
    scale: Positive = 30.0
    class_weight: ClassWeight | None = None
    ignore_index: int = -100
    dim: int = 1
    reduction: Reduction = "mean"


CARDS = (
    class_card(
        fn=logit_adjusted_loss,
        module=LogitAdjustedLoss,
        formula=r"-\log \frac{e^{z_y + \tau \log \pi_y}}{\sum_c e^{z_c + \tau \log \pi_c}}",
        symbols={
            r"z_y": "`input`, the logit of the true class",
            r"\tau": "`tau`: the factor of the added log share",
            r"\pi_y": "the share of the true class among all samples, from `class_counts`",
            r"c": "every class",
            r"z_c": "`input`, the logit of class c",
            r"\pi_c": "the share of class c among all samples",
            r"y": "`target`, the true class",
        },
        paper="arXiv:2007.07314",
        equation="10",
        defaults="the paper",
        search={"tau": Range(0.25, 2.0)},
        when="Classes of very unequal size that all matter equally: balanced accuracy.",
        pitfalls=(
            "Without `class_counts` it is cross-entropy.",
            "Add nothing when predicting: training has removed the shares from the logits.",
            "With class weights or a balanced sampler as well, the shares are corrected for twice.",
            *TAKES_LOGITS,
        ),
        relatives=("cross_entropy", "ldam_loss", "focal_loss"),
        aliases=("balanced_softmax_loss", "BalancedSoftmaxLoss"),
    ),
    class_card(
        fn=ldam_loss,
        module=LDAMLoss,
        input="scores",
        formula=(r"-\log \frac{e^{s (z_y - \Delta_y)}}{e^{s (z_y - \Delta_y)} + \sum_{c \ne y} e^{s z_c}}"),
        symbols={
            r"s": "`scale`, above 0",
            r"z_y": "`input`, the score of the true class",
            r"\Delta_y": (
                "the true class's margin: `max_margin` times the fourth root of the rarest class's count over its own, "
                "from `class_counts`"
            ),
            r"c": "every other class",
            r"z_c": "`input`, the score of class c",
            r"y": "`target`, the true class",
        },
        paper="arXiv:1906.07413",
        equation="12",
        defaults="the paper's code",
        search={"max_margin": Range(0.0, 1.0), "scale": Range(1.0, 64.0, log=True)},
        when="Few samples of some classes, which a larger margin protects from overfitting.",
        pitfalls=(
            "The defaults are for cosines: for unbounded logits use a scale of 1.",
            "Without `class_counts` all classes have the largest margin.",
        ),
        relatives=("logit_adjusted_loss", "cosface_loss", "cross_entropy"),
    ),
)
