"""Which of two candidates comes first: two scores, or all the pairs of a list."""

import math
from typing import Annotated

import torch
from torch import Tensor

from lossary.core.card import Card, Range
from lossary.core.check import check_among, check_float, check_same_shape, stretched
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, counted
from lossary.core.rules import NOT_NEGATIVE, checked
from lossary.kernels.stable import accumulate, like_torch, softplus
from lossary.losses._pointwise import hide, pointwise
from lossary.losses.answers.margin import shortfall
from lossary.losses.lists._shared import best_dcg, gains_of, list_card, lists_of, order_of, places_of, reduce_lists

__all__ = [
    "LambdaLoss",
    "MarginMSELoss",
    "MarginRankingLoss",
    "RankNetLoss",
    "lambda_loss",
    "margin_mse_loss",
    "margin_ranking_loss",
    "ranknet_loss",
]


@checked
def ranknet_loss(
    input: Tensor,
    target: Tensor,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The logistic loss of each pair of a list, in which the more relevant candidate should score higher.

    .. math:: \frac{1}{|P|} \sum_{(i, j) \in P} \log(1 + e^{s_j - s_i}), \quad P = \{(i, j): y_i > y_j\}

    Args:
        input: Scores s of L candidates in each of N lists, (N, L). They may be infinite: -inf comes last.
        target: Their relevance y, of the same shape, any numbers: only their order counts.
        sample_weight: One weight per list, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where there is a candidate, (N, L); or one per list, (N,).
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"`` over lists that have candidates.

    Returns:
        A scalar, or one loss per list; 0 for a list whose candidates are all equally relevant.

    Raises:
        ValueError: Shapes that differ.
        TypeError: Scores that are not floating-point.

    Example:
        >>> import torch
        >>> ranknet_loss(torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[2, 1, 0]]))
        tensor(0.2512)

    Source:
        Burges et al., Learning to Rank using Gradient Descent, ICML 2005, with target probabilities of 1. The paper
        sums over pairs; with the mean, long lists count no more than short ones. Memory is L squared.
    """
    lists = lists_of(input, target, mask, sample_weight)
    ordered = lists.ordered()
    losses = hide(softplus(-lists.leads()), ordered).sum((1, 2)) / ordered.sum((1, 2)).clamp_min(1)
    return reduce_lists(losses, lists, sample_weight, reduction)


class RankNetLoss(Loss):
    """:func:`ranknet_loss` as a Module."""

    fn = staticmethod(ranknet_loss)
    reduction: Reduction = "mean"


@checked
def lambda_loss(
    input: Tensor,
    target: Tensor,
    *,
    mu: Annotated[float, NOT_NEGATIVE] = 10.0,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""RankNet's pairs, each weighted by how much swapping the two would change NDCG.

    .. math:: \sum_{y_i > y_j} (\rho_{ij} + \mu\, \delta_{ij})\, \frac{y_i - y_j}{\mathrm{DCG}^*}
        \log_2(1 + e^{s_j - s_i})

    .. math:: \rho_{ij} = |d(r_i) - d(r_j)|, \quad \delta_{ij} = d(|r_i - r_j|) - d(|r_i - r_j| + 1), \quad
        d(r) = \frac{1}{\log_2(1 + r)}

    where r are the places by score, and DCG* is the discounted gains of the best order.

    Args:
        input: Scores s of L candidates in each of N lists, (N, L). They may be infinite: -inf comes last.
        target: Their gains y, of the same shape, none below 0. Grades are usually passed as ``2**grade - 1``.
        mu: How much the bound counts compared with the swap. 0 gives LambdaRank.
        sample_weight: One weight per list, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where there is a candidate, (N, L); or one per list, (N,).
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"`` over lists that have candidates.

    Returns:
        A scalar, or one loss per list; 0 for a list whose candidates all have the same gain.

    Raises:
        ValueError: Shapes that differ, a gain or ``mu`` below 0.
        TypeError: Scores that are not floating-point.

    Example:
        >>> import torch
        >>> lambda_loss(torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[3, 1, 0]]), mu=0.0)
        tensor(0.1838)

    Source:
        Wang et al., The LambdaLoss Framework for Ranking Metric Optimization, CIKM 2018, NDCG-Loss2++ with its mu of
        10; LambdaRank is from Burges et al., NIPS 2006. The gradient treats places as constants; equal scores keep
        their order. Memory is L squared.
    """
    lists = gains_of(input, target, mask, sample_weight)
    places = places_of(order_of(lists.scores, lists.there), lists.scores)
    apart = lists.pairs(places).abs().clamp_min(1)
    bound = 1 / torch.log2(1 + apart) - 1 / torch.log2(2 + apart)
    weight = lists.pairs(1 / torch.log2(1 + places)).abs() + mu * bound
    gain = lists.pairs(lists.relevance / best_dcg(lists))
    ordered = lists.ordered()
    # Both factors are hidden: 0 times the infinite loss of an excluded pair would be NaN.
    losses = hide(weight * gain, ordered) * softplus(hide(-lists.leads(), ordered))
    return reduce_lists(losses.sum((1, 2)) / math.log(2), lists, sample_weight, reduction)


