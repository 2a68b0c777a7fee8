"""Lists: scores of the candidates of a query, which the loss sees together, against how relevant each is.

Lists of different lengths are padded, and the padding is masked.
"""

import math
from functools import partial
from typing import Annotated, NamedTuple

import torch
from torch import Generator, Tensor, dtype

from lossary._check import check_dim, check_float, check_same_shape, values_visible
from lossary._loss import Loss
from lossary._reduce import Reduction, align, reduce
from lossary._rules import NOT_NEGATIVE, Positive, checked
from lossary.cards import Call, Card, Range
from lossary.draws import labels, normal
from lossary.kernels.stable import ABSENT, accumulator, divided, logaddexp, scales, softplus
from lossary.losses._pointwise import hide

__all__ = [
    "ApproxNDCGLoss",
    "LambdaLoss",
    "ListMLELoss",
    "ListNetLoss",
    "RankNetLoss",
    "approx_ndcg_loss",
    "lambda_loss",
    "listmle_loss",
    "listnet_loss",
    "ranknet_loss",
]


class _Lists(NamedTuple):
    """Scores and relevance (N, L), and which candidates there are; 0 where there is none."""

    scores: Tensor
    relevance: Tensor
    there: Tensor

    def pairs(self, x: Tensor) -> Tensor:
        """(N, L, L): the first candidate's less the second one's."""
        return x.unsqueeze(2) - x.unsqueeze(1)

    def leads(self) -> Tensor:
        """By how much the first one's score is above the second one's: 0 where both are infinite alike."""
        leads = self.pairs(self.scores)
        return hide(leads, ~leads.isnan())

    def ordered(self) -> Tensor:
        """(N, L, L): whether the first candidate is the more relevant one; never where either is padding."""
        first, second = (torch.where(self.there, self.relevance, other) for other in (-torch.inf, torch.inf))
        return first.unsqueeze(2) > second.unsqueeze(1)


def _lists(input: Tensor, target: Tensor, mask: Tensor | None, sample_weight: Tensor | None) -> _Lists:
    check_float("input", input)
    check_dim("input", input, 2, "(N, L)")
    check_same_shape("target", target, "input", input)
    align(sample_weight, None, input.shape[:1])  # one a list
    _, there = align(sample_weight, mask, input.shape)
    there = torch.ones_like(input, dtype=torch.bool) if there is None else there.expand(input.shape)
    scores = input.to(torch.promote_types(accumulator(input), target.dtype))
    return _Lists(hide(scores, there), hide(target.to(scores.dtype), there), there)


def _gains(input: Tensor, target: Tensor, mask: Tensor | None, sample_weight: Tensor | None) -> _Lists:
    """The same with relevance as gains, which are summed and so may not be below 0."""
    lists = _lists(input, target, mask, sample_weight)
    gains = lists.relevance
    if values_visible(gains) and (gains < 0).any():
        raise ValueError(f"target: wanted gains, none below 0; got {gains[gains < 0].flatten()[0].item()}")
    return lists._replace(relevance=divided(gains, scales(gains))) if gains.numel() else lists


def _reduce(losses: Tensor, lists: _Lists, sample_weight: Tensor | None, reduction: str) -> Tensor:
    """One loss a list; a list without candidates does not count, one with a NaN is NaN though no pair sees it."""
    sample_weight, _ = align(sample_weight, None, losses.shape)
    losses = torch.where((lists.scores.isnan() | lists.relevance.isnan()).any(1), torch.nan, losses)
    return reduce(losses, weight=sample_weight, mask=lists.there.any(1), reduction=reduction)


def _finite(scores: Tensor) -> Tensor:
    """Infinite scores as ones that nothing comes near."""
    return scores.clamp(ABSENT, -ABSENT)


def _order(x: Tensor, there: Tensor) -> Tensor:
    """Which is the largest in each row, the next and so on; of equal ones the first comes first, and padding last."""
    least = torch.finfo(x.dtype).min  # for scores of -inf, which still come before padding
    return torch.where(there, x.clamp_min(least), -torch.inf).argsort(dim=1, descending=True, stable=True)


def _places(order: Tensor, like: Tensor) -> Tensor:
    """The place of each in an order, from 1."""
    return (1 + order.argsort(dim=1)).to(like.dtype)


