"""Evidence: what a run has left in its folder, read and judged. The report is built from this alone."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lossary.lab.data import archives
from lossary.lab.report.drawing import Palette
from lossary.lab.run import entries
from lossary.lab.run.folder import load_plan
from lossary.lab.run.plan import Resolved
from lossary.lab.run.record import Failure, Record, Role, Trial, load_all, load_failures
from lossary.lab.run.stored import Refused, something_else
from lossary.lab.stats.judge import further, judge
from lossary.lab.stats.verdict import Standing, Verdict
from lossary.lab.tasks import TASKS, TaskName, measures_of
from lossary.lab.tasks.measures import Metric
from lossary.lab.tasks.scoring import evaluate, metric_of, primary

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Evidence:
    """One run: its plan, its records, its tuning trials, and the verdict on them."""

    folder: Path
    plan: Resolved
    records: list[Record]
    trials: list[Trial]
    failures: list[Failure]
    verdict: Verdict

    @cached_property
    def task(self) -> TaskName:
        return task_in(self.records)

    @property
    def metric(self) -> Metric:
        return self.verdict.metric

    @cached_property
    def further(self) -> list[Verdict]:
        """The verdicts by the other requested metrics."""
        metrics = [metric_of(self.task, name, self.plan.units) for name in self.plan.metric[1:]]
        return further(self.verdict, self.records, metrics)

    @cached_property
    def role(self) -> Role:
        """Which runs are compared: the tuned ones, or those at the defaults if nothing was tuned."""
        return "tuned" if any(record.role == "tuned" for record in self.records) else "default"

    @cached_property
    def ranked(self) -> list[str]:
        """Names of the compared losses, best first."""
        return [standing.loss for standing in self.verdict.standings if standing.role == self.role]

    @property
    def entered(self) -> list[str]:
        """Names of the losses in the plan."""
        return entries.labels(self.plan.losses)

    @cached_property
    def palette(self) -> Palette:
        """In the plan's order, so that a loss keeps its colour whatever its rank."""
        trained = [record.loss for record in self.records if record.role != "baseline"]
        return Palette(tuple(dict.fromkeys([*self.entered, *trained])))

    def runs(self, loss: str, role: Role | None = None) -> list[Record]:
        """The final runs of a loss by seed; by default the compared ones."""
        role = role or self.role
        return sorted((r for r in self.records if r.role == role and r.loss == loss), key=lambda r: r.seed)

    def outputs(self, record: Record) -> Arrays:
        """Embeddings, probabilities or predictions on the test split; empty if they were not kept.

        Raises:
            Refused: if they do not belong to this test split.
        """
        path = self.folder / "arrays" / record.arrays
        if not record.arrays or not (kept := _arrays(path)) or not self.test:
            return {}
        truth = {name: self.test[name] for name in ("labels", "targets") if name in self.test}
        try:
            evaluate(self.task, **{**kept, **truth})
        except (ValueError, TypeError, IndexError) as other:
            raise something_else("arrays", path, other) from other
        return kept

    @cached_property
    def test(self) -> Arrays:
        """What is known of the test split: labels, names, images, targets; empty if it was not kept."""
        return _arrays(self.folder / "arrays" / "test.npz")

    @cached_property
    def item_names(self) -> list[str]:
        """The class name of each test item."""
        return [str(self.test["names"][label]) for label in self.test["labels"]]


def task_in(records: list[Record]) -> TaskName:
    """The task, inferred from the runs' metrics: earlier versions had fewer of them."""
    measured = records[0].metrics if records else {}
    fit: list[TaskName] = [task for task in TASKS if primary(task).name in measured]
    if fit:
        return max(fit, key=lambda task: sum(metric.name in measured for metric in measures_of(task).metrics))
    wanted = ", ".join(metric.name for metric in map(primary, TASKS))
    raise ValueError(f"records: wanted at least one run that has one of the metrics {wanted}; got {len(records)} runs")


def load(folder: Path) -> Evidence:
    """Read a run folder and judge what it holds."""
    from lossary.lab.run.storage import Storage
    from lossary.lab.run.study import trials  # imports torch, which nothing else here needs

    return read(folder, trials(Storage(folder)))


def read(folder: Path, trials: list[Trial]) -> Evidence:
    """The same with the tuning trials loaded."""
    records = load_all(folder)
    plan = load_plan(folder)
    metric = _metric(records, plan)
    verdict = judge(records, metric, margin=plan.margin_of(metric))
    return Evidence(folder, plan, records, trials, load_failures(folder, records), verdict)


def _metric(records: list[Record], plan: Resolved) -> Metric:
    """The deciding metric.

    Raises:
        Refused: if the runs were not judged by the metric that the plan names.
    """
    task = task_in(records)
    first, *others = [metric_of(task, name, plan.units) for name in plan.metric or (primary(task).name,)]
    for record in records:
        judged = {*record.also, *([first.name] if first.name in record.metrics else [])}
        if missing := [metric.name for metric in (first, *others) if metric.name not in judged]:
            raise Refused(f"out: wanted records that were judged by {missing[0]}, as the plan says; got {record.name}")
    return first


def _arrays(path: Path) -> Arrays:
    if not path.is_file():
        return {}
    try:
        return archives.load_all(path.read_bytes())
    except (ValueError, OSError) as error:
        raise something_else("arrays", path, error) from error


def interval(standing: Standing, metric: Metric) -> dict[str, float]:
    """The interval of the mean, limited to the metric's range."""
    return {"low": metric.possible(standing.low), "high": metric.possible(standing.high)}