class LambdaLoss(Loss):
    """:func:`lambda_loss` as a Module."""

    fn = staticmethod(lambda_loss)
    mu: Annotated[float, NOT_NEGATIVE] = 10.0
    reduction: Reduction = "mean"


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
    r"""The score of the item that should come first must win by a margin.

    .. math:: \max(0, m - y\,(x_1 - x_2)), \quad y = \pm 1

    Args:
        input1: Scores, any shape.
        input2: Scores, the shape of ``input1``.
        target: The same shape: +1 or True where the first should rank higher, -1 or False where the second should.
        margin: m, in units of the score; below 0 it is a tolerance, as in torch.
        reduction: ``"none"`` (the shape of ``input1``), ``"sum"`` or ``"mean"``.
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where a pair counts.

    Returns:
        A scalar, or the shape of ``input1``, in torch's dtype. The gradient exactly at the margin is 0 (torch: 1).

    Raises:
        ValueError: Shapes that differ, a target that is neither -1 nor 1 (torch accepts 0, which ranks nothing).
        TypeError: Scores that are not floating-point.

    Example:
        >>> import torch
        >>> first, second = torch.tensor([1.0, 0.0]), torch.tensor([0.5, 2.0])
        >>> margin_ranking_loss(first, second, torch.tensor([1, -1]), margin=1.0)
        tensor(0.2500)

    Source:
        Herbrich, Graepel and Obermayer, Large Margin Rank Boundaries for Ordinal Regression, 2000; the margin of 0 is
        torch's and lets equal scores pass: set one. Nothing to average gives 0 here, NaN in torch. Some lectures name
        Nayyeri et al., arXiv:1907.05336, as the source: theirs is a different, later loss, whose margin adapts while a
        knowledge graph is embedded. It is not in Lossary.
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


@checked
def margin_mse_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The first score should exceed the second by as much as it does for a teacher.

    .. math:: \left( (x_1 - x_2) - (t_1 - t_2) \right)^2

    Args:
        input1: The student's scores of items that should rank higher, any shape, such as query-passage products.
        input2: Its scores of the others, the shape of ``input1``.
        target: The teacher's margins ``t_1 - t_2``, of the same shape and either sign. Gradients flow to them.
        sample_weight: One weight per element, or one per sample, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where a pair counts.
        reduction: ``"none"`` (the shape of ``input1``), ``"sum"`` or ``"mean"``.

    Returns:
        A scalar, or the shape of ``input1``.

    Raises:
        ValueError: Shapes that differ.
        TypeError: Scores that are not floating-point.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([9.0, 8.0]) - torch.tensor([2.0, 7.5])
        >>> margin_mse_loss(torch.tensor([5.0, 4.0]), torch.tensor([1.0, 4.0]), teacher)
        tensor(4.6250)

    Source:
        Hofstätter et al., Improving Efficient Neural Ranking Models with Cross-Architecture Knowledge Distillation,
        arXiv:2010.02666. The levels of the teacher's and the student's scores do not matter, but their units do:
        cosines cannot reach a cross-encoder's margins of 5 or 10. Several negatives are several columns, as in Sentence
        Transformers: (N, K) with ``input1.expand(N, K)``.
    """
    check_float("input1", input1)
    check_same_shape("input2", input2, "input1", input1)
    check_float("input2", input2)
    difference = accumulate(input1) - accumulate(input2)
    return pointwise(_squared, difference, target, sample_weight=sample_weight, mask=mask, reduction=reduction)


def _squared(difference: Tensor, target: Tensor) -> Tensor:
    return (difference - target).square()


class MarginMSELoss(Loss):
    """:func:`margin_mse_loss` as a Module."""

    fn = staticmethod(margin_mse_loss)
    reduction: Reduction = "mean"