def _best_dcg(lists: _Lists) -> Tensor:
    """(N, 1): the discounted gains of the best order; 1 where there is nothing to gain."""
    discounts = 1 / torch.log2(1 + _places(_order(lists.relevance, lists.there), lists.relevance))
    best = (lists.relevance * discounts).sum(1, keepdim=True)
    return torch.where(best > 0, best, torch.ones_like(best))


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
        input: Scores s of L candidates in each of N lists, (N, L). They may be infinite: one of -inf comes last.
        target: Their relevance y in the same shape, any numbers: more is better.
        temperature: T, in units of relevance. A small one asks for the best candidate alone.
        sample_weight: One weight a list, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where there is a candidate, (N, L); or one a list, (N,).
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"`` over lists that have candidates.

    Returns:
        A scalar, or one loss a list. The least it can be is the entropy of p.

    Raises:
        ValueError: Shapes that differ, a temperature of 0 or below.
        TypeError: Scores that are not floating-point.

    Example:
        >>> import torch
        >>> listnet_loss(torch.tensor([[2.0, 0.0]]), torch.tensor([[100.0, 0.0]]))
        tensor(0.1269)

    Source:
        Cao et al., Learning to Rank: From Pairwise Approach to Listwise Approach, ICML 2007 (top one), where
        T = 1. Relevance divided by its sum in place of a softmax gives what others call the softmax loss:
        ``cross_entropy`` takes such targets.
    """
    lists = _lists(input, target, mask, sample_weight)
    wanted = torch.where(lists.there, lists.relevance / temperature, ABSENT).softmax(1)
    given = torch.where(lists.there, _finite(lists.scores), ABSENT).log_softmax(1)
    return _reduce(-(wanted * hide(given, lists.there)).sum(1), lists, sample_weight, reduction)


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
    r"""The negative log-likelihood of the right order, drawn one candidate after the other from those that are left.

    .. math:: \sum_i \Big(\log \sum_{j:\, y_j \le y_i} e^{s_j} - s_i\Big)

    Args:
        input: Scores s of L candidates in each of N lists, (N, L). They may be infinite: one of -inf comes last.
        target: Their relevance y in the same shape, any numbers: more is better.
        sample_weight: One weight a list, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where there is a candidate, (N, L); or one a list, (N,).
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"`` over lists that have candidates.

    Returns:
        A scalar, or one loss a list. The sum over i leaves out the least relevant: they win against nobody.

    Raises:
        ValueError: Shapes that differ.
        TypeError: Scores that are not floating-point.

    Example:
        >>> import torch
        >>> listmle_loss(torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[2, 1, 0]]))
        tensor(0.7209)

    Source:
        Xia et al., Listwise Approach to Learning to Rank, ICML 2008. Of equal relevance each competes with all
        of the others, as Breslow (1974) has it for survival times that are tied; common code draws an order for them,
        which teaches noise. Memory is L log L.
    """
    lists = _lists(input, target, mask, sample_weight)
    # Padding comes first and weighs nothing, then from the least relevant to the most.
    order = torch.where(lists.there, lists.relevance, -torch.inf).argsort(dim=1, stable=True)
    scores, y, there = (x.gather(1, order) for x in lists)
    scores = _finite(scores)
    rest = _running_logsumexp(torch.where(there, scores, ABSENT))
    last = torch.searchsorted(y.where(there, -torch.inf).contiguous(), y.contiguous(), right=True) - 1
    above = there & (y > torch.where(there, y, torch.inf).amin(1, keepdim=True)) if y.shape[1] else there
    return _reduce(hide(rest.gather(1, last) - scores, above).sum(1), lists, sample_weight, reduction)


def _running_logsumexp(x: Tensor) -> Tensor:
    """The log-sum-exp of each row up to each entry. ``torch.logcumsumexp`` has NaN as second gradient."""
    step = 1
    while step < x.shape[1]:
        x = torch.cat([x[:, :step], logaddexp(x[:, step:], x[:, :-step])], dim=1)
        step *= 2
    return x


class ListMLELoss(Loss):
    """:func:`listmle_loss` as a Module."""

    fn = staticmethod(listmle_loss)
    reduction: Reduction = "mean"


@checked
def ranknet_loss(
    input: Tensor,
    target: Tensor,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""The logistic loss of each pair of a list, of which the more relevant candidate should score higher.

    .. math:: \frac{1}{|P|} \sum_{(i, j) \in P} \log(1 + e^{s_j - s_i}), \quad P = \{(i, j): y_i > y_j\}

    Args:
        input: Scores s of L candidates in each of N lists, (N, L). They may be infinite: one of -inf comes last.
        target: Their relevance y in the same shape, any numbers: only their order counts.
        sample_weight: One weight a list, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where there is a candidate, (N, L); or one a list, (N,).
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"`` over lists that have candidates.

    Returns:
        A scalar, or one loss a list; 0 for a list whose candidates are all as relevant.

    Raises:
        ValueError: Shapes that differ.
        TypeError: Scores that are not floating-point.

    Example:
        >>> import torch
        >>> ranknet_loss(torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[2, 1, 0]]))
        tensor(0.2512)

    Source:
        Burges et al., Learning to Rank using Gradient Descent, ICML 2005, with target probabilities of 1. The
        paper sums over pairs; the mean gives long lists no more say than short ones. Memory is L squared.
    """
    lists = _lists(input, target, mask, sample_weight)
    ordered = lists.ordered()
    losses = hide(softplus(-lists.leads()), ordered).sum((1, 2)) / ordered.sum((1, 2)).clamp_min(1)
    return _reduce(losses, lists, sample_weight, reduction)


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
    r"""RankNet's pairs, each weighed by what it would change in NDCG to exchange the two.

    .. math:: \sum_{y_i > y_j} (\rho_{ij} + \mu\, \delta_{ij})\, \frac{y_i - y_j}{\mathrm{DCG}^*}
        \log_2(1 + e^{s_j - s_i})

    .. math:: \rho_{ij} = |d(r_i) - d(r_j)|, \quad \delta_{ij} = d(|r_i - r_j|) - d(|r_i - r_j| + 1), \quad
        d(r) = \frac{1}{\log_2(1 + r)}

    with r the places by score, and DCG* the discounted gains of the best order.

    Args:
        input: Scores s of L candidates in each of N lists, (N, L). They may be infinite: one of -inf comes last.
        target: Their gains y in the same shape, none below 0. Grades are customarily given as ``2**grade - 1``.
        mu: How much the bound counts beside the exchange. 0 gives LambdaRank.
        sample_weight: One weight a list, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where there is a candidate, (N, L); or one a list, (N,).
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"`` over lists that have candidates.

    Returns:
        A scalar, or one loss a list; 0 for a list whose candidates all have the same gain.

    Raises:
        ValueError: Shapes that differ, a gain or ``mu`` below 0.
        TypeError: Scores that are not floating-point.

    Example:
        >>> import torch
        >>> lambda_loss(torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[3, 1, 0]]), mu=0.0)
        tensor(0.1838)

    Source:
        Wang et al., The LambdaLoss Framework for Ranking Metric Optimization, CIKM 2018, NDCG-Loss2++ with its mu of
        10; LambdaRank is Burges et al., NIPS 2006. Places are constants to the gradient; of equal scores the first
        comes first. Memory is L squared.
    """
    lists = _gains(input, target, mask, sample_weight)
    places = _places(_order(lists.scores, lists.there), lists.scores)
    apart = lists.pairs(places).abs().clamp_min(1)
    bound = 1 / torch.log2(1 + apart) - 1 / torch.log2(2 + apart)
    weight = lists.pairs(1 / torch.log2(1 + places)).abs() + mu * bound
    gain = lists.pairs(lists.relevance / _best_dcg(lists))
    ordered = lists.ordered()
    # Hidden on either side: an infinite loss of a pair that is none, times nothing, would be NaN.
    losses = hide(weight * gain, ordered) * softplus(hide(-lists.leads(), ordered))
    return _reduce(losses.sum((1, 2)) / math.log(2), lists, sample_weight, reduction)


