"""Recognising classes never seen in training.

These metrics see only embeddings and labels: every item is compared by cosine with all others, never with itself. A
metric that is undefined for an item without a class-mate leaves that item out (it stays among those that the others
are compared with).

**Ties.** Cosines are rounded to 1e-9, so that equal embeddings tie however the matrix product rounds. Among
tied neighbours those of other classes come first (the pessimistic rank): a collapsed embedding has Recall@1
and MAP@R of 0, not of 1. On the ROC tied pairs are accepted or rejected together; the EER interpolates
between, so that a collapsed embedding has an EER of 0.5.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lossary.lab.metrics._measures import (
    Bools,
    Floats,
    Ints,
    Measures,
    Metric,
    Scores,
    check_finite,
    check_length,
    plain,
)

# --- the items and their cosines ---

_GRID = 1e9  # cosines are compared in units of 1 / _GRID
_BLOCK = 2**22  # cosines held at a time: 32 MiB
_BINS = 2**20  # thresholds of the ROC, over the range of the cosines


@dataclass(frozen=True)
class _Items:
    """Embeddings scaled to length 1, and their classes. Zero vectors stay: their cosines are all 0."""

    unit: Floats
    classes: Ints  # 0 .. number of classes - 1
    sizes: Ints  # items a class

    @property
    def mates(self) -> Ints:
        return self.sizes[self.classes] - 1

    @property
    def has_mate(self) -> Bools:
        return self.mates > 0

    def blocks(self) -> Iterator[tuple[Ints, Floats, Bools]]:
        """Rows, their cosines with all items in grid units, whether classes agree. Self is -inf and False."""
        count = len(self.classes)
        step = max(1, _BLOCK // count)
        for start in range(0, count, step):
            rows = np.arange(start, min(start + step, count))
            cosines = np.rint(_GRID * (self.unit[rows] @ self.unit.T))
            same = self.classes[rows, None] == self.classes
            here = np.arange(len(rows))
            cosines[here, rows], same[here, rows] = -np.inf, False
            yield rows, cosines, same


def _items(embeddings: ArrayLike, labels: ArrayLike) -> _Items:
    vectors, labels = np.asarray(embeddings, np.float64), np.asarray(labels)
    if vectors.ndim != 2:
        raise ValueError(f"embeddings: wanted shape (items, dimensions); got {vectors.shape}")
    check_length("labels", labels, len(vectors))
    check_finite("embeddings", vectors)
    _, classes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(sizes) < 2 or sizes.max() < 2:
        raise ValueError(
            f"labels: wanted at least 2 classes, one of them with 2 items; got {len(sizes)} class(es) "
            f"of at most {sizes.max(initial=0)} item(s)"
        )
    largest = np.abs(vectors).max(axis=1, keepdims=True)  # first, so that squares neither overflow nor vanish
    vectors = vectors / np.where(largest > 0, largest, 1)
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    return _Items(vectors / np.where(norm > 0, norm, 1), classes, sizes)


# --- neighbours ---


def _nearest_hits(items: _Items, k: int) -> Bools:
    """(N, k): whether the j-th nearest neighbour has the item's class."""
    hits = np.empty((len(items.classes), k), bool)
    for rows, cosines, same in items.blocks():
        distance = 0.5 * same - cosines  # half a grid unit: behind the tied items of other classes
        top = np.argpartition(distance, k - 1, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(distance, top, 1), axis=1)
        hits[rows] = np.take_along_axis(same, np.take_along_axis(top, order, 1), 1)
    return hits


def _map_at_r(hits: Bools, mates: Ints) -> Floats:
    """MAP@R of each item: the sum of the precision at each hit among the first R neighbours, over R.

    R is the number of class-mates (Musgrave et al., arXiv:2003.08505).
    """
    place = np.arange(1, hits.shape[1] + 1)
    counted = hits & (place <= mates[:, None])
    return (np.cumsum(hits, axis=1) / place * counted).sum(axis=1) / mates


@dataclass(frozen=True)
class Neighbour:
    """An item, the one found nearest to it and the nearest of its class, as indices into the test split."""

    query: int
    found: int
    similarity: float
    wanted: int
    wanted_similarity: float
    right: bool  # found has the query's class


def neighbours(
    embeddings: ArrayLike, labels: ArrayLike, *, right: int = 8, wrong: int = 8, seed: int = 0
) -> list[Neighbour]:
    """Right and then wrong nearest neighbours, drawn at random so that they stand for the rest."""
    items = _items(embeddings, labels)
    found = [n for rows, cosines, same in items.blocks() for n in _neighbours(items, rows, cosines, same)]
    draw = np.random.default_rng(seed).permutation(len(found))
    shuffled = [found[i] for i in draw]
    return [n for n in shuffled if n.right][:right] + [n for n in shuffled if not n.right][:wrong]


def _neighbours(items: _Items, rows: Ints, cosines: Floats, same: Bools) -> Iterator[Neighbour]:
    nearest = (0.5 * same - cosines).argmin(axis=1)  # ties as in _nearest_hits
    nearest_same = np.where(same, cosines, -np.inf).argmax(axis=1)
    for row, query, found, wanted in zip(range(len(rows)), rows, nearest, nearest_same, strict=True):
        if items.has_mate[query]:
            near, near_same = cosines[row, [found, wanted]] / _GRID
            right = bool(same[row, found])
            yield Neighbour(int(query), int(found), float(near), int(wanted), float(near_same), right)


# --- pairs ---


@dataclass(frozen=True)
class Roc:
    """Cosines of at least ``threshold``: the share of different pairs (FAR) and of same pairs (TAR)."""

    threshold: Floats  # falling, from infinity (nothing accepted)
    far: Floats
    tar: Floats


