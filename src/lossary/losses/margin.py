"""torch's losses with a margin that the hinge and contrastive families have in another convention."""

from __future__ import annotations  # torch 2.9 compiles no inner function with a union in its annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Generator, Tensor, dtype

from lossary._check import (
    check_among,
    check_dim,
    check_float,
    stretched,
    stretched_rows,
    wide_integers,
)
from lossary._loss import Loss
from lossary._reduce import Reduction, align, counted, reduce
from lossary._rules import ClassWeight, checked
from lossary.cards import Call, Card, Choice, Range
from lossary.draws import normal, signs
from lossary.kernels.stable import accumulate, like_torch, unit
from lossary.losses._classes import check_class_weight
from lossary.losses._facts import draw_classes
from lossary.losses._pointwise import decide, hide, pointwise
from lossary.losses.hinge import class_hinge, violations

__all__ = [
    "CosineEmbeddingLoss",
    "HingeEmbeddingLoss",
    "MultiMarginLoss",
    "cosine_embedding_loss",
    "hinge_embedding_loss",
    "multi_margin_loss",
]


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
    r"""torch's multiclass SVM: ``multiclass_hinge_loss`` over the number of classes.

    .. math:: \frac1C \sum_{j \ne y} w_y \max(0, m - z_y + z_j)^p

    Args:
        input: Scores, (N, C) or (C,).
        target: Class indices of any integer dtype, (N,) or ().
        p: The power, 1 or 2.
        margin: m, in units of the score; below 0 a tolerance, as in torch.
        weight: (C,), a factor of the label's class, not part of the mean's divisor (unlike in cross_entropy).
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.
        sample_weight: (N,) weights; mean is ``sum(w l) / sum(w)``.
        mask: (N,) booleans, True where a row counts.

    Returns:
        A scalar, or one loss a row, in torch's dtype. The gradient exactly at the margin is 0.

    Raises:
        ValueError: Shapes that do not fit, a ``p`` other than 1 or 2.
        TypeError: Targets that are no integers.
        IndexError: A target outside of [0, C).

    Example:
        >>> import torch
        >>> multi_margin_loss(torch.tensor([[15.0, -3.0, 7.0]]), torch.tensor([1]))
        tensor(10.)

    Source:
        Weston and Watkins, Support Vector Machines for Multi-Class Pattern Recognition, 1999; arguments and the
        division by C are torch's. It has a second derivative here; nothing to average gives 0, in torch NaN.
    """
    check_dim("input", input, (1, 2), "(N, C) or (C,)")
    check_class_weight("weight", weight, input.shape[-1])

    def formula(z: Tensor, y: Tensor) -> Tensor:
        losses = violations(z, y, margin, p).mean(-1)
        return losses if weight is None else losses * weight.to(z.dtype)[y.squeeze(-1)]

    loss = class_hinge(formula, input, target, None, -100, 1, sample_weight, mask, reduction)
    return like_torch(loss, input)


class MultiMarginLoss(Loss):
    """:func:`multi_margin_loss` as a Module."""

    fn = staticmethod(multi_margin_loss)
    p: Literal[1, 2] = 1
    margin: float | Tensor = 1.0
    weight: ClassWeight | None = None
    reduction: Reduction = "mean"