class LambdaLoss(Loss):
    """:func:`lambda_loss` as a Module."""

    fn = staticmethod(lambda_loss)
    mu: Annotated[float, NOT_NEGATIVE] = 10.0
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
    r"""1 - NDCG with places that are smooth: each other candidate counts by how much it seems to be ahead.

    .. math:: 1 - \frac{1}{\mathrm{DCG}^*} \sum_i \frac{y_i}{\log_2(1 + \hat r_i)}, \quad
        \hat r_i = 1 + \sum_{j \ne i} \sigma\!\Big(\frac{s_j - s_i}{T}\Big)

    with DCG* the discounted gains of the best order.

    Args:
        input: Scores s of L candidates in each of N lists, (N, L). They may be infinite: one of -inf comes last.
        target: Their gains y in the same shape, none below 0. Grades are customarily given as ``2**grade - 1``.
        temperature: T, in units of the score. Towards 0 the places become the true ones and the gradient vanishes.
        sample_weight: One weight a list, (N,); mean is ``sum(w l) / sum(w)``.
        mask: Boolean, True where there is a candidate, (N, L); or one a list, (N,).
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"`` over lists that have candidates.

    Returns:
        A scalar, or one loss in [0, 1) a list; 0 for a list without gains.

    Raises:
        ValueError: Shapes that differ, a gain below 0, a temperature of 0 or below.
        TypeError: Scores that are not floating-point.

    Example:
        >>> import torch
        >>> approx_ndcg_loss(torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[0, 1, 3]]))
        tensor(0.4131)

    Source:
        Qin, Liu and Li, A general approximation framework for direct optimization of information retrieval measures,
        2010, section 4; T = 0.1 is Bruch et al., SIGIR 2019. Memory is L squared.
    """
    lists = _gains(input, target, mask, sample_weight)
    by_score = _order(lists.scores, lists.there)
    # Those of equal gain stand as their scores have them, or what each is moved would have to cancel.
    by_gain = _order(lists.relevance.gather(1, by_score), lists.there.gather(1, by_score))
    ideal = _places(by_score.gather(1, by_gain), lists.scores)
    behind = lists.pairs(ideal) < 0  # the second should come after the first
    closeness = lists.leads() / temperature
    # How much too far down each stands, and not where: so small losses keep their digits.
    moved = torch.where(behind, torch.sigmoid(-closeness), -torch.sigmoid(closeness))
    elsewhere = (lists.pairs(ideal) != 0) & lists.there.unsqueeze(1)
    excess = hide(moved, elsewhere).sum(2)
    top = 1 + ideal
    lost = torch.log1p(excess / top) * math.log(2) / (torch.log(top) * torch.log(top + excess))
    return _reduce((lists.relevance / _best_dcg(lists) * lost).sum(1), lists, sample_weight, reduction)


