"""The search for hyperparameters: one Optuna study a loss, in the run folder's SQLite file.

What is searched is the same for every loss: the network's learning rate, the head's where the loss owns weights, and
the ranges on the loss's card. Trial 0 is the library's defaults. Trials have places (0, 1, ...): a place that holds no
finished trial is run again, so nothing is lost but what was under way when a run was killed.

Each place has its own sampler seed, and the first ten places are drawn independently of the others: up to ten trials a
loss come out the same however many workers there are. From the eleventh on Optuna learns from those that have
finished by then, which does depend on the workers' timing.
"""

import sqlite3
import warnings
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, PartialFixedSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from lossary.cards import Card, Choice, Range
from lossary.lab.kinds import KINDS
from lossary.lab.metrics import Kind, Metric
from lossary.lab.record import Trial
from lossary.lab.train import LEARNING_RATES, Diverged, environment

PLACE, REASON, SECONDS, ENVIRONMENT = "place", "reason", "seconds", "environment"  # a trial's user attributes
LEARNING_RATE_RANGES = {"lr": Range(5e-4, 1e-2, log=True), "head_lr": Range(2e-3, 2e-1, log=True)}
STUDY = "study.db"


def space(card: Card, kind: Kind) -> dict[str, Range | Choice]:
    """What is searched for a loss."""
    rates = LEARNING_RATE_RANGES if KINDS[kind].owns_weights(card) else {"lr": LEARNING_RATE_RANGES["lr"]}
    return {**rates, **card.search}


def defaults(card: Card) -> dict[str, Any]:
    """The library's own values of what the lab would search, less what is off by default: None is no number."""
    own = {name: card.module.fields[name] for name in card.search}
    return {name: value for name, value in own.items() if value is not None}


def default_params(card: Card, kind: Kind) -> dict[str, Any]:
    """The same at the library's defaults."""
    rates = {name: rate for name, rate in LEARNING_RATES.items() if name in space(card, kind)}
    return {**rates, **defaults(card)}


def storage(folder: Path) -> optuna.storages.RDBStorage:
    # Workers wait for one another's writes rather than fail.
    return optuna.storages.RDBStorage(f"sqlite:///{folder / STUDY}", engine_kwargs={"connect_args": {"timeout": 60}})


def create(folder: Path, losses: tuple[str, ...], metric: Metric) -> None:
    """Make the studies that are missing; free the places of trials that a kill has left running.

    Raises:
        sqlite3.DatabaseError: if something else lies where they are stored.
    """
    with closing(sqlite3.connect(folder / STUDY)) as stored:
        stored.execute("PRAGMA schema_version")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    direction = "maximize" if metric.higher_is_better else "minimize"
    shared = storage(folder)
    for loss in losses:
        study = optuna.create_study(storage=shared, study_name=loss, direction=direction, load_if_exists=True)
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            study.tell(trial.number, state=TrialState.FAIL)


def places(folder: Path, loss: str) -> dict[int, FrozenTrial]:
    """The finished trials of a loss by place: with a value, or failed for a reason that a repeat would meet again."""
    study = optuna.load_study(study_name=loss, storage=storage(folder))
    done = [t for t in study.get_trials(deepcopy=False) if t.state is TrialState.COMPLETE or REASON in t.user_attrs]
    return {t.user_attrs[PLACE]: t for t in done}


def best_params(folder: Path, loss: str) -> dict[str, Any] | None:
    """The params of a loss's best trial, the first of equals; None where all have failed."""
    study = optuna.load_study(study_name=loss, storage=storage(folder))
    done = sorted(places(folder, loss).items())
    sign = 1 if study.direction is optuna.study.StudyDirection.MAXIMIZE else -1
    scored = [(sign * t.value, -place, t.params) for place, t in done if t.value is not None]
    return max(scored, key=lambda s: s[:2])[2] if scored else None


def run_trial(
    folder: Path,
    loss: str,
    card: Card,
    kind: Kind,
    place: int,
    score: Callable[[Mapping[str, Any]], tuple[float, float]],
) -> None:
    """Run one trial of a loss and store it. ``score(params)`` gives the validation metric and the seconds taken."""
    study = optuna.load_study(study_name=loss, storage=storage(folder), sampler=_sampler(card, kind, place))
    trial = study.ask()
    trial.set_user_attr(PLACE, place)
    trial.set_user_attr(ENVIRONMENT, environment())
    searched = (
        space(card, kind) if place > 0 else {name: space(card, kind)[name] for name in default_params(card, kind)}
    )
    params = {name: _suggest(trial, name, choice) for name, choice in searched.items()}
    try:
        value, seconds = score(params)
    except Diverged as reason:
        trial.set_user_attr(REASON, str(reason))
        study.tell(trial, state=TrialState.FAIL)
        raise
    trial.set_user_attr(SECONDS, seconds)
    study.tell(trial, value)


def _sampler(card: Card, kind: Kind, place: int) -> BaseSampler:
    # The same seed for every loss: at a place all of them are tried at the same learning rate.
    sampler = TPESampler(n_startup_trials=10, seed=place)
    if place > 0:
        return sampler
    with warnings.catch_warnings(category=ExperimentalWarning, action="ignore"):
        return PartialFixedSampler(default_params(card, kind), sampler)


def _suggest(trial: optuna.Trial, name: str, within: Range | Choice) -> Any:
    if isinstance(within, Choice):
        return trial.suggest_categorical(name, within.values)
    if isinstance(within.low, int) and isinstance(within.high, int):
        return trial.suggest_int(name, within.low, within.high, log=within.log)
    return trial.suggest_float(name, within.low, within.high, log=within.log)


def trials(folder: Path) -> list[Trial]:
    """All finished tuning trials of a run folder, by loss and place."""
    names = sorted(optuna.get_all_study_names(storage(folder)))
    return [
        Trial(
            loss,
            place,
            t.params,
            t.value,
            t.state.name.lower(),
            t.user_attrs.get(SECONDS, 0.0),
            t.user_attrs.get(ENVIRONMENT, {}),
        )
        for loss in names
        for place, t in sorted(places(folder, loss).items())
    ]
