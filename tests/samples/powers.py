"""Samples of the losses of ``losses/classes/powers.py``."""

from samples._shared import CLASS_WEIGHT, edges_classes, golden_classes
from samples.types import Samples

SAMPLES: dict[str, Samples] = {
    "poly_loss": Samples(
        edges=edges_classes,
        variants=({}, {"epsilon": -1.0}, {"epsilon": (2.0, -0.5, 0.25)}, {"class_weight": CLASS_WEIGHT}),
        golden={"poly1_ce": golden_classes},
    ),
    "poly_focal_loss": Samples(
        edges=edges_classes,
        variants=({}, {"gamma": 0.5, "epsilon": -0.5}, {"gamma": 5.0, "alpha": CLASS_WEIGHT}),
        golden={"poly1_focal": golden_classes},
    ),
}
