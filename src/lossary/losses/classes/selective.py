"""Cross-entropy that looks at some items or classes and drops or doubts the others."""

from typing import Annotated, Any

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Range
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, align, both, reduce
from lossary.core.rules import FRACTION, ClassWeight, NotNegative, checked
from lossary.distributed import Ranks, across_ranks
from lossary.kernels.rows.scores import Bilinear
from lossary.kernels.stable import ABSENT, parameters, softplus
from lossary.losses.classes._shared import (
    TAKES_LOGITS,
    Input,
    check_class_weight,
    class_card,
    class_loss,
    label_loss,
    softmax_problem,
)
from lossary.losses.classes.softmax import focal_terms

__all__ = [
    "AsymmetricSoftmaxLoss",
    "OHEMCrossEntropyLoss",
    "asymmetric_softmax_loss",
    "ohem_cross_entropy_loss",
]

SIGMOID = "binary_cross_entropy_with_logits"


@across_ranks
@checked
def ohem_cross_entropy_loss(
    input: Input,
    target: Tensor,
    *,
    fraction: Annotated[float, FRACTION] = 0.25,
    threshold: Annotated[float, FRACTION] | None = None,
    class_weight: ClassWeight | None = None,
    ignore_index: int = -100,
    dim: int = 1,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Softmax cross-entropy of only the hardest items of a batch (online hard example mining, top-k loss).

    .. math:: \frac{1}{|H|} \sum_{i \in H} -\log p_{y_i}, \quad |H| \ge \lceil f N \rceil

    where H holds the items with the largest losses, and all whose probability is below the threshold.

    Args:
        input: Logits, (N, C), (N, C, d1, ...) or (C,); or linear scores, never materialised.
        target: Class indices of any integer dtype, the shape of ``input`` less the class dimension; or
            probabilities in the shape of ``input``.
        fraction: f, from 0 to 1: at least this share of the items that count is kept, rounded up.
        threshold: From 0 to 1: all items whose label has a lower probability are kept too; None keeps no more.
        class_weight: (C,), one weight per class: for indices the mean is ``sum(w l) / sum(w)``.
        ignore_index: An index target that does not count.
        dim: The class dimension; -1 for (B, L, C).
        sample_weight: One weight per item, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an item counts.
        reduction: ``"none"`` (the shape of ``input`` less the class dimension), 0 for items that are not kept;
            ``"sum"`` or ``"mean"`` over kept items.
        group: Process group whose ranks' items are ranked together; each rank sends one number per item.

    Returns:
        A scalar, or one loss per item. Losses alone, not weights, decide which items are kept; among equal losses, the
        first ones. A kept item's gradient is that of cross-entropy.

    Raises:
        ValueError: Shapes that do not fit, a single class of logits, a ``fraction`` or ``threshold`` outside of [0, 1].
        TypeError: Floating-point class indices.
        IndexError: A target outside of [0, C) that is not ``ignore_index``.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[3.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
        >>> ohem_cross_entropy_loss(logits, torch.zeros(4, dtype=torch.int64), fraction=0.5, reduction="none")
        tensor([0.0000, 0.0000, 1.3133, 0.6931])

    Source:
        Shrivastava et al., Training Region-based Object Detectors with Online Hard Example Mining, arXiv:1604.03540,
        which numbers no equation; as a mean of the k largest losses: Fan et al., arXiv:1705.08826. With
        ``threshold=0.7`` and its ``min_kept`` as a fraction, this is MMSegmentation's ``OHEMPixelSampler``, which
        divides by all pixels.
    """
    p = softmax_problem(
        input,
        target,
        sigmoid_form=SIGMOID,
        dim=dim,
        ignore_index=ignore_index,
        sample_weight=None,
        mask=mask,
    )
    check_class_weight("class_weight", class_weight, p.classes)
    if isinstance(p.input, Bilinear) and p.input.shards is not None:
        group = p.input.shards.group
    sample_weight, _ = align(sample_weight, None, p.shape)
    losses = class_loss(softplus, p, class_weight=None if p.soft is None else class_weight, reduction="none")
    kept = _hardest(losses.detach(), p.counted, fraction, group)
    if threshold is not None:
        kept = kept | (torch.exp(-losses.detach()) < threshold)
    # Weighted after they are chosen: a weight says how much an item counts, not how hard it is.
    sample_weight, mask = align(sample_weight, both(p.counted, kept), p.shape)
    own = None if class_weight is None or p.labels is None else class_weight.to(losses.dtype)[p.labels]
    weight = own if sample_weight is None else sample_weight if own is None else own * sample_weight
    return reduce(losses, weight=weight, mask=mask, reduction=reduction, group=group)


def _hardest(losses: Tensor, counted: Tensor | None, fraction: float, group: ProcessGroup | None) -> Tensor:
    """Where the largest losses are: the given share of those that count, over all ranks."""
    if group is not None:
        # Over all ranks, and on some everything may count.
        there = torch.ones_like(losses, dtype=torch.bool) if counted is None else counted.expand(losses.shape)
        own, there = losses.flatten(), there.flatten()
        ranks = Ranks.of(group, input=own, mask=there)
        everyones = _hardest(ranks.in_order(own), ranks.in_order(there), fraction, None)
        return everyones[ranks.first : ranks.first + len(own)].reshape(losses.shape)
    if counted is not None:
        losses = losses.masked_fill(~counted, -torch.inf)
    count = losses.numel() if counted is None else counted.expand(losses.shape).sum()
    order = losses.flatten().argsort(descending=True, stable=True)  # a NaN first
    rank = torch.zeros_like(order).scatter(0, order, torch.arange(len(order), device=order.device))
    # Minus a little, since 0.1 times 30 comes out too large.
    return (rank < count * fraction - 1e-4).reshape(losses.shape)


class OHEMCrossEntropyLoss(Loss):
    """:func:`ohem_cross_entropy_loss` as a Module."""

    fn = staticmethod(ohem_cross_entropy_loss)
    fraction: Annotated[float, FRACTION] = 0.25
    threshold: Annotated[float, FRACTION] | None = None
    class_weight: ClassWeight | None = None
    ignore_index: int = -100
    dim: int = 1
    reduction: Reduction = "mean"


@checked
def asymmetric_softmax_loss(
    input: Tensor,
    target: Tensor,
    *,
    gamma_positive: NotNegative = 1.0,
    gamma_negative: NotNegative = 4.0,
    label_smoothing: Annotated[float, FRACTION] = 0.1,
    class_weight: ClassWeight | None = None,
    ignore_index: int = -100,
    dim: int = 1,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Smoothed softmax cross-entropy in which the true class fades once found, others once ruled out (ASL).

    .. math:: -\Big(1 - e + \frac{e}{C}\Big) (1 - p_y)^{\gamma_+} \log p_y
        - \frac{e}{C} \sum_{c \ne y} p_c^{\gamma_-} \log p_c

    Args:
        input: Logits, (N, C), (N, C, d1, ...) or (C,).
        target: Class indices of any integer dtype, the shape of ``input`` less the class dimension.
        gamma_positive: How fast the true class fades as its probability nears 1, at least 0; a Parameter is learned.
        gamma_negative: How fast the other classes fade as their probabilities near 0, at least 0; a Parameter is
            learned.
        label_smoothing: e in [0, 1], the share of the target spread over all classes. At 0 this is the focal loss.
        class_weight: (C,), one weight per class: for indices the mean is ``sum(w l) / sum(w)``.
        ignore_index: An index target that does not count.
        dim: The class dimension; -1 for (B, L, C).
        sample_weight: One weight per item, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an item counts.
        reduction: ``"none"`` (the shape of ``input`` less the class dimension), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or one loss per item.

    Raises:
        ValueError: Shapes that do not fit, a power below 0, ``label_smoothing`` outside of [0, 1].
        TypeError: Targets that are not integers.
        IndexError: A target outside of [0, C) that is not ``ignore_index``.

    Example:
        >>> import torch
        >>> asymmetric_softmax_loss(torch.zeros(1, 2), torch.tensor([0]))
        tensor(0.3314)

    Source:
        Ridnik et al., arXiv:2009.14119. The paper only has the form for many labels; this one is from its code and
        timm's, with their defaults. Both store the number of classes in the loss, so a batch with another number goes
        unnoticed.
    """

    def asymmetric(z: Tensor, y: Tensor) -> Tensor:
        of_yes, of_no = parameters((gamma_positive, gamma_negative), z)
        gap = z.scatter(-1, y, ABSENT).logsumexp(-1) - z.gather(-1, y)[..., 0]
        logp = z.log_softmax(-1)
        logp = torch.where(logp > -torch.inf, logp, torch.zeros_like(logp))  # an impossible class adds nothing
        others = (torch.exp(of_no * logp) * -logp).scatter(-1, y, 0.0).sum(-1)
        share = label_smoothing / max(z.shape[-1], 1)
        return (1 - label_smoothing + share) * focal_terms(gap, of_yes)[0] + share * others

    of_items: tuple[Any, ...] = (class_weight, ignore_index, dim, sample_weight, mask, reduction)
    return label_loss(asymmetric, input, target, *of_items)


class AsymmetricSoftmaxLoss(Loss):
    """:func:`asymmetric_softmax_loss` as a Module."""

    fn = staticmethod(asymmetric_softmax_loss)
    gamma_positive: NotNegative = 1.0
    gamma_negative: NotNegative = 4.0
    label_smoothing: Annotated[float, FRACTION] = 0.1
    class_weight: ClassWeight | None = None
    ignore_index: int = -100
    dim: int = 1
    reduction: Reduction = "mean"


_TRUE = {
    r"p_y": "the probability of the true class: softmax of `input` at `target`",
    r"y": "the true class, from `target`",
}

CARDS = (
    class_card(
        fn=ohem_cross_entropy_loss,
        module=OHEMCrossEntropyLoss,
        formula=r"\frac{1}{|H|} \sum_{i \in H} -\log p_{y_i}, \quad |H| \ge \lceil f N \rceil",
        symbols={
            r"H": "the hardest items: those with the largest losses, and all below `threshold`",
            r"i": "one of these items",
            r"p_{y_i}": "the probability of the item's true class: softmax of `input` at `target`",
            r"f": "`fraction`, the least share of the items that is kept",
            r"N": "the number of items that count",
        },
        paper="arXiv:1604.03540",
        equation="unnumbered",
        defaults="a quarter: there is no common value",
        search={"fraction": Range(0.05, 1.0)},
        separable=False,
        at_call=frozenset({"sample_weight", "mask", "group"}),
        when="Most items, or pixels, are easy and drown the hard ones, and the labels are clean.",
        pitfalls=(
            "Wrong labels are the hardest items of all.",
            "Under data-parallel training each rank keeps the hardest of its own items unless you pass `group`.",
            *TAKES_LOGITS,
        ),
        relatives=("focal_loss", "cross_entropy"),
    ),
    class_card(
        fn=asymmetric_softmax_loss,
        module=AsymmetricSoftmaxLoss,
        kernel="none",
        formula=(
            r"-\Big(1 - e + \frac{e}{C}\Big) (1 - p_y)^{\gamma_+} \log p_y"
            r" - \frac{e}{C} \sum_{c \ne y} p_c^{\gamma_-} \log p_c"
        ),
        symbols={
            r"e": "`label_smoothing`",
            r"C": "the number of classes",
            **_TRUE,
            r"\gamma_+": "`gamma_positive`: how fast the true class fades as it is found",
            r"c": "every other class",
            r"p_c": "the probability of class c: softmax of `input`",
            r"\gamma_-": "`gamma_negative`: how fast other classes fade as their probability nears 0",
        },
        paper="arXiv:2009.14119",
        equation="code",
        defaults="the paper's code, and timm",
        search={
            "gamma_positive": Range(0.0, 3.0),
            "gamma_negative": Range(0.0, 6.0),
            "label_smoothing": Range(0.0, 0.3),
        },
        when="Like the focal loss with smoothed labels, but smoothing does not lift classes that are ruled out.",
        pitfalls=("Without smoothing it is the focal loss: the other classes get no weight.", *TAKES_LOGITS),
        relatives=("focal_loss", "asymmetric_loss", "cross_entropy"),
    ),
)
