"""How often a verdict returns: tables are run again with other seeds on another split, and judged again.

    python -m board.returns [--workers 2] [--docs]

A table of the board that is done is split anew and each loss trained with five fresh seeds; every pair of losses is
then judged as it was. Both verdicts of each pair are kept in `results/returns/NAME.json`, there whole or not at all, so
that the command goes on where it was. ``--docs`` runs nothing and prints what the docs' page shows.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import combinations
from math import isnan
from pathlib import Path
from typing import Any

from board import RESULTS, runs, tables
from board.answers import COUNTED, said
from board.stored import Stored, metric_of
from board.tables import Table
from board.work import Part, do_all
from lossary.lab.data import splits
from lossary.lab.run.stored import write_whole
from lossary.lab.stats.judge import judge

EVERY = 5  # tables of the list: one of so many is run again
SPLIT = 1
SEEDS = (11, 12, 13, 14, 15)
#: What became of a claim.
AGAIN = ("returned", "open", "turned round")


def path_of(table: Table) -> Path:
    return RESULTS / "returns" / f"{table.name}.json"


def parts() -> Iterator[Part]:
    for table in tables.listed()[::EVERY]:
        if runs.path_of(table).exists():
            yield Part(f"{table.name} ({table.task})", path_of(table), partial(run, table))


def run(table: Table) -> None:
    first = Stored.load(runs.path_of(table))
    with splits.numbered(SPLIT):
        data = table.data()
    again = Stored(*runs.trained(table, data, SEEDS))
    found = {metric: _both(first, again, metric) for metric in COUNTED[table.task]}
    path = path_of(table)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps({"task": table.task, "pairs": found}) + "\n")


def _both(first: Stored, again: Stored, metric: str) -> list[dict[str, Any]]:
    """Of every pair of losses what is said of the first of them, both times, and by how many margins it is ahead."""
    verdicts = [(judge(one.records(metric), metric_of(one.task, metric)[0]), one.asleep) for one in (first, again)]
    rows = []
    for a, b in combinations(first.losses, 2):
        (was, ahead), (now, later) = (said(verdict, a, b, asleep) for verdict, asleep in verdicts)
        rows.append({"a": a, "b": b, "was": was, "now": now, "ahead": _number(ahead), "later": _number(later)})
    return rows


def _number(value: float) -> float | None:
    return None if isnan(value) else round(float(value), 3)


def summed() -> dict[str, dict[str, Any]]:
    """By task and metric, what became of what was claimed on the tables that were run again."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((RESULTS / "returns").glob("*.json")):
        kept = json.loads(path.read_text(encoding="utf-8"))
        for metric, rows in kept["pairs"].items():
            counts = found.setdefault(f"{kept['task']} {metric}", {"tables": 0, "pairs": Counter()})
            counts["tables"] += 1
            for row in rows:
                if happened := became(row):
                    counts["pairs"][happened] += 1
    return found


def became(row: Mapping[str, Any]) -> str:
    """What became of a claim; "" where nothing was claimed.

    >>> became({"was": "better", "now": "undecided"}), became({"was": "equal", "now": "equal"})
    ('better: open', 'equal: returned')
    >>> became({"was": "worse", "now": "better"}), became({"was": "undecided", "now": "better"})
    ('better: turned round', '')
    """
    opposite = {"better": "worse", "worse": "better"}
    if row["was"] in opposite:
        now = (
            "returned" if row["now"] == row["was"] else "turned round" if row["now"] == opposite[row["was"]] else "open"
        )
        return f"better: {now}"
    if row["was"] == "equal":
        now = "returned" if row["now"] == "equal" else "turned round" if row["now"] in opposite else "open"
        return f"equal: {now}"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2, help="processes, of one thread each")
    parser.add_argument("--docs", action="store_true", help="run nothing")
    options = parser.parse_args()
    if not options.docs:
        left = [part for part in parts() if not part.path.exists()]
        print(f"{len(left)} to go", flush=True)
        if do_all(left, options.workers):
            return 2
    for name, counts in summed().items():
        print(name, counts["tables"], dict(counts["pairs"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
