"""The work of a comparison: jobs that worker processes pull, each of which leaves its result in the run folder."""

import multiprocessing
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent import futures
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch

from lossary.lab.data.contents import is_code
from lossary.lab.data.loading import load_again
from lossary.lab.data.sharing import Shared, shared
from lossary.lab.data.types import Data
from lossary.lab.run import entries, study
from lossary.lab.run.claims import Claims
from lossary.lab.run.entrants import entrants
from lossary.lab.run.measured import measured
from lossary.lab.run.plan import Resolved
from lossary.lab.run.record import Failure, Judged, Record, Role
from lossary.lab.run.storage import Storage
from lossary.lab.run.stored import replacing
from lossary.lab.run.study import Search
from lossary.lab.run.train import Diverged, Outcome, environment, train
from lossary.lab.run.watched import watched
from lossary.lab.tasks import task_of

#: Seconds between checks whether other machines have finished.
PAUSE = 1.0
#: Tuning trains with this seed; reported runs use 1, 2, ...: a tuned loss must not profit from a lucky tuning seed.
TUNING_SEED = 0


@dataclass(frozen=True)
class Job:
    """One piece of work. ``number`` is a tuning trial's place, otherwise a seed."""

    stage: Literal["tune", "final", "baseline"]
    loss: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.stage}/{self.number}/{self.loss}"


@dataclass(frozen=True)
class Done:
    job: Job
    seconds: float
    failure: str = ""
    elsewhere: bool = False  # by another machine


def open_jobs(plan: Resolved, storage: Storage, data: Data, seeds: range) -> tuple[list[Job], list[Job]]:
    """What remains to be done for these seeds: first tuning and baselines, then the final runs."""
    labels, folder = entries.labels(plan.losses), storage.folder
    finished = {label: study.places(storage, label) for label in labels}
    tune = [Job("tune", label, p) for p in range(plan.trials) for label in labels if p not in finished[label]]
    base = [
        Job("baseline", name, seed)
        for name, seed in task_of(data.task).baselines(data, seeds[-1])
        if not _recorded(folder, "baseline", name, seed)
    ]
    final = [
        Job("final", label, seed) for seed in seeds for label in labels if not _recorded(folder, "tuned", label, seed)
    ]
    if not tune and not final:  # finished by a version with fewer baselines
        return [], []
    return tune + base, final


def _is_done(job: Job, storage: Storage) -> bool:
    """Whether a job's result exists, whichever machine produced it."""
    match job.stage:
        case "tune":
            return job.number in study.places(storage, job.loss)
        case "final":
            failed = Failure(job.loss, job.number, "").path(storage.folder).exists()
            return failed or _recorded(storage.folder, "tuned", job.loss, job.number)
        case "baseline":
            return _recorded(storage.folder, "baseline", job.loss, job.number)


def _recorded(folder: Path, role: Role, loss: str, seed: int) -> bool:
    return Record(loss, "", role, seed, {}, {}, []).path(folder).exists()


class Timekeeper(Protocol):
    """Decides whether a job may begin, and is told how long each took."""

    def may_begin(self, job: Job, /) -> bool: ...

    def note(self, done: Done, /) -> None: ...


def run(
    phases: Iterable[list[Job]], plan: Resolved, storage: Storage, data: Data, clock: Timekeeper, claims: Claims
) -> Iterator[Done]:
    """Do all jobs of one phase and then of the next, yielding each as it finishes.

    A phase's jobs are requested when the previous one is done. Whether a job may begin is asked when a worker is free.

    Raises:
        BrokenProcessPool: if a worker was killed.
    """
    # Objects created by user code may not be transferable between processes: each process runs the code itself.
    file = storage.folder / (f"data.{platform.node()}-{os.getpid()}.part" if storage.url else "data.part")
    with nullcontext() if is_code(plan.data) else shared(data, file) as given:
        yield from _run(phases, plan, storage, given, clock, claims)


def _run(
    phases: Iterable[list[Job]],
    plan: Resolved,
    storage: Storage,
    given: Shared | None,
    clock: Timekeeper,
    claims: Claims,
) -> Iterator[Done]:
    context = multiprocessing.get_context("spawn")
    pool = futures.ProcessPoolExecutor(plan.workers, mp_context=context, initializer=start_worker, initargs=(given,))

    def begin(job: Job) -> Future[Done]:
        return pool.submit(do, job, plan, storage)

    try:
        for jobs in phases:
            waiting = _begun(jobs, storage, clock, claims, begin)
            running = set(islice(waiting, plan.workers))
            while running:
                finished, running = futures.wait(running, return_when=futures.FIRST_COMPLETED)
                done = [future.result() for future in finished]
                for one in done:
                    if not one.elsewhere:
                        clock.note(one)
                        claims.finish(one.job.name)
                running |= set(islice(waiting, len(done)))
                yield from done
    except BaseException:
        # Ctrl-C or a lost worker: unfinished jobs will be repeated, so do not wait for them.
        for process in multiprocessing.active_children():
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begun(
    jobs: list[Job], storage: Storage, clock: Timekeeper, claims: Claims, begin: Callable[[Job], Future[Done]]
) -> Iterator[Future[Done]]:
    """Each job as it begins here or is found done elsewhere; waits for jobs that other machines hold.

    If such a machine dies, its job is done here after all.
    """
    left = list(jobs)
    while left:
        for job in left:
            if claims.take(job.name):
                left.remove(job)
                if clock.may_begin(job):
                    yield begin(job)
                else:
                    claims.give_back(job.name)
                break
            if _is_done(job, storage):
                left.remove(job)
                found: Future[Done] = Future()
                found.set_result(Done(job, 0.0, elsewhere=True))
                yield found
                break
        else:
            time.sleep(PAUSE)


