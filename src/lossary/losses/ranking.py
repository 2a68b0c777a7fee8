"""Ranking: which of two comes first."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, Tensor, dtype

from lossary._check import check_among, check_float, stretched
from lossary._loss import Loss
from lossary._reduce import Reduction, counted
from lossary._rules import checked
from lossary.cards import Call, Card, Range
from lossary.draws import normal, signs
from lossary.kernels.stable import accumulate, like_torch
from lossary.losses._pointwise import pointwise
from lossary.losses.hinge import shortfall

__all__ = ["MarginRankingLoss", "margin_ranking_loss"]


@checked
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float | Tensor = 0.0,
    reduction: Reduction = "mean",
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    r"""The score of what should come first must win by a margin.

    .. math:: \max(0, m - y\,(x_1 - x_2)), \quad y = \pm 1

    Args:
        input1: Scores, any shape.
        input2: Scores, the shape of ``input1``.
        target: The same shape: +1 or True where the first should rank higher, -1 or False where the second should.
        margin: m, in units of the score; below 0 a tolerance, as in torch.
        reduction: ``"none"`` (the shape of ``input1``), ``"sum"`` or ``"mean"``.
        sample_weight: One weight an element, or one a sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where a pair counts.

    Returns:
        A scalar, or the shape of ``input1``, in torch's dtype. The gradient exactly at the margin is 0 (torch: 1).

    Raises:
        ValueError: Shapes that differ, a target that is neither -1 nor 1 (0 is no ranking: torch accepts it).
        TypeError: Scores that are not floating-point.

    Example:
        >>> import torch
        >>> first, second = torch.tensor([1.0, 0.0]), torch.tensor([0.5, 2.0])
        >>> margin_ranking_loss(first, second, torch.tensor([1, -1]), margin=1.0)
        tensor(0.2500)

    Source:
        Herbrich, Graepel and Obermayer, Large Margin Rank Boundaries for Ordinal Regression, 2000; margin 0 is
        torch's, and lets equal scores pass: give it one. Nothing to average gives 0 here, NaN in torch. Some lectures
        name Nayyeri et al., arXiv:1907.05336, as the source: theirs is another, later loss, whose margin adapts while
        a knowledge graph is embedded. It is not in Lossary.
    """
    check_float("input1", input1)
    input1, input2, target = stretched(input1=input1, input2=input2, target=target)
    check_among("target", counted(target, mask), (-1, 1))
    difference = accumulate(input1) - accumulate(input2)
    loss = pointwise(shortfall, difference, target, margin, sample_weight=sample_weight, mask=mask, reduction=reduction)
    return like_torch(loss, input1, input2)


class MarginRankingLoss(Loss):
    """:func:`margin_ranking_loss` as a Module."""

    fn = staticmethod(margin_ranking_loss)
    margin: float | Tensor = 0.0
    reduction: Reduction = "mean"


def _draw(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5), normal(g, dt, 6, 5), signs(g, 6, 5)))


def _edges(dt: dtype) -> tuple[Call, ...]:
    x = torch.tensor([0.0, 1.0, 1e4, -1e4], dtype=dt)
    return (
        Call((x, x.clone(), torch.tensor([1, -1, 1, -1], dtype=torch.int8))),  # ties
        Call((x, -x, torch.tensor([True, False, False, True]))),
        Call((x, x - 0.5, torch.ones(4, dtype=dt))),
        Call((x[:0], x[:0].clone(), torch.zeros(0, dtype=torch.bool))),
    )


def _golden(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["input1"], inputs["input2"], inputs["target"]), dict(params))


CARDS = (
    Card(
        fn=margin_ranking_loss,
        module=MarginRankingLoss,
        formula=r"\max(0, m - y (x_1 - x_2))",
        data="pairs",
        kernel="none",
        item="element",
        paper="Herbrich, Graepel and Obermayer, Large Margin Rank Boundaries for Ordinal Regression, 2000",
        equation="",
        defaults="torch",
        draw=_draw,
        edges=_edges,
        variants=({}, {"margin": 0.5}, {"margin": 2.0}),
        golden={"margin_ranking": _golden},
        search={"margin": Range(0.0, 2.0)},
        at_call=frozenset({"sample_weight", "mask"}),
        when="Preferences between two: which document, answer or triple is the better one.",
        pitfalls=(
            "With the default margin of 0, a model that gives everything the same score has loss 0.",
            "y = -1 says that the second should rank higher.",
        ),
        relatives=("hinge_loss",),
    ),
)
