"""Which losses of other libraries are here: each of the union's rows, and where, or why not.

``python scripts/union.py`` prints ``union/rows.tsv`` (what some forty libraries offer between them, and how much each
is asked for: 5 is everywhere, 1 is one place) with what this library has for it; ``--missing`` what it lacks alone,
``--demand 4`` what is asked for at least so much.

A row is found by its name. What goes by another name, or is an option, a preset or a sum, is said in
``union/where.tsv``: the row's loss; public names, each with an option of it behind a dot; a remark, or why there is
none; and what of the row is lacking.
"""

import argparse
import csv
import inspect
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import lossary
from lossary.catalogue import CATALOGUE, HELPERS

FOLDER = Path(__file__).with_name("union")


@dataclass(frozen=True)
class Row:
    loss: str
    family: str
    peers: str
    demand: int
    where: tuple[str, ...]  # public names, some with an option; () where there is nothing
    remark: str
    lacking: tuple[str, ...] = ()  # the losses of a row of several that are not here

    @property
    def state(self) -> str:
        return "no" if not self.where else "partly" if self.lacking else "have"


def read(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def rows() -> list[Row]:
    said = {entry["loss"]: entry for entry in read("where.tsv")}
    return [_row(entry, said.get(entry["loss"])) for entry in read("rows.tsv")]


def _row(facts: dict[str, str], said: dict[str, str] | None) -> Row:
    head = (facts["loss"], facts["family"], facts["peers"], int(facts["demand"]))
    if said is not None:
        where = tuple(name.strip() for name in said["where"].split(",") if name.strip())
        lacking = tuple(name.strip() for name in (said["lacking"] or "").split(",") if name.strip())
        return Row(*head, where, said["why"] or "", lacking)
    found = {name: by_name(name) for name in names(facts["loss"])}
    where = tuple(dict.fromkeys(public for public in found.values() if public))
    return Row(*head, where, "", tuple(name for name, public in found.items() if not public))


def names(loss: str) -> list[str]:
    """The losses of a row: "msle / rmsle_loss (logs)" has two."""
    parts = re.sub(r"\([^)]*\)", "", loss).split("/")
    return [re.sub(r"[\s-]+", "_", part.strip()).lower() for part in parts if part.strip()]


def by_name(name: str) -> str | None:
    known = public_names()
    stem = name.removesuffix("_loss")
    forms = (name, f"{stem}_loss", stem, f"{stem.removesuffix('_nll')}_nll_loss")
    return next((known[form] for form in forms if form in known), None)


@cache
def public_names() -> dict[str, str]:
    """What a name is looked for among, in small letters: functions, Modules and aliases of either, and helpers."""
    cards = [name for card in CATALOGUE for name in (card.name, card.module.__name__, *card.aliases)]
    helpers = [name for helper in HELPERS for name in helper.__all__]
    return {name.lower(): name for name in (*helpers, *cards)}


def resolve(where: str) -> Any:
    """The public thing that a name stands for; of one with an option, that option's default.

    Raises:
        LookupError: There is no such thing, or it takes no such option.
    """
    thing: Any = lossary
    for part in where.split("."):
        if not part.startswith("_") and hasattr(thing, part):
            thing = getattr(thing, part)
        elif callable(thing) and part in inspect.signature(thing).parameters:
            thing = inspect.signature(thing).parameters[part].default
        else:
            raise LookupError(f"{where}: wanted a public name of lossary, or an option of one; found no {part}")
    return thing


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--missing", action="store_true", help="only what is not here, or not whole")
    parser.add_argument("--demand", type=int, default=1, help="only what is asked for at least so much (1 to 5)")
    given = parser.parse_args()
    shown = [row for row in rows() if row.demand >= given.demand]
    for row in sorted(shown, key=lambda row: (-row.demand, row.family)):
        if given.missing and row.state == "have":
            continue
        lacking = f"no {', '.join(row.lacking)}" if row.where and row.lacking else ""
        told = "; ".join(filter(None, (", ".join(row.where), lacking, row.remark)))
        print(f"{row.demand}  {row.state:6}  {row.loss} [{row.peers}]: {told or 'not yet'}")
    print("\ndemand    rows    have  partly      no")
    for demand in (5, 4, 3, 2, 1):
        states = Counter(row.state for row in shown if row.demand == demand)
        if states:
            print(f"{demand:6}{states.total():8}{states['have']:8}{states['partly']:8}{states['no']:8}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
