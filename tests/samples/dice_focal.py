"""Samples of the losses of ``losses/masks/dice_focal.py``."""

import torch

from samples._shared import edges_indices, edges_regions
from samples.types import Samples

_WEIGHTS = torch.tensor([0.0, 1.0, 2.5])


SAMPLES: dict[str, Samples] = {
    "dice_focal_loss": Samples(
        edges=edges_indices,
        variants=(
            {},
            {"dice_weight": 0.25, "focal_weight": 2.0, "gamma": 0.5, "squared": True},
            {"include_background": False, "aggregate": "batch", "ignore_index": 1},
            {"class_weight": _WEIGHTS, "absent": "skip", "smooth": 0.0},
        ),
    ),
    "sigmoid_dice_focal_loss": Samples(
        edges=edges_regions,
        variants=(
            {},
            {"dice_weight": 0.25, "focal_weight": 2.0, "gamma": 0.5, "alpha": 0.25},
            {"aggregate": "batch", "ignore_index": 1},
            {"class_weight": _WEIGHTS, "absent": "skip", "smooth": 0.0},
        ),
    ),
}
