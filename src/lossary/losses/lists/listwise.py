"""Lists: scores of a query's candidates, which the loss sees together, against each one's relevance.

Lists of different lengths are padded, and the padding is masked.
"""

import math

import torch
from torch import Tensor

from lossary.core.card import Range
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction
from lossary.core.rules import Positive, checked
from lossary.kernels.order import running_logsumexp
from lossary.kernels.stable import ABSENT
from lossary.losses._pointwise import hide
from lossary.losses.lists._shared import (
    best_dcg,
    finite,
    gains_of,
    list_card,
    lists_of,
    order_of,
    places_of,
    reduce_lists,
)

__all__ = [
    "ApproxNDCGLoss",
    "ListMLELoss",
    "ListNetLoss",
    "approx_ndcg_loss",
    "listmle_loss",
    "listnet_loss",
]


@checked
def listnet_loss(
    input: Tensor,
    target: Tensor,
    *,
    temperature: Positive = 1.0,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Cross-entropy between two distributions over a list: which candidate comes first, by relevance and by score.

    .. math:: -\sum_i p_i \log \frac{e^{s_i}}{\sum_j e^{s_j}}, \quad p_i = \frac{e^{y_i / T}}{\sum_j e^{y_j / T}}

    Args:
        input: Scores s of L candidates in each of N lists, (N, L). They may be infinite: -inf comes last.
        target: Their relevance y, of the same shape, any numbers: more is better.
        temperature: T, in units of relevance. A small one asks only for the best candidate.
        sample_weight: One weight per list, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where there is a candidate, (N, L); or one per list, (N,).
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"`` over lists that have candidates.

    Returns:
        A scalar, or one loss per list. Its minimum is the entropy of p.

    Raises:
        ValueError: Shapes that differ, a temperature of 0 or below.
        TypeError: Scores that are not floating-point.

    Example:
        >>> import torch
        >>> listnet_loss(torch.tensor([[2.0, 0.0]]), torch.tensor([[100.0, 0.0]]))
        tensor(0.1269)

    Source:
        Cao et al., Learning to Rank: From Pairwise Approach to Listwise Approach, ICML 2007 (top one), where T = 1.
        Relevance divided by its sum instead of a softmax is what others call the softmax loss: ``cross_entropy`` takes
        such targets.
    """
    lists = lists_of(input, target, mask, sample_weight)
    wanted = torch.where(lists.there, lists.relevance / temperature, ABSENT).softmax(1)
    given = torch.where(lists.there, finite(lists.scores), ABSENT).log_softmax(1)
    return reduce_lists(-(wanted * hide(given, lists.there)).sum(1), lists, sample_weight, reduction)


class ListNetLoss(Loss):
    """:func:`listnet_loss` as a Module."""

    fn = staticmethod(listnet_loss)
    temperature: Positive = 1.0
    reduction: Reduction = "mean"


@checked
def listmle_loss(
    input: Tensor,
    target: Tensor,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The negative log-likelihood of the right order, drawn one candidate at a time from those left.

    .. math:: \sum_i \Big(\log \sum_{j:\, y_j \le y_i} e^{s_j} - s_i\Big)

    Args:
        input: Scores s of L candidates in each of N lists, (N, L). They may be infinite: -inf comes last.
        target: Their relevance y, of the same shape, any numbers: more is better.
        sample_weight: One weight per list, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where there is a candidate, (N, L); or one per list, (N,).
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"`` over lists that have candidates.

    Returns:
        A scalar, or one loss per list. The sum over i leaves out the least relevant candidates: they beat nobody.

    Raises:
        ValueError: Shapes that differ.
        TypeError: Scores that are not floating-point.

    Example:
        >>> import torch
        >>> listmle_loss(torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[2, 1, 0]]))
        tensor(0.7209)

    Source:
        Xia et al., Listwise Approach to Learning to Rank, ICML 2008. Candidates of equal relevance each compete with
        all the others, as in Breslow (1974) for tied survival times; common code draws an order for them, which teaches
        noise.
    """
    lists = lists_of(input, target, mask, sample_weight)
    # Padding comes first and weighs nothing; then come the least relevant up to the most.
    order = torch.where(lists.there, lists.relevance, -torch.inf).argsort(dim=1, stable=True)
    scores, y, there = (x.gather(1, order) for x in lists)
    scores = finite(scores)
    rest = running_logsumexp(torch.where(there, scores, ABSENT))
    last = torch.searchsorted(y.where(there, -torch.inf).contiguous(), y.contiguous(), right=True) - 1
    above = there & (y > torch.where(there, y, torch.inf).amin(1, keepdim=True)) if y.shape[1] else there
    return reduce_lists(hide(rest.gather(1, last) - scores, above).sum(1), lists, sample_weight, reduction)


class ListMLELoss(Loss):
    """:func:`listmle_loss` as a Module."""

    fn = staticmethod(listmle_loss)
    reduction: Reduction = "mean"


@checked
def approx_ndcg_loss(
    input: Tensor,
    target: Tensor,
    *,
    temperature: Positive = 0.1,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""1 - NDCG with smooth places: every other candidate counts by how far it seems to be ahead.

    .. math:: 1 - \frac{1}{\mathrm{DCG}^*} \sum_i \frac{y_i}{\log_2(1 + \hat r_i)}, \quad
        \hat r_i = 1 + \sum_{j \ne i} \sigma\!\Big(\frac{s_j - s_i}{T}\Big)

    where DCG* is the discounted gains of the best order.

    Args:
        input: Scores s of L candidates in each of N lists, (N, L). They may be infinite: -inf comes last.
        target: Their gains y, of the same shape, none below 0. Grades are usually passed as ``2**grade - 1``.
        temperature: T, in units of the score. Towards 0, the places become the true ones and the gradient vanishes.
        sample_weight: One weight per list, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where there is a candidate, (N, L); or one per list, (N,).
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"`` over lists that have candidates.

    Returns:
        A scalar, or one loss in [0, 1) per list; 0 for a list without gains.

    Raises:
        ValueError: Shapes that differ, a gain below 0, a temperature of 0 or below.
        TypeError: Scores that are not floating-point.

    Example:
        >>> import torch
        >>> approx_ndcg_loss(torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[0, 1, 3]]))
        tensor(0.4131)

    Source:
        Qin, Liu and Li, A general approximation framework for direct optimization of information retrieval measures,
        2010, section 4; T = 0.1 is from Bruch et al., SIGIR 2019. Memory is L squared.
    """
    lists = gains_of(input, target, mask, sample_weight)
    by_score = order_of(lists.scores, lists.there)
    # Equal gains are ordered by score; otherwise, their moves would have to cancel.
    by_gain = order_of(lists.relevance.gather(1, by_score), lists.there.gather(1, by_score))
    ideal = places_of(by_score.gather(1, by_gain), lists.scores)
    behind = lists.pairs(ideal) < 0  # the second should come after the first
    closeness = lists.leads() / temperature
    # How far too low each stands, not where it stands, so that small losses keep their digits.
    moved = torch.where(behind, torch.sigmoid(-closeness), -torch.sigmoid(closeness))
    elsewhere = (lists.pairs(ideal) != 0) & lists.there.unsqueeze(1)
    excess = hide(moved, elsewhere).sum(2)
    top = 1 + ideal
    lost = torch.log1p(excess / top) * math.log(2) / (torch.log(top) * torch.log(top + excess))
    return reduce_lists((lists.relevance / best_dcg(lists) * lost).sum(1), lists, sample_weight, reduction)


class ApproxNDCGLoss(Loss):
    """:func:`approx_ndcg_loss` as a Module."""

    fn = staticmethod(approx_ndcg_loss)
    temperature: Positive = 0.1
    reduction: Reduction = "mean"


CARDS = (
    list_card(
        fn=listnet_loss,
        module=ListNetLoss,
        formula=r"-\sum_i p_i \log \mathrm{softmax}(s)_i, \quad p = \mathrm{softmax}(y / T)",
        symbols={
            r"i": "every candidate of a list",
            r"p_i": "the probability that candidate i comes first, by relevance",
            r"s": "`input`, the scores of the list's candidates",
            r"y": "`target`, their relevance: more is better",
            r"T": "`temperature`, in units of relevance: a small one asks only for the best candidate",
        },
        paper="Cao et al., Learning to Rank: From Pairwise Approach to Listwise Approach, ICML 2007",
        equation="4, at k = 1",
        defaults="the paper's",
        search={"temperature": Range(0.2, 5.0, log=True)},
        when="Candidates of a query with graded relevance, where the top counts most.",
        pitfalls=(
            "The temperature must fit the relevance: 1 suits grades of 0 to 4, shares in [0, 1] need less, or the "
            "targets are nearly even.",
            "A mean over candidates that includes padding gives short lists less weight.",
        ),
        relatives=("cross_entropy", "listmle_loss"),
    ),
    list_card(
        fn=listmle_loss,
        module=ListMLELoss,
        formula=r"\sum_i \Big(\log \sum_{j: y_j \le y_i} e^{s_j} - s_i\Big)",
        symbols={
            r"i": "every candidate of a list except the least relevant ones",
            r"j": "every candidate no more relevant than i, including i itself",
            r"y_j": "`target`, the relevance of candidate j",
            r"y_i": "`target`, the relevance of candidate i: more is better",
            r"s_j": "`input`, the score of candidate j",
            r"s_i": "`input`, the score of candidate i",
        },
        paper="Xia et al., Listwise Approach to Learning to Rank: Theory and Algorithm, ICML 2008",
        equation="9",
        defaults="none",
        when="Candidates of a query whose whole order is known and matters as much at the end as at the top.",
        pitfalls=(
            "Code that draws an order for candidates of equal relevance teaches noise; here they stay equal.",
            "Every place counts equally: NDCG, which looks at the top, may prefer other losses.",
        ),
        relatives=("listnet_loss",),
    ),
    list_card(
        fn=approx_ndcg_loss,
        module=ApproxNDCGLoss,
        formula=(
            r"1 - \frac{1}{\mathrm{DCG}^*} \sum_i \frac{y_i}{\log_2(1 + \hat r_i)}, \quad \hat r_i = 1 + "
            r"\sum_{j \ne i} \sigma\!\left(\frac{s_j - s_i}{T}\right)"
        ),
        symbols={
            r"\mathrm{DCG}^*": "the sum of the list's gains times their discounts in the best order",
            r"i": "every candidate of a list",
            r"y_i": "`target`, the gain of candidate i, at least 0",
            r"\hat r_i": "the smooth place of candidate i: 1 plus how far every other one seems to be ahead",
            r"j": "every other candidate",
            r"\sigma": "the logistic sigmoid",
            r"s_j": "`input`, the score of candidate j",
            r"s_i": "`input`, the score of candidate i",
            r"T": "`temperature`, in units of the score: towards 0, the places become the true ones",
        },
        paper="Qin, Liu and Li, A general approximation framework for direct optimization of information retrieval "
        "measures, Information Retrieval 13, 2010",
        equation="21",
        defaults="Bruch et al., SIGIR 2019",
        search={"temperature": Range(0.05, 2.0, log=True)},
        when="Candidates of a query, judged by NDCG, with scores that start near the right order.",
        pitfalls=("Where scores are far apart compared with the temperature, the gradient vanishes.",),
        relatives=("lambda_loss",),
    ),
)
