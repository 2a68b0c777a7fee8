"""How often the judge claims what is not so, and how often it finds what is.

    python scripts/calibrate_judge.py [--studies 2000] [--only REGEX] [--jobs 1] [--file scripts/calibrate_judge.json]

Simulated studies: the score of a loss on a test unit is a latent quality, a sum of effects of the loss, the seed, the
unit and their interactions, or a share of hits at its odds. Every cell is a world and a number of losses; each of its
studies is judged at several numbers of seeds. Counts are kept in the file after every twenty studies, so the command
goes on where it was. docs/decisions/0002-how-the-judge-decides.md quotes the output.
"""

import argparse
import json
import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.special import expit
from scipy.stats import binomtest, t
from simulated_judge import SPREADS, Found, judged

from lossary.lab.stats.two_way import TwoWay

CHUNK = 20  # studies between two looks at the clock
MARGIN = 0.1  # of the latent quality, which has no points


@dataclass(frozen=True)
class World:
    """Standard deviations of the effects on the latent quality (logits where a unit counts hits)."""

    losses: int = 2
    seeds: int = 20
    units: int = 300
    items: int = 0  # a unit's score is the share of hits among its items; 0: the latent quality itself
    gap: float = 0.0  # how much better the first loss is
    seed: float = 0.05  # loss x seed: about 1 point of hits
    unit: float = 1.5  # how hard a unit is, for all losses alike
    loss_unit: float = 0.3  # units that suit one loss more than another; 0: the same loss under two names
    seed_unit: float = 0.3  # loss x seed x unit
    erratic: float = 1.0  # how many times as much the last loss varies between seeds as the others
    heavy: bool = False  # all effects have Student's t distribution with 3 degrees of freedom

    def scores(self, rng: np.random.Generator) -> np.ndarray:
        """(losses, seeds, units)."""

        def effect(*shape: int) -> np.ndarray:
            return rng.standard_t(3, shape) / np.sqrt(3) if self.heavy else rng.standard_normal(shape)

        spread = np.full(self.losses, self.seed)
        spread[-1] *= self.erratic
        quality = (
            0.5
            + spread[:, None, None] * effect(self.losses, self.seeds, 1)
            + self.seed * effect(1, self.seeds, 1)
            + self.unit * effect(1, 1, self.units)
            + self.loss_unit * effect(self.losses, 1, self.units)
            + self.seed_unit * effect(self.losses, self.seeds, self.units)
        )
        quality[0] += self.gap
        return rng.binomial(self.items, expit(quality)) / self.items if self.items else quality


#: The ways in which a test could be too bold.
WORLDS = {
    "normal": World(),
    "heavy tails": World(heavy=True, loss_unit=0.1, seed=0.1),
    "seeds large": World(seed=0.3, loss_unit=0),
    "one erratic": World(seed=0.1, loss_unit=0.1, erratic=5),
    "hits": World(items=3, loss_unit=0.5),
    "one item a unit": World(items=1, units=600),
    "few units": World(items=3, units=30),
    "same loss twice": World(items=3, loss_unit=0),
}
SEEDS: tuple[int, ...] = (3, 5, 10, 20)
#: Gaps of the latent quality for 1, 2, 3 and 6 points in a world of hits.
GAPS = (0.06, 0.12, 0.18, 0.36)
HITS = World(items=3, seeds=10)


@dataclass(frozen=True)
class Cell:
    """A world, and what is counted in its studies at each number of seeds."""

    world: World
    count: Callable[[Found], Counter[str]]
    seeds: tuple[int, ...] = SEEDS
    spread: str = "the judge's"  # one of SPREADS


def _studies(those: np.ndarray) -> int:
    """In how many studies (..., pairs) there is any of ``those``."""
    return int(those.any(axis=-1).sum())


def equal_losses(found: Found) -> Counter[str]:
    """Of losses that are equal: any claim is false, and "equal" is right."""
    return Counter(false=_studies(found.better), found=int(found.equal.sum()), pairs=found.equal.size)


def at_the_margin(found: Found) -> Counter[str]:
    """Of a first loss that is exactly the margin ahead: to call any other its equal is false."""
    equal = found.equal[..., found.of(0)]
    return Counter(false=_studies(equal), pairs=equal.size)


def gap(found: Found) -> Counter[str]:
    """Of a first loss that is ahead of others, which are equal: how often it is said to beat one, and all."""
    first = found.of(0)
    beaten = found.better[..., first] == 1
    wrong = np.where(first, found.better < 0, found.better != 0)
    return Counter(
        false=_studies(wrong), found=int(beaten.sum()), pairs=beaten.size, all=int(beaten.all(axis=-1).sum())
    )


CELLS: dict[str, Cell] = {
    **{
        f"equal, {name}, {n} losses": Cell(replace(w, losses=n), equal_losses)
        for name, w in WORLDS.items()
        for n in (2, 4, 8)
    },
    **{
        f"at the margin, {name}, {n} losses": Cell(replace(WORLDS[name], losses=n, gap=MARGIN), at_the_margin)
        for name in ("normal", "heavy tails", "seeds large", "one erratic")
        for n in (2, 4, 8)
    },
    **{
        f"gap {100 * g:.0f}, {u} units, {n} losses": Cell(replace(HITS, losses=n, units=u, gap=g), gap, (3, 5, 10))
        for u in (400, 2000)
        for n in (2, 6)
        for g in GAPS
    },
    "gap 18, one of 6 erratic": Cell(replace(HITS, losses=6, units=2000, gap=0.18, erratic=5), gap, (3, 5, 10)),
}


