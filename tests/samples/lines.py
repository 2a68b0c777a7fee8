"""Samples of the losses of ``losses/masks/lines.py``."""

import torch

from samples._shared import edges_indices, edges_regions, golden_in_order
from samples.types import Samples

_WEIGHTS = torch.tensor([0.0, 1.0, 2.5])
_VARIANTS = ({}, {"iterations": 1, "smooth": 0.0}, {"iterations": 2, "class_weight": _WEIGHTS})


SAMPLES: dict[str, Samples] = {
    "cl_dice_loss": Samples(
        golden={"cl_dice": golden_in_order}, edges=edges_indices, variants=(*_VARIANTS, {"ignore_index": 1})
    ),
    "sigmoid_cl_dice_loss": Samples(
        golden={"sigmoid_cl_dice": golden_in_order}, edges=edges_regions, variants=_VARIANTS
    ),
}
