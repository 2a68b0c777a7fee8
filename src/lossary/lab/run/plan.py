"""Plan: everything that decides what a comparison does. Same plan, same seeds: same records.

A `Plan` is what is asked for, in which much may be left to the data; `Resolved` is what is then done, in which nothing
is. How a run's folder keeps it is the business of `folder`.
"""

from dataclasses import dataclass
from typing import Any, Literal

from lossary.lab.run.options import Files, Network, Training
from lossary.lab.run.stored import Refused
from lossary.lab.tasks.measures import Metric

Protocol = Literal["same-batches", "own-recipe"]

#: What a plan calls data that came from a Python program and not from a file.
OWN_CODE = "own-code"
#: The budget of a first look, where the caller names no other; its bound on steps is half of the usual one.
QUICK = {"seeds": (3, 3), "trials": 1}
#: Final runs a loss, where the caller names no other: so many first, and more until the verdict is settled or so many.
SEEDS = (3, 10)
#: The bound on a run's steps, where the caller names none: so many passes over the training data, within these steps.
PASSES, SHORTEST, LONGEST = 80, 600, 6000


def budget(**asked: Any) -> dict[str, Any]:
    """The fields of a plan that bound its work, as a caller names them; what is None is not named.

    Raises:
        Refused: naming the argument, what was wanted and what came.
    """
    named = {name: value for name, value in asked.items() if value is not None}
    for name in ("trials", "steps", "epochs", "minutes", "margin"):
        if name in named and not named[name] > 0:
            least = "more than 0" if name in ("minutes", "margin") else "at least 1"
            raise Refused(f"{name}: wanted {least}; got {named[name]}")
    if "steps" in named and "epochs" in named:
        raise Refused("epochs: wanted the bound in steps or in epochs; got both")
    if "seeds" in named:
        named["seeds"] = _seeds(named["seeds"])
    return named


def listed(text: str) -> tuple[str, ...]:
    """What is separated by commas.

    >>> listed("log_loss, accuracy")
    ('log_loss', 'accuracy')
    """
    return tuple(part.strip() for part in text.split(",")) if text else ()


def _seeds(asked: str | int | tuple[int, ...]) -> tuple[int, ...]:
    """``5``, ``"5"``, ``"3..10"`` or ``(3, 10)`` as the first and the most."""
    if isinstance(asked, tuple):
        return asked
    first, _, most = str(asked).partition("..")
    try:
        return int(first), int(most or first)
    except ValueError:
        raise Refused(f"seeds: wanted N or FIRST..MOST; got {asked!r}") from None


@dataclass(frozen=True)
class Plan(Files, Network, Training):
    """A comparison of losses on one data set, as it is asked for."""

    data: str = "emoji"  # a data set of the lab, or a path
    losses: tuple[str, ...] = ()  # as lossary.lab.run.entries reads them; none: a few that fit the data
    protocol: Protocol = "same-batches"
    seeds: tuple[int, ...] = SEEDS  # final runs a loss: so many first, at most so many
    trials: int = 2  # tuning trials a loss
    steps: int = 0  # bound; training stops earlier once the validation metric has stopped rising. 0: by the data's size
    epochs: int = 0  # the bound as it was asked for in passes over the training data, if it was
    minutes: float = 0.0  # nothing is begun that would end later than so long after the command; 0: no bound
    # Differences below it do not matter: points of a share, else in the metric's units; 0: by itself.
    margin: float = 0.0
    metric: tuple[str, ...] = ()  # the first decides, the others are judged too; none: what the data are judged by
    outliers: float = 0.0  # share of training targets that are spoilt (regression data only)
    workers: int = 2
    out: str = "lossary-runs"
    quick: bool = False
    resplit: int = 0  # which random split the data are parted by; 0: the one that a single comparison has

    def bound(self, steps_per_epoch: int) -> int:
        """The most steps of a run, of which so many are a pass over the training data."""
        if self.steps or self.epochs:
            return self.steps or self.epochs * steps_per_epoch
        steps = min(max(PASSES * steps_per_epoch, SHORTEST), LONGEST)
        return steps // 2 if self.quick else steps

    @property
    def units(self) -> str:
        """What the verdict compares, where the rows of a table are not independent; nothing where they are."""
        return f"groups by {self.by}" if self.by else "stretches of time" if self.time else ""

    def margin_of(self, metric: Metric) -> float | None:
        """The margin in the metric's own scale, in which a point is 0.01; None where none was named."""
        return self.margin / (100 if metric.percent else 1) or None


@dataclass(frozen=True)
class Resolved(Plan):
    """A plan in which nothing is left open: losses by their full names, a bound in steps, what the files hold."""

    code: str = ""  # a fingerprint of the files that losses and metrics are defined in
    fingerprint: str = ""  # of the data's contents, which must not change while a run goes on
