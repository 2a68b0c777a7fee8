"""One value per item. A test unit is a sample."""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from lossary.lab.tasks.measures import (
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
    predicted: Floats
    wanted: Floats
    weights: Floats | None  # with a mean of 1

    @classmethod
    def read(cls, predictions: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None) -> Self:
        predicted, wanted = np.asarray(predictions, np.float64), np.asarray(targets, np.float64)
        if predicted.ndim != 1:
            raise ValueError(f"predictions: wanted shape (samples,); got {predicted.shape}")
        check_length("targets", wanted, len(predicted))
        check_finite("predictions", predicted)
        check_finite("targets", wanted)
        return cls(predicted, wanted, weights_of(weights, len(predicted)))

    @property
    def error(self) -> Floats:
        return np.abs(self.predicted - self.wanted)


def _mae(given: _Answers) -> Units:
    return weighted_mean(given.error, given.weights)


def _rmse(given: _Answers) -> Units:
    """The slope of the square root is 1 / (2 RMSE)."""
    square = weighted_mean(given.error**2, given.weights).values
    rmse = np.sqrt(square.mean(axis=-1, keepdims=True))
    return Units.of(rmse + (square - rmse**2) / np.where(rmse > 0, 2 * rmse, 1))


def _median_ae(given: _Answers) -> Units:
    """Errors above the median raise it by 1 / (2 f), with f the density of errors there; those below lower it.

    All samples count alike, because no estimate is established for the density of weighted errors around their median.
    The density uses as many of the errors around the median as Hall and Sheather (1988) advise.
    """
    error = given.error
    median, half = np.median(error, axis=-1, keepdims=True), min(0.97 * error.shape[-1] ** (-1 / 3), 0.5)
    low, high = np.quantile(error, [0.5 - half, 0.5 + half], axis=-1, keepdims=True)
    side = np.sign(error - median)
    return Units.of(median + (side - side.mean(axis=-1, keepdims=True)) / 2 * (high - low) / (2 * half))


def _r2(given: _Answers) -> Units:
    """Relative to the mean of the targets, whose own error is of second order; if all are equal, 0 or, if met, 1."""
    counts = 1.0 if given.weights is None else given.weights
    mean = np.average(given.wanted, axis=-1, weights=given.weights, keepdims=True)
    around = counts * (given.wanted - mean) ** 2
    if not around.any():
        missed = (counts * given.error).any(axis=-1, keepdims=True)
        return Units.of(np.where(np.broadcast_to(missed, around.shape), 0.0, 1.0))
    return Units.of(1 - ratio(counts * given.error**2, around))


_PSEUDO_VALUES = {"mae": _mae, "rmse": _rmse, "median_ae": _median_ae, "r2": _r2}

MEASURES = Measures(
    task="regression",
    units="test samples",
    metrics=(
        Metric("mae", "MAE", False, False),
        Metric("rmse", "RMSE", False, False),
        Metric("median_ae", "Median absolute error", False, False),
        Metric("r2", "R²", True, False, least=-np.inf),
    ),
    read=_Answers.read,
    values=means(_PSEUDO_VALUES),
    pseudo_values=_PSEUDO_VALUES,
    alike=frozenset({"median_ae"}),
)
