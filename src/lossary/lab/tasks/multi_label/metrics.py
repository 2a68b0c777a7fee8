"""Any number of labels per item: how well the items with a label are found, and how accurate the tags are.

Means over labels include only labels that a test item has, whatever is predicted. A test unit is a sample: its
contribution to a metric by its influence, as in yes-or-no tasks.
"""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from lossary.lab.tasks._precision import average_precision
from lossary.lab.tasks.measures import Bools, Floats, Measures, Metric, Units, check_finite, means, ratio


class _Answers(NamedTuple):
    """For each sample, the probability of each label that any sample has, and whether it has it: (..., N, labels)."""

    p: Floats
    true: Bools

    @classmethod
    def read(cls, probabilities: ArrayLike, labels: ArrayLike) -> Self:
        p, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
        if p.ndim != 2 or not p.size:
            raise ValueError(f"probabilities: wanted shape (samples, labels); got {p.shape}")
        if labels.shape != p.shape:
            raise ValueError(f"labels: wanted one a probability, shape {p.shape}; got {labels.shape}")
        check_finite("probabilities", p)
        if p.min() < 0 or p.max() > 1:
            raise ValueError(f"probabilities: wanted numbers in [0, 1]; got {p.min()} to {p.max()}")
        if not np.isin(labels, [0, 1]).all() or not labels.any():
            raise ValueError("labels: wanted 0 and 1, and at least one 1; got something else")
        there = labels.any(axis=0)
        return cls(p[:, there], labels[:, there] == 1)

    @property
    def said(self) -> Bools:
        return self.p > 0.5

    def units(self, values: Floats) -> Units:
        """Samples with a label are the draws for metrics of what is found."""
        return Units(values, np.asarray(self.true.any(axis=-1)))


def precisions(probabilities: ArrayLike, labels: ArrayLike) -> Floats:
    """(labels,) the average precision of each; NaN if no sample has the label.

    >>> precisions([[0.9, 0.1], [0.2, 0.3]], [[1, 0], [0, 0]])
    array([ 1., nan])
    """
    p, true = np.asarray(probabilities, np.float64), np.asarray(labels) == 1
    pairs = zip(p.T, true.T, strict=True)
    return np.array([average_precision(*pair).mean() if pair[1].any() else np.nan for pair in pairs])


def _mean_ap(given: _Answers) -> Units:
    pairs = zip(*(np.moveaxis(of, -1, 0) for of in (given.p, given.true)), strict=True)
    return given.units(np.mean([average_precision(p, true) for p, true in pairs], axis=0))


def _micro_f1(given: _Answers) -> Units:
    """Over all answers together."""
    right = 2.0 * (given.said & given.true).sum(axis=-1)
    return given.units(ratio(right, given.said.sum(axis=-1) + given.true.sum(axis=-1)))


def _macro_f1(given: _Answers) -> Units:
    found = ratio(2.0 * (given.said & given.true), 1.0 * given.said + given.true, axis=-2)
    return given.units(found.mean(axis=-1))


def _hamming(given: _Answers) -> Units:
    return Units.of((given.said != given.true).mean(axis=-1))


_PSEUDO_VALUES = {"mean_ap": _mean_ap, "micro_f1": _micro_f1, "macro_f1": _macro_f1, "hamming": _hamming}

MEASURES = Measures(
    task="several labels per item",
    units="test samples",
    metrics=(
        Metric("mean_ap", "Mean AP", True, True),
        Metric("micro_f1", "Micro F1", True, True),
        Metric("macro_f1", "Macro F1", True, True),
        Metric("hamming", "Hamming loss", False, True),
    ),
    read=_Answers.read,
    values=means(_PSEUDO_VALUES),
    pseudo_values=_PSEUDO_VALUES,
)
