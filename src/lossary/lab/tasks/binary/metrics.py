"""Yes or no, where yes may be rare.

**Units.** A unit is a test sample, positive or negative: what it adds to a metric by its influence. For the area under
the ROC curve these are DeLong's placements.
"""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from lossary.lab.tasks._precision import average_precision, tied
from lossary.lab.tasks.measures import (
    Bools,
    Floats,
    Measures,
    Metric,
    Units,
    check_finite,
    check_length,
    means,
    ratio,
)


class _Answers(NamedTuple):
    """Of each sample the probability of yes, and whether it is one."""

    p: Floats
    positive: Bools

    @classmethod
    def read(cls, probabilities: ArrayLike, labels: ArrayLike) -> Self:
        p, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
        if p.ndim != 1:
            raise ValueError(f"probabilities: wanted shape (samples,); got {p.shape}")
        check_length("labels", labels, len(p))
        check_finite("probabilities", p)
        if p.min() < 0 or p.max() > 1:
            raise ValueError(f"probabilities: wanted numbers in [0, 1]; got {p.min()} to {p.max()}")
        if not np.array_equal(np.unique(labels), [0, 1]):
            raise ValueError(f"labels: wanted both 0 and 1; got {np.unique(labels).tolist()}")
        return cls(p, labels == 1)

    @property
    def rarer(self) -> Bools:
        return self.positive if 2 * self.positive.sum() <= len(self.positive) else ~self.positive


def _average_precision(given: _Answers) -> Units:
    return Units(average_precision(given.p, given.positive), given.positive)


def _roc_auc(given: _Answers) -> Units:
    place, right, wrong = tied(given.p, given.positive)
    below = (np.cumsum(wrong) - wrong / 2) / wrong.sum()
    above = 1 - (np.cumsum(right) - right / 2) / right.sum()
    score = (right * below).sum() / right.sum()
    placed = np.where(given.positive, below[place], above[place])
    share = np.where(given.positive, right.sum(), wrong.sum()) / len(place)
    return Units(score + (placed - score) / share, given.rarer)


def _f1(given: _Answers) -> Units:
    """Of yes where it is the more probable answer."""
    said = given.p > 0.5
    return Units(ratio(2.0 * (said & given.positive), 1.0 * said + given.positive), given.positive)


def _balanced_accuracy(given: _Answers) -> Units:
    right = (given.p > 0.5) == given.positive
    found, rejected = (ratio(1.0 * (right & which), 1.0 * which) for which in (given.positive, ~given.positive))
    return Units((found + rejected) / 2, given.rarer)


def _brier(given: _Answers) -> Units:
    return Units.of((given.p - given.positive) ** 2)


def _log_loss(given: _Answers) -> Units:
    given_truth = np.where(given.positive, given.p, 1 - given.p)
    return Units.of(-np.log(given_truth.clip(np.finfo(np.float64).eps)))


_PSEUDO_VALUES = {
    "average_precision": _average_precision,
    "roc_auc": _roc_auc,
    "brier": _brier,
    "log_loss": _log_loss,
    "f1": _f1,
    "balanced_accuracy": _balanced_accuracy,
}

MEASURES = Measures(
    task="yes or no",
    units="test samples",
    metrics=(
        Metric("average_precision", "Average precision", True, True),
        Metric("roc_auc", "ROC AUC", True, True),
        Metric("brier", "Brier score", False, False),
        Metric("log_loss", "Log loss", False, False),
        Metric("f1", "F1", True, True),
        Metric("balanced_accuracy", "Balanced accuracy", True, True),
    ),
    read=_Answers.read,
    values=means(_PSEUDO_VALUES),
    pseudo_values=_PSEUDO_VALUES,
    by_row=frozenset({"brier", "log_loss"}),
)
