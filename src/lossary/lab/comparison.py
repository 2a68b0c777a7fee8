"""A comparison from plan to report: check, prepare the run folder, do the work, judge, render."""

import sqlite3
import time
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import chain
from math import isfinite
from pathlib import Path
from statistics import fmean
from textwrap import fill
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from rich.box import SIMPLE
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.table import Table
from rich.text import Text

from lossary._text import printable
from lossary.lab.data.builtin import BUILTIN
from lossary.lab.data.contents import BadData, code_of, is_code
from lossary.lab.data.loading import load, load_again
from lossary.lab.data.types import Data
from lossary.lab.report.page import render
from lossary.lab.run import entries, jobs, study
from lossary.lab.run.claims import Claims, claims_of
from lossary.lab.run.clock import Clock, counted, spelled
from lossary.lab.run.crew import CREW
from lossary.lab.run.devices import chosen
from lossary.lab.run.entrants import entrants
from lossary.lab.run.folder import resumable
from lossary.lab.run.jobs import Done, Job
from lossary.lab.run.measured import checked
from lossary.lab.run.options import Optimizer, Precision, Schedule
from lossary.lab.run.plan import Plan, Resolved
from lossary.lab.run.record import Record, load_all
from lossary.lab.run.storage import Storage, brought_home, storage_of
from lossary.lab.run.stored import Refused, something_else
from lossary.lab.run.study import Search
from lossary.lab.run.train import batch_of, steps_per_epoch, timed
from lossary.lab.run.tried import check_trains
from lossary.lab.stats import words
from lossary.lab.stats.judge import further, judge
from lossary.lab.stats.verdict import Verdict
from lossary.lab.tasks import TaskName, measures_of, task_of
from lossary.lab.tasks.measures import Metric
from lossary.lab.tasks.scoring import metric_of, own_files

#: Limits on seeds and trials per loss: each is a job in a list.
MOST = 10_000


class Failed(Exception):
    """A comparison that gave no result, with the reason in one line."""


class Ready(NamedTuple):
    """A fully specified plan, and its data, which are loaded only here."""

    plan: Resolved
    data: Data


class Result(NamedTuple):
    """The result of a comparison."""

    report: Path
    verdict: Verdict


def resolved(plan: Plan, data: Data | None = None) -> Ready:
    """The plan with full loss names and every value checked, and the data that it names.

    Args:
        data: Data that no plan can load.

    Raises:
        Refused: naming the argument, what was wanted and what it got.
    """
    if data is None and plan.data in BUILTIN and Path(plan.data).exists():
        raise Refused(
            f"data: {plan.data} is a data set of the lab and also exists here; ./{plan.data} names the local one"
        )
    return _checked(plan, data)


def _checked(plan: Plan, data: Data | None = None) -> Ready:
    _check_names(plan)
    _check_numbers(plan)
    try:
        data = data or (load_again(plan) if isinstance(plan, Resolved) else load(plan))
        task = data.task
        losses = plan.losses or task_of(task).losses[: 4 if plan.quick else None]
        entered = entrants(losses, task)
        for entrant in entered.values():
            entrant.check_fits(task, plan.data)
            if data.train.weights is not None:
                entrant.check_weighted()
        metric = checked(plan.metric, data)
        device = chosen(plan.device)
        code = code_of((*entries.files(losses), *own_files(metric)))
    except (LookupError, BadData) as unknown:
        raise Refused(unknown.args[0]) from unknown
    if len(entered) < len(losses):
        raise Refused(f"losses: wanted different names; got {', '.join(losses)}")
    if plan.outliers and task != "regression":
        raise Refused(f"outliers: only regression data have them; {plan.data} is {task}")
    _check_batch(plan, data)
    try:
        for entrant in entered.values():
            check_trains(entrant, data, plan)
    except BadData as reason:
        raise Refused(str(reason)) from reason
    found: dict[str, Any] = {
        "losses": tuple(str(entrant.entry) for entrant in entered.values()),
        "steps": plan.bound(steps_per_epoch(data, plan)),
        "metric": metric,
        "device": device,
        "code": code,
        "fingerprint": data.fingerprint,
    }
    return Ready(Resolved(**{**vars(plan), **found}), data)


