"""Queries and documents with one embedding per token: late interaction."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.card import Card, Range
from lossary.core.check import check_dim, check_float, check_labels, check_shape, check_tensor
from lossary.core.loss import Loss
from lossary.core.reduce import Reduction, align
from lossary.core.rules import Positive, checked
from lossary.distributed import across_ranks, gathered
from lossary.kernels.products import multiplied_in, product
from lossary.kernels.rows.scores import Dense, Targets
from lossary.kernels.rows.softmax import softmax_loss
from lossary.kernels.stable import ABSENT, accumulate, parameters, sphere_apart
from lossary.losses._batch import absence, check_same_precision
from lossary.losses._pointwise import hide
from lossary.losses.views._shared import numbers

__all__ = [
    "ColBERTLoss",
    "colbert_loss",
]

#: Similarities of tokens held at once.
SIMILARITIES = 1 << 23


class Tokens(NamedTuple):
    """Texts as one embedding per token."""

    x: Tensor  # (N, T, D), 0 where there is no token
    there: Tensor | None  # (N, T) boolean


@across_ranks
@checked
def colbert_loss(
    query: Tensor,
    positive: Tensor,
    negatives: Tensor | None = None,
    *,
    query_mask: Tensor | None = None,
    positive_mask: Tensor | None = None,
    negatives_mask: Tensor | None = None,
    temperature: Positive = 1.0,
    normalize: bool = True,
    ids: Tensor | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
    group: ProcessGroup | None = None,
) -> Tensor:
    r"""Each query must find its document among the batch's, by the best match of each of its tokens (ColBERT's MaxSim).

    .. math:: -\log \frac{e^{s_{ii}}}{\sum_j e^{s_{ij}} + \sum_n e^{s_{in}}}, \qquad
        s_{ij} = \frac{1}{\tau} \sum_t \max_u \langle q_{it}, d_{ju} \rangle

    Tokens are compared with those of some documents at a time, and only the places of the best matches are kept: one
    number per token and document, not per two tokens.

    Args:
        query: (N, Q, D), one embedding per token.
        positive: (N, P, D), those of each query's document, which is a candidate for the other queries.
        negatives: (M, R, D) further candidates for every query; M need not be N, nor R be P.
        query_mask: (N, Q) boolean, True where there is a token; elsewhere may be anything. ColBERT itself counts the
            mask tokens with which it fills up queries.
        positive_mask: (N, P) the same for the documents: padding is nobody's best match.
        negatives_mask: (M, R) the same for the negatives.
        temperature: tau, above 0; a Parameter is learned.
        normalize: Cosines (True) or plain dot products.
        ids: (N,) integers; pairs that share one are never each other's negatives.
        sample_weight: (N,) weights of the queries.
        mask: (N,) boolean; a pair that does not count enters no loss and may be NaN.
        reduction: ``"none"`` (N,), ``"sum"`` or ``"mean"``.
        group: Process group whose ranks' pairs and negatives are one batch, padded to the same lengths on all ranks, in
            which ids mean the same on every rank. The average of the ranks' means is the mean of that batch, and
            likewise for gradients; ``"none"`` and ``"sum"`` cover the rank's own queries.

    Returns:
        A scalar, or (N,). A document without tokens has score 0. Where two tokens match as well, the first gets the
        gradient.

    Raises:
        ValueError: Wrong shapes, ``temperature`` not above 0, masks that are not of the tokens.
        TypeError: Embeddings in different precisions, masks that are not boolean.

    Example:
        >>> import torch
        >>> x = torch.eye(4).reshape(2, 2, 4)  # two queries of two tokens each
        >>> colbert_loss(x, x, temperature=0.5)
        tensor(0.0181)

    Source:
        Khattab and Zaharia, ColBERT, arXiv:2004.12832, section 3 (the scores) and ColBERTv2, arXiv:2112.01488 (the
        softmax over a batch). Without a temperature a score is a sum of cosines, up to Q: then tau = 1, PyLate's
        default, is sharp enough. PyLate multiplies similarities by the masks: a padded place has similarity 0, and is
        the best match of a token whose similarities are all negative.
    """
    check_dim("query", query, 3, "(N, Q, D)")
    count, (temperature,) = query.shape[:1], parameters((temperature,), accumulate(query))
    q = _tokens("query", query, query_mask, query, count[0])
    d = _tokens("positive", positive, positive_mask, query, count[0])
    if ids is not None:
        ids = check_labels("ids", ids, count[0])
    if sample_weight is not None:
        check_shape("sample_weight", sample_weight, tuple(count))
    _, mask = align(None, mask, count)
    weight = sample_weight
    if mask is not None:
        mask = mask.expand(count)
        q, d = (Tokens(hide(t.x, mask[:, None, None]), t.there) for t in (q, d))
        weight = mask if weight is None else hide(weight, mask)
    n = None if negatives is None else _tokens("negatives", negatives, negatives_mask, query, len(negatives))
    if n is None and negatives_mask is not None:
        raise ValueError("negatives_mask: wanted None without negatives; got a Tensor")
    half = multiplied_in(query, positive)
    x, there, their_ids, counted = gathered(group, positive=d.x, positive_mask=d.there, ids=ids, mask=mask)
    match = _Match(1 / temperature, normalize, half)
    scores = match.scores(q.x, Tokens(x, there))
    shift = absence(counted, scores)
    scores = scores if shift is None else scores + shift
    if n is not None:
        further = Tokens(*gathered(group, negatives=n.x, negatives_mask=n.there))
        scores = torch.cat([scores, match.scores(q.x, further)], 1)
        if ids is not None and their_ids is not None:
            # Doubled ids are even, so an odd one matches nobody.
            ids, their_ids = 2 * ids, torch.cat([2 * their_ids, their_ids.new_ones(len(further.x))])
    targets = Targets(numbers(scores), paired=True, means=False, row_groups=ids, column_groups=their_ids)
    return softmax_loss(Dense(scores), targets, weight=weight, reduction=reduction, group=group)


def _tokens(name: str, x: Tensor, there: Tensor | None, like: Tensor, count: int) -> Tokens:
    """Checked, in the accumulator's dtype."""
    check_dim(name, x, 3, "(N, T, D)")
    check_float(name, x)
    check_same_precision(name, x, "query", like)
    check_shape(name, x, (count, x.shape[1], like.shape[2]))
    x = accumulate(x)
    if there is None:
        return Tokens(x, None)
    check_tensor(f"{name}_mask", there)
    check_shape(f"{name}_mask", there, tuple(x.shape[:2]))
    if there.dtype != torch.bool:
        raise TypeError(f"{name}_mask: wanted booleans, True where there is a token; got {there.dtype}")
    return Tokens(hide(x, there[..., None]), there)


