"""Finding the documents that answer a query among all documents of the test split, by cosine.

Items are pairs of a query and a document, each with the number of its text. Pairs with equal queries are one query
with several right documents, and a document counts once however many pairs it is in. A query's own text is no answer
to it and is not searched, unless a pair says so.

**Ties.** Cosines are rounded to 1e-9. Among tied documents the right ones come last (the pessimistic rank): embeddings
that have collapsed to a point find nothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lossary.lab.metrics._measures import Bools, Floats, Ints, Measures, Metric, Scores, check_finite, plain

_GRID = 1e9  # cosines are compared in units of 1 / _GRID
_BLOCK = 2**22  # cosines held at a time: 32 MiB
DEPTH = 10  # documents that somebody looks at


@dataclass(frozen=True)
class Search:
    """What each query finds: documents as the numbers of their texts, nearest first."""

    queries: Ints  # (Q,) numbers of the texts, rising
    found: Ints  # (Q, up to DEPTH)
    cosines: Floats  # of those found
    hits: Bools  # which of them are right
    rank: Ints  # (Q,) of the first right document, from 1
    answers: Ints  # (Q,) how many documents are right


def search(embeddings: ArrayLike, targets: ArrayLike) -> Search:
    """Every query against all documents.

    Args:
        embeddings: (N, 2, D): of a query and of a document that answers it.
        targets: (N, 2 or more): the numbers of their texts come first.

    Raises:
        ValueError: Wrong shapes, numbers that are not finite, a single document.
    """
    vectors, texts = np.asarray(embeddings, np.float64), np.asarray(targets)
    if vectors.ndim != 3 or vectors.shape[1] != 2:
        raise ValueError(f"embeddings: wanted shape (pairs, 2, dimensions); got {vectors.shape}")
    if texts.ndim != 2 or len(texts) != len(vectors) or texts.shape[1] < 2:
        raise ValueError(f"targets: wanted two numbers a pair, shape ({len(vectors)}, 2); got {texts.shape}")
    check_finite("embeddings", vectors)
    queries, first_query, query = np.unique(texts[:, 0], return_index=True, return_inverse=True)
    documents, first_document, document = np.unique(texts[:, 1], return_index=True, return_inverse=True)
    if len(documents) < 2:
        raise ValueError(f"targets: wanted at least 2 different documents; got {len(documents)}")
    right = np.zeros((len(queries), len(documents)), bool)
    right[query, document] = True
    own = (queries[:, None] == documents) & ~right
    near, far = _units(vectors[first_query, 0]), _units(vectors[first_document, 1])
    step = max(1, _BLOCK // len(documents))
    blocks = [
        _ranked(np.where(own[at : at + step], -np.inf, near[at : at + step] @ far.T), right[at : at + step])
        for at in range(0, len(queries), step)
    ]
    top, cosines, hits, rank = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return Search(queries, documents[top], cosines, hits, rank, right.sum(axis=1))


def _units(vectors: Floats) -> Floats:
    """At length 1; zero vectors stay, so that their cosines are all 0."""
    largest = np.abs(vectors).max(axis=1, keepdims=True)  # first, so that squares neither overflow nor vanish
    vectors = vectors / np.where(largest > 0, largest, 1)
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norm > 0, norm, 1)


def _ranked(cosines: Floats, right: Bools) -> tuple[Ints, Floats, Bools, Ints]:
    """The nearest documents of some queries, their cosines, which are right, and the rank of the first right one."""
    distance = 0.5 * right - np.rint(_GRID * cosines)  # half a grid unit: behind the tied documents that are wrong
    top = np.argsort(distance, axis=1, kind="stable")[:, :DEPTH]
    best = np.where(right, distance, np.inf).min(axis=1, keepdims=True)
    return (
        top,
        np.take_along_axis(cosines, top, axis=1),
        np.take_along_axis(right, top, axis=1),
        1 + (~right & (distance < best)).sum(axis=1),
    )


def _ndcg(found: Search) -> Floats:
    """The discounted gain of the right documents among the first ten, over the largest that there could be."""
    discount = 1 / np.log2(np.arange(DEPTH) + 2)
    gain = (found.hits * discount[: found.hits.shape[1]]).sum(axis=1)
    return gain / np.cumsum(discount)[np.minimum(found.answers, DEPTH) - 1]


def _evaluate(embeddings: ArrayLike, targets: ArrayLike) -> Scores:
    found = search(embeddings, targets)
    gains = _ndcg(found)
    metrics = {
        "document_ndcg@10": gains.mean(),
        "mrr": (1 / found.rank).mean(),
        "recall@1": (found.hits[:, 0] / found.answers).mean(),
        "recall@10": (found.hits.sum(axis=1) / found.answers).mean(),
    }
    return Scores(plain(metrics), gains.tolist(), len(gains))


MEASURES = Measures(
    task="finding the text that answers a text",
    units="test queries",
    metrics=(
        Metric("document_ndcg@10", "nDCG@10", True, True),
        Metric("mrr", "MRR", True, True),
        Metric("recall@1", "Recall@1", True, True),
        Metric("recall@10", "Recall@10", True, True),
    ),
    evaluate=_evaluate,
)