def roc(embeddings: ArrayLike, labels: ArrayLike, *, points: int = 200) -> Roc:
    """The ROC over all pairs, thinned to at most ``points``: half even along it, half even in log FAR."""
    full = _roc(_items(embeddings, labels))
    count = len(full.far)
    if count <= points:
        return full
    along = np.searchsorted(full.far + full.tar, np.linspace(0, 2, points // 2))
    rarest = full.far[np.searchsorted(full.far, 0, side="right")]
    rare = np.searchsorted(full.far, np.geomspace(rarest, 1, points - points // 2))
    keep = np.unique(np.minimum(np.concatenate([along, rare]), count - 1))
    return Roc(full.threshold[keep], full.far[keep], full.tar[keep])


def _roc(items: _Items) -> Roc:
    """The ROC at up to _BINS thresholds: its memory does not grow with the number of pairs."""
    low, high = np.inf, -np.inf
    for rows, cosines, _ in items.blocks():
        high = max(high, cosines.max())
        cosines[np.arange(len(rows)), rows] = np.inf
        low = min(low, cosines.min())
    edges = np.linspace(low, max(high, low + 1), _BINS + 1)
    same, different = _pair_counts(items, edges)
    used = np.flatnonzero(same + different)[::-1]
    far, tar = np.cumsum(different[used]) / different.sum(), np.cumsum(same[used]) / same.sum()
    return Roc(
        np.concatenate([[np.inf], edges[used] / _GRID]),
        np.concatenate([[0], far]),
        np.concatenate([[0], tar]),
    )


def _pair_counts(items: _Items, edges: Floats) -> tuple[Ints, Ints]:
    """Same and different pairs in the equal bins between ``edges`` (in grid units); the last bin is closed.

    Each pair counts twice, as in the matrix, which no rate sees.
    """
    bins = len(edges) - 1
    scale = bins / (edges[-1] - edges[0])
    counts = np.zeros((2, bins), np.intp)
    for _, cosines, same in items.blocks():
        for row, wanted in enumerate((same, ~same & np.isfinite(cosines))):
            index = ((cosines[wanted] - edges[0]) * scale).astype(np.intp)
            counts[row] += np.bincount(np.minimum(index, bins - 1), minlength=bins)
    return counts[0], counts[1]


def _eer(curve: Roc) -> float:
    """The equal error rate: where FAR = 1 - TAR on the ROC drawn with straight lines."""
    gap = 1 - curve.tar - curve.far  # falls from 1 to -1
    after = int(np.argmax(gap <= 0))
    share = gap[after - 1] / (gap[after - 1] - gap[after])
    return float(curve.far[after - 1] + share * (curve.far[after] - curve.far[after - 1]))


def _tar_at_far(curve: Roc, far: float) -> float:
    """The best TAR of a threshold whose FAR is at most ``far``."""
    return float(curve.tar[np.searchsorted(curve.far, far, side="right") - 1])


def _min_dcf(curve: Roc, prior: float = 0.01) -> float:
    """NIST's least detection cost, a miss and a false alarm costing 1, over that of a constant answer."""
    cost = prior * (1 - curve.tar) + (1 - prior) * curve.far
    return float(cost.min() / min(prior, 1 - prior))


@dataclass(frozen=True)
class SimilarityHistogram:
    """Shares of the same-class and of the different-class pairs in equal bins of the cosine from -1 to 1."""

    edges: Floats
    same: Floats
    different: Floats


def similarity_histogram(embeddings: ArrayLike, labels: ArrayLike, *, bins: int = 60) -> SimilarityHistogram:
    """How alike items of the same class are, and items of different classes."""
    edges = np.linspace(-1, 1, bins + 1)
    same, different = _pair_counts(_items(embeddings, labels), edges * _GRID)
    return SimilarityHistogram(edges, same / same.sum(), different / different.sum())


# --- all of it ---


def _evaluate(embeddings: ArrayLike, labels: ArrayLike) -> Scores:
    items = _items(embeddings, labels)
    mates, chosen = items.mates[items.has_mate], items.has_mate
    hits = _nearest_hits(items, min(len(chosen) - 1, max(5, int(mates.max()))))[chosen]
    curve = _roc(items)
    metrics = {
        "recall@1": hits[:, 0].mean(),
        "recall@5": hits[:, :5].any(axis=1).mean(),
        "map@r": _map_at_r(hits, mates).mean(),
        "eer": _eer(curve),
        "tar@far=1%": _tar_at_far(curve, 0.01),
        "tar@far=0.1%": _tar_at_far(curve, 0.001),
        "min_dcf": _min_dcf(curve),
    }
    units = np.bincount(items.classes[chosen], hits[:, 0], len(items.sizes))[items.sizes > 1]
    return plain(metrics), (units / items.sizes[items.sizes > 1]).tolist()


def _score(embeddings: ArrayLike, labels: ArrayLike) -> float:
    items = _items(embeddings, labels)
    return float(_nearest_hits(items, 1)[items.has_mate, 0].mean())


MEASURES = Measures(
    task="recognising classes never seen in training",
    units="test classes",
    metrics=(
        Metric("recall@1", "Recall@1", True, True),
        Metric("recall@5", "Recall@5", True, True),
        Metric("map@r", "MAP@R", True, True),
        Metric("eer", "EER", False, True),
        Metric("tar@far=1%", "TAR at FAR 1 %", True, True),
        Metric("tar@far=0.1%", "TAR at FAR 0.1 %", True, True),
        Metric("min_dcf", "minDCF", False, False),
    ),
    evaluate=_evaluate,
    score=_score,
)
