"""Train every loss on a table, and keep what each run predicted: verdicts can be had from that by any judge.

A table is one file, `results/tables/NAME.npz`, there whole or not at all, so a kill costs the table under way:

    losses (L,)            labels, of `contenders`
    test (L, S, N[, C])    float16: log-probabilities of classes, logits of yes, or standardised values; NaN: diverged
    valid (L, S, M)        the same of the validation rows, where a threshold may want them (binary)
    truth, valid_truth     what was to be predicted, in regression standardised
    constants (B[, C])     what the lab's constant baselines say of every row, as `test`
    looks, curves          (L, S, P) steps and validation scores of each look, 0 and NaN behind the last
    seconds_per_step       (L, S)
    about                  JSON: the table, the sizes of its parts, offset and scale, the environment
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from board import RESULTS
from board.contenders import contenders
from board.tables import Table
from lossary.lab.data.types import Data
from lossary.lab.run.entrants import Entrant, entrants
from lossary.lab.run.plan import Plan
from lossary.lab.run.record import Point
from lossary.lab.run.stored import replacing
from lossary.lab.run.train import Diverged, environment, train
from lossary.lab.tasks import task_of

SEEDS = (1, 2, 3, 4, 5)
STEPS = 600
#: Beyond what float32 probabilities can tell apart; finite in float16.
FARTHEST = 100.0


class Run(NamedTuple):
    """What is kept of one loss and seed."""

    test: np.ndarray
    valid: np.ndarray
    curve: list[Point]
    seconds_per_step: float


Runs = list[list[Run | None]]  # by loss and seed; None: diverged


def path_of(table: Table) -> Path:
    return RESULTS / "tables" / f"{table.name}.npz"


def run(table: Table) -> None:
    """Run a table and store what its runs predicted.

    Raises:
        BadData: if the table cannot be read.
    """
    about, arrays = trained(table, table.data(), SEEDS)
    path = path_of(table)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(file, about=np.array(json.dumps(about)), **arrays)


def trained(table: Table, data: Data, seeds: Sequence[int]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """All losses of the table's task, each at its defaults and the lab's learning rates, by the lab's own training."""
    shares = _shares(data)
    entered = entrants(contenders(table.task, shares), data.task)
    runs = [[_run(entrant, data, seed) for seed in seeds] for entrant in entered.values()]
    task = task_of(data.task)
    baselines = [name for name, _ in task.baselines(data, 1) if name not in task.fitted]
    constants = [compact(data, task.baseline(name, data, 0)[0]) for name in baselines]
    about = {
        **asdict(table),
        "shares": shares,
        "baselines": baselines,
        "rows": [len(part) for part in (data.train, data.valid, data.test)],
        "inputs": data.valid.inputs.shape[1],
        "offset": data.offset,
        "scale": data.scale,
        "steps": STEPS,
        "environment": environment(),
    }
    kept: dict[str, np.ndarray] = {
        "losses": np.array(list(entered)),
        "test": _predicted(runs, "test"),
        "truth": data.test.targets.numpy(),
        "constants": np.stack(constants),
        "looks": _curves(runs, "step", 0).astype(np.int32),
        "curves": _curves(runs, "valid", np.nan).astype(np.float32),
        "seconds_per_step": np.array([[one.seconds_per_step if one else np.nan for one in row] for row in runs]),
    }
    if data.task == "binary":
        kept["valid"] = _predicted(runs, "valid")
        kept["valid_truth"] = data.valid.targets.numpy()
    return about, kept


def _shares(data: Data) -> list[float]:
    return [] if data.task == "regression" else (data.train.targets.bincount() / len(data.train)).tolist()


def _run(entrant: Entrant, data: Data, seed: int) -> Run | None:
    try:
        outcome = train(entrant, {}, data, Plan(data=data.name, steps=STEPS), seed)
        test, valid = (compact(data, outcome.learner.predict(part.inputs)) for part in (data.test, data.valid))
    except Diverged:
        return None
    return Run(test, valid, outcome.curve, outcome.seconds_per_step)


def compact(data: Data, predicted: np.ndarray) -> np.ndarray:
    """Predictions in half the room, with small probabilities as exact as large ones."""
    if data.task == "regression":
        return predicted
    with np.errstate(divide="ignore"):
        logs = np.log(predicted) if data.task == "classification" else np.log(predicted) - np.log1p(-predicted)
    return logs.clip(-FARTHEST, FARTHEST)


def _predicted(runs: Runs, part: Literal["test", "valid"]) -> np.ndarray:
    """(L, S, rows[, C]), NaN where a run has diverged."""
    nothing = np.full(next(getattr(one, part).shape for row in runs for one in row if one), np.nan)
    return np.array([[getattr(one, part) if one else nothing for one in row] for row in runs], np.float16)


def _curves(runs: Runs, what: Literal["step", "valid"], nothing: float) -> np.ndarray:
    curves = [[[getattr(point, what) for point in one.curve] if one else [] for one in row] for row in runs]
    longest = max(len(curve) for row in curves for curve in row)
    return np.array([[curve + [nothing] * (longest - len(curve)) for curve in row] for row in curves])
