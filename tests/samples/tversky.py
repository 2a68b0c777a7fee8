"""Samples of the losses of ``losses/masks/tversky.py``."""

import torch

from samples._shared import edges_indices, edges_regions, golden_in_order
from samples.overlap import both_forms
from samples.types import Samples

_WEIGHTS = torch.tensor([0.0, 1.0, 2.5])
_FOCAL = (
    {},
    {"gamma": 1.0, "smooth": 0.0, "absent": "skip"},
    {"gamma": 0.5, "aggregate": "batch", "smooth": 1e-3, "ignore_index": 1},
    {"class_weight": _WEIGHTS, "alpha": 0.8, "beta": 0.1, "gamma": 3.0},
)


SAMPLES: dict[str, Samples] = {
    **both_forms("tversky", {"alpha": 0.8, "beta": 0.1, "ignore_index": 0}),
    "focal_tversky_loss": Samples(golden={"focal_tversky": golden_in_order}, edges=edges_indices, variants=_FOCAL),
    "sigmoid_focal_tversky_loss": Samples(
        golden={"sigmoid_focal_tversky": golden_in_order}, edges=edges_regions, variants=_FOCAL
    ),
}