@checked
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float | Tensor = 1.0,
    reduction: Reduction = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""From distances: those of similar pairs as they are, those of dissimilar ones by what they lack to a margin.

    .. math:: d \text{ for } y = 1, \quad \max(0, m - d) \text{ for } y = -1

    Args:
        input: Distances, any shape.
        target: The same shape, or with lengths of 1 in it: +1 or True where similar, -1 or False where not.
        margin: m, in units of the distance; below 0 only of use where inputs are, as in torch.
        reduction: ``"none"`` (the shape of ``input``), ``"sum"`` or ``"mean"``.
        sample_weight: One weight an element, or one a sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where a pair counts.

    Returns:
        A scalar, or the shape of ``input``, in torch's dtype. The gradient exactly at the margin is 0 (torch: -1).

    Raises:
        ValueError: Shapes that differ, a target that is neither -1 nor 1.
        TypeError: ``input`` that is not floating-point.

    Example:
        >>> import torch
        >>> hinge_embedding_loss(torch.tensor([0.3, 0.3]), torch.tensor([1, -1]), reduction="none")
        tensor([0.3000, 0.7000])

    Source:
        Arguments and margin are torch's; ``contrastive_loss`` is the squared form, from embeddings. Nothing to
        average gives 0 here, NaN in torch.
    """
    input, target = stretched(input=input, target=target)
    check_among("target", counted(target, mask), (-1, 1))

    def pair(d: Tensor, y: Tensor, margin: float | Tensor) -> Tensor:
        return decide(y, d, (margin - d).relu())

    loss = pointwise(pair, input, target, margin, sample_weight=sample_weight, mask=mask, reduction=reduction)
    return like_torch(loss, input, target)


class HingeEmbeddingLoss(Loss):
    """:func:`hinge_embedding_loss` as a Module."""

    fn = staticmethod(hinge_embedding_loss)
    margin: float | Tensor = 1.0
    reduction: Reduction = "mean"


@checked
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float | Tensor = 0.0,
    reduction: Reduction = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Similar pairs shall have cosine 1, dissimilar ones at most a margin.

    .. math:: 1 - \cos \text{ for } y = 1, \quad \max(0, \cos - m) \text{ for } y = -1

    Args:
        input1: Embeddings, (N, D) or (D,), any length.
        input2: Embeddings, the shape of ``input1``, or with lengths of 1 in it.
        target: (N,) or (), or (1,) for all pairs: +1 or True where similar, -1 or False where not.
        margin: m, a cosine; 0 to 0.5 are usual.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.
        sample_weight: (N,) weights; mean is ``sum(w l) / sum(w)``.
        mask: (N,) booleans, True where a pair counts.

    Returns:
        A scalar, or one loss a pair, in torch's dtype. A zero vector has cosine 0 and a zero gradient (torch: 1e6);
        the length of others does not matter (torch adds 1e-12 to its square).

    Raises:
        ValueError: Shapes that do not fit, a target that is neither -1 nor 1 (torch: loss 0).
        TypeError: Embeddings that are not floating-point.

    Example:
        >>> import torch
        >>> x = torch.eye(2)
        >>> cosine_embedding_loss(x, x.flip(0), torch.tensor([1, -1]), reduction="none")
        tensor([1., 0.])

    Source:
        Arguments and margin are torch's. Nothing to average gives 0 here, NaN in torch.
    """
    check_float("input1", input1)
    input1, input2 = stretched_rows(input1=input1, input2=input2)
    target = wide_integers("target", target)
    if target.shape == (1,) and input1.dim() > 0:  # one for all pairs, and torch's way to write one pair's
        target = target.expand(input1.shape[:-1])
    if input1.dim() == 0 or target.shape != input1.shape[:-1]:
        wanted = f"wanted shape {tuple(input1.shape[:-1])} beside embeddings {tuple(input1.shape)}"
        raise ValueError(f"target: {wanted}; got {tuple(target.shape)}")
    check_among("target", counted(target, mask), (-1, 1))
    sample_weight, mask = align(sample_weight, mask, target.shape)
    first, second = accumulate(input1), accumulate(input2)
    if mask is not None:
        first, second = hide(first, mask.unsqueeze(-1)), hide(second, mask.unsqueeze(-1))
    cosine = (unit(first) * unit(second)).sum(-1)
    losses = decide(target, 1 - cosine, (cosine - margin).relu())
    loss = reduce(losses, weight=sample_weight, mask=mask, reduction=reduction)
    return like_torch(loss, input1, input2)


class CosineEmbeddingLoss(Loss):
    """:func:`cosine_embedding_loss` as a Module."""

    fn = staticmethod(cosine_embedding_loss)
    margin: float | Tensor = 0.0
    reduction: Reduction = "mean"


