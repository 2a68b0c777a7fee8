"""What a kind of task is measured by, and the checks that all metrics share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Kind = Literal["zero-shot", "classification", "binary", "regression", "ranking", "segmentation", "retrieval"]
Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]


class Scores(NamedTuple):
    """What a run scored on the test split."""

    metrics: dict[str, float]
    units: list[float]  # the primary metric a test unit; their mean is the metric
    independent: int  # how many independent draws stand behind the units at most


@dataclass(frozen=True)
class Metric:
    """A metric as people read it; ``name`` is its key in ``Record.metrics``."""

    name: str
    label: str
    higher_is_better: bool
    percent: bool  # shown times 100; stored as a share
    least: float = 0.0  # what it can be

    def possible(self, value: float) -> float:
        """The nearest value that it can have: few seeds give intervals that reach beyond."""
        return min(max(value, self.least), 1.0 if self.percent else np.inf)


@dataclass(frozen=True)
class Measures:
    """How the runs of a kind of task are scored."""

    task: str  # as people read it
    units: str  # what the primary metric is the mean of, as people read it
    metrics: tuple[Metric, ...]  # the first is the primary one, for tuning and for the judge
    evaluate: Callable[..., Scores]  # all metrics, and the primary one a unit
    score: Callable[..., float] | None = None  # the primary metric alone, where that is quicker


def check_length(name: str, values: NDArray[Any], count: int) -> None:
    if values.shape != (count,) or count == 0:
        raise ValueError(f"{name}: wanted one a sample, shape ({max(count, 1)},); got {values.shape}")


def check_finite(name: str, values: Floats) -> None:
    good = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    bad = np.count_nonzero(~good)
    if bad:
        raise ValueError(f"{name}: wanted finite numbers; got NaN or infinity in {bad} of {len(values)} rows")


def plain(metrics: dict[str, Any]) -> dict[str, float]:
    """Python floats, so that records can be written as JSON."""
    return {name: float(value) for name, value in metrics.items()}
