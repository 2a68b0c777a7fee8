"""Finding the documents that answer a query among all documents of the test split, by cosine.

Items are pairs of a query and a document, each with the number of its text. Pairs with equal queries are one query with
several right documents, and a document counts once, however many pairs it is in. A query's own text does not count as
an answer, so it is not searched unless a pair says so.

**Ties.** Cosines are rounded to 1e-9. Among tied documents the right ones come last (the pessimistic rank): embeddings
that have collapsed to a point find nothing.

**Units.** A test unit is a group of pairs that share texts, as the split draws them: usually a query and its document.
A group's contribution to a metric is measured by leaving it out, both as questions and as answers to the other groups'
questions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lossary.lab.tasks._galleries import Block, Gain, Gallery
from lossary.lab.tasks.measures import Bools, Floats, Ints, Measures, Metric, Units, check_finite

_GRID = 1e9  # cosines are compared in units of 1 / _GRID
_BLOCK = 2**22  # cosines held at a time: 32 MiB
DEPTH = 10  # documents that a user would look at


@dataclass(frozen=True)
class Search:
    """What each query finds: documents as the numbers of their texts, nearest first."""

    queries: Ints  # (Q,) numbers of the texts, ascending
    found: Ints  # (Q, up to DEPTH)
    cosines: Floats  # of those found
    hits: Bools  # which of them are right
    rank: Ints  # (Q,) of the first right document, from 1
    answers: Ints  # (Q,) how many documents are right


@dataclass(frozen=True)
class _Texts:
    """Queries and documents at length 1, which answers which, and the group of texts that each belongs to."""

    queries: Ints  # (Q,) numbers of the texts, ascending
    documents: Ints  # (D,)
    near: Floats
    far: Floats
    right: Bools  # (Q, D)
    of_queries: Ints
    of_documents: Ints

    @classmethod
    def read(cls, embeddings: ArrayLike, targets: ArrayLike) -> Self:
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
        group = grouped(texts[:, :2])
        return cls(
            queries,
            documents,
            _units(vectors[first_query, 0]),
            _units(vectors[first_document, 1]),
            right,
            group[first_query],
            group[first_document],
        )

    def blocks(self) -> Iterator[Block]:
        step = max(1, _BLOCK // len(self.documents))
        for at in range(0, len(self.queries), step):
            rows = np.arange(at, min(at + step, len(self.queries)))
            right = self.right[rows]
            own = (self.queries[rows, None] == self.documents) & ~right
            cosines = np.rint(_GRID * (self.near[rows] @ self.far.T))
            yield Block(rows, np.where(own, np.inf, 0.5 * right - cosines), right)

    def units(self, gain: Gain) -> Units:
        return Gallery(self.of_queries, self.of_documents, self.right.sum(axis=1)).units(self.blocks(), gain)


def grouped(texts: NDArray[Any]) -> Ints:
    """(N,) the group of each pair, from the numbers of its two texts: pairs that share a text are in one group.

    So are pairs that are linked through others: a text may answer one and be answered by another.

    >>> grouped(np.array([[0, 1], [2, 3], [1, 4], [0, 5]]))
    array([0, 1, 0, 0])
    """
    count = int(texts.max()) + 1
    joined = coo_array((np.ones(len(texts)), (texts[:, 0], texts[:, 1])), shape=(count, count))
    of_text = connected_components(joined, directed=False)[1]
    return np.unique(of_text[texts[:, 0]], return_inverse=True)[1]


def search(embeddings: ArrayLike, targets: ArrayLike) -> Search:
    """Every query against all documents.

    Args:
        embeddings: (N, 2, D): of a query and of a document that answers it.
        targets: (N, 2 or more): the numbers of their texts come first.

    Raises:
        ValueError: Wrong shapes, numbers that are not finite, a single document.
    """
    return _searched(_Texts.read(embeddings, targets))


def _searched(texts: _Texts) -> Search:
    top, cosines, hits, rank = (
        np.concatenate(parts) for parts in zip(*(_ranked(*block[1:]) for block in texts.blocks()), strict=True)
    )
    return Search(texts.queries, texts.documents[top], cosines, hits, rank, texts.right.sum(axis=1))


def _units(vectors: Floats) -> Floats:
    """At length 1; zero vectors stay zero, so that their cosines are all 0."""
    largest = np.abs(vectors).max(axis=1, keepdims=True)  # first, so that squares neither overflow nor vanish
    vectors = vectors / np.where(largest > 0, largest, 1)
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norm > 0, norm, 1)


def _ranked(distance: Floats, right: Bools) -> tuple[Ints, Floats, Bools, Ints]:
    """The nearest documents of some queries, their cosines, which are right, and the rank of the first right one."""
    top = np.argsort(distance, axis=1, kind="stable")[:, :DEPTH]
    hits = np.take_along_axis(right, top, axis=1)
    best = np.where(right, distance, np.inf).min(axis=1, keepdims=True)
    cosines = (0.5 * hits - np.take_along_axis(distance, top, axis=1)) / _GRID
    return top, cosines, hits, 1 + (~right & (distance < best)).sum(axis=1)


def _values(texts: _Texts) -> dict[str, float]:
    found = _searched(texts)
    discount = 1 / np.log2(np.arange(DEPTH) + 2)
    gain = (found.hits * discount[: found.hits.shape[1]]).sum(axis=1)
    return {
        "document_ndcg@10": (gain / _ideal(found.answers)).mean(),
        "mrr": (1 / found.rank).mean(),
        "recall@1": (found.hits[:, 0] / found.answers).mean(),
        "recall@10": (found.hits.sum(axis=1) / found.answers).mean(),
    }


def _ideal(answers: NDArray[Any]) -> Floats:
    """The discounted gain if the first ten documents are right, or all that exist."""
    return np.cumsum(1 / np.log2(np.arange(DEPTH) + 2))[np.minimum(answers, DEPTH).astype(np.intp) - 1]


def _ndcg(texts: _Texts) -> Units:
    def gain(rank: Floats, nth: int, answers: Floats) -> Floats:
        return (rank <= DEPTH) / np.log2(rank + 1) / _ideal(answers)

    return texts.units(Gain(gain, DEPTH, DEPTH))


def _mrr(texts: _Texts) -> Units:
    return texts.units(Gain(lambda rank, nth, answers: 1 / rank, len(texts.documents), 1))


def _recall(texts: _Texts, among: int) -> Units:
    return texts.units(Gain(lambda rank, nth, answers: (rank <= among) / answers, among, among))


MEASURES = Measures(
    task="finding the text that answers a text",
    units="groups of test texts",
    metrics=(
        Metric("document_ndcg@10", "nDCG@10", True, True),
        Metric("mrr", "MRR", True, True),
        Metric("recall@1", "Recall@1", True, True),
        Metric("recall@10", "Recall@10", True, True),
    ),
    read=_Texts.read,
    values=_values,
    pseudo_values={
        "document_ndcg@10": _ndcg,
        "mrr": _mrr,
        "recall@1": partial(_recall, among=1),
        "recall@10": partial(_recall, among=10),
    },
)