class ApproxNDCGLoss(Loss):
    """:func:`approx_ndcg_loss` as a Module."""

    fn = staticmethod(approx_ndcg_loss)
    temperature: Positive = 0.1
    reduction: Reduction = "mean"


def _draw(g: Generator, dt: dtype) -> Call:
    """Grades: some candidates are as relevant as others."""
    return Call((normal(g, dt, 6, 5), labels(g, 4, 6, 5)))


def _draw_relevance(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5), normal(g, dt, 6, 5).abs()))


def _edges(dt: dtype) -> tuple[Call, ...]:
    s = torch.tensor([[0.0, 1e4, -1e4, 50.0], [0.0, 0.0, 0.0, 0.0], [3.0, 2.0, 1.0, 0.0]], dtype=dt)
    y = torch.tensor([[0.0, 1.0, 4.0, 0.5], [2.0, 0.0, 1.0, 3.0], [4.0, 3.0, 2.0, 0.0]], dtype=dt)
    infinite = torch.tensor([[2.0, -torch.inf, 1.0, -torch.inf], [torch.inf, 1.0, torch.inf, -torch.inf]], dtype=dt)
    there = torch.tensor([[True, True, False, True], [False, False, False, True], [False, True, True, False]])
    return (
        Call((s, y)),  # far apart and wrong; undecided; right
        Call((s, y.flip(1))),
        Call((s, y), {"mask": there}),  # padding
        Call((infinite, torch.tensor([[4.0, 0.0, 1.0, 0.0], [3.0, 1.0, 2.0, 0.0]], dtype=dt))),  # padded with -inf
        Call((s, torch.ones(3, 4, dtype=torch.bool))),  # nothing to choose
        Call((s, torch.zeros(3, 4, dtype=torch.uint8))),  # nothing to gain
        Call((s[:, :1], y[:, :1])),  # one candidate
        Call((s[:, :0], y[:, :0])),  # none
        Call((s[:0], y[:0])),  # empty
    )


