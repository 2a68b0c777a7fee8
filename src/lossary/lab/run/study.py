"""The search for hyperparameters: one Optuna study per loss.

The search space is the same for every loss: the network's learning rate, the head's if the loss owns weights, and the
ranges on the loss's card. Trial 0 uses the library's defaults. The next two use learning rates three times as high and
a third as high, for the network and the loss's own weights. So every loss, whatever it owns, is tried at the same
spread of rates, and the few trials of most runs are not all spent near the defaults. Later trials are drawn.

Trials have places (0, 1, ...). A place without a finished trial is run again, so a kill loses only the trials that were
running.

Each place has its own sampler seed, and the first ten places are drawn independently of the others: up to ten trials
per loss are the same for any number of workers. From the eleventh on, Optuna learns from the trials finished by then,
which does depend on the workers' timing.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, PartialFixedSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from lossary.core.card import Choice, Range
from lossary.lab.run.entrants import Entrant
from lossary.lab.run.optimizers import LEARNING_RATES, RATES
from lossary.lab.run.options import Optimizer
from lossary.lab.run.record import Trial
from lossary.lab.run.storage import Storage, check_tables, not_ours, opened
from lossary.lab.run.train import Diverged, environment
from lossary.lab.tasks import TaskName
from lossary.lab.tasks.measures import Metric

PLACE, REASON, SECONDS, ENVIRONMENT = "place", "reason", "seconds", "environment"  # a trial's user attributes
#: Factors by which the learning rates of the second and third trial differ from the usual ones.
FACTORS = {1: 3.0, 2: 1 / 3}


@dataclass(frozen=True)
class Search:
    """What is searched for a loss, and where the search begins."""

    entrant: Entrant
    task: TaskName
    optimizer: Optimizer = "adamw"

    @property
    def rates(self) -> dict[str, float]:
        """The usual learning rates: of the network, and of the loss's own weights if it has any."""
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


def create(storage: Storage, searches: Mapping[str, Search], metric: Metric) -> None:
    """Create the missing studies.

    Raises:
        OSError: if they cannot be written.
        Refused: if something else is stored in their place.
    """
    if not storage.url:
        check_tables(storage)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    direction = "maximize" if metric.higher_is_better else "minimize"
    try:
        with opened(storage, check=True) as shared:
            others = set() if storage.url else set(optuna.get_all_study_names(shared)) - set(searches)
            if others:
                raise not_ours(storage, f"studies of other losses: {', '.join(sorted(others))}")
            for loss, search in searches.items():
                study = optuna.create_study(
                    storage=shared, study_name=storage.named(loss), direction=direction, load_if_exists=True
                )
                if [d.name.lower() for d in study.directions] != [direction]:
                    raise not_ours(storage, f"{loss} is to {study.directions[0].name.lower()}, not {direction}")
                for trial in _done(study):
                    _check_trial(storage, loss, trial, search)
    except (
        RuntimeError,
        ValueError,
        TypeError,
        LookupError,
        AssertionError,
    ) as other:  # optuna's error for an unknown schema
        raise not_ours(storage, other) from other


def _check_trial(storage: Storage, loss: str, trial: FrozenTrial, search: Search) -> None:
    """Checks that a trial is one of ours: at a place, with a finite value, within the search space.

    Raises:
        Refused: if it is not.
    """
    where = f"{loss}, trial {trial.number}"
    kept = trial.user_attrs
    place, seconds, told = kept.get(PLACE), kept.get(SECONDS, 0.0), kept.get(ENVIRONMENT, {})
    if type(place) is not int or place < 0:
        raise not_ours(storage, f"{where}: wanted a place; got {place!r}")
    if trial.state is TrialState.COMPLETE and (trial.value is None or not isfinite(trial.value)):
        raise not_ours(storage, f"{where}: wanted a finite value; got {trial.value}")
    if not isinstance(seconds, int | float) or not isfinite(seconds) or not isinstance(kept.get(REASON, ""), str):
        raise not_ours(storage, f"{where}: wanted seconds and a reason; got {seconds!r} and {kept.get(REASON)!r}")
    if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()):
        raise not_ours(storage, f"{where}: wanted an environment of strings; got {told!r}")
    within, usual = search.space, search.defaults
    for name, value in trial.params.items():
        if name not in within or not (value == usual.get(name) or _lies(value, within[name])):
            raise not_ours(storage, f"{where}: wanted what is searched for {search.entrant.name}; got {name}={value!r}")


def _lies(value: Any, within: Range | Choice) -> bool:
    if isinstance(within, Choice):
        return any(type(value) is type(one) and value == one for one in within.values)
    return isinstance(value, int | float) and within.low <= value <= within.high


def places(storage: Storage, loss: str) -> dict[int, FrozenTrial]:
    """The finished trials of a loss by place: with a value, or failed for a reason that a repeat would meet again."""
    with opened(storage) as shared:
        return {t.user_attrs[PLACE]: t for t in _done(_study(storage, shared, loss))}


def _study(
    storage: Storage, shared: optuna.storages.RDBStorage, loss: str, sampler: BaseSampler | None = None
) -> optuna.Study:
    return optuna.load_study(study_name=storage.named(loss), storage=shared, sampler=sampler)


def _done(study: optuna.Study) -> list[FrozenTrial]:
    return [t for t in study.get_trials(deepcopy=False) if t.state is TrialState.COMPLETE or REASON in t.user_attrs]


def best_params(storage: Storage, loss: str) -> dict[str, Any] | None:
    """The params of a loss's best trial, the first among equals; None if all have failed."""
    with opened(storage) as shared:
        direction = _study(storage, shared, loss).direction
    done = sorted(places(storage, loss).items())
    sign = 1 if direction is optuna.study.StudyDirection.MAXIMIZE else -1
    scored = [(sign * t.value, -place, t.params) for place, t in done if t.value is not None]
    return max(scored, key=lambda s: s[:2])[2] if scored else None


def run_trial(
    storage: Storage,
    loss: str,
    search: Search,
    place: int,
    score: Callable[[Mapping[str, Any]], tuple[float, float]],
) -> None:
    """Run one trial of a loss and store it. ``score(params)`` returns the validation metric and the seconds taken.

    An unfinished earlier trial at this place was killed.
    """
    searched = search.space
    if place == 0:
        searched = {name: searched[name] for name in search.defaults}
    with opened(storage) as shared:
        study = _study(storage, shared, loss, _sampler(search, place))
        for killed in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if killed.user_attrs.get(PLACE) == place:
                study.tell(killed.number, state=TrialState.FAIL)
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
    # The same seed for every loss: at a given place, all losses are tried at the same learning rate.
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


def trials(storage: Storage) -> list[Trial]:
    """All finished tuning trials of a run, by loss and place."""
    with opened(storage) as shared:
        names = sorted(optuna.get_all_study_names(shared))
    losses = [name.removeprefix(storage.named("")) for name in names if name.startswith(storage.named(""))]
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
        for loss in losses
        for place, t in sorted(places(storage, loss).items())
    ]
