"""Samples of the losses of ``losses/masks/weighted.py``."""

import torch

from samples._shared import edges_indices, edges_regions, golden_in_order
from samples.types import Samples

_WEIGHTS = torch.tensor([0.0, 1.0, 2.5])
_GENERALIZED = (
    {},
    {"weighting": "simple", "smooth": 0.0},
    {"weighting": "uniform", "aggregate": "batch", "ignore_index": 1},
    {"class_weight": _WEIGHTS, "smooth": 1e-3, "aggregate": "batch"},
)
_FOCAL = (
    {},
    {"gamma": 1.0, "smooth": 0.0, "absent": "skip"},
    {"gamma": 0.5, "aggregate": "batch", "smooth": 1e-3, "ignore_index": 1},
    {"class_weight": _WEIGHTS, "alpha": 0.8, "beta": 0.1, "gamma": 3.0},
)


SAMPLES: dict[str, Samples] = {
    "generalized_dice_loss": Samples(
        golden={"generalized_dice": golden_in_order}, edges=edges_indices, variants=_GENERALIZED
    ),
    "sigmoid_generalized_dice_loss": Samples(
        golden={"sigmoid_generalized_dice": golden_in_order}, edges=edges_regions, variants=_GENERALIZED
    ),
    "focal_tversky_loss": Samples(golden={"focal_tversky": golden_in_order}, edges=edges_indices, variants=_FOCAL),
    "sigmoid_focal_tversky_loss": Samples(
        golden={"sigmoid_focal_tversky": golden_in_order}, edges=edges_regions, variants=_FOCAL
    ),
}