CARDS = (
    list_card(
        fn=ranknet_loss,
        module=RankNetLoss,
        formula=r"\frac{1}{|P|} \sum_{(i, j) \in P} \log(1 + e^{s_j - s_i}), \quad P = \{(i, j): y_i > y_j\}",
        symbols={
            r"P": "the pairs of a list's candidates in which the first, i, is more relevant than the second, j",
            r"i": "the more relevant candidate of a pair",
            r"j": "the less relevant one",
            r"s_j": "`input`, the score of candidate j",
            r"s_i": "`input`, the score of candidate i",
            r"y_i": "`target`, the relevance of candidate i",
            r"y_j": "`target`, the relevance of candidate j",
        },
        paper="Burges et al., Learning to Rank using Gradient Descent, ICML 2005",
        equation="3",
        defaults="none",
        when="Candidates of a query, when it is known which should rank above which.",
        pitfalls=("A pair at the end of the list counts as much as one at its top.",),
        relatives=("lambda_loss", "margin_ranking_loss", "soft_margin_loss"),
    ),
    list_card(
        fn=lambda_loss,
        module=LambdaLoss,
        formula=r"\sum_{y_i > y_j} (\rho_{ij} + \mu \delta_{ij}) \frac{y_i - y_j}{\mathrm{DCG}^*} "
        r"\log_2(1 + e^{s_j - s_i})",
        symbols={
            r"y_i": "`target`, the gain of the candidate that should come first",
            r"y_j": "`target`, the gain of the one that should come after it",
            r"i": "the candidate of a pair with the larger gain",
            r"j": "the one with the smaller gain",
            r"\rho_{ij}": "by how much the discounts of their two places by score differ; place r has 1 / log2(1 + r)",
            r"\mu": "`mu`: how much the bound counts compared with the swap; 0 gives LambdaRank",
            r"\delta_{ij}": (
                "the bound: the discount at the place numbered by their distance, minus that of the next place"
            ),
            r"\mathrm{DCG}^*": "the sum of the list's gains times their discounts in the best order",
            r"s_j": "`input`, the score of candidate j",
            r"s_i": "`input`, the score of candidate i",
        },
        paper="Wang et al., The LambdaLoss Framework for Ranking Metric Optimization, CIKM 2018",
        equation="18 for delta",
        defaults="the paper's",
        search={"mu": Range(0.1, 20.0, log=True)},
        when="Candidates of a query, judged by NDCG.",
        pitfalls=("Targets are gains: pass grades as 2**grade - 1 if NDCG is defined that way.",),
        relatives=("ranknet_loss", "approx_ndcg_loss"),
    ),
    Card(
        fn=margin_ranking_loss,
        module=MarginRankingLoss,
        data="lists",
        takes=("first-second-target",),
        input="scores",
        formula=r"\max(0, m - y (x_1 - x_2))",
        symbols={
            r"m": "`margin`, in units of the score",
            r"y": "`target`: +1 where the first should rank higher, -1 where the second should",
            r"x_1": "`input1`, the score of the first",
            r"x_2": "`input2`, the score of the second",
        },
        kernel="none",
        item="element",
        paper="Herbrich, Graepel and Obermayer, Large Margin Rank Boundaries for Ordinal Regression, 2000",
        equation="program",
        defaults="torch",
        search={"margin": Range(0.0, 2.0)},
        at_call=frozenset({"sample_weight", "mask"}),
        when="Preferences between two: which document, answer or triple is better.",
        pitfalls=(
            "With the default margin of 0, a model that gives everything the same score has loss 0.",
            "y = -1 says that the second should rank higher.",
        ),
        relatives=("hinge_loss",),
    ),
    Card(
        fn=margin_mse_loss,
        module=MarginMSELoss,
        data="lists",
        takes=("first-second-target",),
        input="scores",
        formula=r"\left( (x_1 - x_2) - (t_1 - t_2) \right)^2",
        symbols={
            r"x_1": "`input1`, the student's score of the first",
            r"x_2": "`input2`, its score of the second",
            r"t_1": "the teacher's score of the first; `target` is the difference of the two",
            r"t_2": "its score of the second",
        },
        kernel="none",
        item="element",
        paper="arXiv:2010.02666",
        equation="11",
        defaults="none",
        at_call=frozenset({"sample_weight", "mask"}),
        when="A fast ranker that learns from a slow one, such as a bi-encoder from a cross-encoder.",
        pitfalls=(
            "The student's scores need the teacher's units: dot products can have them, cosines cannot.",
            "`target` is the margin, not a sign: +1 asks for a margin of 1.",
        ),
        relatives=("margin_ranking_loss", "mse_loss", "kl_divergence_loss"),
    ),
)
