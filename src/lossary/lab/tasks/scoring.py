"""What a trained network scores on the test split, overall and per test unit, by the task's or the user's metrics."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from lossary.lab.data.contents import is_code
from lossary.lab.tasks import TaskName, measures_of
from lossary.lab.tasks.measures import Floats, Metric, OwnMetric, Scores, check_finite, check_length, units_by


def primary(task: TaskName) -> Metric:
    """The default metric by which a run is judged.

    >>> primary("regression").label
    'MAE'
    """
    return measures_of(task).metrics[0]


def metric_of(task: TaskName, name: str, units: str = "") -> Metric:
    """A metric of the task by its name, or otherwise one of the user's: from a file (FILE.py:NAME) or their code.

    Args:
        units: What it is the mean of, as shown to people, if that differs from the task's metrics.

    >>> metric_of("regression", "rmse").label, metric_of("regression", "shop.py:net_profit").label
    ('RMSE', 'net profit')
    """
    own = name.rpartition(":")[2]
    usual = Metric(own, own.replace("_", " "), True, False, least=-np.inf)
    found = next((metric for metric in measures_of(task).metrics if metric.name == name), usual)
    return replace(found, units=units)


def own_files(metrics: Iterable[str]) -> tuple[str, ...]:
    """The files that define metrics.

    >>> own_files(["accuracy", "shop.py:net_profit"])
    ('shop.py',)
    """
    named = (metric.rpartition(":")[0] for metric in metrics)
    return tuple(dict.fromkeys(file for file in named if is_code(file)))


def own_scores(metric: OwnMetric, predicted: ArrayLike, truth: ArrayLike) -> Floats:
    """A user's metric of each item.

    Raises:
        ValueError: if it does not return a finite score for each.
    """
    predicted, truth = np.asarray(predicted), np.asarray(truth)
    scores = np.asarray(metric(predicted, truth), np.float64)
    check_length("metric", scores, len(truth))
    check_finite("metric", scores)
    return scores


def evaluate(task: TaskName, metric: str = "", /, *, groups: ArrayLike | None = None, **arrays: ArrayLike) -> Scores:
    """All metrics of a task, and the one that it is judged by, per test unit.

    Args:
        task: ``"zero-shot"`` takes ``embeddings`` (N, D) and ``labels`` (N,); ``"classification"`` takes
            ``probabilities`` (N, C) and ``labels`` (N,); ``"binary"`` takes ``probabilities`` (N,) of the label 1
            and ``labels`` (N,); ``"multi-label"`` takes ``probabilities`` and ``labels`` (N, C) of 0 and 1;
            ``"regression"`` takes ``predictions`` (N,) and ``targets`` (N,);
            ``"ranking"`` takes ``scores`` and ``targets`` (N, L), NaN where a list has no candidate;
            ``"segmentation"`` takes ``predictions`` and ``labels`` (N, height, width), both classes; ``"retrieval"``
            takes ``embeddings`` (N, 2, D) of queries and documents and ``targets`` (N, 2), the numbers of their texts.
        metric: The name of the one to judge by; by default the task's primary metric.
        groups: (N,) which test units were drawn together, as numbers or names: of one patient, of one week.

    Returns:
        The metrics by name; the judged one per unit, in an order that depends only on the labels; and the maximum
        number of independent draws behind the units: fewer than units if the metric rests on some of them, as average
        precision does on the positives.
        A unit is a class in zero-shot tasks, a group of texts in retrieval, a list in rankings, an image in
        segmentation, and otherwise a sample; or one of ``groups``. The mean of the units is the metric; their spread
        shows how far other units would move it (docs/decisions/0011).

    Raises:
        ValueError: No such kind, no such metric of it, or arrays that do not fit.

    Example:
        >>> metrics, units, independent = evaluate("regression", predictions=[1.0, 2.0], targets=[1.0, 4.0])
        >>> metrics["mae"], units, independent
        (1.0, [0.0, 2.0], 2)
    """
    measures = measures_of(task)
    metric = metric or measures.metrics[0].name
    if metric not in measures.pseudo_values:
        raise ValueError(f"metric: wanted one of {', '.join(measures.pseudo_values)}; got {metric!r}")
    given = measures.read(**arrays)
    values = {name: float(value) for name, value in measures.values(given).items()}  # numbers that JSON can hold
    units = measures.pseudo_values[metric](given)
    units = units if groups is None else units_by(units, groups)
    return Scores(values, units.values.tolist(), units.independent)


def score(task: TaskName, metric: str = "", /, **arrays: ArrayLike) -> float:
    """Only one metric, for watching a training; takes the same arguments as ``evaluate``.

    Example:
        >>> score("zero-shot", embeddings=[[1, 0], [1, 0.1], [0, 1], [0.1, 1]], labels=[7, 7, 8, 8])
        1.0
    """
    measures = measures_of(task)
    metric = metric or measures.metrics[0].name
    if measures.score and metric == measures.metrics[0].name:
        return measures.score(**arrays)
    return float(measures.pseudo_values[metric](measures.read(**arrays)).values.mean())
