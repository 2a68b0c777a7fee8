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

    def of(self, loss: int) -> Array:
        """Which pairs are with a loss."""
        return np.array([loss in pair for pair in self.pairs])


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
        effects = []
        for look in looks(scores.shape[1]):
            of_runs, of_units = self.by_run[:, :look], scores[:, :look].mean(axis=1)
            by_seed, by_unit = of_runs[a] - of_runs[b], of_units[a] - of_units[b]
            around = squares[look - 1] - look * by_unit.shape[1] * by_unit.mean(axis=1) ** 2
            effects.append(TwoWay.of_means(by_seed, by_unit, around, independent))
        self.effects = TwoWay(*(np.array([getattr(one, f.name) for one in effects]) for f in fields(TwoWay)))

    def judged(
        self, losses: Sequence[int], seeds: Sequence[int], margin: float, spread: str = "the judge's"
    ) -> dict[int, Found]:
        """What some of the losses are found to be, up to each number of seeds."""
        taken = looks(max(seeds))
        share = shares(taken)
        effects = self._of(losses, taken, spread)
        level, reach = LEVEL * share[:, None], np.abs(effects.mean)
        p = _where_small(effects, reach, level, lambda e: e.p_value)
        within = _where_small(effects, margin - reach, 2 * level, lambda e: e.p_within(margin))
        up = effects.mean > 0
        ahead, behind = np.where(up, p, 1.0), np.where(up, 1.0, p)
        found = {}
        for n in seeds:
            some = len(looks(n))
            least = (smallest(one[:some], share[:some]) for one in (ahead, behind, within))
            found[n] = _claimed(len(losses), *least)
        return found

    def _of(self, losses: Sequence[int], taken: Sequence[int], spread: str) -> TwoWay:
        """The differences of some losses, fields (looks, pairs)."""
        places = [self.pairs.index(pair) for pair in combinations(losses, 2)]
        effects = _some(self.effects, np.ix_(range(len(taken)), places))
        if len(losses) < 3:
            return effects
        a, b = np.array(list(combinations(range(len(losses)), 2))).T
        estimated = [SPREADS[spread](loss_variances(self.by_run[list(losses), :look]), look - 1) for look in taken]
        both = np.array([variances[a] + variances[b] for variances, _ in estimated])
        df = np.array([[df] for _, df in estimated])
        return effects.with_seed_variance(both, df, np.ones(both.shape, bool))


def _some(effects: TwoWay, which: Any) -> TwoWay:
    return TwoWay(*(getattr(effects, field.name)[which] for field in fields(TwoWay)))


def _where_small(effects: TwoWay, reach: Array, level: Array, p_of: Callable[[TwoWay], Array]) -> Array:
    """p-values where they are small enough for a claim, 1 elsewhere: most are not, and a quantile takes long."""
    small = effects.half_width(level) <= reach
    p = np.ones(reach.shape)
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
