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

SAMPLES: dict[str, Samples] = {
    "generalized_dice_loss": Samples(
        golden={"generalized_dice": golden_in_order}, edges=edges_indices, variants=_GENERALIZED
    ),
    "sigmoid_generalized_dice_loss": Samples(
        golden={"sigmoid_generalized_dice": golden_in_order}, edges=edges_regions, variants=_GENERALIZED
    ),
}
