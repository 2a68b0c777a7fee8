"""How often the judge claims what is not so, by every metric of every task.

    python scripts/calibrate_metrics.py [--studies 2000] [--only REGEX] [--minutes 60] [--file …] [--docs]

Outputs of networks trained with nine losses are simulated (`calibration_worlds`) and scored by the task's own
functions: eight losses are equal, of which the first may be erratic, and the ninth is better. A study is drawn once, at
the most seeds, and judged (`simulated_judge`) with 2, 4 and 8 losses up to each number of seeds:

- equal: among the first 2, 4 or 8 any claim is false;
- at the margin: the ninth beside 1, 3 or 7 of them, the margin being exactly what it is better by: to call it equal to
  any of them, or better within the margin, is false, and to call it better is right.

What the ninth is better by, and what an erratic loss is worse by (its metric is bent: better runs gain less than worse
ones lose), comes from other studies, drawn before. Counts are kept in the file, so the command goes on where it was;
all cells advance together. ``--docs`` writes docs/calibration.md from the file and draws nothing.
"""

import argparse
import json
import re
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from calibration_worlds import Study as Spreads
from calibration_worlds import World, classes, identities, lists, maps, tags, texts, values, yes_or_no
from scipy.stats import binomtest
from simulated_judge import Array, Study

from lossary.lab.tasks import measures_of

#: Of a metric: counts by what is counted and the number of losses, for each number of seeds.
Counts = dict[str, list[int]]
LOSSES = 9
TOGETHER = (2, 4, 8)
CHUNK = 20  # studies between two looks at the clock
PILOT = 500  # studies that tell the true gaps
PILOT_SEEDS = 5
DOCS = Path(__file__).parents[1] / "docs" / "calibration.md"
#: What is counted of a study, and what the tables call it.
TABLES = {
    "differ": "Equal losses are told apart",
    "equal": "At the margin, called equal",
    "beaten": "At the margin, found better",
}
HEAD = """# Calibration

How often the judge makes a false claim, for each metric of each task: in % of simulated studies, up to 3, 5, 10 and 20
seeds (galleries: 10), with a cell for each kind of spread. Everything is sequential: a study is judged at each of its
looks (3, 5, 7, 10, 14, 20 seeds), and a number counts the claims of all looks so far. With two seeds, nothing is
claimed.

- *Equal losses are told apart*: 2, 4 or 8 losses are equal, and any claim is false.
- *At the margin, called equal*: one more loss is better by exactly the margin, and is called equal to any of the
  others, or better within the margin.
- *At the margin, found better*: the share of pairs with that loss that are found. How far ahead it is depends on the
  metric, so this only shows that a difference of the margin can be found at all.

*Heavy tails*: all random effects have Student's t distribution with 3 degrees of freedom. *Seeds large*: losses differ
only between runs, 4 times as much. *One erratic*: one of the losses varies 5 times as much between runs. Equal losses
have equal means over infinitely many runs. A loss that fails in one run of a thousand may have any mean: its other runs
do not show it, and no judge of means could know.

The promise is at most 5 %. Of {counts} numbers, {bold} are above it with their whole 95 % interval (bold). The highest
is {most} % ({where}). Each section says how many studies there were.

`python scripts/calibrate_metrics.py` draws the studies, resumes where it stopped, and writes this page.
"""


@dataclass(frozen=True)
class Kind:
    """A task's test split, small so that many studies can be drawn; the cheapest first."""

    world: World
    split: str  # in words
    seeds: tuple[int, ...] = (2, 3, 5, 10, 20)


GALLERY_SEEDS = (2, 3, 5, 10)
KINDS = {
    "regression": Kind(values(300), "300 samples"),
    "classification": Kind(classes(300, (0.5, 0.3, 0.15, 0.05)), "300 samples of 4 classes, one rare"),
    "binary": Kind(yes_or_no(500, 50, steep=2), "50 yes of 500"),
    "multi-label": Kind(tags(300, (0.4, 0.2, 0.1)), "300 samples of up to 3 labels, one rare"),
    "ranking": Kind(lists(60), "60 lists of 12"),
    "segmentation": Kind(maps(40), "40 maps of 3 classes, one rare"),
    "retrieval": Kind(texts(50), "50 pairs of texts", GALLERY_SEEDS),
    "zero-shot": Kind(identities(25, (2, 4)), "25 identities of 2 or 4 items", GALLERY_SEEDS),
}
SPREADS = {
    "normal": Spreads(),
    "heavy tails": Spreads(heavy=True),
    "seeds large": Spreads(loss_item=0, run=0.2),
    "one erratic": Spreads(erratic=5),
}
CELLS = {f"{kind}, {spread}": (kind, spread) for kind, spread in product(KINDS, SPREADS)}


def scored(kind: str, spread: str, seeds: int, rng: np.random.Generator) -> dict[str, tuple[Array, int]]:
    """Of each metric the units (losses, seeds, units), and how many of them are independent."""
    drawn = replace(SPREADS[spread], losses=LOSSES, seeds=seeds, gap=0.15)
    names = [metric.name for metric in measures_of(KINDS[kind].world.kind).metrics]
    return KINDS[kind].world.units(rng, drawn, *names)


def true_gaps(kind: str, spread: str) -> dict[str, list[float]]:
    """Of each metric by how much the first and the last loss truly score more than those between."""
    means = [
        {name: units.mean(axis=(1, 2)) for name, (units, _) in study.items()}
        for study in (scored(kind, spread, PILOT_SEEDS, np.random.default_rng([1, n])) for n in range(PILOT))
    ]
    found = {}
    for name in means[0]:
        mean = np.mean([study[name] for study in means], axis=0)
        first = mean[0] - mean[1:-1].mean() if SPREADS[spread].erratic > 1 else 0.0
        found[name] = [float(first), float(mean[-1] - mean[1:-1].mean())]
    return found


