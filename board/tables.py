"""The board's tables: what `tables.tsv` lists, each read as the lab reads anybody's table."""

import csv
import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from lossary.lab.data import files
from lossary.lab.data.builtin._frames import frame_of
from lossary.lab.data.readers import tables
from lossary.lab.data.readers.source import Source
from lossary.lab.data.types import Data
from lossary.lab.run.plan import Plan

LIST = Path(__file__).with_name("tables.tsv")
#: Larger tables are sampled: what is stored of their predictions has to fit into a repository.
MOST_ROWS = 4000
SAMPLE_SEED = 2026
#: Columns that number what a row is of, as the persons of a panel: no inputs.
IDS = re.compile(r"(?i:(.*[._ ])?(id\d?|ids|subject|subj|person|patient|obs|index|seq|serial|rownames))|.*[a-z]ID")
SCIKIT_LEARN = ("breast_cancer", "diabetes", "digits", "iris", "wine")


@dataclass(frozen=True)
class Table:
    """One of the list: where it comes from, what is predicted, and as which task."""

    package: str
    item: str
    target: str
    task: str

    @property
    def name(self) -> str:
        return f"{self.package}.{self.item}"

    @classmethod
    def of(cls, row: dict[str, str]) -> Self:
        return cls(row["package"], row["item"], row["target"], row["task"])

    @property
    def row(self) -> tuple[str, ...]:
        return self.package, self.item, self.target, self.task

    def data(self) -> Data:
        return files.found(self.source(), Plan(data=self.name, task=self.task)).data

    def source(self) -> Source:
        frame, rows = cells(self.package, self.item)
        ids = [name for name in frame.columns if name != self.target and IDS.fullmatch(name)]
        return tables.of(Path(self.name), frame.drop(ids), rows, tables.Roles(self.target), "")


def listed() -> list[Table]:
    """All tables, in the order in which they are run: shuffled, so that the first of them are a fair sample."""
    with LIST.open(newline="", encoding="utf-8") as file:
        return [Table.of(row) for row in csv.DictReader(file, delimiter="\t")]


def cells(package: str, item: str) -> tuple[pl.DataFrame, list[str]]:
    """A table's cells, at most `MOST_ROWS` of them drawn at random, and what each row is called."""
    frame, rows = _of_scikit_learn(item) if package == "sklearn" else frame_of("houses", package, item)
    if len(rows) <= MOST_ROWS:
        return frame, rows
    kept = np.sort(np.random.default_rng(SAMPLE_SEED).permutation(len(rows))[:MOST_ROWS])
    return frame[kept.tolist()], [rows[row] for row in kept]


def _of_scikit_learn(item: str) -> tuple[pl.DataFrame, list[str]]:
    loaded: Any = getattr(import_module("sklearn.datasets"), f"load_{item}")()
    names = [str(name) for name in loaded.feature_names]
    frame = pl.DataFrame(loaded.data, schema=names).with_columns(pl.Series("target", loaded.target))
    return frame, [f"row {row}" for row in range(len(frame))]
