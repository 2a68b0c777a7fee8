"""Samples of the losses of ``losses/classes/longtail.py``."""

import torch

from samples._shared import CLASS_WEIGHT, edges_classes, golden_classes
from samples.types import Samples

#: Samples of the 5 classes that are drawn.
COUNTS = torch.tensor([100, 20, 5, 1, 3])

SAMPLES: dict[str, Samples] = {
    "logit_adjusted_loss": Samples(
        edges=edges_classes,
        variants=(
            {},
            {"class_counts": COUNTS},
            {"class_counts": COUNTS / 129, "tau": 0.5, "class_weight": CLASS_WEIGHT},
        ),
        golden={"logit_adjusted": golden_classes},
    ),
    "ldam_loss": Samples(
        edges=edges_classes,
        variants=(
            {},
            {"class_counts": COUNTS, "scale": 1.0},
            {"max_margin": 0.25, "scale": 4.0, "class_weight": CLASS_WEIGHT},
        ),
        golden={"ldam": golden_classes},
    ),
}
