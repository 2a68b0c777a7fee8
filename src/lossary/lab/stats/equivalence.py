"""Equivalence: which differences do not matter. That they are smaller is shown like any other claim.

Two losses are equal within a margin where two one-sided tests (Schuirmann, 1987) reject that the difference is at least
the margin, either way. That no difference was found is not enough: few seeds find none.
"""

from collections.abc import Sequence
from statistics import fmean

from lossary.lab.run.record import Record
from lossary.lab.tasks.measures import Metric

POINT = 0.01  # of a share; elsewhere of what the constant baseline scores


def default_margin(metric: Metric, records: Sequence[Record]) -> float:
    """The largest difference that does not matter, in the metric's own scale, where nobody named one.

    One point where the metric is a share, else 1 % of the best baseline that has learned nothing, such as the error of
    always predicting the mean; 1 % of the best run where there is none.

    Example:
        >>> from lossary.lab.tasks.scoring import primary
        >>> default_margin(primary("classification"), [])
        0.01
    """
    if metric.percent:
        return POINT
    free = [r for r in records if r.role == "baseline" and not r.fitted]
    scores = [fmean(r.units) for r in free or records]
    best = max if metric.higher_is_better else min
    return POINT * abs(best(scores, default=0.0))