def _check_batch(plan: Plan, data: Data) -> None:
    """Whether the requested batch has room for two classes, if batches are built from classes."""
    fewest = max(2, 2 * batch_of(data, plan)[1])
    if plan.batch and not fewest <= plan.batch <= len(data.train):
        raise Refused(f"batch: wanted {fewest} to {len(data.train)} items; got {plan.batch}")


def _check_names(plan: Plan) -> None:
    for name, known in (("optimizer", Optimizer), ("schedule", Schedule), ("precision", Precision)):
        if (asked := getattr(plan, name)) not in get_args(known):
            raise Refused(f"{name}: wanted one of {', '.join(get_args(known))}; got {asked!r}")


def _check_numbers(plan: Plan) -> None:
    if len(plan.seeds) != 2:
        raise Refused(f"seeds: wanted the first and the most; got {plan.seeds}")
    first, most = plan.seeds
    counts = {"seeds": first, "trials": plan.trials, "workers": plan.workers, "megapixels": plan.megapixels}
    for name, count in counts.items():
        if count < 1:
            raise Refused(f"{name}: wanted at least 1; got {count}")
    for name, count in {"seeds": most, "trials": plan.trials}.items():
        if count > MOST:
            raise Refused(f"{name}: wanted at most {MOST}; got {count}")
    if most < first:
        raise Refused(f"seeds: wanted FIRST..MOST, no fewer at most than at first; got {first}..{most}")
    for name in ("steps", "epochs", "minutes", "margin", "weight_decay", "resplit"):
        if getattr(plan, name) < 0:
            least = "at least" if name in ("weight_decay", "resplit") else "more than"
            raise Refused(f"{name}: wanted {least} 0; got {getattr(plan, name)}")
    if not 0 <= plan.outliers < 1:
        raise Refused(f"outliers: wanted a share from 0 to below 1; got {plan.outliers}")


def resumed(plan: Plan, named: Collection[str] = ()) -> Ready:
    """The plan stored in this one's folder, checked like any other, with this command's own settings.

    Args:
        named: The verdict's fields that this command sets too.

    Raises:
        Refused: if there is none, or it cannot be run.
    """
    return _checked(resumable(plan, named))


def compare(plan: Resolved, console: Console, data: Data, *, here: bool = False, storage: str = "") -> Result:
    """Run a resolved plan in its folder, or the rest of it, and write the report.

    Args:
        here: Run everything in this process, because no other could load the data.
        storage: The URL of a PostgreSQL database through which machines that share the folder share the work.

    Raises:
        Refused: if another process works in the folder, it holds something else, or it cannot be written.
        Failed: if no loss could be trained.
    """
    folder, crew = Path(plan.out), CREW.get()
    if crew.size > 1:
        plan = replace(plan, workers=1)
        crew.tell("plan", plan)
        crew.joined()
    if is_code(
        plan.data
    ):  # which each worker runs for itself; run it once more here to see whether it returns the same
        try:
            load_again(plan)
        except BadData as changed:
            raise Refused(str(changed)) from changed
    with _writing(folder):
        where = storage_of(folder, storage)
        with nullcontext() if storage else sole(folder), claims_of(where) as claims:
            return _compared(plan, where, console, data, claims, here=here or crew.size > 1)


@contextmanager
def _writing(folder: Path) -> Generator[None]:
    """Turns a failed write, such as on a full disk, into one line; finished work is kept.

    Raises:
        Refused: saying so.
    """
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        raise Refused(
            f"out: cannot write {where}: {error.strerror or error}; the same command then continues"
        ) from error


