"""The lab's own data sets on the board: a comparison each, by the lab, with what its judge needs kept.

A comparison goes on where it was, as any other does; its folder is `lossary-runs/board/NAME`. Once it is done, its
records are stored in `results/tasks/NAME.json.gz`, with curves and test units but without predictions.
"""

import gzip
import json
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from board import RESULTS
from lossary.lab import comparison
from lossary.lab.data.builtin import BUILTIN
from lossary.lab.run import entries
from lossary.lab.run.folder import prepare
from lossary.lab.run.plan import Plan
from lossary.lab.run.record import Point, Record, load_all
from lossary.lab.run.stored import replacing

LIST = Path(__file__).with_name("tasks.toml")
FOLDERS = Path("lossary-runs") / "board"


@dataclass(frozen=True)
class Task:
    """A data set of the lab, with the losses that are compared on it; the others are counted against the first."""

    data: str
    losses: tuple[str, ...]
    seeds: int

    @property
    def path(self) -> Path:
        return RESULTS / "tasks" / f"{self.data}.json.gz"


def listed() -> list[Task]:
    with LIST.open("rb") as file:
        asked = tomllib.load(file)
    return [
        Task(task["data"], entries.split(asked["losses"][BUILTIN[task["data"]].task]), task["seeds"])
        for task in asked["task"]
    ]


def run(task: Task) -> None:
    """The comparison, or what is left of it.

    Raises:
        Refused: if it cannot be run, as without the package that the data come with.
        Failed: if no loss could be trained.
    """
    folder = FOLDERS / task.data
    asked = Plan(task.data, task.losses, seeds=(task.seeds, task.seeds), trials=2, workers=1, out=str(folder))
    plan, data = comparison.resolved(asked)
    prepare(plan)
    comparison.compare(plan, Console(), data, here=True)
    task.path.parent.mkdir(parents=True, exist_ok=True)
    stored = json.dumps([asdict(record) | {"arrays": ""} for record in load_all(folder)])
    with replacing(task.path) as part:
        part.write_bytes(gzip.compress(stored.encode(), mtime=0))


def records(task: Task) -> list[Record]:
    """What is stored of a task that is done."""
    stored: list[dict[str, Any]] = json.loads(gzip.decompress(task.path.read_bytes()))
    for one in stored:
        one["curve"] = [Point(**point) for point in one["curve"]]
    return [Record(**one) for one in stored]


def done() -> Iterator[Task]:
    yield from (task for task in listed() if task.path.exists())
