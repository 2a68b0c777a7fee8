"""The stored predictions of a table, read back as the records that the lab's judge takes, by any metric."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from lossary.lab.run.record import Point, Record
from lossary.lab.run.stopping import Curve, not_learned
from lossary.lab.tasks import measures_of
from lossary.lab.tasks.measures import Metric, Units

#: Behind a metric's name: answers by the threshold that is best for it on the validation rows.
TUNED = " tuned"
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Stored:
    """One table's file; see `runs`."""

    about: dict[str, Any]
    arrays: Arrays

    @classmethod
    def load(cls, path: Path) -> Self:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        return cls(json.loads(str(arrays.pop("about"))), arrays)

    @property
    def task(self) -> Any:
        return self.about["task"]

    @cached_property
    def losses(self) -> list[str]:
        return self.arrays["losses"].tolist()

    @property
    def unequal(self) -> bool:
        """Whether the commonest class has at least three times the training rows of the rarest."""
        shares = self.about["shares"]
        return bool(shares) and max(shares) >= 3 * min(shares)

    @cached_property
    def asleep(self) -> set[str]:
        """The losses that have not learned, by the metric that was watched: of them nothing is claimed by any."""
        watched = measures_of(self.task).metrics[0]
        return set(not_learned(self.records(watched.name), watched))

    def records(self, asked: str) -> list[Record]:
        """All runs and constants, scored by a metric of the task, which may be `TUNED`.

        Curves are of the metric that was watched, so they are there with that one alone; see `asleep`.
        """
        metric, _ = metric_of(self.task, asked)
        losses, seeds = self.arrays["test"].shape[:2]
        found = [
            self._record(metric, asked, loss, seed)
            for loss in range(losses)
            for seed in range(seeds)
            if np.isfinite(self.arrays["test"][loss, seed]).all()
        ]
        rows = (len(self.arrays["truth"]),) + (1,) * (self.arrays["constants"].ndim - 1)
        for name, constant in zip(self.about["baselines"], self.arrays["constants"], strict=True):
            units = self._units(asked, np.tile(constant, rows)).values
            found.append(Record(name, "", "baseline", 0, {}, {metric.name: float(units.mean())}, units.tolist()))
        return found

    def _record(self, metric: Metric, asked: str, loss: int, seed: int) -> Record:
        valid = self.arrays["valid"][loss, seed] if asked.endswith(TUNED) else None
        units = self._units(asked, self.arrays["test"][loss, seed], valid)
        watched = measures_of(self.task).metrics[0]
        looks = np.flatnonzero(self.arrays["looks"][loss, seed])
        steps, scores = self.arrays["looks"][loss, seed][looks], self.arrays["curves"][loss, seed][looks]
        points = [Point(int(step), 0, 0.0, float(score)) for step, score in zip(steps, scores, strict=True)]
        return Record(
            self.losses[loss],
            self.losses[loss],
            "default",
            seed + 1,
            {},
            {metric.name: float(units.values.mean())},
            units.values.tolist(),
            points if asked == watched.name else [],
            steps=int(steps[-1]),
            seconds_per_step=float(self.arrays["seconds_per_step"][loss, seed]),
            still_rising=Curve.of(points, higher_is_better=watched.higher_is_better).unfinished,
            independent=units.independent,
        )

    def _units(self, asked: str, test: np.ndarray, valid: np.ndarray | None = None) -> Units:
        _, name = metric_of(self.task, asked)
        measures, truth = measures_of(self.task), self.arrays["truth"]
        test = test.astype(np.float64)
        if self.task == "regression":
            scale, offset = self.about["scale"], self.about["offset"]
            given = {"predictions": test * scale + offset, "targets": truth * scale + offset}
        elif self.task == "binary":
            yes = 1 / (1 + np.exp(-test))
            if valid is not None:
                yes = 1.0 * (test > threshold(name, valid.astype(np.float64), self.arrays["valid_truth"]))
            given = {"probabilities": yes, "labels": truth}
        else:
            shares = np.exp(test)
            given = {"probabilities": shares / shares.sum(axis=1, keepdims=True), "labels": truth}
        return measures.pseudo_values[name](measures.read(**given))


def metric_of(task: Any, asked: str) -> tuple[Metric, str]:
    """A metric of a task by its name, which may be `TUNED`, and the name without that."""
    name = asked.removesuffix(TUNED)
    return next(metric for metric in measures_of(task).metrics if metric.name == name), name


def threshold(metric: str, scores: np.ndarray, truth: np.ndarray) -> float:
    """Above which to say yes, so that F1 or balanced accuracy are best: between two scores, or below all.

    >>> threshold("f1", np.array([0.0, 1.0, 2.0, 3.0]), np.array([0, 0, 1, 1]))
    1.5
    """
    order = np.argsort(-scores, kind="stable")
    found, said = np.cumsum(truth[order]), np.arange(1, len(order) + 1)
    yes, no = truth.sum(), len(truth) - truth.sum()
    value = {"f1": 2 * found / (said + yes), "balanced_accuracy": (found / yes + 1 - (said - found) / no) / 2}[metric]
    below = np.append(scores[order][1:], -np.inf)
    last = scores[order] > below  # of those with the same score
    best = int(np.argmax(np.where(last, value, -np.inf)))
    return float((scores[order][best] + below[best]) / 2)
