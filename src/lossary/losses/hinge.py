"""Hinge losses: a price for scores that do not win by a margin, and none beyond it."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor, dtype

from lossary._check import check_among
from lossary._loss import Loss
from lossary._reduce import Reduction, counted, reduce
from lossary._rules import ClassWeight, NotNegative, checked
from lossary.cards import Call, Card, Choice, Range
from lossary.kernels.stable import ABSENT, accumulate
from lossary.losses._classes import check_class_weight, problem
from lossary.losses._facts import CLASS_WEIGHT, draw_classes, draw_signs, golden_pair
from lossary.losses._pointwise import decide, pointwise

__all__ = [
    "CrammerSingerLoss",
    "HingeLoss",
    "MulticlassHingeLoss",
    "SquaredHingeLoss",
    "crammer_singer_loss",
    "hinge_loss",
    "multiclass_hinge_loss",
    "squared_hinge_loss",
]


def shortfall(x: Tensor, y: Tensor, margin: float | Tensor) -> Tensor:
    """How much of the margin a score misses on the right side, as a formula of scores and signs."""
    return (margin - decide(y, x, -x)).relu()


def _squared_shortfall(x: Tensor, y: Tensor, margin: float | Tensor) -> Tensor:
    return shortfall(x, y, margin).square()


@checked
def hinge_loss(
    input: Tensor,
    target: Tensor,
    *,
    margin: NotNegative = 1.0,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The loss of the support vector machine: linear in what a score lacks to the margin.

    .. math:: \max(0, m - t\,z), \quad t = \pm 1

    Args:
        input: Scores, any shape; above 0 says yes.
        target: The shape of ``input``: booleans, or +1 for yes against -1 or 0 for no.
        margin: m, in units of the score, at least 0.
        sample_weight: One weight an element, or one a sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or the shape of ``input``. The gradient exactly at the margin is 0.

    Raises:
        ValueError: Shapes that differ, a target that is none of -1, 0, 1.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> hinge_loss(torch.tensor([0.5, 2.0, 0.5]), torch.tensor([1, 1, -1]), reduction="none")
        tensor([0.5000, 0.0000, 1.5000])

    Source:
        Cortes and Vapnik, Support-Vector Networks, 1995; margin 1.
    """
    check_among("target", counted(target, mask), (-1, 0, 1))
    return pointwise(shortfall, input, target, margin, sample_weight=sample_weight, mask=mask, reduction=reduction)


class HingeLoss(Loss):
    """:func:`hinge_loss` as a Module."""

    fn = staticmethod(hinge_loss)
    margin: NotNegative = 1.0
    reduction: Reduction = "mean"


