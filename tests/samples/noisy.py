"""Samples of the losses of ``losses/classes/noisy.py``."""

from samples._shared import CLASS_WEIGHT, edges_classes, golden_classes, golden_in_order
from samples.types import Samples

SAMPLES: dict[str, Samples] = {
    "generalized_cross_entropy_loss": Samples(
        golden={"generalized_cross_entropy": golden_in_order},
        edges=edges_classes,
        variants=({}, {"q": 0.1}, {"q": 1.0, "class_weight": CLASS_WEIGHT}),
    ),
    "symmetric_cross_entropy_loss": Samples(
        edges=edges_classes,
        variants=({}, {"alpha": 6.0, "beta": 0.1, "log_zero": -9.0}, {"alpha": 0.0, "class_weight": CLASS_WEIGHT}),
        golden={"symmetric_cross_entropy": golden_classes},
    ),
    "bi_tempered_logistic_loss": Samples(
        edges=edges_classes,
        variants=(
            {},
            {"t1": 0.0, "t2": 4.0},
            {"t1": 1.0, "t2": 1.0, "class_weight": CLASS_WEIGHT},
            {"t1": 0.5, "t2": 1.0},
        ),
        golden={"bi_tempered": golden_classes},
    ),
}