def _edges_classes(dt: dtype) -> tuple[Call, ...]:
    z = torch.tensor([[10.0, 9.0, 9.0], [0.0, 0.0, 0.0], [1e4, -1e4, 0.0]], dtype=dt)
    return (
        Call((z, torch.tensor([0, 1, 1], dtype=torch.int32))),  # at the margin; ties; far off
        Call((z[0], torch.tensor(2))),
        Call((z[:0], torch.zeros(0, dtype=torch.int64))),
    )


def _draw_distances(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, torch.float64, 6, 5).abs().to(dt), signs(g, 6, 5)))


def _edges_distances(dt: dtype) -> tuple[Call, ...]:
    d = torch.tensor([0.0, 1.0, 1e4, 0.5], dtype=dt)
    return (
        Call((d, torch.tensor([-1, -1, -1, 1], dtype=torch.int8))),  # the second: at the margin
        Call((d, torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=dt))),
        Call((d[:0], torch.zeros(0, dtype=torch.bool))),
    )


def _draw_pairs(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5), normal(g, dt, 6, 5), signs(g, 6)))


def _edges_pairs(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(3, dtype=dt)
    signs = torch.tensor([1, -1, 1], dtype=torch.int8)
    return (
        Call((axes, axes.clone(), signs)),  # cosine exactly 1
        Call((axes, -axes, signs)),
        Call((axes * 0, axes.clone(), signs)),  # zero vectors
        Call((axes * 1e4, axes.flip(0), signs)),
        Call((axes[0], axes[1].clone(), torch.tensor(1))),
        Call((axes[:0], axes[:0].clone(), signs[:0])),
    )


_card: Callable[..., Card] = partial(
    Card, kernel="none", equation="", defaults="torch", at_call=frozenset({"sample_weight", "mask"})
)

CARDS = (
    _card(
        fn=multi_margin_loss,
        module=MultiMarginLoss,
        formula=r"\frac1C \sum_{j \ne y} w_y \max(0, m - z_y + z_j)^p",
        data="classes",
        item="row",
        paper="Weston and Watkins, Support Vector Machines for Multi-Class Pattern Recognition, 1999",
        draw=draw_classes,
        edges=_edges_classes,
        variants=({}, {"p": 2, "margin": 0.5}, {"weight": torch.tensor([0.5, 2.0, 1.0, 0.0, 3.0])}),
        search={"margin": Range(0.1, 10.0, log=True), "p": Choice((1, 2))},
        when="Only to replace torch's; multiclass_hinge_loss is the same without the division by C.",
        pitfalls=("Divided by C: with many classes the gradient is tiny beside that of other losses.",),
        relatives=("multiclass_hinge_loss", "crammer_singer_loss"),
    ),
    _card(
        fn=hinge_embedding_loss,
        module=HingeEmbeddingLoss,
        formula=r"d \text{ for } y = 1, \; \max(0, m - d) \text{ for } y = -1",
        data="pairs",
        item="element",
        paper="torch",
        draw=_draw_distances,
        edges=_edges_distances,
        variants=({}, {"margin": 0.25}, {"margin": 3.0}),
        search={"margin": Range(0.1, 2.0, log=True)},
        when="Distances of pairs that are computed elsewhere.",
        pitfalls=("It takes distances, not scores: a similar pair with a negative input has a negative loss.",),
        relatives=("contrastive_loss", "cosine_embedding_loss", "hinge_loss"),
    ),
    _card(
        fn=cosine_embedding_loss,
        module=CosineEmbeddingLoss,
        formula=r"1 - \cos \text{ for } y = 1, \; \max(0, \cos - m) \text{ for } y = -1",
        data="pairs",
        item="pair",
        paper="torch",
        draw=_draw_pairs,
        edges=_edges_pairs,
        variants=({}, {"margin": 0.3}, {"margin": -0.5}),
        search={"margin": Range(0.0, 0.5)},
        when="Given pairs, similar or not, and directions that shall tell.",
        pitfalls=("With the default margin of 0 every dissimilar pair at a right angle has loss 0.",),
        relatives=("contrastive_loss", "hinge_embedding_loss"),
    ),
)
