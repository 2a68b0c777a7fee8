"""The judge over simulated studies: the same decisions from arrays of scores, without records or words.

Tests hold the two together (tests/lab/test_judge.py); the calibrations import it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lossary.lab.stats.corrections import BEST, pair_steps
from lossary.lab.stats.sequential import looks, shares
from lossary.lab.stats.two_way import PRIOR, TwoWay, loss_variances, moderated

Array = NDArray[Any]
LEVEL = 0.05


@dataclass(frozen=True)
class Found:
    """What a study of several losses, or each of many, claims of each pair (a, b): (..., pairs)."""

    pairs: list[tuple[int, int]]
    better: Array  # 1 if a was shown to be better, -1 if b was, 0 if neither
    equal: Array  # shown to differ by less than the margin

    def of(self, loss: int) -> Array:
        """Which pairs are with a loss."""
        return np.array([loss in pair for pair in self.pairs])


def _drawn(own: Array, df: Array) -> Array:
    return (PRIOR * np.median(own, axis=-1, keepdims=True) + df * own) / (PRIOR + df)


#: Ways to estimate the spread over seeds of each loss, where there are 3 and more: from each loss's own variance
#: (looks, losses) and its degrees of freedom (looks, 1) to what is used and the degrees of freedom of that.
SPREADS: dict[str, Callable[[Array, Array], tuple[Array, Array]]] = {
    "the judge's": lambda own, df: (moderated(own, df), PRIOR + df),
    "its own": lambda own, df: (own, df),
    "pooled, if larger its own": lambda own, df: (
        np.maximum(own, own.mean(axis=-1, keepdims=True)),
        df * (own.shape[-1] - 1),
    ),
    "drawn to the median": lambda own, df: (_drawn(own, df), PRIOR + df),
}


class Study:
    """Scores (..., losses, seeds, units): all pairs are measured once, and any of the losses judged together.

    The first axes are of studies that are judged at once. A pair's sum of squares comes from the products of the
    losses' scores, of all pairs at once.
    """

    def __init__(self, scores: Array, independent: ArrayLike = 0) -> None:
        _, seeds, units = scores.shape[-3:]
        self.pairs = list(combinations(range(scores.shape[-3]), 2))
        a, b = np.array(self.pairs).T
        scores = scores - scores.mean(axis=(-3, -2), keepdims=True)  # what losses share is in no difference
        self.by_run = scores.mean(axis=-1)
        by_seed = scores.swapaxes(-3, -2)
        product = np.matmul(by_seed, by_seed.swapaxes(-2, -1))  # (..., seeds, losses, losses)
        squares = (product[..., a, a] + product[..., b, b] - 2 * product[..., a, b]).cumsum(axis=-2)
        effects = []
        for look in looks(seeds):
            of_runs, of_units = self.by_run[..., :look], scores[..., :look, :].mean(axis=-2)
            of_runs, of_units = (of[..., a, :] - of[..., b, :] for of in (of_runs, of_units))
            around = squares[..., look - 1, :] - look * units * of_units.mean(axis=-1) ** 2
            effects.append(TwoWay.of_means(of_runs, of_units, around, np.asarray(independent)[..., None]))
        #: Fields (..., looks, pairs).
        self.effects = TwoWay(*(np.stack([getattr(one, f.name) for one in effects], -2) for f in fields(TwoWay)))

    def judged(
        self, losses: Sequence[int], seeds: Sequence[int], margin: ArrayLike, spread: str = "the judge's"
    ) -> dict[int, Found]:
        """What some of the losses are found to be, up to each number of seeds."""
        taken = looks(max(seeds))
        claims = _Claims(self._of(losses, taken, spread), shares(taken)[:, None], margin)
        ask = _Questions.of(len(losses))
        better = _holm(claims.differ, ask.steps)
        wins = (claims.differ(ask.best)[..., None, :] == ask.sides) | (ask.sides == 0)
        for best, side in enumerate(ask.sides):
            of_best = wins[..., best, :].all(axis=-1, keepdims=True) & (side != 0)
            better = np.where(of_best, side, better)
        equal = _holm(claims.within, range(len(ask.pairs), 0, -1))
        return {n: Found(ask.pairs, *(_after(len(looks(n)), one) for one in (better, equal))) for n in seeds}

    def _of(self, losses: Sequence[int], taken: Sequence[int], spread: str) -> TwoWay:
        """The differences of some losses."""
        places = [self.pairs.index(pair) for pair in combinations(losses, 2)]
        effects = TwoWay(*(getattr(self.effects, f.name)[..., : len(taken), places] for f in fields(TwoWay)))
        if len(losses) < 3:
            return effects
        by_run, df = self.by_run[..., list(losses), :], np.array(taken)[:, None] - 1
        own = np.stack([loss_variances(by_run[..., :look]) for look in taken], -2)
        variances, df = SPREADS[spread](own, df)
        both = variances @ np.abs(_Questions.of(len(losses)).sides)
        return replace(effects, seed_variance=both, seed_df=df)


def _after(looked: int, found: Array) -> Array:
    """Of what is found at each look (..., looks, pairs) that after so many."""
    return found[..., looked - 1, :] if looked else np.zeros_like(found[..., 0, :])


class _Claims:
    """Which pairs are shown to differ, and which to differ by less than the margin, at a part of the level.

    Only at the parts that a correction comes to: the p-values of the judge would take its intervals at thirty levels.
    """

    def __init__(self, effects: TwoWay, share: Array, margin: ArrayLike) -> None:
        self.effects, self.share, self.margin = effects, share, margin
        self.differ, self.within = cache(self._differ), cache(self._within)

    def _differ(self, part: float) -> Array:
        """(..., looks, pairs) 1 or -1 where a look until then shows a difference of that sign; else 0.

        That one shows the contrary of another is too rare to weigh the two.
        """
        mean = self.effects.mean
        shown = np.sign(mean) * self._narrow(LEVEL / part * self.share, np.abs(mean))
        up, down = np.maximum.accumulate(shown, axis=-2), np.minimum.accumulate(shown, axis=-2)
        return np.sign(2 * up + down).astype(int)

    def _within(self, part: float) -> Array:
        """(..., looks, pairs) where a look until then shows it: two one-sided tests."""
        reach = self.margin - np.abs(self.effects.mean)
        shown = (reach > 0) & self._narrow(2 * LEVEL / part * self.share, reach)
        return np.maximum.accumulate(shown, axis=-2)

    def _narrow(self, level: Array, reach: Array) -> Array:
        """Where half-widths are at most ``reach``.

        Most are far above it even with the quantile of the most degrees of freedom among all of them. Only the others'
        own are computed: quantiles are what takes time.
        """
        shortest = replace(self.effects, unit_df=self.effects.unit_df.max())
        found = shortest.half_width(level) <= reach * (1 + 1e-9)
        level, *few = (
            np.broadcast_to(one, found.shape)[found]
            for one in (level, *(getattr(self.effects, f.name) for f in fields(TwoWay)))
        )
        found[found] = TwoWay(*few).half_width(level) <= reach[found]
        return found


@dataclass(frozen=True)
class _Questions:
    """What is asked of so many losses."""

    pairs: list[tuple[int, int]]
    sides: Array  # (losses, pairs) 1 where a loss is the first of a pair, -1 where it is the second
    steps: Sequence[float]  # of Holm's test of all pairs
    best: float  # the part of the level for the best against all others

    @classmethod
    @cache
    def of(cls, losses: int) -> "_Questions":
        pairs = list(combinations(range(losses), 2))
        one = np.eye(losses, dtype=int)
        sides = np.array([one[a] - one[b] for a, b in pairs]).T
        return cls(pairs, sides, pair_steps(losses, len(pairs)).tolist(), 1 / BEST if losses > 2 else 1.0)


def _holm(shown: Callable[[float], Array], steps: Sequence[float]) -> Array:
    """Holm's test of what is ``shown`` (..., hypotheses) at a part of the level, asked for those that it comes to."""
    found = shown(steps[0]).copy()
    for count in range(1, len(steps)):
        so_far = np.count_nonzero(found, axis=-1) == count
        if so_far.any():
            found[so_far] = shown(steps[count])[so_far]
    return found


def judged(scores: Array, seeds: Sequence[int], margin: float, spread: str = "the judge's") -> dict[int, Found]:
    """All losses of one study, or of each of many."""
    return Study(scores).judged(range(scores.shape[-3]), seeds, margin, spread)
