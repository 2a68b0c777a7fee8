"""Chances: how often each loss would have the best true mean, by joint draws. A description, not a claim."""

from collections.abc import Mapping, Sequence

import numpy as np

from lossary.lab.stats.two_way import PRIOR, Floats, loss_variances, moderated

_DRAWS = 4000


def chances(runs: Sequence[Mapping[int, Floats]], *, higher_is_better: bool) -> list[float]:
    """P(best) of each loss, from its scores of the test units by seed.

    The true means of all losses are drawn together around the means over their common seeds: other test units would
    move them jointly (normal, with the covariance of the units' means), and other seeds would move each one (t). NaN if
    the losses have fewer than 2 seeds in common.

    Example:
        >>> runs = [{seed: np.array([best, best + 0.1]) for seed in range(5)} for best in (0.2, 0.8)]
        >>> chances(runs, higher_is_better=True), chances(runs, higher_is_better=False)
        ([0.0, 1.0], [1.0, 0.0])
    """
    seeds = sorted(set.intersection(*(set(run) for run in runs))) if runs else []
    if len(seeds) < 2:
        return [float("nan")] * len(runs)
    scores = np.array([[run[seed] for seed in seeds] for run in runs])
    rng = np.random.default_rng(0)
    by_unit = scores.mean(axis=1)
    units = rng.multivariate_normal(
        by_unit.mean(axis=1), np.atleast_2d(np.cov(by_unit)) / by_unit.shape[1], _DRAWS, method="svd"
    )
    spread, df = _seed_spread(scores.mean(axis=2))
    drawn = units + np.sqrt(spread / len(seeds)) * rng.standard_t(df, units.shape)
    best = drawn.argmax(axis=1) if higher_is_better else drawn.argmin(axis=1)
    return [float(share) for share in np.bincount(best, minlength=len(runs)) / _DRAWS]


def _seed_spread(means: Floats) -> tuple[Floats, int]:
    """The variance over seeds of each loss, and its degrees of freedom; of two losses, half that of the difference."""
    losses, seeds = means.shape
    if losses > 2:
        return moderated(loss_variances(means), seeds - 1), PRIOR + seeds - 1
    differences = means[0] - means[-1]
    return np.full(losses, differences.var(ddof=1) / 2), seeds - 1
