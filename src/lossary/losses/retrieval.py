"""Queries and their answers: each query must find its own among candidates, most of them the other queries'."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import Generator, Tensor, dtype
from torch.distributed import ProcessGroup

from lossary._check import (
    check_dim,
    check_float,
    check_labels,
    check_same_shape,
    check_shape,
)
from lossary._loss import Loss
from lossary._reduce import Reduction, align, reduce, scaled
from lossary._rules import NotNegative, Positive, checked
from lossary.cards import Call, Card, Choice, Range
from lossary.distributed import across_ranks, gathered
from lossary.draws import normal
from lossary.kernels.distances import squares
from lossary.kernels.products import product
from lossary.kernels.rows import Bilinear, Dense, Rows, Targets, plain_is_better, row_loss, two_way_statistics
from lossary.kernels.softmax import softmax_loss
from lossary.kernels.stable import accumulate, parameters, softplus, sphere, unit
from lossary.losses._batch import absence, check_same_precision
from lossary.losses._pointwise import hide

__all__ = [
    "InfoNCELoss",
    "MultipleNegativesRankingLoss",
    "NPairLoss",
    "info_nce_loss",
    "multiple_negatives_ranking_loss",
    "n_pair_loss",
]


def _found_apart(rows: Rows, own: Tensor) -> Tensor:
    # The own answer is no column, or one of several that are no negatives of the row.
    return softplus(rows.rest - own)


class Pairs(NamedTuple):
    """N queries and their answers."""

    query: Tensor  # (N, D), accumulated, 0 where a pair does not count
    answer: Tensor  # likewise
    name: str  # the answers' argument
    ids: Tensor | None  # (N,)
    weight: Tensor | None  # (N,)
    counted: Tensor | None  # (N,) boolean
    group: ProcessGroup | None

    def labels(self) -> Tensor:
        """(N,) the ids, or the pairs' numbers."""
        return numbers(self.query) if self.ids is None else self.ids

    def columns(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """``x``, one row a pair, as candidates of all ranks, with their ids, and what is added to their scores."""
        x, ids, counted = gathered(self.group, **{self.name: x}, ids=self.ids, mask=self.counted)
        return x, ids, absence(counted, x)


def numbers(x: Tensor) -> Tensor:
    return torch.arange(x.shape[0], device=x.device)


def paired(
    names: tuple[str, str],
    query: Tensor,
    answer: Tensor,
    ids: Tensor | None,
    sample_weight: Tensor | None,
    mask: Tensor | None,
    group: ProcessGroup | None,
) -> Pairs:
    check_dim(names[0], query, 2, "(N, D)")
    check_float(names[0], query)
    check_same_shape(names[1], answer, names[0], query)
    check_same_precision(names[1], answer, names[0], query)
    query, answer, count = accumulate(query), accumulate(answer), query.shape[:1]
    if ids is not None:
        ids = check_labels("ids", ids, count[0])
    if sample_weight is not None:
        check_shape("sample_weight", sample_weight, tuple(count))
    _, mask = align(None, mask, count)
    if mask is not None:
        mask = mask.expand(count)
        query, answer = hide(query, mask[:, None]), hide(answer, mask[:, None])
        sample_weight = mask if sample_weight is None else hide(sample_weight, mask)
    weight = None if sample_weight is None else sample_weight.to(query.dtype)
    return Pairs(query, answer, names[1], ids, weight, mask, group)


class Similarity(NamedTuple):
    """Scaled cosines, or scaled products."""

    scale: float | Tensor
    cosine: bool

    def scaled(self, x: Tensor) -> Tensor:
        return sphere(x, self.scale) if self.cosine else x * self.scale

    def plain(self, x: Tensor) -> Tensor:
        return unit(x) if self.cosine else x

    def source(self, query: Tensor, candidates: Tensor, shift: Tensor | None) -> Bilinear:
        return Bilinear(self.scaled(query), candidates, shift, unit=self.cosine)


def _find(pairs: Pairs, source: Bilinear, ids: Tensor | None, candidate_ids: Tensor | None, reduction: str) -> Tensor:
    """Softmax of each query over the candidates, of which the first are the answers."""
    targets = Targets(numbers(source.x), row_groups=ids, column_groups=candidate_ids)
    return softmax_loss(source, targets, weight=pairs.weight, reduction=reduction, group=pairs.group)


def _find_in_batch(pairs: Pairs, alike: Similarity, query: Tensor, answer: Tensor, reduction: str) -> Tensor:
    """The candidates are the pairs' answers."""
    candidates, ids, shift = pairs.columns(answer)
    return _find(pairs, alike.source(query, candidates, shift), pairs.ids, ids, reduction)


def find_each_other(pairs: Pairs, alike: Similarity, reduction: str) -> Tensor:
    """The mean of both directions; where either has the other's scores they are made once for both."""
    if pairs.group is not None or pairs.counted is not None:
        there = _find_in_batch(pairs, alike, pairs.query, pairs.answer, reduction)
        return (there + _find_in_batch(pairs, alike, pairs.answer, pairs.query, reduction)) / 2
    x, y = alike.scaled(pairs.query), alike.plain(pairs.answer)
    source = Bilinear(x, y)
    if plain_is_better(source):
        return _both_ways(pairs, source.dense(), reduction)
    own = (x * y).sum(-1)
    there, back = two_way_statistics(source, Targets(pairs.labels(), pairs.ids))
    each = (_found_apart(there, own) + _found_apart(back, own)) / 2
    return reduce(each, weight=pairs.weight, reduction=reduction)


def _both_ways(pairs: Pairs, scores: Tensor, reduction: str) -> Tensor:
    """The mean of both directions, of scores that are there."""
    targets = Targets(numbers(scores), row_groups=pairs.ids, column_groups=pairs.ids)
    there, back = (
        softmax_loss(Dense(s), targets, weight=pairs.weight, reduction=reduction) for s in (scores, scores.T)
    )
    return (there + back) / 2


@across_ranks
@checked
def info_nce_loss(
    query: Tensor,
    positive: Tensor,
    negatives: Tensor | None = None,
    *,
    temperature: Positive = 0.1,
    normalize: bool = True,
    ids: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Each query must find its positive among negatives, by a softmax over similarities.

    .. math:: -\log \frac{e^{q_i p_i / \tau}}{e^{q_i p_i / \tau} + \sum_n e^{q_i n / \tau}}

    Args:
        query: (N, D).
        positive: (N, D).
        negatives: None takes the other queries' positives; (M, D) are shared by all queries; (N, M, D) are each query's
            own. With negatives given, the other positives are none.
        temperature: tau, above 0; a Parameter learns.
        normalize: Cosines (True) or plain dot products.
        ids: (N,) integers; items that share one are never each other's negatives. Of in-batch negatives only.
        sample_weight: (N,) weights of the queries.
        mask: (N,) boolean; a pair that does not count is in nobody's loss, and may be NaN.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' pairs are one batch, in which ids mean the same on every rank; ``negatives``
            stay each rank's own. The average of the ranks' means is the mean of that batch, and so for its gradient;
            ``"none"`` and ``"sum"`` are of the rank's own queries.

    Returns:
        A scalar, or (N,).

    Raises:
        ValueError: Wrong shapes, ``temperature`` not above 0, ``ids`` beside ``negatives``.
        TypeError: Embeddings in different precisions.

    Example:
        >>> import torch
        >>> info_nce_loss(torch.eye(3), torch.eye(3), temperature=1.0)
        tensor(0.5514)

    Source:
        van den Oord et al., Contrastive Predictive Coding, arXiv:1807.03748, eq. 4; tau = 0.1 is common code's, the
        momentum contrast papers have 0.07 (arXiv:1911.05722) and 0.2. The bound log(N) - loss on the mutual information
        holds for the mean over the batch.
    """
    pairs = paired(("query", "positive"), query, positive, ids, sample_weight, mask, group)

    (temperature,) = parameters((temperature,), pairs.query)
    alike = Similarity(1 / temperature, normalize)
    if negatives is None:
        return _find_in_batch(pairs, alike, pairs.query, pairs.answer, reduction)
    if ids is not None:
        raise ValueError("ids: wanted None beside negatives, which are negatives of every query they are given for")
    _check_negatives(negatives, "query", query)
    q, n = alike.scaled(pairs.query), accumulate(negatives)
    own, nobody = (q * alike.plain(pairs.answer)).sum(-1), torch.full((n.shape[-2],), -1, device=q.device)
    if n.dim() == 2:
        source = Bilinear(q, n, unit=normalize)
    else:
        n = n if pairs.counted is None else hide(n, pairs.counted[:, None, None])
        source = Dense(product(q[:, None], alike.plain(n)).squeeze(1))
    targets = Targets(numbers(q), nobody)
    return row_loss(_found_apart, source, targets, own, weight=pairs.weight, reduction=reduction, group=group)


def _check_negatives(negatives: Tensor, name: str, query: Tensor) -> None:
    check_dim("negatives", negatives, (2, 3), "(M, D) or (N, M, D)")
    check_float("negatives", negatives)
    check_same_precision("negatives", negatives, name, query)
    items, size = query.shape
    if negatives.shape[-1] != size or (negatives.dim() == 3 and negatives.shape[0] != items):
        raise ValueError(f"negatives: wanted (M, {size}) or ({items}, M, {size}); got {tuple(negatives.shape)}")


class InfoNCELoss(Loss):
    """:func:`info_nce_loss` as a Module."""

    fn = staticmethod(info_nce_loss)
    temperature: Positive = 0.1
    normalize: bool = True
    reduction: Reduction = "mean"


@across_ranks
@checked
def multiple_negatives_ranking_loss(
    anchor: Tensor,
    positive: Tensor,
    negatives: Tensor | None = None,
    *,
    scale: Positive = 20.0,
    similarity: Literal["cos", "dot"] = "cos",
    symmetric: bool = False,
    ids: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Each anchor must find its positive among all positives of the batch, and hard negatives beside.

    .. math:: -\log \frac{e^{s\, a_i p_i}}{\sum_j e^{s\, a_i p_j} + \sum_n e^{s\, a_i n}}

    Args:
        anchor: (N, D), as questions.
        positive: (N, D), as their answers.
        negatives: (M, D) further candidates for every anchor, as hard negatives; M need not be N.
        scale: s, an inverse temperature.
        similarity: ``"cos"`` normalises; ``"dot"`` is the plain product.
        symmetric: The mean with the other direction, in which positives look for their anchors.
        ids: (N,) integers; items that share one are never each other's negatives.
        sample_weight: (N,) weights of the anchors.
        mask: (N,) boolean; a pair that does not count is in nobody's loss, and may be NaN.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' pairs and negatives are one batch, in which ids mean the same on every rank.
            The average of the ranks' means is the mean of that batch, and so for its gradient; ``"none"`` and
            ``"sum"`` are of the rank's own anchors.

    Returns:
        A scalar, or (N,).

    Raises:
        ValueError: Wrong shapes, ``scale`` not above 0, an unknown option.
        TypeError: Embeddings in different precisions.

    Example:
        >>> import torch
        >>> multiple_negatives_ranking_loss(torch.eye(3), torch.eye(3), scale=1.0)
        tensor(0.5514)

    Source:
        Henderson et al., Efficient Natural Language Response Suggestion, arXiv:1705.00652, section 4.4 (dot
        products); cosine and s = 20 are those of sentence-transformers. Some code adds 1 within the logarithm.
    """
    pairs = paired(("anchor", "positive"), anchor, positive, ids, sample_weight, mask, group)

    (scale,) = parameters((scale,), pairs.query)
    alike = Similarity(scale, similarity == "cos")
    if negatives is None:
        if symmetric:
            return find_each_other(pairs, alike, reduction)
        return _find_in_batch(pairs, alike, pairs.query, pairs.answer, reduction)
    check_dim("negatives", negatives, 2, "(M, D)")
    _check_negatives(negatives, "anchor", anchor)
    (n,) = gathered(group, negatives=accumulate(negatives))
    candidates, candidate_ids, shift = pairs.columns(pairs.answer)
    if shift is not None:
        shift = torch.cat([shift, shift.new_zeros(n.shape[0])])
    if pairs.ids is not None and candidate_ids is not None:
        # Doubled ids are even: odd ones belong to nobody.
        ids, candidate_ids = 2 * pairs.ids, torch.cat([2 * candidate_ids, candidate_ids.new_ones(n.shape[0])])
    source = alike.source(pairs.query, torch.cat([candidates, n]), shift)
    loss = _find(pairs, source, ids, candidate_ids, reduction)
    return (loss + _find_in_batch(pairs, alike, pairs.answer, pairs.query, reduction)) / 2 if symmetric else loss


class MultipleNegativesRankingLoss(Loss):
    """:func:`multiple_negatives_ranking_loss` as a Module."""

    fn = staticmethod(multiple_negatives_ranking_loss)
    scale: Positive = 20.0
    similarity: Literal["cos", "dot"] = "cos"
    symmetric: bool = False
    reduction: Reduction = "mean"


@across_ranks
@checked
def n_pair_loss(
    anchor: Tensor,
    positive: Tensor,
    *,
    l2_reg: NotNegative = 0.0,
    ids: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Each anchor must find its positive among the other classes' positives, by dot products.

    .. math:: \log\left(1 + \sum_{j \ne i} e^{a_i p_j - a_i p_i}\right) + \lambda \left(|a_i|^2 + |p_i|^2\right)

    Args:
        anchor: (N, D), taken as they are; one pair a class.
        positive: (N, D).
        l2_reg: lambda, at least 0: keeps the embeddings' lengths small, since nothing else does.
        ids: (N,) integers, as class labels; pairs that share one are never each other's negatives.
        sample_weight: (N,) weights of the anchors.
        mask: (N,) boolean; a pair that does not count is in nobody's loss, and may be NaN.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' pairs are one batch, in which ids mean the same on every rank. The average
            of the ranks' means is the mean of that batch, and so for its gradient; ``"none"`` and ``"sum"`` are of the
            rank's own anchors.

    Returns:
        A scalar, or (N,).

    Raises:
        ValueError: Wrong shapes, ``l2_reg`` below 0 or not finite.
        TypeError: Embeddings in different precisions.

    Example:
        >>> import torch
        >>> n_pair_loss(torch.eye(3), torch.eye(3))
        tensor(0.5514)

    Source:
        Sohn, Improved Deep Metric Learning with Multi-class N-pair Loss Objective, NIPS 2016, eq. 6 and section
        3.2.2 (the penalty). TensorFlow multiplies its lambda by 1/4; some libraries normalise, which the paper
        warns against.
    """
    pairs = paired(("anchor", "positive"), anchor, positive, ids, sample_weight, mask, group)
    a, p = pairs.query, pairs.answer
    loss = _find_in_batch(pairs, Similarity(1.0, False), a, p, reduction)
    lengths = reduce(squares(a) + squares(p), weight=pairs.weight, reduction=reduction, group=group)
    return loss + scaled(lengths, l2_reg)


class NPairLoss(Loss):
    """:func:`n_pair_loss` as a Module."""

    fn = staticmethod(n_pair_loss)
    l2_reg: NotNegative = 0.0
    reduction: Reduction = "mean"


def draw_pairs(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 5, 4), normal(g, dt, 5, 4)))


def edges_pairs(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(3, dtype=dt)
    same = torch.ones(2, 2, dtype=dt)
    return (
        Call((axes, axes.clone())),  # cosine exactly 1
        Call((axes, -axes)),  # and -1
        Call((axes * torch.tensor([[0.0], [1e2], [1e-2]], dtype=dt), axes.flip(0))),  # a zero vector
        Call((same, same.clone())),  # identical
        Call((axes, axes.clone()), {"ids": torch.tensor([0, 1, 0])}),
        Call((axes, axes.clone()), {"ids": torch.zeros(3, dtype=torch.int32)}),  # no negatives at all
        Call((axes[:1], axes[:1].clone())),
        Call((axes[:0], axes[:0].clone())),  # empty
    )


def _edges_with_negatives(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(3, dtype=dt)
    return (
        *edges_pairs(dt),
        Call((axes, axes.clone(), axes[:2].clone())),
        Call((axes, axes.clone(), axes[:0].clone())),
    )


def _golden_info_nce(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call(tuple(inputs.values()), {n: v for n, v in params.items() if n != "negatives"})


def _golden_pairs(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call(tuple(inputs.values()), dict(params))


CARDS = (
    Card(
        fn=info_nce_loss,
        module=InfoNCELoss,
        formula=r"-\log \frac{e^{q_i p_i / \tau}}{e^{q_i p_i / \tau} + \sum_n e^{q_i n / \tau}}",
        data="views",
        kernel="rows",
        item="anchor",
        paper="arXiv:1807.03748",
        equation="4",
        defaults="common code",
        draw=draw_pairs,
        edges=_edges_with_negatives,
        variants=({}, {"temperature": 1.0, "normalize": False}, {"temperature": 0.02}),
        golden={"info_nce": _golden_info_nce},
        search={"temperature": Range(0.03, 0.5, log=True)},
        separable=False,
        at_call=frozenset({"sample_weight", "mask", "ids", "negatives", "group"}),
        when="Pairs of views or of modalities, with negatives from the batch, a memory bank or by hand.",
        pitfalls=(
            "Two items of the batch that are really the same are each other's negatives: give `ids`.",
            "With negatives given, the other positives of the batch are none; concatenate them if they should be.",
            "A query with several positives: `supcon_loss` with the candidates as `ref_embeddings`.",
            "Under data-parallel training a rank has its own items for negatives only: give `group`.",
        ),
        relatives=("nt_xent_loss", "multiple_negatives_ranking_loss", "n_pair_loss"),
    ),
    Card(
        fn=multiple_negatives_ranking_loss,
        module=MultipleNegativesRankingLoss,
        formula=r"-\log \frac{e^{s\, a_i p_i}}{\sum_j e^{s\, a_i p_j} + \sum_n e^{s\, a_i n}}",
        data="views",
        kernel="rows",
        item="anchor",
        paper="arXiv:1705.00652",
        equation="",
        defaults="scale 20 and cosine: sentence-transformers",
        draw=draw_pairs,
        edges=_edges_with_negatives,
        variants=(
            {},
            {"scale": 2.0, "symmetric": True},
            {"scale": 0.5, "similarity": "dot"},
        ),
        golden={"mnr": _golden_pairs},
        search={"scale": Range(5.0, 50.0, log=True), "symmetric": Choice((False, True))},
        separable=False,
        at_call=frozenset({"sample_weight", "mask", "ids", "negatives", "group"}),
        when="Questions and answers, translations, captions: pairs without labels, and perhaps hard negatives.",
        pitfalls=(
            "Duplicate questions or answers in a batch are false negatives: give `ids`.",
            "The batch size is a hyperparameter: more of it is more negatives.",
            "Under data-parallel training a rank has its own items for negatives only: give `group`.",
        ),
        relatives=("info_nce_loss", "n_pair_loss"),
        aliases=("mnr_loss", "MNRLoss"),
    ),
    Card(
        fn=n_pair_loss,
        module=NPairLoss,
        formula=r"\log\left(1 + \sum_{j \ne i} e^{a_i p_j - a_i p_i}\right) + \lambda (|a_i|^2 + |p_i|^2)",
        data="views",
        kernel="rows",
        item="anchor",
        paper="Sohn, NIPS 2016",
        equation="6",
        defaults="no penalty",
        draw=draw_pairs,
        edges=edges_pairs,
        variants=({}, {"l2_reg": 0.02}),
        golden={"n_pair": _golden_pairs},
        search={"l2_reg": Range(0.0, 0.1)},
        separable=False,
        at_call=frozenset({"sample_weight", "mask", "ids", "group"}),
        when="Pairs, one a class, compared by dot product.",
        pitfalls=(
            "The lengths of the embeddings grow without the penalty.",
            "Two pairs of one class in a batch are false negatives: give `ids`.",
        ),
        relatives=("info_nce_loss", "multiple_negatives_ranking_loss"),
    ),
)