GAP_OF_SPREADS = ("gap 18, 2000 units, 6 losses", "gap 18, one of 6 erratic")


CELLS.update(
    {
        f"spread {spread}: {name}": replace(CELLS[name], spread=spread)
        for spread in SPREADS
        if spread != Cell.spread
        for name in ("equal, one erratic, 8 losses", "equal, seeds large, 8 losses", *GAP_OF_SPREADS)
    }
)


def counted(name: str, numbers: range) -> dict[str, dict[str, int]]:
    """What was counted in some studies of a cell, by the number of seeds."""
    cell = CELLS[name]
    scores = np.stack([cell.world.scores(np.random.default_rng([0, number])) for number in numbers])
    found = judged(scores, cell.seeds, MARGIN, cell.spread)
    return {str(n): dict(Counter(studies=len(numbers)) + cell.count(one)) for n, one in found.items()}


def false_claims(world: World, seeds: int, studies: int) -> int:
    """Studies with that many seeds that claim any difference between losses that are equal."""
    drawn = (replace(world, seeds=seeds).scores(np.random.default_rng([0, number])) for number in range(studies))
    return sum(bool(judged(scores, (seeds,), MARGIN)[seeds].better.any()) for scores in drawn)


def satterthwaite(table: np.ndarray) -> float:
    """Two-way variance with one t quantile, its degrees of freedom estimated like the variance."""
    c = TwoWay.of([table])
    seeds, units = table.shape
    seed_ms, residual = units * c.seed_variance[0], c.residual[0]
    unit_ms = residual + seeds * c.unit_variance[0]
    square = max(seed_ms + unit_ms - residual, seed_ms, unit_ms)
    df = square**2 / (seed_ms**2 / (seeds - 1) + unit_ms**2 / (units - 1))
    return 2 * float(t.sf(abs(c.mean[0]) / np.sqrt(square / table.size), df))


def _t_test(values: np.ndarray) -> float:
    return 2 * float(t.sf(abs(values.mean()) / (values.std(ddof=1) / np.sqrt(len(values))), len(values) - 1))


#: Tests of a table of differences (seeds, units) that the judge could have used: p-values.
RIVALS: dict[str, Callable[[np.ndarray], float]] = {
    "t test over units": lambda table: _t_test(table.mean(axis=0)),
    "t test over seeds": lambda table: _t_test(table.mean(axis=1)),
    "Satterthwaite": satterthwaite,
}


def rival_claims(test: Callable[[np.ndarray], float], world: World, studies: int) -> int:
    """As ``false_claims``, for two losses and another test in the judge's place, which looks once."""
    tables = (world.scores(np.random.default_rng([0, number])) for number in range(studies))
    return sum(test(first - second) <= 0.05 for first, second in tables)


def work(names: list[str], studies: int, jobs: int, path: Path) -> dict[str, dict[str, dict[str, int]]]:
    """Judge what is missing of each cell, keeping the counts in a file."""
    kept = json.loads(path.read_text()) if path.exists() else {}
    todo: list[tuple[str, range]] = []
    for first in range(0, studies, CHUNK):  # all cells advance together
        for name in names:
            if kept.get(name, {}).get(str(CELLS[name].seeds[0]), {}).get("studies", 0) <= first:
                todo.append((name, range(first, min(first + CHUNK, studies))))
    with ProcessPoolExecutor(jobs) as pool:
        for (name, _), found in zip(todo, pool.map(_counted, todo), strict=True):
            old = kept.get(name, {})
            kept[name] = {n: dict(Counter(old.get(n, {})) + Counter(counts)) for n, counts in found.items()}
            path.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    return kept


def _counted(part: tuple[str, range]) -> dict[str, dict[str, int]]:
    return counted(*part)


def percent(count: int, total: int) -> str:
    low, high = binomtest(count, total).proportion_ci()
    return f"{100 * count / total:.1f} ({100 * low:.1f}-{100 * high:.1f})"


def show(kept: dict[str, dict[str, dict[str, int]]], names: list[str]) -> None:
    """Each cell in a line: false claims, and what was found, in % by the number of seeds."""
    for name in names:
        cells = kept.get(name, {})
        total = cells[str(CELLS[name].seeds[0])]["studies"] if cells else 0
        if not total:
            continue
        false = " | ".join(percent(cells[str(n)].get("false", 0), total) for n in CELLS[name].seeds)
        shares = []
        for what, key, of in (("found", "found", "pairs"), ("beats all", "all", "studies")):
            by_seeds = [100 * cells[str(n)].get(key, 0) / cells[str(n)][of] for n in CELLS[name].seeds]
            shares += [f"{what} {'/'.join(f'{share:.0f}' for share in by_seeds)}"] if any(by_seeds) else []
        print(f"| {name} | {total} | {false} | {'; '.join(shares)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--only", default="", help="cells whose name this regular expression finds")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--file", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    names = [name for name in CELLS if re.search(options.only, name)]
    show(work(names, options.studies, options.jobs, options.file), names)


if __name__ == "__main__":
    main()
