"""The search for hyperparameters: one Optuna study a loss, in the run folder's SQLite file.

What is searched is the same for every loss: the network's learning rate, the head's where the loss owns weights, and
the ranges on the loss's card. Trial 0 is the library's defaults. The next two are at learning rates three times as high
and a third as high, both of the network and of the loss's own weights: so every loss, whatever it owns, is tried at the
same spread of them, and the few trials that most runs have are not spent beside the defaults. Later ones are drawn.

Trials have places (0, 1, ...): a place that holds no finished trial is run again, so nothing is lost but what was under
way when a run was killed.

Each place has its own sampler seed, and the first ten places are drawn independently of the others: up to ten trials a
loss come out the same however many workers there are. From the eleventh on Optuna learns from those that have
finished by then, which does depend on the workers' timing.
"""

import errno
import sqlite3
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, OptunaError
from optuna.samplers import BaseSampler, PartialFixedSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from lossary.core.card import Choice, Range
from lossary.lab.run.entrants import Entrant
from lossary.lab.run.optimizers import LEARNING_RATES, RATES
from lossary.lab.run.options import Optimizer
from lossary.lab.run.record import Trial
from lossary.lab.run.stored import Refused, something_else
from lossary.lab.run.train import Diverged, environment
from lossary.lab.tasks import TaskName
from lossary.lab.tasks.measures import Metric

PLACE, REASON, SECONDS, ENVIRONMENT = "place", "reason", "seconds", "environment"  # a trial's user attributes
#: By which the learning rates of the second and third trial differ from the usual ones.
FACTORS = {1: 3.0, 2: 1 / 3}
STUDY = "study.db"


@dataclass(frozen=True)
class Search:
    """What is searched for a loss, and where the search begins."""

    entrant: Entrant
    task: TaskName
    optimizer: Optimizer = "adamw"

    @property
    def rates(self) -> dict[str, float]:
        """The usual learning rates: of the network, and of the loss's own weights where it has some."""
        usual = LEARNING_RATES[self.optimizer]
        return {name: usual[name] for name in (RATES if self.entrant.owns_weights(self.task) else RATES[:1])}

    @property
    def space(self) -> dict[str, Range | Choice]:
        """Learning rates within a factor of ten of the usual ones, and the ranges on the losses' cards."""
        rates = {name: Range(rate / 10, rate * 10, log=True) for name, rate in self.rates.items()}
        return {**rates, **self.entrant.search}

    @property
    def defaults(self) -> dict[str, Any]:
        """The same at the library's defaults."""
        return {**self.rates, **self.entrant.defaults}


@contextmanager
def _opened(folder: Path, *, check: bool = False) -> Generator[optuna.storages.RDBStorage]:
    """The run's storage; ``check``: whether Optuna's version reads it, which takes half a second.

    Raises:
        OSError: if it can be read or written no longer.
        Refused: if something else lies there.
    """
    path, storage = folder / STUDY, optuna.storages.RDBStorage.__new__(optuna.storages.RDBStorage)
    try:
        # Workers wait for one another's writes rather than fail.
        patient = {"connect_args": {"timeout": 60}}
        storage.__init__(f"sqlite:///{path}", patient, skip_compatibility_check=not check)
        yield storage
    except (SQLAlchemyError, OptunaError, sqlite3.Error) as error:
        if told := _of_the_disk(error):
            raise OSError(*told, str(path)) from error
        raise _not_ours(path, error) from error
    finally:
        # Optuna leaves its connections to whoever collects them, those of a file that it refuses too.
        if hasattr(storage, "engine"):
            storage.engine.dispose()


def _of_the_disk(error: BaseException | None) -> tuple[int, str] | None:
    """Whether SQLite could not write, in the operating system's words. Optuna and SQLAlchemy wrap its errors."""
    while error is not None:
        cause = getattr(error, "orig", None) or error
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return errno.ENOSPC, "No space left on device"
        if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY):
            return errno.EIO, str(cause)
        error = error.__cause__ or error.__context__
    return None


def _not_ours(path: Path, why: Exception | str) -> Refused:
    return something_else("the tuning", path, why if isinstance(why, str) else str(why).splitlines()[0])


def create(folder: Path, searches: Mapping[str, Search], metric: Metric) -> None:
    """Make the studies that are missing; free the places of trials that a kill has left running.

    Raises:
        OSError: if they cannot be written.
        Refused: if something else lies where they are stored.
    """
    _check_tables(folder / STUDY)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    direction = "maximize" if metric.higher_is_better else "minimize"
    try:
        with _opened(folder, check=True) as shared:
            others = set(optuna.get_all_study_names(shared)) - set(searches)
            if others:
                raise _not_ours(folder / STUDY, f"studies of other losses: {', '.join(sorted(others))}")
            for loss, search in searches.items():
                study = optuna.create_study(storage=shared, study_name=loss, direction=direction, load_if_exists=True)
                if [d.name.lower() for d in study.directions] != [direction]:
                    raise _not_ours(folder / STUDY, f"{loss} is to {study.directions[0].name.lower()}, not {direction}")
                for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                    study.tell(trial.number, state=TrialState.FAIL)
                for trial in _done(study):
                    _check_trial(folder / STUDY, loss, trial, search)
    except (RuntimeError, ValueError, TypeError, LookupError, AssertionError) as other:  # optuna's, of a strange schema
        raise _not_ours(folder / STUDY, other) from other