def _compared(plan: Resolved, storage: Storage, console: Console, data: Data, claims: Claims, *, here: bool) -> Result:
    folder = storage.folder
    metric, *others = (metric_of(data.task, name, plan.units) for name in plan.metric)
    for said in data.left_out:
        console.print(f"left out: {printable(said)}", markup=False, highlight=False)
    if data.task == "binary":
        console.print(f"yes: {printable(data.test_names[1])}", markup=False, highlight=False)
    entered = entrants(plan.losses, data.task)
    searches = {label: Search(entrant, data.task, plan.optimizer) for label, entrant in entered.items()}
    with claims.one_at_a_time():
        study.create(storage, searches, metric)
        save_test_split(data, folder)
    load_all(folder)  # refuses files that are not records before anything runs
    clock = _clock(plan, storage, data, here=here)
    if cost := _cost(plan, storage, data, clock, here=here):
        console.print(cost, highlight=False)
    do = jobs.run_here if here else jobs.run
    run = partial(do, plan=plan, storage=storage, data=data, clock=clock, claims=claims)
    failures = _work(_rounds(plan, storage, data, metric, clock), run, clock, console)
    if clock.not_begun:
        console.print(f"{plan.minutes:g} minutes: {_left_out(clock)}; the same command continues", highlight=False)
    records = load_all(folder)
    if not any(record.card for record in records):
        why = "; ".join(dict.fromkeys(failures)) or f"minutes: {plan.minutes:g} are too few for one run"
        raise Failed(f"no loss could be trained: {why}")
    verdict = judge(records, metric, margin=plan.margin_of(metric))
    show(verdict, further(verdict, records, others), records, data.task, console)
    if verdict.none_learned and data.test_images is not None and (advice := plan.for_images(data.task)):
        console.print(advice, markup=False, highlight=False)
    with claims.one_at_a_time():
        brought_home(storage, searches)
        return Result(render(folder), verdict)


@contextmanager
def sole(folder: Path) -> Generator[None]:
    """Lock the folder against a second command. The lock is the operating system's, so a kill releases it."""
    path = folder / "lock"
    try:
        lock = sqlite3.connect(path, timeout=0, isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            raise Refused(f"out: another lossary compare is at work in {folder}") from error
        raise something_else("the lock", path, error) from error
    with closing(lock):
        yield


def save_test_split(data: Data, folder: Path) -> None:
    """Keep what the report shows of the test split."""
    kept = task_of(data.task).kept(data)
    if data.test_images is not None:
        kept["images"] = data.test_images
    if data.left_out:
        kept["left_out"] = np.array(data.left_out)
    if data.credit:
        kept["credit"] = np.array(data.credit)
    jobs.save_arrays(folder, "test.npz", kept)


def _left_out(clock: Clock) -> str:
    runs = len(clock.not_begun)
    which = "run was not begun because it" if runs == 1 else "runs were not begun because they"
    return f"{runs} {which} would have ended later"


def _clock(plan: Resolved, storage: Storage, data: Data, *, here: bool) -> Clock:
    """How long each loss's runs take: from finished runs, or from a few timed steps."""
    taken: dict[str, list[float]] = {}
    for trial in study.trials(storage):
        if trial.valid is not None:
            taken.setdefault(trial.loss, []).append(trial.seconds)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads if here else 1)  # as in a worker
    entered = entrants(plan.losses, data.task)
    expected = {
        label: plan.steps * timed(entrant, data, plan) for label, entrant in entered.items() if label not in taken
    }
    torch.set_num_threads(threads)
    return Clock(plan.minutes, plan.workers, taken, expected, fitted=task_of(data.task).fitted)


def _cost(plan: Resolved, storage: Storage, data: Data, clock: Clock, *, here: bool) -> str:
    """What remains to be done and how long it takes; empty if everything is done."""
    first, most = plan.seeds
    todo = [job for phase in jobs.open_jobs(plan, storage, data, range(1, first + 1)) for job in phase]
    if not any(job.stage != "baseline" for job in todo):
        return ""
    later = [Job("final", label, seed) for seed in range(first + 1, most + 1) for label in entries.labels(plan.losses)]
    seeds = f"{first} to {most} seeds" if later else counted(first, "seed")
    losses = f"{len(plan.losses)} {'loss' if len(plan.losses) == 1 else 'losses'}"
    what = f"{losses} x ({counted(plan.trials, 'trial')} + {seeds}) x at most {plan.steps} steps"
    first_look, last = (spelled(clock.overall(jobs, here=here)) for jobs in (todo, todo + later))
    time = f"about {last}" if last == first_look else f"a first verdict in about {first_look}, the last in {last}"
    crew = CREW.get()
    hands = counted(plan.workers, "worker") if crew.size == 1 else f"{crew.size} processes a run"
    return f"{what}: {time} with {hands}"


