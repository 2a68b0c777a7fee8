"""Records: what a trained network scored. Everything the judge and the report need, and nothing else.

A run folder holds::

    plan.json              the Plan
    study.db               Optuna's storage: tuning trials (or a URL elsewhere)
    records/NAME.json      one Record per final run; written to a temporary name and renamed, so never incomplete
    failures/NAME.json     one Failure per failed final run, written in the same way
    arrays/NAME.npz        its arrays, named by Record.arrays: test embeddings, labels, predictions (may be absent)
    report.html
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import quote

from lossary.lab.run.stored import Refused, check_own, read, something_else, write_whole

#: tuned: the loss at its best tuned settings. default: at the library's defaults. baseline: not trained with a loss
#: (raw inputs, the untrained network, predicting the mean or the most common class).
Role = Literal["tuned", "default", "baseline"]


#: Characters of a loss's name that file names keep, besides letters and digits.
SAFE = " =+,"


@dataclass(frozen=True)
class Point:
    """One point of a learning curve."""

    step: int
    epoch: int
    train_loss: float
    valid: float  # the judged metric on the validation split


@dataclass(frozen=True)
class Trial:
    """One tuning trial, as the report draws it."""

    loss: str
    number: int
    params: dict[str, Any]
    valid: float | None  # best validation metric; None: failed
    state: str
    seconds: float
    environment: dict[str, str] = field(
        default_factory=dict
    )  # like a Record's: a run may continue under another version


@dataclass(frozen=True)
class Judged:
    """A metric per test unit, in the order of `Record.units`."""

    units: list[float]
    independent: int = 0


@dataclass(frozen=True)
class Record:
    """One final run on the test split."""

    loss: str  # the name it was entered under
    card: str  # the card's name; "" for a baseline
    role: Role
    seed: int
    params: dict[str, Any]
    metrics: dict[str, float]  # on the test split
    units: list[float]  # the judged metric per test unit (class in zero-shot, sample elsewhere), in fixed order
    curve: list[Point] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0
    seconds_per_step: float = 0.0  # median of whole steps: forward, loss, backward, update
    still_rising: bool = False  # stopped by the bound while the validation metric was rising
    arrays: str = ""  # file in arrays/, or ""
    fitted: bool = False  # a baseline fitted to the training data: reported, but not a bar for having learned
    environment: dict[str, str] = field(default_factory=dict)  # versions, machine, commit
    facts: dict[str, float] = field(
        default_factory=dict
    )  # facts about the training, by the names in lossary.watching.advice.FACTS
    independent: int = 0  # the most independent draws behind the units; 0: as many as there are units
    also: dict[str, Judged] = field(default_factory=dict)  # further requested metrics, by name

    def by(self, metric: str) -> Self:
        """The same run with the units of one of the further metrics. The curve still shows the watched metric."""
        return replace(self, units=self.also[metric].units, independent=self.also[metric].independent, curve=[])

    @property
    def name(self) -> str:
        return f"{self.role}-{self.loss}-{self.seed}"

    def path(self, folder: Path) -> Path:
        """Where a run folder stores the record. A loss may be entered under any name, including one with a slash."""
        return folder / "records" / f"{quote(self.name, safe=SAFE)}.json"

    def save(self, folder: Path) -> None:
        path = self.path(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Self:
        record = read(path, cls, "a record")
        if record.arrays not in ("", own := path.with_suffix(".npz").name):
            raise something_else("a record", path, f"arrays: wanted {own!r} or none; got {record.arrays!r}")
        if (record.role == "baseline") != (not record.card):
            raise something_else("a record", path, f"card: wanted none in a baseline alone; got {record.card!r}")
        return record


@dataclass(frozen=True)
class Failure:
    """A failed final run, and why it failed."""

    loss: str  # the name it was entered under
    seed: int
    reason: str

    def path(self, folder: Path) -> Path:
        return folder / "failures" / f"{quote(self.loss, safe=SAFE)}-{self.seed}.json"

    def save(self, folder: Path) -> None:
        path = self.path(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(asdict(self)))


def load_failures(folder: Path, records: list[Record]) -> list[Failure]:
    """The failures of a run folder, in a fixed order, except those that a later attempt made good."""
    stored = [read(p, Failure, "a failure") for p in sorted((folder / "failures").glob("*.json"))]
    done = {(r.loss, r.seed) for r in records if r.role == "tuned"}
    return [failure for failure in stored if (failure.loss, failure.seed) not in done]


def load_all(folder: Path) -> list[Record]:
    """All records of a run folder, in a fixed order.

    Raises:
        Refused: if there is something else, or the records do not belong to one run.
    """
    records = [Record.load(p) for p in sorted((folder / "records").glob("*.json"))]
    for what, kept in (
        ("metrics", {tuple(sorted(r.metrics)) for r in records}),
        ("test units", {len(r.units) for r in records}),
        ("judged metrics", {("units", *sorted((name, len(j.units)) for name, j in r.also.items())) for r in records}),
    ):
        if len(kept) > 1 or not all(kept):
            listed = " and ".join(map(str, sorted(kept)))
            raise Refused(f"out: wanted the same {what} in all records of {folder / 'records'}; got {listed}")
    return records


def finished(folder: Path) -> list[Record]:
    """The records of a folder that a user names.

    Raises:
        Refused: if it is not a run folder, or has no finished run.
    """
    if not folder.is_dir():
        raise Refused(f"folder: wanted the folder of a run; got {folder}")
    check_own(folder)
    records = load_all(folder)
    if not records:
        raise Refused(f"folder: wanted finished runs in {folder}; got none")
    return records