#: In a worker: the data as loaded by the process that started it.
_given: Shared | None = None


def start_worker(given: Shared | None) -> None:
    """Worker setup: one thread, Ctrl-C left to the parent, and exit when the parent ends."""
    global _given  # noqa: PLW0603  # the pool has no other place for what all jobs share
    _given = given
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


@lru_cache(1)
def _data(plan: Resolved) -> Data:
    return _given.open() if _given else load_again(plan)


def run_here(
    phases: Iterable[list[Job]], plan: Resolved, storage: Storage, data: Data, clock: Timekeeper, claims: Claims
) -> Iterator[Done]:
    """The same, sequentially in this process: for data and networks that no other process can load, and for a crew."""

    def begin(job: Job) -> Future[Done]:
        found: Future[Done] = Future()
        found.set_result(do(job, plan, storage, data))
        return found

    for jobs in phases:
        for future in _begun(jobs, storage, clock, claims, begin):
            done = future.result()
            if not done.elsewhere:
                clock.note(done)
                claims.finish(done.job.name)
            yield done


def do(job: Job, plan: Resolved, storage: Storage, data: Data | None = None) -> Done:
    """Do one job in this process."""
    started = time.perf_counter()
    data = data or _data(plan)
    try:
        _STAGES[job.stage](job, plan, storage, data)
    except Diverged as reason:
        if job.stage == "final":  # those of tuning trials are in the study
            Failure(job.loss, job.number, str(reason)).save(storage.folder)
        return Done(job, time.perf_counter() - started, str(reason))
    return Done(job, time.perf_counter() - started)


def _tune(job: Job, plan: Resolved, storage: Storage, data: Data) -> None:
    entrant = entrants(plan.losses, data.task)[job.loss]

    def score(params: Mapping[str, Any]) -> tuple[float, float]:
        outcome = train(entrant, params, data, plan, TUNING_SEED)
        if job.number == 0:
            # Trial 0 is the run at the library's defaults: once trained, it is reported without training again.
            _record(job, "default", TUNING_SEED, params, outcome, plan, storage.folder, data)
        return outcome.best, outcome.seconds

    study.run_trial(storage, job.loss, Search(entrant, data.task, plan.optimizer), job.number, score)


def _final(job: Job, plan: Resolved, storage: Storage, data: Data) -> None:
    params = study.best_params(storage, job.loss)
    if params is None:
        raise Diverged("none of its tuning trials gave a result")
    outcome = train(entrants(plan.losses, data.task)[job.loss], params, data, plan, job.number)
    _record(job, "tuned", job.number, params, outcome, plan, storage.folder, data)


def _baseline(job: Job, plan: Resolved, storage: Storage, data: Data) -> None:
    task = task_of(data.task)
    predicted = task.baseline(job.loss, data, job.number)
    values, judged, also = _measured(plan, data, task.arrays(predicted, data.test, data))
    Record(
        job.loss,
        "",
        "baseline",
        job.number,
        {},
        values,
        judged.units,
        environment=environment(),
        fitted=job.loss in task.fitted,
        independent=judged.independent,
        also=also,
    ).save(storage.folder)


def _measured(
    plan: Resolved, data: Data, found: Mapping[str, np.ndarray]
) -> tuple[dict[str, float], Judged, dict[str, Judged]]:
    """All metrics of predictions and truth: the deciding one per test unit, and likewise the others that are judged."""
    values, judged = measured(plan.metric, data, found)
    first, *others = judged
    return values, judged[first], {name: judged[name] for name in others}


_STAGES = {"tune": _tune, "final": _final, "baseline": _baseline}


def _record(
    job: Job,
    role: Role,
    seed: int,
    params: Mapping[str, Any],
    outcome: Outcome,
    plan: Resolved,
    folder: Path,
    data: Data,
) -> None:
    """Score the learner on the test split and store everything."""
    entrant = entrants(plan.losses, data.task)[job.loss]
    predicted = task_of(data.task).arrays(outcome.learner.predict(data.test.inputs), data.test, data)
    values, judged, also = _measured(plan, data, predicted)
    record = Record(
        job.loss,
        entrant.name,
        role,
        seed,
        dict(params),
        values,
        judged.units,
        outcome.curve,
        outcome.steps,
        outcome.seconds,
        outcome.seconds_per_step,
        outcome.still_rising,
        environment=environment(),
        facts=watched(outcome.learner, entrant, data, plan, seed),
        independent=judged.independent,
        also=also,
    )
    name = record.path(folder).with_suffix(".npz").name
    own = {key: value for key, value in predicted.items() if key not in ("labels", "targets")}
    save_arrays(folder, name, {key: value.astype(np.float32) for key, value in own.items()})
    replace(record, arrays=name).save(folder)


def save_arrays(folder: Path, name: str, values: Mapping[str, np.ndarray]) -> None:
    """Write ``arrays/NAME`` completely or not at all."""
    path = folder / "arrays" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **values)  # pyright: ignore[reportArgumentType]  # keys are ours, never allow_pickle
