"""Yes or no, where yes may be rare."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn import metrics as sk

from lossary.lab.metrics._measures import Bools, Floats, Measures, Metric, Scores, check_finite, check_length, plain


def _evaluate(probabilities: ArrayLike, labels: ArrayLike) -> Scores:
    p, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
    if p.ndim != 1:
        raise ValueError(f"probabilities: wanted shape (samples,); got {p.shape}")
    check_length("labels", labels, len(p))
    check_finite("probabilities", p)
    if p.min() < 0 or p.max() > 1:
        raise ValueError(f"probabilities: wanted numbers in [0, 1]; got {p.min()} to {p.max()}")
    if not np.array_equal(np.unique(labels), [0, 1]):
        raise ValueError(f"labels: wanted both 0 and 1; got {np.unique(labels).tolist()}")
    found = _precisions(p, labels == 1)
    metrics = {
        "average_precision": found.mean(),
        "roc_auc": sk.roc_auc_score(labels, p),
        "brier": sk.brier_score_loss(labels, p),
        "log_loss": sk.log_loss(labels, p),
    }
    return Scores(plain(metrics), found.tolist(), len(found))


def _precisions(scores: Floats, positive: Bools) -> Floats:
    """The precision of the threshold at each positive's own score, tied samples accepted together.

    Its mean is the average precision: each positive adds 1 / positives to the recall.
    """
    found, group = np.unique(scores, return_inverse=True)
    accepted, right = (
        np.bincount(group, weights, len(found))[::-1].cumsum()[::-1] for weights in (None, positive.astype(float))
    )
    return (right / accepted)[group[positive]]


MEASURES = Measures(
    task="yes or no",
    units="positive test samples",
    metrics=(
        Metric("average_precision", "Average precision", True, True),
        Metric("roc_auc", "ROC AUC", True, True),
        Metric("brier", "Brier score", False, False),
        Metric("log_loss", "Log loss", False, False),
    ),
    evaluate=_evaluate,
)
