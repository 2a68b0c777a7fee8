"""Yes or no, where yes may be rare.

**Units.** A unit is a test sample, positive or negative: its contribution to a metric by its influence. For the area
under the ROC curve, these are DeLong's placements.
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
    weighted_mean,
    weights_of,
)


class _Answers(NamedTuple):
    """For each sample, the probability of yes and whether it is one."""

    p: Floats
    positive: Bools
    weights: Floats | None  # with a mean of 1

    @classmethod
    def read(cls, probabilities: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> Self:
        p, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
        if p.ndim != 1:
            raise ValueError(f"probabilities: wanted shape (samples,); got {p.shape}")
        check_length("labels", labels, len(p))
        check_finite("probabilities", p)
        if p.min() < 0 or p.max() > 1:
            raise ValueError(f"probabilities: wanted numbers in [0, 1]; got {p.min()} to {p.max()}")
        counted = weights_of(weights, len(p))
        there = np.unique(labels if counted is None else labels[counted > 0])
        if not np.array_equal(there, [0, 1]):
            raise ValueError(f"labels: wanted both 0 and 1; got {there.tolist()}")
        return cls(p, labels == 1, counted)

    @property
    def counts(self) -> Floats:
        """How much each sample counts."""
        return np.ones(self.p.shape) if self.weights is None else self.weights

    @property
    def positives(self) -> Bools:
        """Those that count."""
        return self.positive & (self.counts > 0)

    @property
    def rarer(self) -> Bools:
        negatives = ~self.positive & (self.counts > 0)
        return self.positives if self.positives.sum() <= negatives.sum() else negatives


def _average_precision(given: _Answers) -> Units:
    return Units(average_precision(given.p, given.positive, given.weights), given.positives)


def _roc_auc(given: _Answers) -> Units:
    place, right, wrong = tied(given.p, given.positive, given.weights)
    positives, negatives = right.sum(axis=-1, keepdims=True), wrong.sum(axis=-1, keepdims=True)
    below = (np.cumsum(wrong, axis=-1) - wrong / 2) / negatives
    above = 1 - (np.cumsum(right, axis=-1) - right / 2) / positives
    score = (right * below).sum(axis=-1, keepdims=True) / positives
    below, above = (np.take_along_axis(of, place, -1) for of in (below, above))
    placed = np.where(given.positive, below, above)
    share = np.where(given.positive, positives, negatives) / place.shape[-1]
    return Units(score + given.counts * (placed - score) / share, given.rarer)


def _f1(given: _Answers) -> Units:
    """Of yes, where it is the more probable answer."""
    said, counts = given.p > 0.5, given.counts
    above, below = 2 * counts * (said & given.positive), counts * (1.0 * said + given.positive)
    return Units(ratio(above, below), given.positives)


def _balanced_accuracy(given: _Answers) -> Units:
    right = (given.p > 0.5) == given.positive
    counts = given.counts
    found, rejected = (ratio(counts * (right & which), counts * which) for which in (given.positive, ~given.positive))
    return Units((found + rejected) / 2, given.rarer)


def _brier(given: _Answers) -> Units:
    return weighted_mean((given.p - given.positive) ** 2, given.weights)


def _log_loss(given: _Answers) -> Units:
    given_truth = np.where(given.positive, given.p, 1 - given.p)
    return weighted_mean(-np.log(given_truth.clip(np.finfo(np.float64).eps)), given.weights)


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
)
