"""Plan: everything that decides what a comparison does. Same plan, same seeds: same records.

A `Plan` is a request, in which much may be left to the data; a `Resolved` plan leaves nothing open. `folder` defines
how a run's folder stores it.
"""

from dataclasses import dataclass
from typing import Any, Literal

from lossary.lab.data.contents import is_code
from lossary.lab.run.options import WITHOUT_BACKBONE, Files, Network, Training
from lossary.lab.run.stored import Refused
from lossary.lab.tasks.measures import Metric

Protocol = Literal["same-batches", "own-recipe"]

#: How a plan refers to data that came from a Python program instead of a file.
OWN_CODE = "own-code"
#: The budget of a first look if the caller sets none; its bound on steps is half the usual one.
QUICK = {"seeds": (3, 3), "trials": 1}
#: Final runs per loss if the caller sets none: the minimum, and the maximum, run only until the verdict is settled.
SEEDS = (3, 10)
#: The bound on a run's steps if the caller sets none: passes over the training data, within these step limits.
PASSES, SHORTEST, LONGEST = 80, 600, 6000


def budget(**asked: Any) -> dict[str, Any]:
    """The fields of a plan that bound its work, as a caller sets them; None means not set.

    Raises:
        Refused: naming the argument, what was wanted and what it got.
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
    """The items of a comma-separated list.

    >>> listed("log_loss, accuracy")
    ('log_loss', 'accuracy')
    """
    return tuple(part.strip() for part in text.split(",")) if text else ()


def _seeds(asked: str | int | tuple[int, ...]) -> tuple[int, ...]:
    """``5``, ``"5"``, ``"3..10"`` or ``(3, 10)`` as minimum and maximum."""
    if isinstance(asked, tuple):
        return asked
    first, _, most = str(asked).partition("..")
    try:
        return int(first), int(most or first)
    except ValueError:
        raise Refused(f"seeds: wanted N or FIRST..MOST; got {asked!r}") from None


@dataclass(frozen=True)
class Plan(Files, Network, Training):
    """A requested comparison of losses on one data set."""

    data: str = "emoji"  # a data set of the lab, or a path
    losses: tuple[str, ...] = ()  # in the syntax of lossary.lab.run.entries; none: a few that fit the data
    protocol: Protocol = "same-batches"
    seeds: tuple[int, ...] = SEEDS  # final runs per loss: minimum and maximum
    trials: int = 2  # tuning trials per loss
    steps: int = 0  # bound; training ends earlier once the validation metric has stopped rising. 0: by the data's size
    epochs: int = 0  # the bound in passes over the training data, if it was given so
    minutes: float = 0.0  # nothing starts that is expected to end later than this after the start; 0: no bound
    # Smaller differences do not matter: points of a share, otherwise in the metric's units; 0: the default.
    margin: float = 0.0
    metric: tuple[str, ...] = ()  # the first decides, the others are judged too; none: the data's default
    outliers: float = 0.0  # share of training targets that are corrupted (regression data only)
    workers: int = 2
    out: str = "lossary-runs"
    quick: bool = False
    resplit: int = 0  # which random split the data are divided by; 0: the one of a single comparison

    def bound(self, steps_per_epoch: int) -> int:
        """The maximum steps of a run, given the number of steps in one pass over the training data."""
        if self.steps or self.epochs:
            return self.steps or self.epochs * steps_per_epoch
        steps = min(max(PASSES * steps_per_epoch, SHORTEST), LONGEST)
        return steps // 2 if self.quick else steps

    def for_images(self, task: str) -> str:
        """What to change if no loss has learned from images; empty if it has been, or cannot be."""
        if self.backbone or task in WITHOUT_BACKBONE or self.data == OWN_CODE or is_code(self.data):
            return ""
        return "Few images may need weights that were trained on others: --backbone timm:resnet18 --frozen."

    @property
    def units(self) -> str:
        """What the verdict compares if the rows of a table are not independent; empty if they are."""
        return f"groups by {self.by}" if self.by else "stretches of time" if self.time else ""

    def margin_of(self, metric: Metric) -> float | None:
        """The margin in the metric's own scale, where a point is 0.01; None if none was given."""
        return self.margin / (100 if metric.percent else 1) or None


@dataclass(frozen=True)
class Resolved(Plan):
    """A plan with nothing left open: full loss names, a bound in steps, the files' contents."""

    code: str = ""  # a fingerprint of the files that define losses and metrics
    fingerprint: str = ""  # of the data's contents, which must not change during a run
