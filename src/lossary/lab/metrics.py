"""Metrics: what a trained network scores on the test split, in all and a test unit.

Zero-shot metrics see only embeddings and labels: every item is compared by cosine with all others, never
with itself. A metric that is undefined for an item without a class-mate leaves that item out (it stays among
those that the others are compared with). Other metrics are scikit-learn's where it has them.

**Ties.** Cosines are rounded to 1e-9, so that equal embeddings tie however the matrix product rounds. Among
tied neighbours those of other classes come first (the pessimistic rank): a collapsed embedding has Recall@1
and MAP@R of 0, not of 1. On the ROC tied pairs are accepted or rejected together; the EER interpolates
between, so that a collapsed embedding has an EER of 0.5.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics as sk

Kind = Literal["zero-shot", "classification", "binary", "regression"]
Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]
Scores = tuple[dict[str, float], list[float]]


@dataclass(frozen=True)
class Metric:
    """A metric as people read it; ``name`` is its key in ``Record.metrics``."""

    name: str
    label: str
    higher_is_better: bool
    percent: bool  # shown times 100; stored as a share
    least: float = 0.0  # what it can be


#: The metrics of each kind of task. The first is the primary one, for tuning and for the judge.
METRICS: dict[Kind, tuple[Metric, ...]] = {
    "zero-shot": (
        Metric("recall@1", "Recall@1", True, True),
        Metric("recall@5", "Recall@5", True, True),
        Metric("map@r", "MAP@R", True, True),
        Metric("eer", "EER", False, True),
        Metric("tar@far=1%", "TAR at FAR 1 %", True, True),
        Metric("tar@far=0.1%", "TAR at FAR 0.1 %", True, True),
        Metric("min_dcf", "minDCF", False, False),
    ),
    "classification": (
        Metric("accuracy", "Accuracy", True, True),
        Metric("log_loss", "Log loss", False, False),
        Metric("ece", "ECE", False, True),
    ),
    "binary": (
        Metric("average_precision", "Average precision", True, True),
        Metric("roc_auc", "ROC AUC", True, True),
        Metric("brier", "Brier score", False, False),
        Metric("log_loss", "Log loss", False, False),
    ),
    "regression": (
        Metric("mae", "MAE", False, False),
        Metric("rmse", "RMSE", False, False),
        Metric("median_ae", "Median absolute error", False, False),
    ),
}
PRIMARY: dict[Kind, Metric] = {kind: metrics[0] for kind, metrics in METRICS.items()}
#: A metric of the user's: from predictions and targets a score for each item, of which more is better.
OwnMetric = Callable[[NDArray[Any], NDArray[Any]], ArrayLike]


def primary(kind: Kind, own: str = "") -> Metric:
    """What a run is judged by: the kind's primary metric, or one of the user's by its name.

    >>> primary("regression").label, primary("regression", "profit").higher_is_better
    ('MAE', True)
    """
    return Metric(own, own.replace("_", " "), True, False, least=-np.inf) if own else PRIMARY[kind]


def own_scores(metric: OwnMetric, predicted: ArrayLike, truth: ArrayLike) -> Floats:
    """A user's metric of each item.

    Raises:
        ValueError: if it does not give a finite score for each.
    """
    predicted, truth = np.asarray(predicted), np.asarray(truth)
    scores = np.asarray(metric(predicted, truth), np.float64)
    _check_length("metric", scores, len(truth))
    _check_finite("metric", scores)
    return scores


def evaluate(kind: Kind, **arrays: ArrayLike) -> Scores:
    """All metrics of a task, and the primary one a test unit.

    Args:
        kind: ``"zero-shot"`` takes ``embeddings`` (N, D) and ``labels`` (N,); ``"classification"`` takes
            ``probabilities`` (N, C) and ``labels`` (N,); ``"binary"`` takes ``probabilities`` (N,) of the label 1
            and ``labels`` (N,); ``"regression"`` takes ``predictions`` (N,) and ``targets`` (N,).

    Returns:
        The metrics by name, and the primary metric of each unit in an order that depends on the labels alone.
        A unit is a class of at least two items (the mean over its items) in zero-shot tasks, a positive
        sample in binary ones, a sample elsewhere. The mean of the units is the primary metric; in zero-shot
        tasks with classes of unequal size it is the mean over classes, where the metric is the mean over items.

    Example:
        >>> metrics, units = evaluate("regression", predictions=[1.0, 2.0], targets=[1.0, 4.0])
        >>> metrics["mae"], units
        (1.0, [0.0, 2.0])
    """
    return _EVALUATE[_known(kind)](**arrays)


def primary_score(kind: Kind, **arrays: ArrayLike) -> float:
    """The primary metric alone, for watching a training; takes what ``evaluate`` takes.

    Example:
        >>> primary_score("zero-shot", embeddings=[[1, 0], [1, 0.1], [0, 1], [0.1, 1]], labels=[7, 7, 8, 8])
        1.0
    """
    if _known(kind) == "zero-shot":
        items = _items(**arrays)
        hits = _nearest_hits(items, 1)[items.has_mate, 0]
        return float(hits.mean())
    return float(np.mean(_EVALUATE[kind](**arrays)[1]))


# --- zero-shot: the items and their cosines ---

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
    _check_length("labels", labels, len(vectors))
    _check_finite("embeddings", vectors)
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


# --- zero-shot: neighbours ---


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


# --- zero-shot: pairs ---


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


def _evaluate_zero_shot(embeddings: ArrayLike, labels: ArrayLike) -> Scores:
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
    return _plain(metrics), (units / items.sizes[items.sizes > 1]).tolist()


# --- classification, yes or no, regression ---


def _evaluate_classification(probabilities: ArrayLike, labels: ArrayLike) -> Scores:
    p, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
    if p.ndim != 2:
        raise ValueError(f"probabilities: wanted shape (samples, classes); got {p.shape}")
    _check_length("labels", labels, len(p))
    _check_finite("probabilities", p)
    total = p.sum(axis=1, keepdims=True)
    if p.min() < 0 or np.abs(total - 1).max() > 1e-3:
        raise ValueError(
            f"probabilities: wanted rows of shares with sum 1; got sums from {total.min()} to {total.max()}"
        )
    if labels.min() < 0 or labels.max() >= p.shape[1]:
        raise IndexError(f"labels: wanted class indices in [0, {p.shape[1]}); got {labels.min()} to {labels.max()}")
    p = p / total  # half and single precision miss 1 by more than scikit-learn lets pass
    right = p.argmax(axis=1) == labels
    metrics = {
        "accuracy": right.mean(),
        "log_loss": sk.log_loss(labels, p, labels=np.arange(p.shape[1])),
        "ece": _ece(p.max(axis=1), right),
    }
    return _plain(metrics), right.astype(float).tolist()


def _ece(confidence: Floats, right: Bools, bins: int = 15) -> float:
    """Expected calibration error (Guo et al., arXiv:1706.04599, eq. 5).

    The probability of the predicted class against accuracy in 15 equal bins, open below and closed above.
    """
    index = np.ceil(confidence * bins).astype(np.intp)
    gap = np.bincount(index, confidence - right, bins + 1)
    return float(np.abs(gap).sum() / len(right))


def _evaluate_binary(probabilities: ArrayLike, labels: ArrayLike) -> Scores:
    p, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
    if p.ndim != 1:
        raise ValueError(f"probabilities: wanted shape (samples,); got {p.shape}")
    _check_length("labels", labels, len(p))
    _check_finite("probabilities", p)
    if p.min() < 0 or p.max() > 1:
        raise ValueError(f"probabilities: wanted numbers in [0, 1]; got {p.min()} to {p.max()}")
    if not np.array_equal(np.unique(labels), [0, 1]):
        raise ValueError(f"labels: wanted both 0 and 1; got {np.unique(labels).tolist()}")
    found = _precisions(p, labels == 1)
    metrics = {
        "average_precision": found.mean(),
        "roc_auc": sk.roc_auc_score(labels, p),
        "brier": sk.brier_score_loss(labels, p),
        "log_loss": sk.log_loss(labels, p),
    }
    return _plain(metrics), found.tolist()


def _precisions(scores: Floats, positive: Bools) -> Floats:
    """The precision of the threshold at each positive's own score, tied samples accepted together.

    Its mean is the average precision: each positive adds 1 / positives to the recall.
    """
    found, group = np.unique(scores, return_inverse=True)
    accepted, right = (
        np.bincount(group, weights, len(found))[::-1].cumsum()[::-1] for weights in (None, positive.astype(float))
    )
    return (right / accepted)[group[positive]]


def _evaluate_regression(predictions: ArrayLike, targets: ArrayLike) -> Scores:
    predicted, wanted = np.asarray(predictions, np.float64), np.asarray(targets, np.float64)
    if predicted.ndim != 1:
        raise ValueError(f"predictions: wanted shape (samples,); got {predicted.shape}")
    _check_length("targets", wanted, len(predicted))
    _check_finite("predictions", predicted)
    _check_finite("targets", wanted)
    metrics = {
        "mae": sk.mean_absolute_error(wanted, predicted),
        "rmse": sk.root_mean_squared_error(wanted, predicted),
        "median_ae": sk.median_absolute_error(wanted, predicted),
    }
    return _plain(metrics), np.abs(predicted - wanted).tolist()


_EVALUATE: dict[Kind, Callable[..., Scores]] = {
    "zero-shot": _evaluate_zero_shot,
    "classification": _evaluate_classification,
    "binary": _evaluate_binary,
    "regression": _evaluate_regression,
}


def _known(kind: Kind) -> Kind:
    if kind not in _EVALUATE:
        raise ValueError(f"kind: wanted one of {', '.join(map(repr, _EVALUATE))}; got {kind!r}")
    return kind


def _check_length(name: str, values: NDArray[Any], count: int) -> None:
    if values.shape != (count,) or count == 0:
        raise ValueError(f"{name}: wanted one a sample, shape ({max(count, 1)},); got {values.shape}")


def _check_finite(name: str, values: Floats) -> None:
    good = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    bad = np.count_nonzero(~good)
    if bad:
        raise ValueError(f"{name}: wanted finite numbers; got NaN or infinity in {bad} of {len(values)} rows")


def _plain(metrics: dict[str, Any]) -> dict[str, float]:
    """Python floats, so that records can be written as JSON."""
    return {name: float(value) for name, value in metrics.items()}
