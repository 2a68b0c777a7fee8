"""One of several classes that training has seen. A test unit is a sample.

Metrics that are means over classes include only the classes with a test sample, whatever is predicted, so they cover
the same classes for every loss.
"""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from lossary.lab.tasks.measures import (
    Bools,
    Floats,
    Ints,
    Measures,
    Metric,
    Units,
    check_finite,
    check_length,
    counted,
    means,
    weighted_mean,
    weights_of,
)

BINS = 15  # in the confidence


class _Answers(NamedTuple):
    """For each sample, the probabilities of the classes and the true class."""

    p: Floats
    labels: Ints
    weights: Floats | None  # with a mean of 1

    @classmethod
    def read(cls, probabilities: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None) -> Self:
        p, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
        if p.ndim != 2:
            raise ValueError(f"probabilities: wanted shape (samples, classes); got {p.shape}")
        check_length("labels", labels, len(p))
        check_finite("probabilities", p)
        total = p.sum(axis=1, keepdims=True)
        if p.min() < 0 or np.abs(total - 1).max() > 1e-3:
            raise ValueError(
                f"probabilities: wanted rows of shares with sum 1; got sums from {total.min()} to {total.max()}"
            )
        if labels.min() < 0 or labels.max() >= p.shape[1]:
            raise IndexError(f"labels: wanted class indices in [0, {p.shape[1]}); got {labels.min()} to {labels.max()}")
        # half and single precision deviate from 1 by more than rounding
        return cls(p / total, labels.astype(np.intp), weights_of(weights, len(p)))

    @property
    def said(self) -> Ints:
        return self.p.argmax(axis=-1)

    @property
    def right(self) -> Bools:
        return self.said == self.labels

    @property
    def counts(self) -> Floats:
        """How much each sample counts."""
        return np.ones(self.labels.shape) if self.weights is None else self.weights

    def sizes(self, which: Ints, of: Bools | float = 1.0) -> Floats:
        """(..., classes) the total weight of samples in each class."""
        return counted(which, self.counts * of, self.p.shape[-1])


def _accuracy(given: _Answers) -> Units:
    return weighted_mean(given.right, given.weights)


def _balanced_accuracy(given: _Answers) -> Units:
    """The mean over classes of the share of samples that are found."""
    sizes = given.sizes(given.labels)
    there = sizes + (sizes == 0)
    share = given.sizes(given.labels, given.right) / there
    above = given.counts * (given.right - _each(share, given.labels)) / _each(there, given.labels)
    return _over_classes(sizes, share, above)


def _macro_f1(given: _Answers) -> Units:
    """The mean over classes of F1, a ratio of sums over samples: twice those found over those true or predicted."""
    said, sizes = given.said, given.sizes(given.labels)
    below = sizes + given.sizes(said)
    below += below == 0
    f1 = np.where(sizes > 0, 2 * given.sizes(given.labels, given.right) / below, 0)
    missed = (2 * given.right - _each(f1, given.labels)) / _each(below, given.labels)
    return _over_classes(sizes, f1, given.counts * (missed - _each(f1 / below, said)))


def _each(values: Floats, which: Ints) -> Floats:
    """For each sample (..., N), the value (..., classes) of its class or bin."""
    return np.take_along_axis(values, which, -1)


def _over_classes(sizes: Floats, scores: Floats, above: Floats) -> Units:
    """The mean score over existing classes, from (..., classes); ``above`` is each sample's contribution to them."""
    there = (sizes > 0).sum(axis=-1, keepdims=True)
    return Units.of(scores.sum(axis=-1, keepdims=True) / there + above.shape[-1] / there * above)


def _log_loss(given: _Answers) -> Units:
    given_truth = _each(given.p, given.labels[..., None])[..., 0]
    return weighted_mean(-np.log(given_truth.clip(np.finfo(np.float64).eps)), given.weights)


def _ece(given: _Answers) -> Units:
    """Expected calibration error (Guo et al., arXiv:1706.04599, eq. 5).

    The probability of the predicted class against accuracy in 15 equal bins, open below and closed above. A sample
    contributes its excess confidence if its bin is overconfident, and minus that if its bin is underconfident.
    """
    confidence = given.p.max(axis=-1)
    index = np.ceil(confidence * BINS).astype(np.intp)
    gap = confidence - given.right
    over = np.sign(counted(index, given.counts * gap, BINS + 1))
    return weighted_mean(_each(over, index) * gap, given.weights)


_PSEUDO_VALUES = {
    "accuracy": _accuracy,
    "log_loss": _log_loss,
    "ece": _ece,
    "balanced_accuracy": _balanced_accuracy,
    "macro_f1": _macro_f1,
}

MEASURES = Measures(
    task="classification",
    units="test samples",
    metrics=(
        Metric("accuracy", "Accuracy", True, True),
        Metric("log_loss", "Log loss", False, False),
        Metric("ece", "ECE", False, True),
        Metric("balanced_accuracy", "Balanced accuracy", True, True),
        Metric("macro_f1", "Macro F1", True, True),
    ),
    read=_Answers.read,
    values=means(_PSEUDO_VALUES),
    pseudo_values=_PSEUDO_VALUES,
)
