"""What a task is measured by, what a test unit adds to a metric, and the checks that all metrics share.

**Pseudo-values.** A metric of N units is the mean of N numbers, a unit each, whose spread tells how far other units
would move it. A mean's are what it averages. Those of any other metric come from its influence: what it gains, times
N, where a unit's weight is raised (`ratio` for one sum over another), or what it loses where a unit is left out
(`jackknifed`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]
#: A metric of the user's: from predictions and targets a score for each item, of which more is better.
OwnMetric = Callable[[NDArray[Any], NDArray[Any]], ArrayLike]


class Scores(NamedTuple):
    """What a run scored on the test split."""

    metrics: dict[str, float]
    units: list[float]  # the judged metric a test unit; their mean is the metric
    independent: int  # how many independent draws stand behind the units at most


class Units(NamedTuple):
    """A metric a test unit."""

    values: Floats  # pseudo-values: their mean is the metric
    draws: Bools  # which units are draws of what the metric rests on: the positives where it is a precision

    @classmethod
    def of(cls, values: ArrayLike) -> Self:
        """Of a metric that rests on all of its units alike."""
        values = np.asarray(values, np.float64)
        return cls(values, np.ones(len(values), bool))

    @property
    def independent(self) -> int:
        return int(self.draws.sum())


@dataclass(frozen=True)
class Metric:
    """A metric as people read it; ``name`` is its key in ``Record.metrics``."""

    name: str
    label: str
    higher_is_better: bool
    percent: bool  # shown times 100; stored as a share
    least: float = 0.0  # what it can be
    units: str = field(default="", compare=False)  # what it is the mean of, where that is not what the task's are

    def possible(self, value: float) -> float:
        """The nearest value that it can have: few seeds give intervals that reach beyond."""
        return min(max(value, self.least), 1.0 if self.percent else np.inf)


@dataclass(frozen=True)
class Measures:
    """How the runs of a task are scored."""

    task: str  # as people read it
    units: str  # what a metric is the mean of, as people read it
    metrics: tuple[Metric, ...]  # the first is the primary one, for tuning and for the judge
    read: Callable[..., Any]  # the arrays, checked
    values: Callable[[Any], Mapping[str, Any]]  # all metrics of what was read
    pseudo_values: Mapping[str, Callable[[Any], Units]]  # of each metric by its name
    score: Callable[..., float] | None = None  # the primary metric alone, where that is quicker
    alike: frozenset[str] = frozenset()  # metrics in which all units count alike, though weights say otherwise


def ratio(above: ArrayLike, below: ArrayLike) -> Floats:
    """Pseudo-values of a sum over units, divided by another: R + (a - R b) / mean(b) of a unit's shares a and b.

    Args:
        above, below: (N,) or, of several ratios, (N, C).

    >>> ratio([1, 0, 1], [1, 1, 2])
    array([0.875, 0.125, 0.5  ])
    """
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    mean = below.mean(axis=0)
    share = above.mean(axis=0) / mean
    return share + (above - share * below) / mean


def weighted(units: Units, weights: ArrayLike) -> Units:
    """A mean over rows in which some count more than others, a row: pseudo-values of the weighted mean.

    >>> weighted(Units.of([1.0, 0.0]), [3, 1]).values
    array([1.125, 0.375])
    """
    weights = np.asarray(weights, np.float64)
    return Units(ratio(weights * units.values, weights), units.draws & (weights > 0))


def weighted_mean(values: ArrayLike, weights: Floats | None) -> Units:
    """A mean over rows, in which some may count more than others."""
    return Units.of(values) if weights is None else weighted(Units.of(values), weights)


def weights_of(given: ArrayLike | None, count: int) -> Floats | None:
    """How much each of some rows counts, with a mean of 1: a weight of 2 then is a row that is there twice."""
    if given is None:
        return None
    weights = np.asarray(given, np.float64)
    check_length("weights", weights, count)
    if not (np.isfinite(weights).all() and weights.min() >= 0 and weights.any()):
        raise ValueError(f"weights: wanted numbers of 0 or more, not all 0; got {weights.min()} to {weights.max()}")
    return weights / weights.mean()


def jackknifed(score: float, without: Floats) -> Floats:
    """Pseudo-values from the metric without each of the units, moved so that their mean is the metric itself."""
    return score + (len(without) - 1) * (without.mean() - without)


def units_by(units: Units, groups: ArrayLike) -> Units:
    """A metric a group of test units, such as the samples of a patient or of a month: all that is drawn at once.

    A group's pseudo-value is M + G / N times what its units have above the metric M, of G groups and N units: their
    mean is the metric again, however unequal the groups are.

    Args:
        units: Of N test units.
        groups: (N,) which units belong together, as numbers or as names.

    Returns:
        Of the groups in the order of their numbers or names. Those with a draw among their units are draws.

    Raises:
        ValueError: Not one group a unit.

    Example:
        >>> units_by(Units.of([1.0, 0.0, 0.0, 1.0]), ["a", "a", "b", "a"]).values
        array([0.75, 0.25])
    """
    groups = np.asarray(groups)
    check_length("groups", groups, len(units.values))
    names, group = np.unique(groups, return_inverse=True)
    metric = units.values.mean()
    above = np.bincount(group, units.values - metric)
    return Units(metric + above * len(names) / len(group), np.bincount(group, units.draws) > 0)


def check_length(name: str, values: NDArray[Any], count: int) -> None:
    if values.shape != (count,) or count == 0:
        raise ValueError(f"{name}: wanted one a sample, shape ({max(count, 1)},); got {values.shape}")


def check_finite(name: str, values: Floats) -> None:
    good = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    bad = np.count_nonzero(~good)
    if bad:
        raise ValueError(f"{name}: wanted finite numbers; got NaN or infinity in {bad} of {len(values)} rows")


def means(pseudo_values: Mapping[str, Callable[[Any], Units]]) -> Callable[[Any], dict[str, float]]:
    """All metrics as the means of their pseudo-values, where these are quick to have."""
    return lambda given: {name: float(units(given).values.mean()) for name, units in pseudo_values.items()}
