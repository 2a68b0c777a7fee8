"""Kill a comparison at random moments, go on each time, and compare what it leaves with an undisturbed run.

    python scripts/kill_runs.py [--kills 20] [--seed 0] [--workers 0] [--plan usual]

Lives are forked from this process, which has imported everything and done nothing: each begins at once. One is killed
(SIGKILL) at a random share of a job's time after it has begun or after it has finished one or two jobs. With workers,
which take seconds to start, the jobs are done by processes of their own; a kill takes the life alone, and its workers
find themselves without it, or takes all of them at once.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from lossary.lab import comparison
from lossary.lab.run import study
from lossary.lab.run.folder import prepare
from lossary.lab.run.plan import Plan
from lossary.lab.run.record import load_all
from lossary.lab.run.storage import Storage

USUAL = Plan(
    data="diabetes",
    losses=("mse_loss", "l1_loss", "huber_loss"),
    seeds=(4, 7),  # a look at the verdict, and more
    trials=4,
    epochs=6,
    device="cpu",
)
#: With all that can be asked for beside.
OPTIONS = replace(
    USUAL, metric=("rmse", "mae"), optimizer="sgd", schedule="cosine", batch=24, weight_decay=0.0, precision="bf16"
)
PLANS = {"usual": USUAL, "options": OPTIONS}
JOBS = len(USUAL.losses) * (USUAL.seeds[1] + USUAL.trials) + 2  # and two baselines
#: How long anything took, which is never the same twice.
CLOCK = ("seconds", "seconds_per_step")


def live(asked: Plan, folder: Path, workers: int) -> tuple[int, int]:
    """Begin or go on with the run in a process of its own; returns its id and a pipe with a line a finished job.

    It leads a group of processes, of which its workers are.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.setpgid(child, child)
        os.close(writing)
        return child, reading
    try:
        os.close(reading)
        with os.fdopen(writing, "w", buffering=1) as said:
            plan, data = comparison.resolved(replace(asked, out=str(folder), workers=workers or 1))
            prepare(plan)
            comparison.compare(plan, Console(file=said, width=200), data, here=not workers)
    except BaseException as wrong:  # noqa: BLE001  # a fork may not go on into its parent's code
        sys.stderr.write(f"{type(wrong).__name__}: {wrong}\n")
        os._exit(1)
    os._exit(0)


def undisturbed(asked: Plan, folder: Path, workers: int) -> float:
    """Run to the end; returns the seconds it took."""
    started = time.monotonic()
    _finish(*live(asked, folder, workers))
    return time.monotonic() - started


def killed(asked: Plan, folder: Path, workers: int, kills: int, a_job: float, chance: random.Random) -> int:
    """Run, killed so many times, then to the end; returns how many kills met a living run."""
    met = 0
    for _ in range(kills):
        child, reading = live(asked, folder, workers)
        with os.fdopen(reading) as said:
            for _ in range(chance.choice((0, 1, 1, 2))):
                said.readline()
            time.sleep(chance.random() * a_job)
            kill = chance.choice((os.kill, os.killpg))
            kill(child, signal.SIGKILL)  # a process that has ended is still there until it is waited for
        met += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    _finish(*live(asked, folder, workers))
    return met


def _finish(child: int, reading: int) -> None:
    with os.fdopen(reading) as said:
        said.read()
    if status := os.waitpid(child, 0)[1]:
        raise RuntimeError(f"the run ended with {os.waitstatus_to_exitcode(status)}")


def results(folder: Path) -> dict[str, Any]:
    """All that a run leaves, less how long it took: trials, records, outputs on the test split, the report's name."""
    trials = [{k: v for k, v in asdict(t).items() if k not in CLOCK} for t in study.trials(Storage(folder))]
    records = [{k: v for k, v in asdict(r).items() if k not in CLOCK} for r in load_all(folder)]
    arrays: dict[str, Any] = {}
    for path in sorted((folder / "arrays").glob("*.npz")):
        with np.load(path) as stored:
            arrays[path.name] = {name: stored[name].tolist() for name in stored}
    return {"trials": trials, "records": records, "arrays": arrays, "report": (folder / "report.html").exists()}


def main(kills: int, seed: int, workers: int, plan: str) -> int:
    torch.set_num_threads(1)  # no thread may be there to be lost in a fork
    with tempfile.TemporaryDirectory() as top:
        quiet, disturbed = Path(top, "quiet"), Path(top, "disturbed")
        seconds = undisturbed(PLANS[plan], quiet, workers)
        met = killed(PLANS[plan], disturbed, workers, kills, seconds / JOBS, random.Random(seed))
        wanted, found = results(quiet), results(disturbed)
    print(f"an undisturbed run: {len(wanted['trials'])} trials, {len(wanted['records'])} records, {seconds:.1f} s")
    print(f"killed {met} times of {kills}, and gone on with each time")
    different = [name for name in wanted if wanted[name] != found[name]]
    print(f"different: {', '.join(different) or 'nothing'}")
    return int(met < kills or bool(different))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0, help="0: all is done in the process that is killed")
    parser.add_argument("--plan", choices=PLANS, default="usual")
    sys.exit(main(**vars(parser.parse_args())))
