"""Plan: everything that decides what a comparison does. Same plan, same seeds: same records."""

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, Self

Protocol = Literal["same-batches", "own-recipe"]

#: What a plan calls data that came from a Python program and not from a file.
OWN_CODE = "own-code"
#: The budget of a first look, where the caller names no other.
QUICK = {"seeds": 2, "trials": 2, "epochs": 20}


def write_whole(path: Path, text: str) -> None:
    """Write a file under another name and rename it: a kill leaves the whole of it or what was there before."""
    part = path.with_suffix(f".{os.getpid()}.part")
    # A file name need not be UTF-8, and may name a class.
    part.write_text(text, encoding="utf-8", errors="backslashreplace")
    part.replace(path)


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
    group: str = ""  # the column that names the list a row belongs to
    metric: str = ""  # the name of the user's own, which their code gives
    fingerprint: str = ""  # of the contents, which must not change while a run goes on

    def save(self, path: Path) -> None:
        write_whole(path, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        stored = json.loads(path.read_text())
        known = {f.name for f in fields(cls)}
        stored["losses"] = tuple(stored["losses"])
        return cls(**{k: v for k, v in stored.items() if k in known})
