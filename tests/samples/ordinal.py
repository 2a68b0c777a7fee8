"""Samples of the losses of ``losses/classes/ordinal.py``."""

import torch
from torch import dtype

from lossary.testing import Call
from samples._shared import CLASS_WEIGHT, edges_classes, golden_in_order
from samples.types import Samples


def _edges_thresholds(dt: dtype) -> tuple[Call, ...]:
    z = torch.tensor([[1e4, -1e4], [50.0, 0.0], [-1e4, 1e4], [0.0, 0.0]], dtype=dt)
    return (
        Call((z, torch.tensor([1, 2, 0, 1], dtype=torch.int32))),  # certain and right; right; contradicting
        Call((z, torch.tensor([0, 0, 2, 2], dtype=torch.uint8))),
        Call((z[:, :1], torch.tensor([0, 1, 1, 0]))),  # one threshold
        Call((z[:, :0], torch.zeros(4, dtype=torch.int64))),  # one class
        Call((z[:0], torch.zeros(0, dtype=torch.int64))),
    )


def _edges_labels(dt: dtype) -> tuple[Call, ...]:
    """No soft targets."""
    return tuple(call for call in edges_classes(dt) if not call.args[1].is_floating_point())


SAMPLES: dict[str, Samples] = {
    "coral_loss": Samples(
        golden={"coral": golden_in_order},
        edges=_edges_thresholds,
        variants=({}, {"threshold_weight": torch.tensor([0.5, 2.0, 0.0, 1.0])}),
    ),
    "corn_loss": Samples(golden={"corn": golden_in_order}, edges=_edges_thresholds),
    "earth_mover_loss": Samples(
        golden={"earth_mover": golden_in_order},
        edges=_edges_labels,
        variants=({}, {"power": 1}, {"class_weight": CLASS_WEIGHT}),
    ),
}
