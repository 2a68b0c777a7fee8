"""Equivalence: which differences do not matter. That they are smaller than the margin is shown like any other claim.

Two losses are equal within a margin if two one-sided tests (Schuirmann, 1987) reject that the difference is at least
the margin, in either direction. Finding no difference is not enough: few seeds find none.
"""

from collections.abc import Sequence
from statistics import fmean

from lossary.lab.run.record import Record
from lossary.lab.tasks.measures import Metric

POINT = 0.01  # of a share; otherwise of what the constant baseline scores


def default_margin(metric: Metric, records: Sequence[Record]) -> float:
    """The default for the largest difference that does not matter, in the metric's own scale.

    One point if the metric is a share; otherwise 1 % of the best untrained baseline, such as the error of always
    predicting the mean; 1 % of the best run if there is none.

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
