"""What runs are measured by: metrics of the task, or a function of a person's own file or code."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np

from lossary.lab.data.contents import BadData, code_of
from lossary.lab.data.readers.code import running
from lossary.lab.data.types import Data
from lossary.lab.run.record import Judged
from lossary.lab.tasks import measures_of, task_of
from lossary.lab.tasks.measures import Metric, OwnMetric, Units, units_by
from lossary.lab.tasks.scoring import evaluate, metric_of, own_files, own_scores, primary, score


@dataclass(frozen=True)
class Measure:
    """A metric, with the function that it comes from where that is a person's own."""

    metric: Metric
    own: OwnMetric | None = None


def checked(names: Sequence[str], data: Data) -> tuple[str, ...]:
    """The metrics that are asked for, or the one that the data are judged by where none is.

    Raises:
        LookupError: if there is no such metric.
        BadData: if a file does not give a score for each test item.
    """
    if not names:
        return (data.metric_name or primary(data.task).name,)
    known = [metric.name for metric in measures_of(data.task).metrics]
    if len(set(names)) < len(names):
        raise LookupError(f"metric: wanted different ones; got {', '.join(names)}")
    for name in names:
        if own_files([name]):
            _try(name, data)
            continue
        among = [*known, data.metric_name] if data.metric else known
        if name not in among:
            raise LookupError(f"metric: wanted FILE.py:NAME or one of {', '.join(among)}; got {name!r}")
    return tuple(names)


def _try(written: str, data: Data) -> None:
    """Call it once before hours of training, with predictions of a baseline that has learned nothing."""
    measure = _measure(written, data)
    if measure.metric.name in [metric.name for metric in measures_of(data.task).metrics]:
        name = measure.metric.name
        raise LookupError(f"metric: wanted a function that is not called as one of {data.task}'s; got {name}")
    task = task_of(data.task)
    name, seed = next((name, seed) for name, seed in task.baselines(data, 1) if name not in task.fitted)
    found = task.arrays(task.baseline(name, data, seed), data.test, data)
    try:
        _scores(measure, found)
    except Exception as error:  # of their code
        said = " ".join(str(error).split())
        raise BadData(f"{written}: wanted a finite score for each of {len(data.test)} items; got {said}") from error


def measures(names: Sequence[str], data: Data) -> tuple[Measure, ...]:
    """What a plan names, the one that decides first."""
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
        code: What the file holds, by its fingerprint: an edited file is another function.

    Raises:
        BadData: naming the file, and what was wanted there.
    """
    with running(path) as module:
        found = getattr(module, name, None)
    if not callable(found):
        raise BadData(f"{path}: wanted a function {name}; got none")
    return cast("OwnMetric", found)


def watched_score(measure: Measure, data: Data, found: Mapping[str, np.ndarray]) -> float:
    """The metric alone, as training watches it."""
    return float(_scores(measure, found).mean()) if measure.own else score(data.task, measure.metric.name, **found)


def measured(
    names: Sequence[str], data: Data, found: Mapping[str, np.ndarray]
) -> tuple[dict[str, float], dict[str, Judged]]:
    """All metrics of predictions and truth of the test split, and those that a plan names a test unit."""
    values = evaluate(data.task, **found).metrics
    judged = dict(_judged(measures(names, data), data, found))
    return values | {name: float(np.mean(units.units)) for name, units in judged.items() if name not in values}, judged


def _judged(named: Iterable[Measure], data: Data, found: Mapping[str, np.ndarray]) -> Iterator[tuple[str, Judged]]:
    for measure in named:
        if measure.own:
            units = Units.of(_scores(measure, found))
            units = units if data.test_blocks is None else units_by(units, data.test_blocks)
            yield measure.metric.name, Judged(units.values.tolist(), units.independent)
        else:
            scored = evaluate(data.task, measure.metric.name, groups=data.test_blocks, **found)
            yield measure.metric.name, Judged(scored.units, scored.independent)


def _scores(measure: Measure, found: Mapping[str, np.ndarray]) -> np.ndarray:
    assert measure.own
    return own_scores(measure.own, *found.values())
