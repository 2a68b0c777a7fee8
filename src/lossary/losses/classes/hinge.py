"""Hinge losses of one class among many: classes that come within a margin of the true one are penalised."""

from functools import partial
from typing import Literal

from torch import Tensor

from lossary.core.card import Card, Choice, Range
from lossary.core.check import check_dim
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction
from lossary.core.rules import ClassWeight, NotNegative, checked
from lossary.core.torch_internals import first_largest
from lossary.kernels.stable import ABSENT, like_torch
from lossary.losses.classes._shared import check_class_weight, label_loss

__all__ = [
    "CrammerSingerLoss",
    "MultiMarginLoss",
    "MulticlassHingeLoss",
    "crammer_singer_loss",
    "multi_margin_loss",
    "multiclass_hinge_loss",
]


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
        per_class_mean: Divide the sum over classes by C, like torch's ``MultiMarginLoss``.
        include_target: Sum over the true class too, which adds the constant m^q.
        class_weight: (C,), one weight per class: the mean is ``sum(w l) / sum(w)``.
        ignore_index: A target that does not count.
        dim: The class dimension; -1 for (B, L, C).
        sample_weight: One weight per item, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an item counts.
        reduction: ``"none"`` (the shape of ``input`` less the class dimension), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or one loss per item. The gradient exactly at the margin is 0.

    Raises:
        ValueError: Shapes that do not fit, a ``power`` other than 1 or 2.
        TypeError: Targets that are not integers.
        IndexError: A target outside of [0, C) that is not ``ignore_index``.

    Example:
        >>> import torch
        >>> multiclass_hinge_loss(torch.tensor([[15.0, -3.0, 7.0]]), torch.tensor([1]))
        tensor(30.)

    Source:
        Weston and Watkins, Support Vector Machines for Multi-Class Pattern Recognition, 1999; margin 1. If all scores
        are equal the loss is (C - 1) m: a check for the first training step.
    """

    def formula(z: Tensor, y: Tensor) -> Tensor:
        terms = violations(z, y, margin, power, include_target)
        return terms.mean(-1) if per_class_mean else terms.sum(-1)

    return label_loss(formula, input, target, class_weight, ignore_index, dim, sample_weight, mask, reduction)


def violations(z: Tensor, y: Tensor, margin: float | Tensor, power: int, include_target: bool = False) -> Tensor:
    """How much each class of ``z`` (..., C) violates the margin of the label ``y`` (..., 1), to a power."""
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
        class_weight: (C,), one weight per class: the mean is ``sum(w l) / sum(w)``.
        ignore_index: A target that does not count.
        dim: The class dimension; -1 for (B, L, C).
        sample_weight: One weight per item, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where an item counts.
        reduction: ``"none"`` (the shape of ``input`` less the class dimension), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or one loss per item. If other classes tie, the gradient goes to the first; exactly at the margin it
        is 0.

    Raises:
        ValueError: Shapes that do not fit.
        TypeError: Targets that are not integers.
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
        runner_up = others.gather(-1, first_largest(others))
        return (runner_up - z.gather(-1, y) + margin).relu().squeeze(-1)

    return label_loss(violation, input, target, class_weight, ignore_index, dim, sample_weight, mask, reduction)


class CrammerSingerLoss(Loss):
    """:func:`crammer_singer_loss` as a Module."""

    fn = staticmethod(crammer_singer_loss)
    margin: NotNegative = 1.0
    class_weight: ClassWeight | None = None
    ignore_index: int = -100
    dim: int = 1
    reduction: Reduction = "mean"


_multiclass = partial(
    Card,
    data="classes",
    takes=("input-label",),
    input="scores",
    kernel="none",
    item="row",
    mean_is_plain=False,
    at_call=frozenset({"sample_weight", "mask"}),
)


@checked
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: Literal[1, 2] = 1,
    margin: float | Tensor = 1.0,
    weight: ClassWeight | None = None,
    reduction: Reduction = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""torch's multiclass SVM: ``multiclass_hinge_loss`` divided by the number of classes.

    .. math:: \frac1C \sum_{j \ne y} w_y \max(0, m - z_y + z_j)^p

    Args:
        input: Scores, (N, C) or (C,).
        target: Class indices of any integer dtype, (N,) or ().
        p: The power, 1 or 2.
        margin: m, in units of the score; below 0 it is a tolerance, as in torch.
        weight: (C,), one factor per class, not part of the mean's divisor (unlike in cross_entropy).
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.
        sample_weight: (N,) weights; mean is ``sum(w l) / sum(w)``.
        mask: (N,) booleans, True where a row counts.

    Returns:
        A scalar, or one loss per row, in torch's dtype. The gradient exactly at the margin is 0.

    Raises:
        ValueError: Shapes that do not fit, a ``p`` other than 1 or 2.
        TypeError: Targets that are not integers.
        IndexError: A target outside of [0, C).

    Example:
        >>> import torch
        >>> multi_margin_loss(torch.tensor([[15.0, -3.0, 7.0]]), torch.tensor([1]))
        tensor(10.)

    Source:
        Weston and Watkins, Support Vector Machines for Multi-Class Pattern Recognition, 1999; arguments and the
        division by C are torch's. This version has a second derivative; nothing to average gives 0, NaN in torch.
    """
    check_dim("input", input, (1, 2), "(N, C) or (C,)")
    check_class_weight("weight", weight, input.shape[-1])

    def formula(z: Tensor, y: Tensor) -> Tensor:
        losses = violations(z, y, margin, p).mean(-1)
        return losses if weight is None else losses * weight.to(z.dtype)[y.squeeze(-1)]

    loss = label_loss(formula, input, target, None, -100, 1, sample_weight, mask, reduction)
    return like_torch(loss, input)


