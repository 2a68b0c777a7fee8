"""Queries and their answers: each query must find its own among candidates, mostly other queries' answers."""

from typing import Literal

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Card, Choice, Range
from lossary.core.check import check_dim
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, reduce, scaled
from lossary.core.rules import NotNegative, Positive, checked
from lossary.distributed import across_ranks, gathered
from lossary.kernels.distances import squares
from lossary.kernels.products import product
from lossary.kernels.rows.formula import row_loss
from lossary.kernels.rows.scores import Dense, Targets
from lossary.kernels.stable import accumulate, parameters
from lossary.losses._pointwise import hide
from lossary.losses.views._shared import (
    Similarity,
    check_negatives,
    find,
    find_each_other,
    find_in_batch,
    found_apart,
    numbers,
    paired,
)

__all__ = [
    "InfoNCELoss",
    "MultipleNegativesRankingLoss",
    "NPairLoss",
    "info_nce_loss",
    "multiple_negatives_ranking_loss",
    "n_pair_loss",
]


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
            own. If given, the other positives are not negatives.
        temperature: tau, above 0; a Parameter is learned.
        normalize: Cosines (True) or plain dot products.
        ids: (N,) integers; items that share one are never each other's negatives. Only for in-batch negatives.
        sample_weight: (N,) weights of the queries.
        mask: (N,) boolean; a pair that does not count enters no loss and may be NaN.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' pairs are one batch, in which ids mean the same on every rank; ``negatives``
            stay each rank's own. The average of the ranks' means is the mean of that batch, and likewise for gradients;
            ``"none"`` and ``"sum"`` cover the rank's own queries.

    Returns:
        A scalar, or (N,).

    Raises:
        ValueError: Wrong shapes, ``temperature`` not above 0, ``ids`` together with ``negatives``.
        TypeError: Embeddings in different precisions.

    Example:
        >>> import torch
        >>> info_nce_loss(torch.eye(3), torch.eye(3), temperature=1.0)
        tensor(0.5514)

    Source:
        van den Oord et al., Contrastive Predictive Coding, arXiv:1807.03748, eq. 4; tau = 0.1 is from common code, the
        momentum contrast papers have 0.07 (arXiv:1911.05722) and 0.2. The bound log(N) - loss on the mutual information
        holds for the mean over the batch.
    """
    once = normalize and negatives is None
    pairs = paired(("query", "positive"), query, positive, ids, sample_weight, mask, group, once=once)

    (temperature,) = parameters((temperature,), pairs.query)
    alike = Similarity(1 / temperature, normalize, pairs.half)
    if negatives is None:
        return find_in_batch(pairs, alike, pairs.query, pairs.answer, reduction)
    if ids is not None:
        raise ValueError("ids: wanted None with negatives, which are negatives of every query they are given for")
    check_negatives(negatives, "query", query)
    q, n = alike.scaled(pairs.query), accumulate(negatives)
    own, nobody = (q * alike.plain(pairs.answer)).sum(-1), torch.full((n.shape[-2],), -1, device=q.device)
    if n.dim() == 2:
        source = alike.source(pairs.query, n, None)
    else:
        n = n if pairs.counted is None else hide(n, pairs.counted[:, None, None])
        source = Dense(product(q[:, None], alike.plain(n)).squeeze(1))
    targets = Targets(numbers(q), nobody, means=False)
    return row_loss(found_apart, source, targets, own, weight=pairs.weight, reduction=reduction, group=group)


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
    r"""Each anchor must find its positive among all positives of the batch and any hard negatives.

    .. math:: -\log \frac{e^{s\, a_i p_i}}{\sum_j e^{s\, a_i p_j} + \sum_n e^{s\, a_i n}}

    Args:
        anchor: (N, D), such as questions.
        positive: (N, D), such as their answers.
        negatives: (M, D) further candidates for every anchor, such as hard negatives; M need not be N.
        scale: s, an inverse temperature.
        similarity: ``"cos"`` normalises; ``"dot"`` is the plain product.
        symmetric: Average with the other direction, in which positives look for their anchors.
        ids: (N,) integers; items that share one are never each other's negatives.
        sample_weight: (N,) weights of the anchors.
        mask: (N,) boolean; a pair that does not count enters no loss and may be NaN.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' pairs and negatives are one batch, in which ids mean the same on every rank.
            The average of the ranks' means is the mean of that batch, and likewise for gradients; ``"none"`` and
            ``"sum"`` cover the rank's own anchors.

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
        Henderson et al., Efficient Natural Language Response Suggestion, arXiv:1705.00652, section 4.4 (dot products);
        cosine and s = 20 are from sentence-transformers. Some code adds 1 inside the logarithm.
    """
    once = similarity == "cos" and negatives is None
    pairs = paired(("anchor", "positive"), anchor, positive, ids, sample_weight, mask, group, once=once)

    (scale,) = parameters((scale,), pairs.query)
    alike = Similarity(scale, similarity == "cos", pairs.half)
    if negatives is None:
        if symmetric:
            return find_each_other(pairs, alike, reduction)
        return find_in_batch(pairs, alike, pairs.query, pairs.answer, reduction)
    check_dim("negatives", negatives, 2, "(M, D)")
    check_negatives(negatives, "anchor", anchor)
    (n,) = gathered(group, negatives.dtype, negatives=accumulate(negatives))
    candidates, candidate_ids, shift = pairs.columns(pairs.answer)
    if shift is not None:
        shift = torch.cat([shift, shift.new_zeros(n.shape[0])])
    if pairs.ids is not None and candidate_ids is not None:
        # Doubled ids are even, so an odd one matches nobody.
        ids, candidate_ids = 2 * pairs.ids, torch.cat([2 * candidate_ids, candidate_ids.new_ones(n.shape[0])])
    source = alike.source(pairs.query, torch.cat([candidates, n]), shift)
    loss = find(pairs, source, ids, candidate_ids, reduction)
    return (loss + find_in_batch(pairs, alike, pairs.answer, pairs.query, reduction)) / 2 if symmetric else loss


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
        anchor: (N, D), used as they are, not normalised; one pair per class.
        positive: (N, D).
        l2_reg: lambda, at least 0: keeps the embeddings' lengths small; nothing else does.
        ids: (N,) integers, such as class labels; pairs that share one are never each other's negatives.
        sample_weight: (N,) weights of the anchors.
        mask: (N,) boolean; a pair that does not count enters no loss and may be NaN.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' pairs are one batch, in which ids mean the same on every rank. The average of
            the ranks' means is the mean of that batch, and likewise for gradients; ``"none"`` and ``"sum"`` cover the
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
    loss = find_in_batch(pairs, Similarity(1.0, False, pairs.half), a, p, reduction)
    lengths = reduce(squares(a) + squares(p), weight=pairs.weight, reduction=reduction, group=group)
    return loss + scaled(lengths, l2_reg)


class NPairLoss(Loss):
    """:func:`n_pair_loss` as a Module."""

    fn = staticmethod(n_pair_loss)
    l2_reg: NotNegative = 0.0
    reduction: Reduction = "mean"


CARDS = (
    Card(
        fn=info_nce_loss,
        module=InfoNCELoss,
        takes=("anchor-positive",),
        input="embeddings",
        data="views",
        formula=r"-\log \frac{e^{q_i p_i / \tau}}{e^{q_i p_i / \tau} + \sum_n e^{q_i n / \tau}}",
        symbols={
            r"q_i": "row i of `query`, of length 1 unless `normalize` is off",
            r"p_i": "row i of `positive`, likewise",
            r"\tau": "`temperature`, above 0",
            r"n": "a negative of query i: a row of `negatives`, or, without them, another query's positive",
            r"i": "one query",
        },
        kernel="rows",
        item="anchor",
        paper="arXiv:1807.03748",
        equation="4",
        defaults="common code",
        search={"temperature": Range(0.03, 0.5, log=True)},
        separable=False,
        at_call=frozenset({"sample_weight", "mask", "ids", "negatives", "group"}),
        when="Pairs of views or of modalities, with negatives from the batch, from a memory bank or chosen by hand.",
        pitfalls=(
            "Two items of the batch that are really the same are each other's negatives: pass `ids`.",
            "With `negatives`, the other positives of the batch are not negatives; concatenate them if they should be.",
            "For queries with several positives, use `supcon_loss` with the candidates as `ref_embeddings`.",
            "Under data-parallel training a rank only has its own items as negatives: pass `group`.",
        ),
        relatives=("nt_xent_loss", "multiple_negatives_ranking_loss", "n_pair_loss"),
    ),
    Card(
        fn=multiple_negatives_ranking_loss,
        module=MultipleNegativesRankingLoss,
        takes=("anchor-positive",),
        input="embeddings",
        data="views",
        formula=r"-\log \frac{e^{s\, a_i p_i}}{\sum_j e^{s\, a_i p_j} + \sum_n e^{s\, a_i n}}",
        symbols={
            r"s": "`scale`, an inverse temperature",
            r"a_i": "row i of `anchor`, of length 1 with `similarity` 'cos'",
            r"p_i": "row i of `positive`, its answer, likewise",
            r"j": "every pair of the batch",
            r"p_j": "the positive of pair j",
            r"n": "a row of `negatives`, if any; a candidate for every anchor",
        },
        kernel="rows",
        item="anchor",
        paper="arXiv:1705.00652",
        equation="section 4.4",
        defaults="scale 20 and cosine: sentence-transformers",
        search={"scale": Range(5.0, 50.0, log=True), "symmetric": Choice((False, True))},
        separable=False,
        at_call=frozenset({"sample_weight", "mask", "ids", "negatives", "group"}),
        when="Questions and answers, translations, captions: pairs without labels, and perhaps hard negatives.",
        pitfalls=(
            "Duplicate questions or answers in a batch are false negatives: pass `ids`.",
            "The batch size is a hyperparameter: a larger batch has more negatives.",
            "Under data-parallel training a rank only has its own items as negatives: pass `group`.",
        ),
        relatives=("info_nce_loss", "n_pair_loss"),
        aliases=("mnr_loss", "MNRLoss"),
    ),
    Card(
        fn=n_pair_loss,
        module=NPairLoss,
        takes=("anchor-positive",),
        input="embeddings",
        data="views",
        formula=r"\log\left(1 + \sum_{j \ne i} e^{a_i p_j - a_i p_i}\right) + \lambda (|a_i|^2 + |p_i|^2)",
        symbols={
            r"j": "every other pair",
            r"i": "the anchor's own pair",
            r"a_i": "row i of `anchor`, not normalised",
            r"p_j": "row j of `positive`, another class's",
            r"p_i": "row i of `positive`, the anchor's own",
            r"\lambda": "`l2_reg`, the weight of the squared lengths; 0 leaves them out",
        },
        kernel="rows",
        item="anchor",
        paper="Sohn, NIPS 2016",
        equation="6",
        defaults="no penalty",
        search={"l2_reg": Range(0.0, 0.1)},
        separable=False,
        at_call=frozenset({"sample_weight", "mask", "ids", "group"}),
        when="Pairs, one per class, compared by dot product.",
        pitfalls=(
            "Without the penalty, the lengths of the embeddings grow.",
            "Two pairs of one class in a batch are false negatives: pass `ids`.",
        ),
        relatives=("info_nce_loss", "multiple_negatives_ranking_loss"),
    ),
)
