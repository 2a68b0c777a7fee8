"""Metrics: what a trained network scores on the test split, in all and a test unit.

Zero-shot metrics see only embeddings and labels: every item is compared by cosine with all others, never with
itself. Classification and regression metrics are scikit-learn's.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["zero-shot", "classification", "regression"]


@dataclass(frozen=True)
class Metric:
    """A metric as people read it; ``name`` is its key in ``Record.metrics``."""

    name: str
    label: str
    higher_is_better: bool
    percent: bool  # shown times 100; stored as a share


#: The metrics of each kind of task; the first is the primary one, which tuning maximises and the judge compares.
METRICS: dict[Kind, tuple[Metric, ...]] = {
    "zero-shot": (
        Metric("recall@1", "Recall@1", True, True),
        Metric("recall@5", "Recall@5", True, True),
        Metric("map@r", "MAP@R", True, True),
        Metric("eer", "EER", False, True),
        Metric("tar@far=1%", "TAR at FAR 1 %", True, True),
        Metric("tar@far=0.1%", "TAR at FAR 0.1 %", True, True),
        Metric("min_dcf", "minDCF", False, False),
    ),
    "classification": (
        Metric("accuracy", "Accuracy", True, True),
        Metric("log_loss", "Log loss", False, False),
        Metric("ece", "ECE", False, True),
    ),
    "regression": (
        Metric("mae", "MAE", False, False),
        Metric("rmse", "RMSE", False, False),
        Metric("median_ae", "Median absolute error", False, False),
    ),
}
PRIMARY: dict[Kind, Metric] = {kind: metrics[0] for kind, metrics in METRICS.items()}