_card = partial(
    Card,
    data="lists",
    kernel="none",
    item="row",
    edges=_edges,
    at_call=frozenset({"sample_weight", "mask"}),
)

CARDS = (
    _card(
        fn=listnet_loss,
        module=ListNetLoss,
        formula=r"-\sum_i p_i \log \mathrm{softmax}(s)_i, \quad p = \mathrm{softmax}(y / T)",
        paper="Cao et al., Learning to Rank: From Pairwise Approach to Listwise Approach, ICML 2007",
        equation="",
        defaults="the paper's",
        draw=_draw_relevance,
        variants=({}, {"temperature": 0.25}, {"temperature": 3.0}),
        search={"temperature": Range(0.2, 5.0, log=True)},
        when="Candidates of a query with graded relevance, where the top counts most.",
        pitfalls=(
            "The temperature belongs to the relevance: grades of 0 to 4 suit 1, shares in [0, 1] want less, or the "
            "targets are nearly even.",
            "A mean over candidates that includes the padding weighs short lists less.",
        ),
        relatives=("cross_entropy", "listmle_loss"),
    ),
    _card(
        fn=listmle_loss,
        module=ListMLELoss,
        formula=r"\sum_i \Big(\log \sum_{j: y_j \le y_i} e^{s_j} - s_i\Big)",
        paper="Xia et al., Listwise Approach to Learning to Rank: Theory and Algorithm, ICML 2008",
        equation="",
        defaults="none",
        draw=_draw,
        when="Candidates of a query whose whole order is known and matters as much at the end as at the top.",
        pitfalls=(
            "An order drawn for candidates of equal relevance teaches noise; here they are equal.",
            "Every place counts alike: NDCG, which looks at the top, may prefer other losses.",
        ),
        relatives=("listnet_loss",),
    ),
    _card(
        fn=ranknet_loss,
        module=RankNetLoss,
        formula=r"\frac{1}{|P|} \sum_{y_i > y_j} \log(1 + e^{s_j - s_i})",
        paper="Burges et al., Learning to Rank using Gradient Descent, ICML 2005",
        equation="",
        defaults="none",
        draw=_draw,
        when="Candidates of a query of which it is known who should stand above whom.",
        pitfalls=("A pair at the end of the list counts as much as one at its top.",),
        relatives=("lambda_loss", "margin_ranking_loss", "soft_margin_loss"),
    ),
    _card(
        fn=lambda_loss,
        module=LambdaLoss,
        formula=r"\sum_{y_i > y_j} (\rho_{ij} + \mu \delta_{ij}) \frac{y_i - y_j}{\mathrm{DCG}^*} "
        r"\log_2(1 + e^{s_j - s_i})",
        paper="Wang et al., The LambdaLoss Framework for Ranking Metric Optimization, CIKM 2018",
        equation="",
        defaults="the paper's",
        draw=_draw,
        variants=({}, {"mu": 0.0}, {"mu": 1.0}),
        search={"mu": Range(0.1, 20.0, log=True)},
        when="Candidates of a query, judged by NDCG.",
        pitfalls=("Targets are gains: grades go in as 2**grade - 1 where NDCG is meant so.",),
        relatives=("ranknet_loss", "approx_ndcg_loss"),
    ),
    _card(
        fn=approx_ndcg_loss,
        module=ApproxNDCGLoss,
        formula=r"1 - \frac{1}{\mathrm{DCG}^*} \sum_i \frac{y_i}{\log_2(1 + \hat r_i)}",
        paper="Qin, Liu and Li, A general approximation framework for direct optimization of information retrieval "
        "measures, Information Retrieval 13, 2010",
        equation="",
        defaults="Bruch et al., SIGIR 2019",
        draw=_draw_relevance,
        variants=({}, {"temperature": 1.0}, {"temperature": 0.5}),
        search={"temperature": Range(0.05, 2.0, log=True)},
        when="Candidates of a query, judged by NDCG, with scores that start near the right order.",
        pitfalls=("Where scores are far apart for the temperature, the gradient vanishes.",),
        relatives=("lambda_loss",),
    ),
)
