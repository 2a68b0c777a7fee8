"""The judge over simulated studies: the same decisions from arrays of scores, without records or words.

Tests hold the two together (tests/lab/test_judge.py); the calibrations import it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossary.lab.stats.corrections import beats_all, holm, of_winner, pair_steps
from lossary.lab.stats.sequential import looks, shares, smallest
from lossary.lab.stats.two_way import PRIOR, TwoWay, loss_variances, moderated

Array = NDArray[Any]
LEVEL = 0.05


@dataclass(frozen=True)
class Found:
    """What a study of several losses claims of each pair (a, b)."""

    pairs: list[tuple[int, int]]
    better: Array  # 1 if a was shown to be better, -1 if b was, 0 if neither
    equal: Array  # shown to differ by less than the margin

    def of_first(self) -> Array:
        return np.array([0 in pair for pair in self.pairs])


def _drawn(own: Array, df: int) -> Array:
    return (PRIOR * np.median(own) + df * own) / (PRIOR + df)


#: Ways to estimate the spread over seeds of each loss, where there are 3 and more: from each loss's own variance and
#: its degrees of freedom to what is used and the degrees of freedom of that.
SPREADS: dict[str, Callable[[Array, int], tuple[Array, int]]] = {
    "the judge's": lambda own, df: (moderated(own, df), PRIOR + df),
    "its own": lambda own, df: (own, df),
    "pooled, if larger its own": lambda own, df: (np.maximum(own, own.mean()), df * (len(own) - 1)),
    "drawn to the median": lambda own, df: (_drawn(own, df), PRIOR + df),
}


class Study:
    """Scores (losses, seeds, units): all pairs are measured once, and any of the losses judged together.

    A pair's sum of squares comes from the products of the losses' scores, of all pairs at once.
    """

    def __init__(self, scores: Array, independent: int = 0) -> None:
        self.pairs = list(combinations(range(len(scores)), 2))
        a, b = np.array(self.pairs).T
        scores = scores - scores.mean(axis=(0, 1))  # what losses share is in no difference
        self.by_run = scores.mean(axis=2)
        product = np.matmul(scores.swapaxes(0, 1), scores.transpose(1, 2, 0))  # (seeds, losses, losses)
        squares = (product[:, a, a] + product[:, b, b] - 2 * product[:, a, b]).cumsum(axis=0)
        self.effects = {}
        for look in looks(scores.shape[1]):
            of_runs, of_units = self.by_run[:, :look], scores[:, :look].mean(axis=1)
            by_seed, by_unit = of_runs[a] - of_runs[b], of_units[a] - of_units[b]
            around = squares[look - 1] - by_seed.size / len(a) * by_unit.shape[1] * by_unit.mean(axis=1) ** 2
            self.effects[look] = TwoWay.of_means(by_seed, by_unit, around, independent)

    def judged(
        self, losses: Sequence[int], seeds: Sequence[int], margin: float, spread: str = "the judge's"
    ) -> dict[int, Found]:
        """What some of the losses are found to be, up to each number of seeds."""
        places = np.array([self.pairs.index(pair) for pair in combinations(losses, 2)])
        taken = looks(max(seeds))
        share = shares(taken)
        effects = [self._at(look, losses, places, spread) for look in taken]
        up = np.array([effect.mean > 0 for effect in effects]).reshape(len(taken), -1)
        p, within = np.ones((2, len(taken), len(places)))
        for look, effect in enumerate(effects):
            level = LEVEL * share[look]
            p[look] = _where_small(effect, np.abs(effect.mean), level, lambda e: e.p_value)
            within[look] = _where_small(effect, margin - np.abs(effect.mean), 2 * level, lambda e: e.p_within(margin))
        found = {}
        for n in seeds:
            so_far = len(looks(n))
            ahead, behind = (smallest(np.where(one, p, 1.0)[:so_far], share[:so_far]) for one in (up, ~up))
            found[n] = _claimed(len(losses), ahead, behind, smallest(within[:so_far], share[:so_far]))
        return found

    def _at(self, look: int, losses: Sequence[int], places: Array, spread: str) -> TwoWay:
        effects = _some(self.effects[look], places)
        if len(losses) < 3:
            return effects
        variances, df = SPREADS[spread](loss_variances(self.by_run[list(losses), :look]), look - 1)
        a, b = np.array(list(combinations(range(len(losses)), 2))).T
        return effects.with_seed_variance(variances[a] + variances[b], df, np.ones(len(a), bool))


def _some(effects: TwoWay, which: Array) -> TwoWay:
    return TwoWay(*(getattr(effects, field.name)[which] for field in fields(TwoWay)))


def _where_small(effects: TwoWay, reach: Array, level: float, p_of: Callable[[TwoWay], Array]) -> Array:
    """p-values where they are small enough for a claim, 1 elsewhere: most are not, and a quantile takes long."""
    small = effects.half_width(level) <= reach
    p = np.ones(len(reach))
    if small.any():
        p[small] = p_of(_some(effects, small))
    return p


def _claimed(losses: int, ahead: Array, behind: Array, within: Array) -> Found:
    """``ahead`` and ``behind`` are p-values of each pair."""
    pairs = list(combinations(range(losses), 2))
    first = ahead <= behind
    p = np.minimum(ahead, behind)
    adjusted, _ = holm(p, LEVEL, pair_steps(losses, len(p)))
    a, b = np.array(pairs).T
    of_best = of_winner(losses, np.where(first, a, b), np.where(first, b, a))
    if of_best.any():
        adjusted[of_best] = np.minimum(adjusted[of_best], beats_all(p[of_best], losses, LEVEL)[0])
    return Found(pairs, np.where(adjusted <= LEVEL, np.where(first, 1, -1), 0), holm(within, LEVEL)[0] <= LEVEL)


def judged(scores: Array, seeds: Sequence[int], margin: float, spread: str = "the judge's") -> dict[int, Found]:
    """One study, all of its losses."""
    return Study(scores).judged(range(len(scores)), seeds, margin, spread)