def _check_tables(path: Path) -> None:
    """Whether a file is new or holds Optuna's tables, and none that compute what is read from them.

    Raises:
        OSError: if it cannot be opened.
        Refused: if it holds something else.
    """
    try:
        with closing(sqlite3.connect(path)) as stored:
            found = set(stored.execute("SELECT type, name FROM sqlite_master").fetchall())
    except sqlite3.DatabaseError as error:
        if told := _of_the_disk(error):
            raise OSError(*told, str(path)) from error
        raise _not_ours(path, error) from error
    computing = sorted(name for type_, name in found if type_ not in ("table", "index"))
    if computing:
        raise _not_ours(path, f"a database with views or triggers: {', '.join(computing)}")
    if found and not {("table", "studies"), ("table", "trials"), ("table", "alembic_version")} <= found:
        raise _not_ours(path, "a database of other tables")


def _check_trial(path: Path, loss: str, trial: FrozenTrial, search: Search) -> None:
    """Whether a trial is one of ours: at a place, with a finite value, within what is searched.

    Raises:
        Refused: if it is not.
    """
    where = f"{loss}, trial {trial.number}"
    kept = trial.user_attrs
    place, seconds, told = kept.get(PLACE), kept.get(SECONDS, 0.0), kept.get(ENVIRONMENT, {})
    if type(place) is not int or place < 0:
        raise _not_ours(path, f"{where}: wanted a place; got {place!r}")
    if trial.state is TrialState.COMPLETE and (trial.value is None or not isfinite(trial.value)):
        raise _not_ours(path, f"{where}: wanted a finite value; got {trial.value}")
    if not isinstance(seconds, int | float) or not isfinite(seconds) or not isinstance(kept.get(REASON, ""), str):
        raise _not_ours(path, f"{where}: wanted seconds and a reason; got {seconds!r} and {kept.get(REASON)!r}")
    if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()):
        raise _not_ours(path, f"{where}: wanted an environment of strings; got {told!r}")
    within, usual = search.space, search.defaults
    for name, value in trial.params.items():
        if name not in within or not (value == usual.get(name) or _lies(value, within[name])):
            raise _not_ours(path, f"{where}: wanted what is searched for {search.entrant.name}; got {name}={value!r}")


def _lies(value: Any, within: Range | Choice) -> bool:
    if isinstance(within, Choice):
        return any(type(value) is type(one) and value == one for one in within.values)
    return isinstance(value, int | float) and within.low <= value <= within.high


def places(folder: Path, loss: str) -> dict[int, FrozenTrial]:
    """The finished trials of a loss by place: with a value, or failed for a reason that a repeat would meet again."""
    with _opened(folder) as shared:
        return {t.user_attrs[PLACE]: t for t in _done(optuna.load_study(study_name=loss, storage=shared))}


def _done(study: optuna.Study) -> list[FrozenTrial]:
    return [t for t in study.get_trials(deepcopy=False) if t.state is TrialState.COMPLETE or REASON in t.user_attrs]


def best_params(folder: Path, loss: str) -> dict[str, Any] | None:
    """The params of a loss's best trial, the first of equals; None where all have failed."""
    with _opened(folder) as shared:
        direction = optuna.load_study(study_name=loss, storage=shared).direction
    done = sorted(places(folder, loss).items())
    sign = 1 if direction is optuna.study.StudyDirection.MAXIMIZE else -1
    scored = [(sign * t.value, -place, t.params) for place, t in done if t.value is not None]
    return max(scored, key=lambda s: s[:2])[2] if scored else None


def run_trial(
    folder: Path,
    loss: str,
    search: Search,
    place: int,
    score: Callable[[Mapping[str, Any]], tuple[float, float]],
) -> None:
    """Run one trial of a loss and store it. ``score(params)`` gives the validation metric and the seconds taken."""
    searched = search.space
    if place == 0:
        searched = {name: searched[name] for name in search.defaults}
    with _opened(folder) as shared:
        study = optuna.load_study(study_name=loss, storage=shared, sampler=_sampler(search, place))
        trial = study.ask()
        trial.set_user_attr(PLACE, place)
        trial.set_user_attr(ENVIRONMENT, environment())
        params = {name: _suggest(trial, name, choice) for name, choice in searched.items()}
        try:
            value, seconds = score(params)
        except Diverged as reason:
            trial.set_user_attr(REASON, str(reason))
            study.tell(trial, state=TrialState.FAIL)
            raise
        trial.set_user_attr(SECONDS, seconds)
        study.tell(trial, value)


def _sampler(search: Search, place: int) -> BaseSampler:
    # The same seed for every loss: at a place all of them are tried at the same learning rate.
    sampler = TPESampler(n_startup_trials=10, seed=place)
    fixed = search.defaults if place == 0 else {}
    if place in FACTORS:
        fixed = {name: FACTORS[place] * rate for name, rate in search.rates.items()}
    with warnings.catch_warnings(category=ExperimentalWarning, action="ignore"):
        return PartialFixedSampler(fixed, sampler)


def _suggest(trial: optuna.Trial, name: str, within: Range | Choice) -> Any:
    if isinstance(within, Choice):
        return trial.suggest_categorical(name, within.values)
    if isinstance(within.low, int) and isinstance(within.high, int):
        return trial.suggest_int(name, within.low, within.high, log=within.log)
    return trial.suggest_float(name, within.low, within.high, log=within.log)


def trials(folder: Path) -> list[Trial]:
    """All finished tuning trials of a run folder, by loss and place."""
    with _opened(folder) as shared:
        names = sorted(optuna.get_all_study_names(shared))
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
