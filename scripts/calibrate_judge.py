"""How often the judge claims a difference that is not there, and how often it finds one that is.

    python scripts/calibrate_judge.py [--studies 200] [--seed 0]

Simulated studies: the score of a loss on a test unit comes from a latent quality, a sum of effects of the
loss, the seed, the unit and their interactions. docs/decisions/0002-how-the-judge-decides.md quotes the
output.
"""

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit
from scipy.stats import binomtest, t, ttest_1samp

from lossary.lab.crossed import Crossed
from lossary.lab.judge import Verdict, judge
from lossary.lab.metrics import PRIMARY
from lossary.lab.record import Record


@dataclass(frozen=True)
class World:
    """Standard deviations of the effects on the latent quality (logits where a unit counts hits)."""

    losses: int = 2
    seeds: int = 5
    units: int = 400
    items: int = 3  # a unit's score is the share of hits among its items; 0: the latent quality itself
    gap: float = 0.0  # how much better the first loss is
    seed: float = 0.05  # loss x seed: about 1 point of Recall@1
    unit: float = 1.5  # how hard a unit is, for all losses alike
    loss_unit: float = 0.3  # units that suit one loss more than another; 0: the same loss under two names
    seed_unit: float = 0.3  # loss x seed x unit
    wild: int = 0  # losses that vary 4 times as much between seeds as the others
    heavy: bool = False  # all effects have Student's t distribution with 3 degrees of freedom

    def study(self, rng: np.random.Generator) -> list[Record]:
        scores = self.scores(rng)
        return [
            Record(f"loss-{i}", f"loss-{i}", "tuned", seed, {}, {}, scores[i, seed].tolist())
            for i in range(self.losses)
            for seed in range(self.seeds)
        ]

    def scores(self, rng: np.random.Generator) -> np.ndarray:
        """(losses, seeds, units)."""

        def effect(*shape: int) -> np.ndarray:
            return rng.standard_t(3, shape) / np.sqrt(3) if self.heavy else rng.standard_normal(shape)

        spread = np.where(np.arange(self.losses) < self.wild, 4 * self.seed, self.seed)[:, None, None]
        quality = (
            0.5
            + spread * effect(self.losses, self.seeds, 1)
            + self.seed * effect(1, self.seeds, 1)
            + self.unit * effect(1, 1, self.units)
            + self.loss_unit * effect(self.losses, 1, self.units)
            + self.seed_unit * effect(self.losses, self.seeds, self.units)
        )
        quality[0] += self.gap
        return rng.binomial(self.items, expit(quality)) / self.items if self.items else quality


#: Worlds without a difference: the ways in which a test could be too bold.
EQUAL = {
    "same loss twice": World(loss_unit=0),
    "losses that suit other units": World(loss_unit=0.5),
    "seeds matter most": World(loss_unit=0, seed=0.2),
    "one item a unit": World(items=1, units=600),
    "few units": World(units=30),
    "heavy tails": World(items=0, heavy=True, loss_unit=0.1, seed=0.05),
    "heavy tails, seeds matter": World(items=0, heavy=True, loss_unit=0, seed=0.1),
    "one loss erratic": World(loss_unit=0, seed=0.1, wild=1),
}


def verdicts(world: World, studies: int, seed: int = 0) -> Iterable[Verdict]:
    for number in range(studies):
        yield judge(world.study(np.random.default_rng([seed, number])), PRIMARY["zero-shot"])


def false_claims(world: World, studies: int, seed: int = 0) -> int:
    """Studies that claim any difference between losses that are equal."""
    return sum(any(c.claim != "none" for c in v.comparisons) for v in verdicts(world, studies, seed))


def satterthwaite(table: np.ndarray) -> float:
    """Two-way variance with one t quantile, its degrees of freedom estimated like the variance."""
    c = Crossed.of(table)
    square = max(c.seed_ms + c.unit_ms - c.residual_ms, c.seed_ms, c.unit_ms)
    df = square**2 / (c.seed_ms**2 / c.seed_df + c.unit_ms**2 / (c.units - 1))
    return 2 * float(t.sf(abs(c.mean) / np.sqrt(square / table.size), df))


