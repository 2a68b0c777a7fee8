"""A comparison from plan to report: check, prepare the run folder, do the work, judge, render."""

import sqlite3
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import fields, replace
from math import isfinite
from pathlib import Path
from statistics import fmean
from textwrap import fill
from typing import NamedTuple

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.table import Table
from rich.text import Text

from lossary._text import printable
from lossary.core.card import Card
from lossary.lab import study, work
from lossary.lab.data.builtin import BUILTIN
from lossary.lab.data.loading import load
from lossary.lab.data.readers.code import is_code
from lossary.lab.data.types import BadData, Data
from lossary.lab.kinds import KINDS, fits, fitting
from lossary.lab.metrics import METRICS, Kind, Metric, primary
from lossary.lab.plan import Plan
from lossary.lab.record import Record, load_all
from lossary.lab.report import render
from lossary.lab.stats.judge import judge
from lossary.lab.stats.verdict import Verdict
from lossary.lab.stored import Refused, check_own, something_else
from lossary.lab.work import Done, Job

PLAN = "plan.json"
#: What of a plan may differ from command to command.
OF_THE_MACHINE = ("workers", "out", "megapixels")
#: Seeds and trials a loss: each is a job in a list.
MOST = 10_000


class Failed(Exception):
    """A comparison that gave no result, and why, in one line."""


class Result(NamedTuple):
    """What a comparison came to."""

    report: Path
    verdict: Verdict


def resolved(plan: Plan, data: Data | None = None) -> Plan:
    """The plan with its losses by their full names, every value checked; ``data`` where the plan cannot load them.

    Raises:
        Refused: naming the argument, what was wanted and what came.
    """
    if data is None and plan.data in BUILTIN and Path(plan.data).exists():
        raise Refused(
            f"data: {plan.data} is a data set of the lab and also lies here; ./{plan.data} names what lies here"
        )
    return _checked(plan, data)


def _checked(plan: Plan, data: Data | None = None) -> Plan:
    for name in ("seeds", "trials", "epochs", "workers", "megapixels"):
        if getattr(plan, name) < 1:
            raise Refused(f"{name}: wanted at least 1; got {getattr(plan, name)}")
    for name in ("seeds", "trials"):
        if getattr(plan, name) > MOST:
            raise Refused(f"{name}: wanted at most {MOST}; got {getattr(plan, name)}")
    if not 0 <= plan.outliers < 1:
        raise Refused(f"outliers: wanted a share from 0 to below 1; got {plan.outliers}")
    try:
        data = data or load(plan)
        kind = data.kind
        losses = plan.losses or KINDS[kind].losses[: 4 if plan.quick else None]
        plan = replace(plan, losses=losses, metric=data.metric_name, fingerprint=data.fingerprint)
        cards = work.cards(plan)
    except (LookupError, BadData) as unknown:
        raise Refused(unknown.args[0]) from unknown
    losses = _named(plan, cards)
    for card in cards.values():
        if not fits(card, kind):
            raise Refused(f"losses: {card.name} does not fit {plan.data} ({kind}); {', '.join(fitting(kind))} do")
    if plan.outliers and kind != "regression":
        raise Refused(f"outliers: only regression data have them; {plan.data} is {kind}")
    return replace(plan, losses=losses)


def _named(plan: Plan, cards: Mapping[str, Card]) -> tuple[str, ...]:
    """The losses by their full names, each entered once."""
    named = (card.name if name in plan.losses else f"{name}={card.name}" for name, card in cards.items())
    losses = tuple(dict.fromkeys(named))
    if len(losses) < len(plan.losses):
        raise Refused(f"losses: wanted different names; got {', '.join(plan.losses)}")
    return losses


def prepare(plan: Plan) -> Path:
    """The plan's run folder, new or as an earlier run of the same plan has left it.

    Raises:
        Refused: if the folder holds another plan or cannot be written.
    """
    folder = Path(plan.out)
    try:
        check_own(folder)
        if (folder / PLAN).exists():
            stored = Plan.load(folder / PLAN)
            if _here(stored, plan) != plan:
                raise Refused(
                    f"out: {folder} holds a run of another plan ({_differences(stored, plan)}); name another folder, "
                    f"or --resume to go on with the plan stored there"
                )
        else:
            folder.mkdir(parents=True, exist_ok=True)
            plan.save(folder / PLAN)
    except OSError as error:
        raise Refused(f"out: cannot write to {folder}: {error.strerror}") from error
    return folder


def resumed(plan: Plan) -> Plan:
    """The plan stored in the folder of this one, checked like any other, with this one's number of workers.

    Raises:
        Refused: if there is none, or it cannot be run.
    """
    path = Path(plan.out) / PLAN
    check_own(path.parent)
    if not path.exists():
        raise Refused(f"resume: there is no run in {plan.out}")
    stored = Plan.load(path)
    if is_code(stored.data) and Path(stored.data) != Path(plan.data):
        # A folder may come from anyone; what it names is run only if the person asks for it.
        raise Refused(f"resume: the run in {plan.out} is of the code in {stored.data}; name that file to run it")
    return _checked(_here(stored, plan))


def _here(stored: Plan, asked: Plan) -> Plan:
    """A stored plan with this command's values of what changes nothing that comes out."""
    return replace(stored, **{name: getattr(asked, name) for name in OF_THE_MACHINE})


def _differences(stored: Plan, asked: Plan) -> str:
    if stored.data == asked.data and stored.fingerprint != asked.fingerprint:
        return f"the contents of {asked.data} have changed"
    names = (field.name for field in fields(Plan) if field.name not in OF_THE_MACHINE)
    pairs = ((name, getattr(stored, name), getattr(asked, name)) for name in names)
    return "; ".join(f"{name}: {was} there, {now} asked" for name, was, now in pairs if was != now)


