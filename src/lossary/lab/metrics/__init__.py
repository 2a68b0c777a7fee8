"""Metrics: what a trained network scores on the test split, in all and a test unit. One file a kind of task.

They are scikit-learn's where it has them. What a unit is, and what it adds, each file says; `units_by` joins units
that were drawn together.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lossary.lab.metrics import binary, classification, ranking, regression, retrieval, segmentation, zero_shot
from lossary.lab.metrics._measures import (
    Floats,
    Kind,
    Measures,
    Metric,
    Scores,
    Units,
    check_finite,
    check_length,
    units_by,
)
from lossary.lab.metrics.ranking import ndcg, order, place_of_best
from lossary.lab.metrics.retrieval import Search, grouped, search
from lossary.lab.metrics.segmentation import Regions
from lossary.lab.metrics.verification import Roc, SimilarityHistogram, roc, similarity_histogram
from lossary.lab.metrics.zero_shot import Neighbour, neighbours

__all__ = [
    "MEASURES",
    "METRICS",
    "PRIMARY",
    "Kind",
    "Measures",
    "Metric",
    "Neighbour",
    "OwnMetric",
    "Regions",
    "Roc",
    "Scores",
    "Search",
    "SimilarityHistogram",
    "Units",
    "evaluate",
    "grouped",
    "ndcg",
    "neighbours",
    "order",
    "own_scores",
    "place_of_best",
    "primary",
    "primary_score",
    "roc",
    "search",
    "similarity_histogram",
    "units_by",
]

MEASURES: Mapping[Kind, Measures] = {
    "zero-shot": zero_shot.MEASURES,
    "classification": classification.MEASURES,
    "binary": binary.MEASURES,
    "regression": regression.MEASURES,
    "ranking": ranking.MEASURES,
    "segmentation": segmentation.MEASURES,
    "retrieval": retrieval.MEASURES,
}
METRICS: dict[Kind, tuple[Metric, ...]] = {kind: measures.metrics for kind, measures in MEASURES.items()}
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
    check_length("metric", scores, len(truth))
    check_finite("metric", scores)
    return scores


def evaluate(kind: Kind, metric: str = "", /, **arrays: ArrayLike) -> Scores:
    """All metrics of a task, and the one that it is judged by a test unit.

    Args:
        kind: ``"zero-shot"`` takes ``embeddings`` (N, D) and ``labels`` (N,); ``"classification"`` takes
            ``probabilities`` (N, C) and ``labels`` (N,); ``"binary"`` takes ``probabilities`` (N,) of the label 1
            and ``labels`` (N,); ``"regression"`` takes ``predictions`` (N,) and ``targets`` (N,);
            ``"ranking"`` takes ``scores`` and ``targets`` (N, L), NaN where a list has no candidate;
            ``"segmentation"`` takes ``predictions`` and ``labels`` (N, height, width), both classes; ``"retrieval"``
            takes ``embeddings`` (N, 2, D) of queries and documents and ``targets`` (N, 2), the numbers of their texts.
        metric: The name of the judged one; by default the task's primary metric.

    Returns:
        The metrics by name, the judged one of each unit in an order that depends on the labels alone, and how many
        independent draws stand behind the units at most: fewer than units where it rests on some of them, as the
        average precision does on the positives.
        A unit is a class in zero-shot tasks, a group of texts in retrieval, a list in rankings, an image in
        segmentation, a sample elsewhere. The mean of the units is the metric; their spread tells how far other units
        would move it (docs/decisions/0011).

    Raises:
        ValueError: No such kind, no such metric of it, or arrays that do not fit.

    Example:
        >>> metrics, units, independent = evaluate("regression", predictions=[1.0, 2.0], targets=[1.0, 4.0])
        >>> metrics["mae"], units, independent
        (1.0, [0.0, 2.0], 2)
    """
    measures = _known(kind)
    metric = metric or measures.metrics[0].name
    if metric not in measures.pseudo_values:
        raise ValueError(f"metric: wanted one of {', '.join(measures.pseudo_values)}; got {metric!r}")
    given = measures.read(**arrays)
    values = {name: float(value) for name, value in measures.values(given).items()}  # numbers that JSON can hold
    units = measures.pseudo_values[metric](given)
    return Scores(values, units.values.tolist(), units.independent)


def primary_score(kind: Kind, **arrays: ArrayLike) -> float:
    """The primary metric alone, for watching a training; takes what ``evaluate`` takes.

    Example:
        >>> primary_score("zero-shot", embeddings=[[1, 0], [1, 0.1], [0, 1], [0.1, 1]], labels=[7, 7, 8, 8])
        1.0
    """
    measures = _known(kind)
    if measures.score:
        return measures.score(**arrays)
    return float(measures.pseudo_values[measures.metrics[0].name](measures.read(**arrays)).values.mean())


def _known(kind: Kind) -> Measures:
    if kind not in MEASURES:
        raise ValueError(f"kind: wanted one of {', '.join(map(repr, MEASURES))}; got {kind!r}")
    return MEASURES[kind]
