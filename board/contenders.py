"""What is compared in each task: ten losses a task on tables, under the names that the page and the questions use."""

from collections.abc import Sequence
from pathlib import Path

OWN = Path(__file__).with_name("losses.py")

#: The one that the others are counted against.
BASELINE = {
    "binary": "binary_cross_entropy_with_logits",
    "classification": "cross_entropy",
    "regression": "mse_loss",
}


def contenders(task: str, shares: Sequence[float]) -> tuple[str, ...]:
    """The entries of a task, as the lab reads losses.

    Args:
        shares: Of the training rows, by class; in regression none.
    """
    if task == "regression":
        return _REGRESSION
    rounded = tuple(round(share, 6) for share in shares)
    if task == "binary":
        no, yes = rounded
        return (
            *_BINARY,
            f"balanced_bce_loss=balanced_bce_loss(positive_weight={no / yes:.6g})",
            f"balanced_bce_loss(root)=balanced_bce_loss(positive_weight={(no / yes) ** 0.5:.6g})",
        )
    return (
        *_CLASSIFICATION,
        f"weighted cross_entropy={OWN}:WeightedCrossEntropy(shares={rounded})",
        f"logit-adjusted cross_entropy={OWN}:LogitAdjustedCrossEntropy(shares={rounded})",
    )


_BINARY = (
    "binary_cross_entropy_with_logits",
    "sigmoid_focal_loss",
    "sigmoid_focal_loss(gamma=1)",
    "sigmoid_focal_loss(alpha=0.25)",
    "sigmoid_poly_focal_loss",
    "hinge_loss",
    "squared_hinge_loss",
    f"brier={OWN}:brier",
)
_CLASSIFICATION = (
    "cross_entropy",
    "cross_entropy(label_smoothing=0.1)",
    "focal_loss",
    "poly_loss",
    "generalized_cross_entropy_loss",
    "multiclass_hinge_loss",
    "normalized_softmax_loss",
    "cosface_loss",
)
_REGRESSION = (
    "mse_loss",
    "l1_loss",
    "huber_loss",
    "huber_loss(delta=0.5)",
    "huber_loss(delta=1.345)",
    "huber_loss(delta=2)",
    "smooth_l1_loss(beta=0.1)",
    "log_cosh_loss",
    "mse_loss + l1_loss",
    f"cauchy={OWN}:cauchy",
)
