"""A task's metrics, each test unit's contribution to a metric, and the checks that all metrics share.

**Pseudo-values.** A metric of N units is the mean of N numbers, one per unit, whose spread shows how far other units
would move it. If the metric is a mean, they are the averaged values. Otherwise they come from its influence: the
metric's gain, times N, when a unit's weight is raised (`ratio` for one sum over another), or its loss when a unit is
left out (`jackknifed`).

What was read of one run holds its units on the first axis. Most tasks also take many runs at once, on axes before that:
`(..., N)` below.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]
#: A metric of the user's: takes predictions and targets and returns a score per item, where higher is better.
OwnMetric = Callable[[NDArray[Any], NDArray[Any]], ArrayLike]


class Scores(NamedTuple):
    """What a run scored on the test split."""

    metrics: dict[str, float]
    units: list[float]  # the judged metric per test unit; their mean is the metric
    independent: int  # the maximum number of independent draws behind the units


class Units(NamedTuple):
    """A metric per test unit: (..., N)."""

    values: Floats  # pseudo-values: their mean is the metric
    draws: Bools  # which units are draws that the metric rests on: the positives for a precision

    @classmethod
    def of(cls, values: ArrayLike) -> Self:
        """For a metric that rests on all of its units alike."""
        values = np.asarray(values, np.float64)
        return cls(values, np.ones(values.shape, bool))

    @property
    def independent(self) -> int:
        return int(self.draws.sum())


@dataclass(frozen=True)
class Metric:
    """A metric as shown to people; ``name`` is its key in ``Record.metrics``."""

    name: str
    label: str
    higher_is_better: bool
    percent: bool  # shown times 100; stored as a share
    least: float = 0.0  # its range
    units: str = field(default="", compare=False)  # what it is the mean of, if not what the task's are

    def possible(self, value: float) -> float:
        """The nearest possible value: with few seeds, intervals reach beyond the range."""
        return min(max(value, self.least), 1.0 if self.percent else np.inf)


@dataclass(frozen=True)
class Measures:
    """How the runs of a task are scored."""

    task: str  # as shown to people
    units: str  # what a metric is the mean of, as shown to people
    metrics: tuple[Metric, ...]  # the first is the primary one, for tuning and for the judge
    read: Callable[..., Any]  # the arrays, checked
    values: Callable[[Any], Mapping[str, Any]]  # all metrics of what was read
    pseudo_values: Mapping[str, Callable[[Any], Units]]  # of each metric by its name
    score: Callable[..., float] | None = None  # only the primary metric, if that is quicker
    alike: frozenset[str] = frozenset()  # metrics in which all units count alike, even with weights


def ratio(above: ArrayLike, below: ArrayLike, axis: int = -1) -> Floats:
    """Pseudo-values of a ratio of two sums over units: R + (a - R b) / mean(b) from each unit's parts a and b.

    Args:
        above, below: (..., N) or, for several ratios, (..., N, C).
        axis: That of the units.

    >>> ratio([1, 0, 1], [1, 1, 2])
    array([0.875, 0.125, 0.5  ])
    """
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    mean = below.mean(axis=axis, keepdims=True)
    share = above.mean(axis=axis, keepdims=True) / mean
    return share + (above - share * below) / mean


def counted(which: Ints, counts: ArrayLike, bins: int) -> Floats:
    """The total in each bin, (..., bins), from the bin of each unit, (..., N); separate for each run.

    >>> counted(np.array([[0, 1, 1], [2, 2, 0]]), 1.0, 3)
    array([[1., 2., 0.],
           [1., 0., 2.]])
    """
    runs = which.reshape(-1, which.shape[-1])
    place = runs + bins * np.arange(len(runs))[:, None]
    found = np.bincount(place.ravel(), np.broadcast_to(counts, which.shape).ravel(), bins * len(runs))
    return np.asarray(found, np.float64).reshape(*which.shape[:-1], bins)


def weighted(units: Units, weights: ArrayLike) -> Units:
    """A weighted mean over rows, per row: pseudo-values of the weighted mean.

    >>> weighted(Units.of([1.0, 0.0]), [3, 1]).values
    array([1.125, 0.375])
    """
    weights = np.asarray(weights, np.float64)
    return Units(ratio(weights * units.values, weights), units.draws & (weights > 0))


def weighted_mean(values: ArrayLike, weights: Floats | None) -> Units:
    """A mean over rows, possibly weighted."""
    return Units.of(values) if weights is None else weighted(Units.of(values), weights)


def weights_of(given: ArrayLike | None, count: int) -> Floats | None:
    """Row weights with a mean of 1: a row of weight 2 counts as two rows."""
    if given is None:
        return None
    weights = np.asarray(given, np.float64)
    check_length("weights", weights, count)
    if not (np.isfinite(weights).all() and weights.min() >= 0 and weights.any()):
        raise ValueError(f"weights: wanted numbers of 0 or more, not all 0; got {weights.min()} to {weights.max()}")
    return weights / weights.mean()


def jackknifed(score: float, without: Floats) -> Floats:
    """Pseudo-values from the metric without each of the units, shifted so that their mean is the metric itself."""
    return score + (len(without) - 1) * (without.mean() - without)


def units_by(units: Units, groups: ArrayLike) -> Units:
    """A metric per group of test units that are drawn together, such as the samples of a patient or of a month.

    A group's pseudo-value is M + G / N times the amount by which its units exceed the metric M, for G groups and N
    units: their mean is again the metric, however unequal the groups are.

    Args:
        units: Of N test units.
        groups: (N,) the group of each unit, as numbers or names.

    Returns:
        The groups' units, in the order of their numbers or names. Groups that contain a draw are draws.

    Raises:
        ValueError: Not one group per unit.

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
    """All metrics as the means of their pseudo-values, if these are quick to compute."""
    return lambda given: {name: float(units(given).values.mean()) for name, units in pseudo_values.items()}
