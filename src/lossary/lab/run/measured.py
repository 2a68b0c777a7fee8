"""What runs are judged by: the task's metrics, or a function from the user's own file or code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np
from torch import Tensor

from lossary.lab.data.contents import BadData, code_of
from lossary.lab.data.readers.code import running
from lossary.lab.data.types import Data
from lossary.lab.run.record import Judged
from lossary.lab.tasks import measures_of, task_of
from lossary.lab.tasks.measures import Metric, OwnMetric, Units, units_by, weighted_mean
from lossary.lab.tasks.scoring import evaluate, metric_of, own_files, own_scores, primary, score


@dataclass(frozen=True)
class Measure:
    """A metric, with its function if it is the user's own."""

    metric: Metric
    own: OwnMetric | None = None


def checked(names: Sequence[str], data: Data) -> tuple[str, ...]:
    """The requested metrics, or the data's default one if none is requested.

    Raises:
        LookupError: if there is no such metric.
        BadData: if a file does not return a score for each test item.
    """
    if not names:
        names = (data.metric_name or primary(data.task).name,)
    known = [metric.name for metric in measures_of(data.task).metrics]
    if len(set(names)) < len(names):
        raise LookupError(f"metric: wanted different ones; got {', '.join(names)}")
    for name in names:
        if own_files([name]):
            _try(name, data)
            continue
        among = [*known, data.metric_name] if data.metric else known
        alike = measures_of(data.task).alike
        if data.test.weights is not None and name in alike:
            weighed = ", ".join(metric for metric in known if metric not in alike)
            raise LookupError(f"weight: wanted metrics in which rows can count more ({weighed}); got {name}")
        if name not in among:
            raise LookupError(f"metric: wanted FILE.py:NAME or one of {', '.join(among)}; got {name!r}")
    return tuple(names)


def _try(written: str, data: Data) -> None:
    """Call it once before hours of training, on predictions of an untrained baseline."""
    measure = _measure(written, data)
    if measure.metric.name in [metric.name for metric in measures_of(data.task).metrics]:
        name = measure.metric.name
        raise LookupError(f"metric: wanted a function that is not called as one of {data.task}'s; got {name}")
    task = task_of(data.task)
    name, seed = next((name, seed) for name, seed in task.baselines(data, 1) if name not in task.fitted)
    found = task.arrays(task.baseline(name, data, seed), data.test, data)
    try:
        _scores(measure, found)
    except Exception as error:  # in user code
        said = " ".join(str(error).split())
        raise BadData(f"{written}: wanted a finite score for each of {len(data.test)} items; got {said}") from error


def measures(names: Sequence[str], data: Data) -> tuple[Measure, ...]:
    """The metrics that a plan names, the deciding one first."""
    return tuple(_measure(name, data) for name in names or checked(names, data))


def _measure(written: str, data: Data) -> Measure:
    metric = metric_of(data.task, written)
    if of := own_files([written]):
        return Measure(metric, _own(Path(of[0]), code_of(of), metric.name))
    return Measure(metric, data.metric if written == data.metric_name else None)


@lru_cache(16)
def _own(path: Path, code: str, name: str) -> OwnMetric:
    """A function that a file defines.

    Args:
        code: The fingerprint of the file's contents: an edited file is another function.

    Raises:
        BadData: naming the file, and what was wanted there.
    """
    with running(path) as module:
        found = getattr(module, name, None)
    if not callable(found):
        raise BadData(f"{path}: wanted a function {name}; got none")
    return cast("OwnMetric", found)


def watched_score(
    measure: Measure, data: Data, found: Mapping[str, np.ndarray], weights: Tensor | None = None
) -> float:
    """Only the metric, as training watches it."""
    if weights is None and not measure.own:
        return score(data.task, measure.metric.name, **found)
    return float(_units(measure, data, found, weights).values.mean())


def measured(
    names: Sequence[str], data: Data, found: Mapping[str, np.ndarray]
) -> tuple[dict[str, float], dict[str, Judged]]:
    """All metrics of predictions and truth on the test split, and per test unit those that a plan names.

    Row weights apply to every metric that can be weighted.
    """
    values = evaluate(data.task, **found).metrics
    judged: dict[str, Judged] = {}
    for measure in measures([*names, *_weighed(names, data)], data):
        units = _units(measure, data, found, data.test.weights)
        independent = _independent(units, data)
        units = units if data.test_blocks is None else units_by(units, data.test_blocks)
        if measure.own or data.test.weights is not None:
            values[measure.metric.name] = float(units.values.mean())
        judged[measure.metric.name] = Judged(units.values.tolist(), min(units.independent, independent))
    return values, {measure.metric.name: judged[measure.metric.name] for measure in measures(names, data)}


def _weighed(names: Sequence[str], data: Data) -> list[str]:
    """The metrics that weights change, and those that are named."""
    if data.test.weights is None:
        return []
    task = measures_of(data.task)
    return [metric.name for metric in task.metrics if metric.name not in (*names, *task.alike)]


def _independent(units: Units, data: Data) -> int:
    """How many draws stand behind the units, given that heavier ones make up more of the mean."""
    if data.test.weights is None:
        return units.independent
    weights = data.test.weights.double().numpy()[units.draws]
    return int(weights.sum() ** 2 / (weights**2).sum())


def _units(measure: Measure, data: Data, found: Mapping[str, np.ndarray], weights: Tensor | None) -> Units:
    task = measures_of(data.task)
    if measure.own:
        return weighted_mean(_scores(measure, found), None if weights is None else weights.double().numpy())
    given = {} if weights is None else {"weights": weights.numpy()}
    return task.pseudo_values[measure.metric.name](task.read(**found, **given))


def _scores(measure: Measure, found: Mapping[str, np.ndarray]) -> np.ndarray:
    assert measure.own
    return own_scores(measure.own, *found.values())