def _rounds(
    plan: Resolved, storage: Storage, data: Data, metric: Metric, clock: Clock
) -> Iterator[tuple[list[Job], ...]]:
    """The work up to the next look at the verdict, in phases; repeated until it is settled or the seeds are used up."""
    done, (seeds, most) = 0, plan.seeds
    while True:
        yield jobs.open_jobs(plan, storage, data, range(done + 1, seeds + 1))
        records = [record for record in load_all(storage.folder) if record.seed <= seeds]
        if seeds == most or clock.not_begun or not any(record.card for record in records):
            return
        verdict = judge(records, metric, margin=plan.margin_of(metric))
        if verdict.settled:
            return
        done, seeds = seeds, min(most, verdict.next_look or most)


class TimeLeft(ProgressColumn):
    """Counts down between the moments at which a job finishes and the remaining time is known again."""

    def render(self, task: Task) -> Text:
        left = max(0, round(task.fields["ends"] - time.monotonic()))
        return Text(f"about {left // 60}:{left % 60:02d} left", style="dim")


def _work(
    rounds: Iterator[tuple[list[Job], ...]],
    run: Callable[[Iterator[list[Job]]], Iterator[Done]],
    clock: Clock,
    console: Console,
) -> list[str]:
    """Do the jobs, showing progress; returns what failed and why."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeLeft())
    left: list[Job] = []
    failures: list[str] = []

    def phases() -> Iterator[list[Job]]:
        for lists in rounds:
            left.extend(chain.from_iterable(lists))
            yield from lists

    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("starting", total=None, ends=time.monotonic())
        for count, done in enumerate(run(phases()), start=1):
            left.remove(done.job)
            ahead = [job for job in left if job not in clock.not_begun]
            doing = "tuning" if ahead and ahead[0].stage == "tune" else "final runs"
            ends = time.monotonic() + clock.together(ahead)
            progress.update(bar, completed=count, total=count + len(ahead), description=doing, ends=ends)
            job = f"{done.job.loss}, {done.job.stage} {done.job.number}"
            if done.failure:
                failures.append(f"{done.job.loss}: {done.failure}")
                progress.print(f"{job}: failed, {done.failure}", markup=False)
            if not console.is_terminal:  # for terminals that cannot redraw a bar
                progress.print(f"{len(ahead)} to go after {job}{' (elsewhere)' if done.elsewhere else ''}")
    return failures


def show(verdict: Verdict, also: Sequence[Verdict], records: list[Record], task: TaskName, console: Console) -> None:
    """The verdict as a table and sentences, including what other metrics say."""
    named = dict.fromkeys([v.metric for v in also] + list(measures_of(task).metrics))
    others = [m for m in named if m != verdict.metric and m.name in records[0].metrics][:3]
    unbounded = console.options.update_width(1000)
    table = standings(verdict, records, others)
    while others and Measurement.get(console, unbounded, table).maximum > console.width:
        others.pop()  # instead of cutting each name; the report has all of it
        table = standings(verdict, records, others)
    console.print(table)
    by_others = (*map(words.by_metric, also), *words.disagreements(verdict, also))
    for sentence in (verdict.headline, verdict.recommendation, *by_others, *verdict.baselines, *verdict.warnings):
        if sentence:
            console.print(sentence, markup=False, highlight=False)


def standings(verdict: Verdict, records: list[Record], others: Sequence[Metric]) -> Table:
    """Each loss with its interval, and its mean on other metrics."""
    table = Table(box=SIMPLE)
    width = max(len(standing.loss) for standing in verdict.standings if standing.role != "baseline")
    for title in ("loss", verdict.metric.label, "95 % interval", *(m.label for m in others), "ms per step"):
        table.add_column(fill(title, 10, break_long_words=False), no_wrap=True)
    for standing in verdict.standings:
        runs = [r for r in records if r.loss == standing.loss and r.role == standing.role]
        role = "" if standing.role == "tuned" else f" ({standing.role})"
        name = fill(standing.loss + role, width, break_long_words=False, break_on_hyphens=False)
        mean, low, high = (
            number(verdict.metric, verdict.metric.possible(value))
            for value in (standing.mean, standing.low, standing.high)
        )
        interval = f"{low} to {high}" if isfinite(standing.low) else "one run"
        means = (number(m, fmean(r.metrics[m.name] for r in runs)) for m in others)
        step = f"{1e3 * fmean(r.seconds_per_step for r in runs):.1f}" if runs[0].card else ""
        table.add_row(Text(name), mean, interval, *means, step)
    return table


def number(metric: Metric, value: float) -> str:
    return f"{100 * value:.1f}%" if metric.percent else f"{value:.3g}"