def compare(plan: Plan, console: Console, data: Data | None = None) -> Result:
    """Run a resolved plan in its folder, or what is left of it, and write the report.

    Where ``data`` are given, all is done in this process, for no other could load them.

    Raises:
        Refused: if another process is at work in the folder, it holds something else, or it cannot be written.
        Failed: if no loss could be trained.
    """
    folder = Path(plan.out)
    here = data is not None
    try:
        data = data or load(plan)
    except BadData as changed:
        raise Refused(str(changed)) from changed
    with _writing(folder):
        return _compared(plan, folder, console, data, here=here)


@contextmanager
def _writing(folder: Path) -> Generator[None]:
    """What cannot be written, as on a full disk, in one line; what is done is kept there.

    Raises:
        Refused: saying so.
    """
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        raise Refused(f"out: cannot write {where}: {error.strerror or error}; the same command then goes on") from error


def _compared(plan: Plan, folder: Path, console: Console, data: Data, *, here: bool) -> Result:
    metric = primary(data.kind, plan.metric)
    for said in data.left_out:
        console.print(f"left out: {printable(said)}", markup=False, highlight=False)
    if data.kind == "binary":
        console.print(f"yes: {printable(data.test_names[1])}", markup=False, highlight=False)
    with sole(folder):
        study.create(folder, work.cards(plan), data.kind, metric)
        save_test_split(data, folder)
        phases = work.open_jobs(plan, folder, data)
        done = work.run_here(phases, plan, folder, data) if here else work.run(phases, plan, folder, data)
        failures = _work(phases, done, plan, folder, console)
        records = load_all(folder)
        if not any(record.card for record in records):
            raise Failed(f"no loss could be trained: {'; '.join(dict.fromkeys(failures))}")
        verdict = judge(records, metric)
        show(verdict, records, data.kind, console)
        return Result(render(folder), verdict)


@contextmanager
def sole(folder: Path) -> Generator[None]:
    """Hold the folder against a second command. The lock is the operating system's, so a kill frees it."""
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
    kept = KINDS[data.kind].kept(data)
    if data.test_images is not None:
        kept["images"] = data.test_images
    if data.left_out:
        kept["left_out"] = np.array(data.left_out)
    if data.credit:
        kept["credit"] = np.array(data.credit)
    work.save_arrays(folder, "test.npz", kept)


class TimeLeft(ProgressColumn):
    """Counts down between the moments at which something is finished and the time left is known anew."""

    def render(self, task: Task) -> Text:
        ends = task.fields["ends"]
        if ends is None:
            return Text("time left: measuring", style="dim")
        left = max(0, round(ends - time.monotonic()))
        return Text(f"about {left // 60}:{left % 60:02d} left", style="dim")


def _work(
    phases: tuple[list[Job], ...], results: Iterator[Done], plan: Plan, folder: Path, console: Console
) -> list[str]:
    """Do the jobs, showing how far they are; returns what failed and why."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeLeft())
    remaining = [job for jobs in phases for job in jobs]
    if not remaining:
        return []
    failures: list[str] = []
    measured = {trial.loss: [trial.seconds] for trial in study.trials(folder)}
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("starting", total=len(remaining), ends=_ends(remaining, measured, plan.workers))
        for done in results:
            remaining.remove(done.job)
            if done.job.task != "baseline":
                measured.setdefault(done.job.loss, []).append(done.seconds)
            doing = "tuning" if remaining and remaining[0].task == "tune" else "final runs"
            progress.update(bar, advance=1, description=doing, ends=_ends(remaining, measured, plan.workers))
            if done.failure:
                failures.append(f"{done.job.loss}: {done.failure}")
                progress.print(
                    f"{done.job.loss}, {done.job.task} {done.job.number}: failed, {done.failure}", markup=False
                )
            if not console.is_terminal:  # where no bar can move
                progress.print(f"{len(remaining)} to go after {done.job.loss}, {done.job.task} {done.job.number}")
    return failures


def _ends(remaining: list[Job], measured: Mapping[str, list[float]], workers: int) -> float | None:
    """When all will be done, by the clock of ``time.monotonic``: a loss takes as long as it has taken so far."""
    known = [seconds for times in measured.values() for seconds in times]
    if not known:
        return None
    left = sum(fmean(measured.get(job.loss, known)) for job in remaining if job.task != "baseline")
    return time.monotonic() + left / workers


def show(verdict: Verdict, records: list[Record], kind: Kind, console: Console) -> None:
    """The verdict as a table and sentences."""
    others = [m for m in METRICS[kind] if m != verdict.metric and m.name in records[0].metrics][:3]
    unbounded = console.options.update_width(1000)
    table = standings(verdict, records, others)
    while others and Measurement.get(console, unbounded, table).maximum > console.width:
        others.pop()  # rather than a part of each name: the report has all
        table = standings(verdict, records, others)
    console.print(table)
    for sentence in (verdict.headline, *verdict.baselines, *verdict.warnings):
        console.print(sentence, markup=False, highlight=False)


def standings(verdict: Verdict, records: list[Record], others: Sequence[Metric]) -> Table:
    """Each loss with its interval, and its mean of other metrics."""
    table = Table(box=SIMPLE)
    width = max(len(standing.loss) for standing in verdict.standings if standing.role != "baseline")
    for title in ("loss", verdict.metric.label, "95 % interval", *(m.label for m in others), "ms a step"):
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