class _Match(NamedTuple):
    """How tokens are compared."""

    scale: float | Tensor
    cosine: bool
    half: torch.dtype | None

    def scores(self, queries: Tensor, documents: Tokens) -> Tensor:
        """(N, M), of all queries with all documents."""
        (count, of_query), (x, there) = queries.shape[:2], documents
        z, by_row = self.rows(queries.flatten(0, 1), self.scale)
        if x.numel() == 0:  # of no token there is no best
            return product(z, x.sum(1)).unflatten(0, (count, of_query)).sum(1)
        step = max(1, SIMILARITIES // max(1, count * of_query * x.shape[1]))
        blocks = x.split(step)
        masks = [None] * len(blocks) if there is None else there.split(step)
        parts = [self.best(z, *block) for block in zip(blocks, masks, strict=True)]
        best = torch.cat(parts, 1)
        best = best if by_row is None else best * by_row[:, None]
        return best.unflatten(0, (count, of_query)).sum(1)

    def best(self, z: Tensor, x: Tensor, there: Tensor | None) -> Tensor:
        """(Q, M), where a query's token without an embedding, 0, has 0."""
        w, by_column = self.rows(x.flatten(0, 1), 1.0)
        alike = product(z, w, half=self.half)
        alike = (alike if by_column is None else alike * by_column).unflatten(1, tuple(x.shape[:2]))
        if there is None:
            return alike.max(-1).values
        return hide(alike.masked_fill(~there, ABSENT).max(-1).values, there.any(-1))

    def rows(self, x: Tensor, scale: float | Tensor) -> tuple[Tensor, Tensor | None]:
        """Rows as they are multiplied, and the factors, above 0, that belong to the products."""
        if self.cosine:
            return sphere_apart(x, scale, self.half)
        if self.half is None:
            return x * scale, None
        return x, torch.ones_like(x[:, 0]) * scale


class ColBERTLoss(Loss):
    """:func:`colbert_loss` as a Module."""

    fn = staticmethod(colbert_loss)
    temperature: Positive = 1.0
    normalize: bool = True
    reduction: Reduction = "mean"


CARDS = (
    Card(
        fn=colbert_loss,
        module=ColBERTLoss,
        takes=("queries-documents",),
        input="embeddings",
        data="views",
        formula=r"-\log \frac{e^{s_{ii}}}{\sum_j e^{s_{ij}} + \sum_n e^{s_{in}}}, \quad "
        r"s_{ij} = \frac{1}{\tau} \sum_t \max_u \langle q_{it}, d_{ju} \rangle",
        symbols={
            r"i": "one query, and its document",
            r"j": "every document of the batch",
            r"n": "every one of `negatives`, if any",
            r"s_{ij}": "how well query i matches document j",
            r"\tau": "`temperature`, above 0",
            r"t": "every token of the query",
            r"u": "every token of the document",
            r"q_{it}": "token t of row i of `query`, of length 1 unless `normalize` is off",
            r"d_{ju}": "token u of row j of `positive`, likewise",
        },
        kernel="rows",
        item="anchor",
        paper="arXiv:2004.12832",
        equation="section 3",
        defaults="PyLate",
        search={"temperature": Range(0.02, 2.0, log=True)},
        separable=False,
        at_call=frozenset(
            {
                "sample_weight",
                "mask",
                "ids",
                "negatives",
                "query_mask",
                "positive_mask",
                "negatives_mask",
                "group",
            }
        ),
        when="A retriever that keeps one embedding per token, and searches by the best match of each of the query's.",
        pitfalls=(
            "Padding without a mask matches like any word; multiplied by 0 it beats every negative similarity.",
            "Scores are sums over the query's tokens: a temperature fit for 32 of them is not fit for 8.",
            "Two documents that answer the same query are each other's negatives: pass `ids`.",
        ),
        relatives=("multiple_negatives_ranking_loss", "info_nce_loss", "margin_mse_loss"),
    ),
)