def counted(kind: str, spread: str, gaps: dict[str, list[float]], numbers: range) -> dict[str, Counts]:
    """Of each metric what is counted up to each number of seeds, and of how many losses."""
    seeds = KINDS[kind].seeds
    drawn = [scored(kind, spread, seeds[-1], np.random.default_rng([0, number])) for number in numbers]
    found: dict[str, Counts] = {}
    for name, (first, gap) in gaps.items():
        units, independent = (np.array(column) for column in zip(*(study[name] for study in drawn), strict=True))
        units[:, 0] -= first
        found[name] = judged(Study(np.sign(gap) * units, independent), seeds, abs(gap))
    return found


def judged(studies: Study, seeds: tuple[int, ...], gap: float) -> Counts:
    """In how many studies there are false claims, of equal losses and of one that is ``gap`` better; what they find."""
    counts: Counts = {}
    for losses in TOGETHER:
        equal = studies.judged(range(losses), seeds, gap).values()
        margin = studies.judged([*range(losses - 1), LOSSES - 1], seeds, gap).values()
        counts[f"differ {losses}"] = [int(found.better.any(axis=-1).sum()) for found in equal]
        counts[f"equal {losses}"] = [int(found.equal[..., found.of(losses - 1)].any(axis=-1).sum()) for found in margin]
        counts[f"beaten {losses}"] = [int((found.better[..., found.of(losses - 1)] == -1).sum()) for found in margin]
    return counts


def added(old: Counts, new: Counts) -> Counts:
    return {key: [a + b for a, b in zip(old.get(key, [0] * len(new[key])), new[key], strict=True)] for key in new}


def work(names: list[str], studies: int, until: float, path: Path) -> None:
    """Judge what is missing of each cell, keeping the counts in the file."""
    kept: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    for first, name in product(range(0, studies, CHUNK), names):
        if monotonic() > until:
            return
        kind, spread = CELLS[name]
        cell = kept.get(name) or {"studies": 0, "gaps": true_gaps(kind, spread), "metrics": {}}
        if cell["studies"] > first:
            continue
        for metric, counts in counted(kind, spread, cell["gaps"], range(first, first + CHUNK)).items():
            cell["metrics"][metric] = added(cell["metrics"].get(metric, {}), counts)
        cell["studies"] += CHUNK
        kept[name] = cell
        part = path.with_suffix(".part")
        part.write_text(json.dumps(kept, sort_keys=True) + "\n")
        part.replace(path)  # who kills it loses this chunk alone


def page(kept: dict[str, dict[str, Any]]) -> str:
    """docs/calibration.md."""
    kept = {name: cell for name, cell in kept.items() if cell["studies"]}
    rates = [
        (count / cell["studies"], _low(count, cell["studies"]), f"{metric}, {key.split()[1]} losses, {name}")
        for name, cell in kept.items()
        for metric, counts in cell["metrics"].items()
        for key, found in counts.items()
        for count in found
        if not key.startswith("beaten")
    ]
    most, _, where = max(rates)
    text = HEAD.format(
        counts=f"{len(rates):,}", bold=sum(low > 5 for _, low, _ in rates), most=f"{100 * most:.1f}", where=where
    )
    if missing := [name for name in CELLS if name not in kept]:
        text += f"\nNot counted yet: {'; '.join(missing)}.\n"
    for kind in KINDS:
        if cells := {spread: cell for spread in SPREADS if (cell := kept.get(f"{kind}, {spread}"))}:
            text += _section(kind, cells)
    return text


def _section(kind: str, cells: dict[str, dict[str, Any]]) -> str:
    measures = measures_of(KINDS[kind].world.kind)
    seeds = "/".join(map(str, KINDS[kind].seeds[1:]))
    studies = ", ".join(f"{cell['studies']} ({spread})" for spread, cell in cells.items())
    text = f"\n## {measures.task.capitalize()}\n\n{KINDS[kind].split}; studies: {studies}.\n"
    for what, title in TABLES.items():
        text += f"\n| {title}, {seeds} seeds | losses | {' | '.join(cells)} |\n" + "| --- " * (2 + len(cells)) + "|\n"
        for metric, losses in product(measures.metrics, TOGETHER):
            shares = " | ".join(_shares(cell, metric.name, what, losses) for cell in cells.values())
            text += f"| {metric.label if losses == TOGETHER[0] else ''} | {losses} | {shares} |\n"
    return text


def _shares(cell: dict[str, Any], metric: str, what: str, losses: int) -> str:
    """In % by the number of seeds; the first number of seeds claims nothing."""
    of = cell["studies"] * (losses - 1 if what == "beaten" else 1)
    counts = cell["metrics"][metric][f"{what} {losses}"][1:]
    if what == "beaten":
        return "/".join(f"{100 * count / of:.0f}" for count in counts)
    bold = ("**" if _low(count, of) > 5 else "" for count in counts)
    return "/".join(f"{mark}{100 * count / of:.1f}{mark}" for count, mark in zip(counts, bold, strict=True))


@cache
def _low(count: int, of: int) -> float:
    """The lower end of the 95 % interval, in %."""
    return 100 * float(binomtest(count, of).proportion_ci().low)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--only", default="", help="cells whose name this regular expression finds")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing after that")
    parser.add_argument("--file", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--docs", action="store_true", help="draw nothing, write docs/calibration.md")
    options = parser.parse_args()
    if not options.docs:
        names = [name for name in CELLS if re.search(options.only, name)]
        work(names, options.studies, monotonic() + 60 * options.minutes, options.file)
    DOCS.write_text(page(json.loads(options.file.read_text())))


if __name__ == "__main__":
    main()
