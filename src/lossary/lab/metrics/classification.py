"""One of several classes that training has seen."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn import metrics as sk

from lossary.lab.metrics._measures import Bools, Floats, Measures, Metric, Scores, check_finite, check_length, plain


def _evaluate(probabilities: ArrayLike, labels: ArrayLike) -> Scores:
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
    p = p / total  # half and single precision miss 1 by more than scikit-learn lets pass
    right = p.argmax(axis=1) == labels
    metrics = {
        "accuracy": right.mean(),
        "log_loss": sk.log_loss(labels, p, labels=np.arange(p.shape[1])),
        "ece": _ece(p.max(axis=1), right),
    }
    return Scores(plain(metrics), right.astype(float).tolist(), len(right))


def _ece(confidence: Floats, right: Bools, bins: int = 15) -> float:
    """Expected calibration error (Guo et al., arXiv:1706.04599, eq. 5).

    The probability of the predicted class against accuracy in 15 equal bins, open below and closed above.
    """
    index = np.ceil(confidence * bins).astype(np.intp)
    gap = np.bincount(index, confidence - right, bins + 1)
    return float(np.abs(gap).sum() / len(right))


MEASURES = Measures(
    task="classification",
    units="test samples",
    metrics=(
        Metric("accuracy", "Accuracy", True, True),
        Metric("log_loss", "Log loss", False, False),
        Metric("ece", "ECE", False, True),
    ),
    evaluate=_evaluate,
)
