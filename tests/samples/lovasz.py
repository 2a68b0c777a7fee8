"""Samples of the losses of ``losses/masks/lovasz.py``."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import dtype

from lossary.testing import Call
from samples._shared import edges_indices, edges_regions
from samples.types import Samples


def _edges(placed: Callable[[dtype], tuple[Call, ...]], dt: dtype) -> tuple[Call, ...]:
    """The other overlap losses' placed batches, and one whose errors are tiny: 1 - p is 0 for them in float32."""
    sure = torch.tensor([[[20.0, 0.0, -25.0], [0.0, 30.0, -5.0], [-3.0, 0.0, 1.0]]], dtype=dt)
    first = placed(dt)[0].args[1]
    target = (sure == sure.amax(1, keepdim=True)) if first.dim() == 3 else torch.tensor([[0, 1, 2]])
    return (Call((sure, target)), *(Call(call.args) for call in placed(dt)))


_VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"classes": "all", "per_image": True},
    {"classes": "present", "per_image": False, "ignore_index": 0},
    {"class_weight": torch.tensor([0.0, 1.0, 2.5])},
)


SAMPLES: dict[str, Samples] = {
    "lovasz_softmax_loss": Samples(edges=partial(_edges, edges_indices), variants=_VARIANTS),
    "sigmoid_lovasz_loss": Samples(edges=partial(_edges, edges_regions), variants=_VARIANTS),
    "lovasz_hinge_loss": Samples(edges=partial(_edges, edges_regions), variants=_VARIANTS),
}
