"""How many of the planted faults `lossary.testing.check` tells: ``python scripts/check_mutants.py``.

Each fault of ``tests/mutants`` is planted, and the loss checked three times: as a stranger's function, of which nothing
is known but its code; with the formula of its paper; and by its card. A fault is told where a law is broken, or noted,
that is neither without the fault.
"""

import argparse
import functools
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests")]

import samples  # noqa: E402
from check.formulas import FORMULAS  # noqa: E402
from contract import laws_house  # noqa: E402, F401
from lossary.catalogue import find  # noqa: E402
from lossary.core.card import Card  # noqa: E402
from lossary.testing.checking import check, raised  # noqa: E402
from lossary.testing.laws.law import LAWS  # noqa: E402
from lossary.testing.laws.subject import Subject  # noqa: E402
from mutants.faults import MUTANTS  # noqa: E402
from mutants.mutate import Mutant  # noqa: E402

WAYS = ("as a function", "with a formula", "by its card")


def told(loss: Callable[..., Any], name: str, *, formula: bool) -> frozenset[str]:
    """The laws that are broken or noted."""
    report = check(loss, formula=FORMULAS.get(name) if formula else None)
    return frozenset(verdict.law for verdict in (*report.broken, *report.notes))


@functools.cache
def without(name: str, *, formula: bool) -> frozenset[str]:
    return told(find(name).fn, name, formula=formula)


def broken_by_card(card: Card, mutant: Mutant) -> frozenset[str]:
    """The first law of the card that is broken; those that were written for the fault are asked first."""
    for law in sorted(LAWS.values(), key=lambda law: law.name not in mutant.laws):
        for variant in samples.of(card).variants:
            subject = Subject(card, variant, samples.of(card))
            if law.concerns(subject) and raised(law, subject) is not None:
                return frozenset({law.name})
    return frozenset()


def seen(mutant: Mutant) -> tuple[str, frozenset[str]] | None:
    """In which way the fault is told first, and by which laws."""
    card = find(mutant.loss)
    formulas = (False, True) if mutant.loss in FORMULAS else (False,)
    before = {formula: without(mutant.loss, formula=formula) for formula in formulas}
    with mutant.plant(card) as wrong:
        for formula in formulas:
            try:
                found = told(wrong.fn, mutant.loss, formula=formula) - before[formula]
            except ValueError as error:  # it gives no loss at all
                found = frozenset({str(error)})
            if found:
                return WAYS[formula], found
        found = broken_by_card(wrong, mutant)
    return (WAYS[2], found) if found else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="faults whose words have this")
    parser.add_argument("--part", default="1/1", help="3/6: the third sixth of them")
    asked = parser.parse_args()
    part, parts = map(int, asked.part.split("/"))
    warnings.simplefilter("ignore")
    mutants = [mutant for mutant in MUTANTS if asked.only in mutant.fault][part - 1 :: parts]
    ways = []
    for mutant in mutants:
        found = seen(mutant)
        ways.append(found[0] if found else "not at all")
        print(f"{ways[-1]}: {mutant.loss}: {mutant.fault}: {', '.join(sorted(found[1])) if found else '-'}", flush=True)
    counts = {way: ways.count(way) for way in (*WAYS, "not at all")}
    print(f"{len(ways)} faults told: " + ", ".join(f"{count} {way}" for way, count in counts.items()))


if __name__ == "__main__":
    main()
