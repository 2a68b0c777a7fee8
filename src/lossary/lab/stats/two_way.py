"""Two-way tables: the mean of seeds by test units, and how far another draw of both could move it.

A score is modelled as mean + seed + unit + (seed x unit) effects, seeds and units both drawn at random. With
S seeds and U units, and the mean squares of the two-way analysis of variance,

    E seed_ms = v_res + U v_seed,   E unit_ms = v_res + S v_unit,   E residual_ms = v_res,
    Var(mean) = v_seed / S + v_unit / U + v_res / (S U).

A few seeds tell little about v_seed, so its share of the error is multiplied by the wide t quantile of a few
degrees of freedom, and the rest by that of the units. Adding the squared half-widths (after Banerjee, 1960) holds
the level at any ratio of the variances; a Satterthwaite quantile does not (measured: docs/decisions/0002).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

SMALLEST_P = 1e-12  # p-values below it say nothing more
PRIOR = 3  # each loss's spread counts as this many extra seeds of the median (measured, decision 2)
_CAUTION = 0.8  # quantiles are taken at this share of the level: scores are not normal (measured, decision 2)
_HALVINGS = 30  # of the interval of log p


@dataclass(frozen=True)
class TwoWay:
    """The means of some tables with the components of their errors; each field holds one number per table."""

    mean: Floats
    seeds: Floats
    units: Floats
    seed_variance: Floats  # of the mean of one seed: seed_ms / units
    seed_df: Floats
    unit_variance: Floats  # v_unit
    unit_df: Floats
    residual: Floats  # v_res

    @classmethod
    def of(cls, tables: Sequence[Floats], independent: int = 0) -> Self:
        """From tables of scores (seeds, units); with one seed only the mean is known.

        ``independent`` is the maximum number of independent draws behind the units; 0: as many as there are.
        """
        parts = [cls.of_means(*_means(table), independent) for table in tables]
        return cls(*(np.array([getattr(part, field.name)[0] for part in parts], np.float64) for field in fields(cls)))

    @classmethod
    def of_means(cls, by_seed: Floats, by_unit: Floats, squares: Floats, independent: ArrayLike = 0) -> Self:
        """From summaries of tables of one size: their means per seed and per unit, and the squares around the mean.

        Args:
            by_seed: (..., seeds).
            by_unit: (..., units).
            squares: (...) the sum of the squared differences between the scores and their mean.
            independent: As in ``of``, for all or for each.
        """
        *tables, seeds = by_seed.shape
        units = by_unit.shape[-1]
        mean = by_unit.mean(axis=-1)
        by_seed, by_unit = by_seed - mean[..., None], by_unit - mean[..., None]
        of_seeds, of_units = (by_seed**2).sum(axis=-1), (by_unit**2).sum(axis=-1)
        known = np.full(tables, 1.0 if seeds > 1 else np.nan)
        df = max(seeds - 1, 1)
        residual = np.maximum(squares - units * of_seeds - seeds * of_units, 0) / (df * (units - 1))
        unit_ms = seeds * of_units / (units - 1)
        return cls(
            mean=mean,
            seeds=np.full(tables, float(seeds)),
            units=np.full(tables, float(units)),
            seed_variance=known * of_seeds / df,
            seed_df=known * df,
            unit_variance=known * np.maximum(unit_ms - residual, 0) / max(seeds, 1),
            unit_df=known * np.clip(_unit_df(by_unit), 1, np.maximum(np.where(independent, independent, units) - 1, 1)),
            residual=known * residual,
        )

    def with_seed_variance(self, variance: Floats, df: ArrayLike, where: Bools) -> Self:
        """The same with another estimate of the spread over seeds in some tables."""
        return replace(
            self,
            seed_variance=np.where(where, variance, self.seed_variance),
            seed_df=np.where(where, df, self.seed_df),
        )

    def half_width(self, level: ArrayLike) -> Floats:
        """Of the intervals with coverage 1 - level. NaN for a single seed."""
        noise = self.residual / self.units
        seed_t, unit_t = _t(self.seed_df, level), _t(self.unit_df, level)
        seed_part = seed_t**2 * np.maximum(self.seed_variance - noise, 0)
        unit_part = unit_t**2 * (noise + self.seeds * self.unit_variance / self.units)
        # Never below the plain t interval of the seeds' means: it is exact if units do not differ.
        return np.sqrt(np.maximum(seed_part + unit_part, seed_t**2 * self.seed_variance) / self.seeds)

    @property
    def p_value(self) -> Floats:
        """The smallest level whose interval excludes 0; 1 with a single seed."""
        return self._level_of(np.abs(self.mean))

    def p_within(self, margin: float) -> Floats:
        """The same for two one-sided tests: that the mean is above -margin, and below margin."""
        return np.minimum(self._level_of(margin - np.abs(self.mean)) / 2, 1)

    def _level_of(self, reach: Floats) -> Floats:
        """The smallest level at which the half-width is at most ``reach``."""
        low, high = np.full_like(reach, np.log(SMALLEST_P)), np.zeros_like(reach)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            narrow = self.half_width(np.exp(middle)) <= reach
            low, high = np.where(narrow, low, middle), np.where(narrow, middle, high)
        return np.where(reach > 0, np.exp(high), 1.0)

    def with_endless_seeds(self, level: ArrayLike) -> Floats:
        """The half-width that no number of seeds can go below: what one test split leaves open."""
        return _t(self.unit_df, level) * np.sqrt(self.unit_variance / self.units)

    def seed_error(self, level: ArrayLike) -> Floats:
        """How far more seeds could move the mean, with the same units: a half-width."""
        return _t(self.seed_df, level) * np.sqrt(self.seed_variance / self.seeds)


def _means(table: Floats) -> tuple[Floats, Floats, Floats]:
    """The input of ``of_means``, for one table."""
    seeds, units = table.shape
    if units < 2:
        raise ValueError(f"table: wanted at least 2 test units; got {units}")
    if not seeds:
        return table.mean(axis=1)[None], np.full((1, units), np.nan), np.full(1, np.nan)
    return table.mean(axis=1)[None], table.mean(axis=0)[None], ((table - table.mean()) ** 2).sum(keepdims=True)[0]


def _unit_df(centred: Floats) -> Floats:
    """(...) the degrees of freedom of the variance of units (..., units), estimated from its own spread.

    With n_eff = (sum u^2)^2 / sum u^4, Var(s^2) / s^4 = 1 / n_eff - 1 / n = 2 / df: all units if they are normal, twice
    the number that differ if most are equal.
    """
    squares, units = centred**2, centred.shape[-1]
    kurtosis = np.divide(  # over the number of units: 1 / n_eff
        (squares**2).sum(axis=-1),
        squares.sum(axis=-1) ** 2,
        out=np.full(squares.shape[:-1], 1 / units),
        where=squares.any(axis=-1),
    )
    return 2 / np.maximum(kurtosis - 1 / units, 1 / units**2)


def _t(df: Floats, level: ArrayLike) -> Floats:
    return -stdtrit(df, _CAUTION * np.asarray(level) / 2)


def loss_variances(means: Floats) -> Floats:
    """The variance over seeds of each loss, from the means of losses x seeds: Grubbs' estimator (1948).

    An effect of the seed on all losses alike cancels: r is the table minus its row and column means, and E sum_s r_is^2
    / (S - 1) = (1 - 2/L) v_i + mean(v) / L.

    Args:
        means: (..., L, S), at least 3 losses and 2 seeds.

    Returns:
        (..., L), none below 0.

    Example:
        >>> loss_variances(np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])).round(9)
        array([0., 0., 4.])
    """
    losses, seeds = means.shape[-2:]
    rest = means - means.mean(axis=-1, keepdims=True)
    rest -= rest.mean(axis=-2, keepdims=True)
    squares = (rest**2).sum(axis=-1) / (seeds - 1)
    typical = squares.sum(axis=-1, keepdims=True) / (losses - 1)
    return np.maximum((squares - typical / losses) * losses / (losses - 2), 0)


def moderated(variances: Floats, df: float | Floats) -> Floats:
    """Variances (..., L) with ``df`` degrees of freedom each, shrunk toward their median, which counts as PRIOR more.

    Never below a loss's own: one that varies more than the others must not hide behind them.
    """
    typical = np.median(variances, axis=-1, keepdims=True)
    return np.maximum((PRIOR * typical + df * variances) / (PRIOR + df), variances)
