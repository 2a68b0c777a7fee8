"""Resplit: what several splits show about a difference that one split cannot: the effect of other training data.

The splits share most of their items, so their differences are not independent, and more splits alone never bring
certainty: the mean of k splits varies by (1 / k + n_test / n_train) s^2, not by s^2 / k (Nadeau and Bengio, 2003).
"""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t


class Resplit(NamedTuple):
    """The mean difference of two losses over k random splits, its standard error and the degrees of freedom of that.

    Example:
        >>> found = Resplit.of([0.02, 0.03, 0.01, 0.02], test=200, train=800)
        >>> round(found.mean, 3), round(found.error, 4), round(found.p_value, 4), round(found.p_within(0.04), 4)
        (0.02, 0.0058, 0.0405, 0.0203)
    """

    mean: float
    error: float
    df: int

    @classmethod
    def of(cls, differences: ArrayLike, *, test: int, train: int) -> Self:
        """From the difference in each split, over all its seeds; the error of a single split is NaN.

        Args:
            differences: (k,).
            test: Test items of a split, or groups if groups are drawn.
            train: Training items of a split, likewise.
        """
        found = np.asarray(differences, np.float64)
        splits = len(found)
        variance = float(found.var(ddof=1)) if splits > 1 else np.nan
        return cls(float(found.mean()), float(np.sqrt((1 / splits + test / train) * variance)), splits - 1)

    def half_width(self, level: float) -> float:
        """Of the interval with coverage 1 - level for other training and test data of this size."""
        return float(t.isf(level / 2, self.df)) * self.error

    @property
    def p_value(self) -> float:
        """For no difference; 1 if a single split shows nothing."""
        if np.isnan(self.error):
            return 1.0
        return 2 * float(t.sf(abs(self.mean) / self.error, self.df)) if self.error else float(self.mean == 0)

    def p_within(self, margin: float) -> float:
        """For a difference of the margin or more, in either direction: the larger of two one-sided tests."""
        if np.isnan(self.error):
            return 1.0
        reach = margin - abs(self.mean)
        return float(t.sf(reach / self.error, self.df)) if self.error else float(reach <= 0)
