"""Plan: everything that decides what a comparison does. Same plan, same seeds: same records."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self

from lossary.lab import stored

Protocol = Literal["same-batches", "own-recipe"]

#: What a plan calls data that came from a Python program and not from a file.
OWN_CODE = "own-code"
#: The budget of a first look, where the caller names no other.
QUICK = {"seeds": 2, "trials": 2, "epochs": 20}


@dataclass(frozen=True)
class Plan:
    """A comparison of losses on one data set."""

    data: str = "emoji"  # a data set of the lab, or a path
    losses: tuple[str, ...] = ()  # names of cards, or "label=card" to enter a loss under a name of one's own
    protocol: Protocol = "same-batches"
    seeds: int = 3
    trials: int = 3  # tuning trials a loss
    epochs: int = 60  # bound; training stops earlier once the validation metric has stopped rising
    outliers: float = 0.0  # share of training targets that are spoilt (regression data only)
    workers: int = 2
    out: str = "lossary-runs"
    quick: bool = False
    # Of data read from files:
    target: str = ""  # the column or array to predict
    task: str = ""  # where it is not to be inferred
    types: str = ""  # of columns, as "COLUMN=TYPE,..."
    yes: str = ""  # which target means yes, where there are two
    lists: str = ""  # the column that names the list a row belongs to
    by: str = ""  # the column that names whose rows are all in one part
    time: str = ""  # the column that says when a row was: earlier ones train, later ones test
    split: str = ""  # the column that says in which part a row is
    megapixels: int = 64  # of the largest image that is read
    metric: str = ""  # the name of the user's own, which their code gives
    fingerprint: str = ""  # of the contents, which must not change while a run goes on

    def save(self, path: Path) -> None:
        stored.write_whole(path, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        plan = stored.read(path, cls, "the plan", renamed={"group": "lists"})  # so until 0.3
        if not plan.losses:  # none is stored without
            raise stored.something_else("the plan", path, "losses: wanted some; got none")
        return plan
