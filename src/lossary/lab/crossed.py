"""Crossed: the mean of a table of seeds by test units, and how far another draw of both could move it.

A score is modelled as mean + seed + unit + (seed x unit) effects, seeds and units both drawn at random. With
S seeds and U units, and the mean squares of the two-way analysis of variance,

    E seed_ms = v_res + U v_seed,   E unit_ms = v_res + S v_unit,   E residual_ms = v_res,
    Var(mean) = v_seed / S + v_unit / U + v_res / (S U).

A few seeds tell little about v_seed, so its share of the error is multiplied by the wide t quantile of a few
degrees of freedom, and the rest by that of U - 1. Adding the squared half-widths (after Banerjee, 1960) holds
the level at any ratio of the variances; a Satterthwaite quantile does not (measured: docs/decisions/0002).
"""

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import stdtrit

Floats = NDArray[np.float64]

SMALLEST_P = 1e-12  # below it p-values say nothing more
_CAUTION = 0.8  # quantiles are taken at this share of the level: scores are not normal (measured, decision 2)


@dataclass(frozen=True)
class Crossed:
    """The mean of a seeds x units table with its mean squares."""

    mean: float
    seeds: int
    units: int
    seed_ms: float
    unit_ms: float
    residual_ms: float
    seed_df: float  # degrees of freedom behind seed_ms

    @classmethod
    def of(cls, table: Floats) -> Self:
        """From scores (seeds, units); with one seed only the mean is known."""
        seeds, units = table.shape
        if units < 2:
            raise ValueError(f"table: wanted at least 2 test units; got {units}")
        mean = float(table.mean())
        if seeds < 2:
            return cls(mean, seeds, units, math.nan, math.nan, math.nan, 0)
        by_seed, by_unit = table.mean(axis=1) - mean, table.mean(axis=0) - mean
        residual = table - mean - by_seed[:, None] - by_unit
        return cls(
            mean,
            seeds,
            units,
            seed_ms=units * float(by_seed @ by_seed) / (seeds - 1),
            unit_ms=seeds * float(by_unit @ by_unit) / (units - 1),
            residual_ms=float((residual**2).sum()) / ((seeds - 1) * (units - 1)),
            seed_df=seeds - 1,
        )

    def half_width(self, level: float, seeds: int | None = None) -> float:
        """Of the interval of coverage 1 - level; with ``seeds``, as it would be expected after that many."""
        if self.seeds < 2:
            return math.nan
        seeds = seeds or self.seeds
        seed_t = _t(self.seed_df * (seeds - 1) / (self.seeds - 1), level)
        unit_t = _t(self.units - 1, level)
        seed_part = seed_t**2 * max(self.seed_ms - self.residual_ms, 0)
        unit_part = unit_t**2 * (self.residual_ms + seeds * self._unit_variance)
        # Never below the plain t interval of the seeds' means: it is exact where units do not differ.
        square = max(seed_part + unit_part, seed_t**2 * self.seed_ms)
        return math.sqrt(square / (seeds * self.units))

    @property
    def p_value(self) -> float:
        """The smallest level whose interval leaves 0 out; 1 with a single seed."""

        def reach(log_p: float) -> float:
            return self.half_width(math.exp(log_p)) - abs(self.mean)

        if self.seeds < 2 or self.mean == 0 or reach(0) >= 0:
            return 1.0
        if reach(math.log(SMALLEST_P)) <= 0:
            return SMALLEST_P
        return math.exp(float(brentq(reach, math.log(SMALLEST_P), 0.0)))  # pyright: ignore[reportArgumentType]

    def more_seeds(self, level: float, limit: int = 50) -> int | None:
        """Seeds to add before the interval may be expected to leave 0 out; None if ``limit`` are too few."""
        if self.seeds < 2:
            return None
        enough = (n for n in range(1, limit + 1) if self.half_width(level, self.seeds + n) < abs(self.mean))
        return next(enough, None)

    def units_too_few(self, level: float) -> bool:
        """Whether the interval would still hold 0 after any number of seeds."""
        return self.seeds > 1 and _t(self.units - 1, level) * math.sqrt(self._unit_variance / self.units) >= abs(
            self.mean
        )

    @property
    def _unit_variance(self) -> float:
        return max(self.unit_ms - self.residual_ms, 0) / self.seeds


def _t(df: float, level: float) -> float:
    return -float(stdtrit(df, _CAUTION * level / 2))


def pool_seeds(pairs: list[Crossed], losses: int) -> list[Crossed]:
    """The differences between all pairs of ``losses`` with what they together say of the spread over seeds.

    A pair's own mean square counts where it is the larger: a loss that varies more than the others must not
    hide behind them. The pooled one has (losses - 1)(seeds - 1) degrees of freedom: 2 / losses of the sum, as
    each loss is in losses - 1 pairs.
    """
    df = sum(pair.seed_df for pair in pairs)
    if df == 0:
        return pairs
    pooled = sum(pair.seed_df * pair.seed_ms for pair in pairs if pair.seeds > 1) / df

    def widened(pair: Crossed) -> Crossed:
        return replace(pair, seed_ms=max(pair.seed_ms, pooled), seed_df=max(pair.seed_df, 2 / losses * df))

    return [widened(pair) if pair.seeds > 1 else pair for pair in pairs]


def holm(p: Floats, level: float) -> tuple[Floats, Floats]:
    """Holm's adjusted p-values, and the level at which each hypothesis was tested in the end.

    The interval at that level leaves 0 out exactly where the adjusted p-value is at most ``level``.
    """
    order, steps = np.argsort(p), np.arange(len(p), 0, -1)
    kept = np.append(p[order] > level / steps, True)
    stop = int(np.argmax(kept))
    adjusted, tested = np.empty_like(p), np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps * p[order]), 1)
    tested[order] = level / np.maximum(steps, steps[min(stop, len(p) - 1)])
    return adjusted, tested


def hochberg(p: Floats, level: float) -> tuple[Floats, Floats]:
    """As ``holm``, from the largest p-value down: "all of them" costs no correction.

    Right for hypotheses that depend on one another positively, as comparisons with the same baseline do.
    """
    order, steps = np.argsort(p), np.arange(len(p), 0, -1)
    rejected = np.flatnonzero(p[order] <= level / steps)
    last = rejected[-1] if len(rejected) else 0
    adjusted, tested = np.empty_like(p), np.empty_like(p)
    adjusted[order] = np.minimum(np.minimum.accumulate((steps * p[order])[::-1])[::-1], 1)
    tested[order] = level / np.minimum(steps, steps[last])
    return adjusted, tested
