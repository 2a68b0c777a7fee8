"""A value an item."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn import metrics as sk

from lossary.lab.metrics._measures import Measures, Metric, Scores, check_finite, check_length, plain


def _evaluate(predictions: ArrayLike, targets: ArrayLike) -> Scores:
    predicted, wanted = np.asarray(predictions, np.float64), np.asarray(targets, np.float64)
    if predicted.ndim != 1:
        raise ValueError(f"predictions: wanted shape (samples,); got {predicted.shape}")
    check_length("targets", wanted, len(predicted))
    check_finite("predictions", predicted)
    check_finite("targets", wanted)
    metrics = {
        "mae": sk.mean_absolute_error(wanted, predicted),
        "rmse": sk.root_mean_squared_error(wanted, predicted),
        "median_ae": sk.median_absolute_error(wanted, predicted),
    }
    return Scores(plain(metrics), np.abs(predicted - wanted).tolist(), len(wanted))


MEASURES = Measures(
    task="regression",
    units="test samples",
    metrics=(
        Metric("mae", "MAE", False, False),
        Metric("rmse", "RMSE", False, False),
        Metric("median_ae", "Median absolute error", False, False),
    ),
    evaluate=_evaluate,
)
