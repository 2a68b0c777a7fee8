"""How often `lossary compare --splits` claims what is not so, of learners whose true scores are known to be equal.

    python scripts/calibrate_splits.py [--studies 2000] [--seed 0]

Of a data set of 300 items the target is a sum of features that say as much of it each, and noise; a learner is a line
through one of the features. All learners but the last are so equal over all data sets of this size. The last sees its
feature with less noise, by as much as makes its error smaller by exactly the margin (found from other data sets). A
study splits the data as the lab does, 60 to train and 25 to test of 100. docs/options.md quotes the output.
"""

import argparse
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from lossary.lab.stats.over_splits import Sizes, over_splits
from lossary.lab.stats.verdict import Standing, Verdict
from lossary.lab.tasks.measures import Metric

Floats = NDArray[np.float64]
ITEMS, TRAIN, TEST = 300, 180, 75
NOISE = 1.0  # of a feature as a learner sees it
CLEARER = 0.3  # of the last learner's
SPLITS = (3, 5, 10, 20)
LOSSES = (2, 4, 8)
PILOT = 4000
METRIC = Metric("mse", "MSE", False, False)


def scores(rng: np.random.Generator, losses: int, splits: int) -> Floats:
    """(losses, splits): mean squared errors; the last learner is the better one."""
    true = rng.standard_normal((ITEMS, losses))
    target = true.sum(axis=1) / np.sqrt(losses) + rng.standard_normal(ITEMS)
    noise = np.full(losses, NOISE)
    noise[-1] = CLEARER
    seen = true + noise * rng.standard_normal((ITEMS, losses))
    found = np.empty((losses, splits))
    for split in range(splits):
        order = rng.permutation(ITEMS)
        train, test = order[:TRAIN], order[TRAIN : TRAIN + TEST]
        slopes = (seen[train] * target[train, None]).sum(axis=0) / (seen[train] ** 2).sum(axis=0)
        found[:, split] = ((target[test, None] - slopes * seen[test]) ** 2).mean(axis=0)
    return found


def judged(found: Floats, margin: float) -> Verdict:
    names = [f"learner {number}" for number in range(len(found))]
    verdicts = [
        Verdict(
            METRIC,
            margin,
            tuple(
                Standing(name, "tuned", float(score), np.nan, np.nan, 3)
                for name, score in zip(names, split, strict=True)
            ),
            (),
            (),
            (),
            "",
            "",
            "",
            {},
            settled=True,
            next_look=None,
        )
        for split in found.T
    ]
    return over_splits(verdicts, Sizes(TRAIN, TEST))


def cell(losses: int, splits: int, studies: int, seed: int, margin: float) -> list[int]:
    """Studies that tell equal learners apart; that call the better one equal to any; pairs of it that are found."""
    differ = equal = beaten = 0
    for number in range(studies):
        found = scores(np.random.default_rng([seed, number, losses, splits]), losses + 1, splits)
        differ += any(c.claimed for c in judged(found[:-1], margin).comparisons)
        pairs = [c for c in judged(found[1:], margin).comparisons if f"learner {losses - 1}" in (c.a, c.b)]
        equal += any(c.status in ("equal", "better_within") for c in pairs)
        beaten += sum(c.claimed for c in pairs) / len(pairs)
    return [differ, equal, round(beaten)]


def percent(count: int, total: int) -> str:
    low, high = binomtest(count, total).proportion_ci()
    return f"{100 * count / total:.1f} ({100 * low:.1f}-{100 * high:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("| losses | splits | equal, told apart | at the margin, called equal | at the margin, found better |")
    print("| ---: " * 5 + "|")
    for losses, splits in product(LOSSES, SPLITS):
        pilot = [scores(np.random.default_rng([1, number, losses]), losses + 1, 1)[:, 0] for number in range(PILOT)]
        margin = float(np.mean([found[:-1].mean() - found[-1] for found in pilot]))
        counts = cell(losses, splits, options.studies, options.seed, margin)
        shares = " | ".join(percent(count, options.studies) for count in counts)
        print(f"| {losses} | {splits} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