#: Tests of a table of differences (seeds, units) that the judge could have used: p-values.
RIVALS: dict[str, Callable[[np.ndarray], float]] = {
    "t test over units": lambda table: float(ttest_1samp(table.mean(axis=0), 0).pvalue),
    "t test over seeds": lambda table: float(ttest_1samp(table.mean(axis=1), 0).pvalue),
    "Satterthwaite": satterthwaite,
}


def rival_claims(test: Callable[[np.ndarray], float], world: World, studies: int, seed: int = 0) -> int:
    """As ``false_claims``, for two losses and another test in the judge's place."""
    found = 0
    for number in range(studies):
        first, second = world.scores(np.random.default_rng([seed, number]))
        found += test(first - second) <= 0.05
    return found


def _print_rivals(studies: int, seed: int) -> None:
    print(f"\nThe same of other tests, two losses, {studies} studies each\n")
    print(f"| equal losses | seeds | {' | '.join(RIVALS)} |\n" + "| --- " * (2 + len(RIVALS)) + "|")
    for name in ("same loss twice", "losses that suit other units", "seeds matter most"):
        for seeds in (2, 3, 5):
            world = replace(EQUAL[name], seeds=seeds)
            cells = [_percent(rival_claims(test, world, studies, seed), studies) for test in RIVALS.values()]
            print(f"| {name} | {seeds} | {' | '.join(cells)} |", flush=True)


def _percent(count: int, total: int) -> str:
    low, high = binomtest(count, total).proportion_ci()
    return f"{100 * count / total:.1f} ({100 * low:.1f}-{100 * high:.1f})"


def _print_false_claims(studies: int, seed: int) -> None:
    print(f"\nStudies with a false claim, in % (95 % interval), {studies} studies each\n")
    print("| equal losses | seeds | 2 losses | 6 losses |\n| --- | --- | --- | --- |")
    for name, world in EQUAL.items():
        for seeds in (2, 3, 5):
            cells = [
                _percent(false_claims(replace(world, losses=n, seeds=seeds), studies, seed), studies) for n in (2, 6)
            ]
            print(f"| {name} | {seeds} | {' | '.join(cells)} |", flush=True)


def _print_power(studies: int, seed: int) -> None:
    print(f"\nHow often a truly better loss is said to beat another, in % of pairs, {studies} studies each\n")
    print("| losses | seeds | units | mean gap in points | found | seeds asked for (median) |\n" + "| --- " * 6 + "|")
    for losses in (2, 6):
        for seeds, units in ((2, 400), (3, 400), (5, 100), (5, 400), (10, 400)):
            for gap in (0.1, 0.2, 0.4):
                world = World(losses=losses, seeds=seeds, units=units, gap=gap)
                points, found, asked = _found(verdicts(world, studies, seed))
                print(f"| {losses} | {seeds} | {units} | {points:.1f} | {found:.0f} | {asked} |", flush=True)


def _found(judged: Iterable[Verdict]) -> tuple[float, float, str]:
    """Of the pairs with the better loss: mean gap in points, % found, median of the seeds asked for."""
    pairs = [c for verdict in judged for c in verdict.comparisons if "loss-0" in (c.a, c.b)]
    gap = np.mean([c.difference if c.a == "loss-0" else -c.difference for c in pairs])
    found = np.mean([(c.a == "loss-0" and c.claim == "a") or (c.b == "loss-0" and c.claim == "b") for c in pairs])
    asked = [c.more_seeds for c in pairs if c.more_seeds]
    return 100 * gap, 100 * found, f"{np.median(asked):.0f}" if asked else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    _print_false_claims(options.studies, options.seed)
    _print_rivals(options.studies, options.seed)
    _print_power(max(options.studies // 5, 1), options.seed)


if __name__ == "__main__":
    main()