@checked
def squared_hinge_loss(
    input: Tensor,
    target: Tensor,
    *,
    margin: NotNegative = 1.0,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The hinge loss squared: without a corner at the margin, harder on large violations.

    .. math:: \max(0, m - t\,z)^2, \quad t = \pm 1

    Args:
        input: Scores, any shape; above 0 says yes.
        target: The shape of ``input``: booleans, or +1 for yes against -1 or 0 for no.
        margin: m, in units of the score, at least 0.
        sample_weight: One weight an element, or one a sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an element counts.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or the shape of ``input``.

    Raises:
        ValueError: Shapes that differ, a target that is none of -1, 0, 1.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> squared_hinge_loss(torch.tensor([0.5, 2.0, 0.5]), torch.tensor([1, 1, -1]), reduction="none")
        tensor([0.2500, 0.0000, 2.2500])

    Source:
        The L2-loss support vector machine, see Tang, arXiv:1306.0239; margin 1.
    """
    check_among("target", counted(target, mask), (-1, 0, 1))
    return pointwise(
        _squared_shortfall, input, target, margin, sample_weight=sample_weight, mask=mask, reduction=reduction
    )


class SquaredHingeLoss(Loss):
    """:func:`squared_hinge_loss` as a Module."""

    fn = staticmethod(squared_hinge_loss)
    margin: NotNegative = 1.0
    reduction: Reduction = "mean"


def class_hinge(
    formula: Callable[[Tensor, Tensor], Tensor],
    input: Tensor,
    target: Tensor,
    class_weight: Tensor | None,
    ignore_index: int,
    dim: int,
    sample_weight: Tensor | None,
    mask: Tensor | None,
    reduction: str,
) -> Tensor:
    """``formula(scores (..., C), labels (..., 1))``, one loss an item, reduced."""
    p = problem(input, target, dim=dim, ignore_index=ignore_index, sample_weight=sample_weight, mask=mask)
    if p.labels is None:
        raise TypeError(f"target: wanted integer class indices; got {target.dtype}")
    check_class_weight("class_weight", class_weight, p.classes)
    assert isinstance(p.input, Tensor)
    losses = formula(accumulate(p.input), p.labels.unsqueeze(-1))
    return reduce(losses, weight=p.weight(class_weight), mask=p.counted, reduction=reduction)


@checked
def multiclass_hinge_loss(
    input: Tensor,
    target: Tensor,
    *,
    margin: NotNegative = 1.0,
    power: Literal[1, 2] = 1,
    per_class_mean: bool = False,
    include_target: bool = False,
    class_weight: ClassWeight | None = None,
    ignore_index: int = -100,
    dim: int = 1,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The multiclass SVM of Weston and Watkins: every other class must stay a margin below the true one.

    .. math:: \sum_{j \ne y} \max(0, z_j - z_y + m)^q

    Args:
        input: Scores, (N, C), (N, C, d1, ...) or (C,).
        target: Class indices of any integer dtype, the shape of ``input`` less the class dimension.
        margin: m, in units of the score, at least 0.
        power: q, 1 or 2.
        per_class_mean: Divide the sum over classes by C, as torch's ``MultiMarginLoss`` does.
        include_target: Sum over the true class too, which adds the constant m^q.
        class_weight: (C,), a weight a class: the mean is ``sum(w l) / sum(w)``.
        ignore_index: A target that does not count.
        dim: The class dimension; -1 for (B, L, C).
        sample_weight: One weight an item, or one a sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an item counts.
        reduction: ``"none"`` (the shape of ``input`` less the class dimension), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or one loss an item. The gradient exactly at the margin is 0.

    Raises:
        ValueError: Shapes that do not fit, a ``power`` other than 1 or 2.
        TypeError: Targets that are no integers.
        IndexError: A target outside of [0, C) that is not ``ignore_index``.

    Example:
        >>> import torch
        >>> multiclass_hinge_loss(torch.tensor([[15.0, -3.0, 7.0]]), torch.tensor([1]))
        tensor(30.)

    Source:
        Weston and Watkins, Support Vector Machines for Multi-Class Pattern Recognition, 1999; margin 1. With scores
        all alike the loss is (C - 1) m: a check for the first step of a training.
    """

    def formula(z: Tensor, y: Tensor) -> Tensor:
        terms = violations(z, y, margin, power, include_target)
        return terms.mean(-1) if per_class_mean else terms.sum(-1)

    return class_hinge(formula, input, target, class_weight, ignore_index, dim, sample_weight, mask, reduction)


def violations(z: Tensor, y: Tensor, margin: float | Tensor, power: int, include_target: bool = False) -> Tensor:
    """By how much each class of ``z`` (..., C) violates the margin of the label ``y`` (..., 1), to a power."""
    terms = (z - z.gather(-1, y) + margin).relu()
    terms = terms.square() if power == 2 else terms
    return terms if include_target else terms.scatter(-1, y, 0.0)


class MulticlassHingeLoss(Loss):
    """:func:`multiclass_hinge_loss` as a Module."""

    fn = staticmethod(multiclass_hinge_loss)
    margin: NotNegative = 1.0
    power: Literal[1, 2] = 1
    per_class_mean: bool = False
    include_target: bool = False
    class_weight: ClassWeight | None = None
    ignore_index: int = -100
    dim: int = 1
    reduction: Reduction = "mean"


@checked
def crammer_singer_loss(
    input: Tensor,
    target: Tensor,
    *,
    margin: NotNegative = 1.0,
    class_weight: ClassWeight | None = None,
    ignore_index: int = -100,
    dim: int = 1,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The multiclass SVM of Crammer and Singer: only the strongest other class counts.

    .. math:: \max\left(0, m + \max_{j \ne y} z_j - z_y\right)

    Args:
        input: Scores, (N, C), (N, C, d1, ...) or (C,).
        target: Class indices of any integer dtype, the shape of ``input`` less the class dimension.
        margin: m, in units of the score, at least 0.
        class_weight: (C,), a weight a class: the mean is ``sum(w l) / sum(w)``.
        ignore_index: A target that does not count.
        dim: The class dimension; -1 for (B, L, C).
        sample_weight: One weight an item, or one a sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an item counts.
        reduction: ``"none"`` (the shape of ``input`` less the class dimension), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or one loss an item. Where other classes tie the gradient goes to the first; exactly at the
        margin it is 0.

    Raises:
        ValueError: Shapes that do not fit.
        TypeError: Targets that are no integers.
        IndexError: A target outside of [0, C) that is not ``ignore_index``.

    Example:
        >>> import torch
        >>> crammer_singer_loss(torch.tensor([[15.0, -3.0, 7.0]]), torch.tensor([1]))
        tensor(19.)

    Source:
        Crammer and Singer, On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines, JMLR 2,
        2001; margin 1.
    """

    def violation(z: Tensor, y: Tensor) -> Tensor:
        others = z.scatter(-1, y, ABSENT)
        runner_up = others.gather(-1, others.argmax(-1, keepdim=True))
        return (runner_up - z.gather(-1, y) + margin).relu().squeeze(-1)

    return class_hinge(violation, input, target, class_weight, ignore_index, dim, sample_weight, mask, reduction)


class CrammerSingerLoss(Loss):
    """:func:`crammer_singer_loss` as a Module."""

    fn = staticmethod(crammer_singer_loss)
    margin: NotNegative = 1.0
    class_weight: ClassWeight | None = None
    ignore_index: int = -100
    dim: int = 1
    reduction: Reduction = "mean"


def _edges_signs(dt: dtype) -> tuple[Call, ...]:
    z = torch.tensor([1.0, -1.0, 0.0, 1e4, -1e4], dtype=dt)  # the first two: exactly at the margin
    return (
        Call((z, torch.tensor([1, -1, -1, -1, 1], dtype=torch.int8))),
        Call((z, torch.tensor([True, False, True, True, False]))),
        Call((z, torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0], dtype=dt))),
        Call((z[:0], torch.zeros(0, dtype=torch.bool))),
    )


def _edges_classes(dt: dtype) -> tuple[Call, ...]:
    z = torch.tensor([[10.0, 9.0, 9.0], [0.0, 0.0, 0.0], [1e4, -1e4, -torch.inf]], dtype=dt)
    return (
        Call((z, torch.tensor([0, 1, 1], dtype=torch.int32))),  # at the margin; ties; far off, an impossible class
        Call((z[:2, None].expand(2, 2, 3).movedim(-1, 1), torch.tensor([[0, 1], [-100, 2]]))),
        Call((z, torch.full((3,), -100))),
        Call((z[0], torch.tensor(2))),
        Call((z[:, :1].contiguous(), torch.zeros(3, dtype=torch.uint8))),
        Call((z[:0], torch.zeros(0, dtype=torch.int64))),
    )


_AT_CALL = frozenset({"sample_weight", "mask"})
_binary = partial(
    Card,
    data="binary",
    kernel="none",
    item="element",
    draw=draw_signs,
    edges=_edges_signs,
    variants=({}, {"margin": 0.25}, {"margin": 3.0}),
    search={"margin": Range(0.1, 5.0, log=True)},
    at_call=_AT_CALL,
)
_multiclass = partial(
    Card,
    data="classes",
    kernel="none",
    item="row",
    draw=draw_classes,
    edges=_edges_classes,
    mean_is_plain=False,
    at_call=_AT_CALL,
)

CARDS = (
    _binary(
        fn=hinge_loss,
        module=HingeLoss,
        formula=r"\max(0, m - t z)",
        paper="Cortes and Vapnik, Support-Vector Networks, 1995",
        equation="",
        defaults="the support vector machine",
        golden={"hinge": golden_pair},
        when="A linear or kernel classifier where only the decision counts, not its probability.",
        pitfalls=(
            "Scores are no logits: beyond the margin nothing tells a good score from a better one.",
            "Without a penalty on the weights the margin means nothing: scores can grow at no cost.",
        ),
        relatives=("squared_hinge_loss", "multiclass_hinge_loss", "binary_cross_entropy_with_logits"),
    ),
    _binary(
        fn=squared_hinge_loss,
        module=SquaredHingeLoss,
        formula=r"\max(0, m - t z)^2",
        paper="arXiv:1306.0239",
        equation="",
        defaults="the support vector machine",
        golden={"squared_hinge": golden_pair},
        when="As the hinge loss, with a smooth corner and few mislabelled examples.",
        pitfalls=("One mislabelled example far on the wrong side weighs as its distance squared.",),
        relatives=("hinge_loss", "multiclass_hinge_loss"),
    ),
    _multiclass(
        fn=multiclass_hinge_loss,
        module=MulticlassHingeLoss,
        formula=r"\sum_{j \ne y} \max(0, z_j - z_y + m)^q",
        paper="Weston and Watkins, Support Vector Machines for Multi-Class Pattern Recognition, 1999",
        equation="",
        defaults="the paper",
        variants=(
            {},
            {"power": 2, "margin": 0.5},
            {"per_class_mean": True, "class_weight": CLASS_WEIGHT},
            {"include_target": True, "margin": 3.0},
        ),
        golden={"multiclass_svm": golden_pair},
        search={"margin": Range(0.1, 10.0, log=True), "power": Choice((1, 2))},
        when="One class among many where only the decision counts.",
        pitfalls=(
            "torch's MultiMarginLoss divides by the number of classes: C times smaller.",
            "A row of sums over 1,000 classes is large at the start: (C - 1) m.",
        ),
        relatives=("crammer_singer_loss", "cross_entropy", "hinge_loss"),
    ),
    _multiclass(
        fn=crammer_singer_loss,
        module=CrammerSingerLoss,
        formula=r"\max\left(0, m + \max_{j \ne y} z_j - z_y\right)",
        paper="Crammer and Singer, JMLR 2, 2001",
        equation="",
        defaults="the paper",
        variants=({}, {"margin": 0.5}, {"margin": 3.0, "class_weight": CLASS_WEIGHT}),
        golden={"crammer_singer": golden_pair},
        search={"margin": Range(0.1, 10.0, log=True)},
        when="As the multiclass hinge loss, with many classes of which few come close.",
        pitfalls=("Only two scores a row get a gradient: training starts slowly with many classes.",),
        relatives=("multiclass_hinge_loss", "cross_entropy"),
    ),
)