class MultiMarginLoss(Loss):
    """:func:`multi_margin_loss` as a Module."""

    fn = staticmethod(multi_margin_loss)
    p: Literal[1, 2] = 1
    margin: float | Tensor = 1.0
    weight: ClassWeight | None = None
    reduction: Reduction = "mean"


CARDS = (
    _multiclass(
        fn=multiclass_hinge_loss,
        module=MulticlassHingeLoss,
        formula=r"\sum_{j \ne y} \max(0, z_j - z_y + m)^q",
        symbols={
            r"j": "every other class; with `include_target` also the true one",
            r"y": "`target`, the true class",
            r"z_j": "`input`, the score of another class",
            r"z_y": "`input`, the score of the true class",
            r"m": "`margin`, in units of the score, at least 0",
            r"q": "`power`: 1, or 2 to square the violations",
        },
        paper="Weston and Watkins, Support Vector Machines for Multi-Class Pattern Recognition, 1999",
        equation="program",
        defaults="the paper",
        search={"margin": Range(0.1, 10.0, log=True), "power": Choice((1, 2))},
        when="One class among many where only the decision counts.",
        pitfalls=(
            "torch's MultiMarginLoss divides by the number of classes: C times smaller.",
            "A sum over 1,000 classes is large at the start: (C - 1) m.",
        ),
        relatives=("crammer_singer_loss", "cross_entropy", "hinge_loss"),
    ),
    _multiclass(
        fn=crammer_singer_loss,
        module=CrammerSingerLoss,
        formula=r"\max\left(0, m + \max_{j \ne y} z_j - z_y\right)",
        symbols={
            r"m": "`margin`, in units of the score, at least 0",
            r"j": "every other class: the one with the highest score counts",
            r"y": "`target`, the true class",
            r"z_j": "`input`, the score of another class",
            r"z_y": "`input`, the score of the true class",
        },
        paper="Crammer and Singer, JMLR 2, 2001",
        equation="2",
        defaults="the paper",
        search={"margin": Range(0.1, 10.0, log=True)},
        when="Like the multiclass hinge loss, for many classes of which few come close.",
        pitfalls=("Only two scores per row get a gradient, so training starts slowly with many classes.",),
        relatives=("multiclass_hinge_loss", "cross_entropy"),
    ),
    _multiclass(
        fn=multi_margin_loss,
        module=MultiMarginLoss,
        formula=r"\frac1C \sum_{j \ne y} w_y \max(0, m - z_y + z_j)^p",
        symbols={
            r"C": "the number of classes: the last dimension of `input`",
            r"j": "every other class",
            r"y": "`target`, the true class",
            r"w_y": "`weight` of the true class, 1 without it",
            r"m": "`margin`, in units of the score",
            r"z_y": "`input`, the score of the true class",
            r"z_j": "`input`, the score of another class",
            r"p": "`p`: 1, or 2 to square the violations",
        },
        mean_is_plain=True,
        defaults="torch",
        paper="Weston and Watkins, Support Vector Machines for Multi-Class Pattern Recognition, 1999",
        equation="program",
        search={"margin": Range(0.1, 10.0, log=True), "p": Choice((1, 2))},
        when="Only to replace torch's; multiclass_hinge_loss is the same without the division by C.",
        pitfalls=("Divided by C: with many classes the gradient is tiny compared with that of other losses.",),
        relatives=("multiclass_hinge_loss", "crammer_singer_loss"),
    ),
)
