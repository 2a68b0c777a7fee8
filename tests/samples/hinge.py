"""Samples of the losses of ``losses/classes/hinge.py``."""

import torch
from torch import dtype

from lossary.testing import Call
from samples._shared import CLASS_WEIGHT, golden_pair
from samples.types import Samples


def _edges_classes(dt: dtype) -> tuple[Call, ...]:
    z = torch.tensor([[10.0, 9.0, 9.0], [0.0, 0.0, 0.0], [1e4, -1e4, -torch.inf]], dtype=dt)
    return (
        Call((z, torch.tensor([0, 1, 1], dtype=torch.int32))),  # at the margin; ties; far off, an impossible class
        Call((z[:2, None].expand(2, 2, 3).movedim(-1, 1), torch.tensor([[0, 1], [-100, 2]]))),
        Call((z, torch.full((3,), -100))),
        Call((z[0], torch.tensor(2))),
        Call((z[:, :1].contiguous(), torch.zeros(3, dtype=torch.uint8))),
        Call((z[:0], torch.zeros(0, dtype=torch.int64))),
    )


def _edges_margins(dt: dtype) -> tuple[Call, ...]:
    z = torch.tensor([[10.0, 9.0, 9.0], [0.0, 0.0, 0.0], [1e4, -1e4, 0.0]], dtype=dt)
    return (
        Call((z, torch.tensor([0, 1, 1], dtype=torch.int32))),  # at the margin; ties; far off
        Call((z[0], torch.tensor(2))),
        Call((z[:0], torch.zeros(0, dtype=torch.int64))),
    )


SAMPLES: dict[str, Samples] = {
    "multiclass_hinge_loss": Samples(
        edges=_edges_classes,
        variants=(
            {},
            {"power": 2, "margin": 0.5},
            {"per_class_mean": True, "class_weight": CLASS_WEIGHT},
            {"include_target": True, "margin": 3.0},
        ),
        golden={"multiclass_svm": golden_pair},
    ),
    "crammer_singer_loss": Samples(
        edges=_edges_classes,
        variants=({}, {"margin": 0.5}, {"margin": 3.0, "class_weight": CLASS_WEIGHT}),
        golden={"crammer_singer": golden_pair},
    ),
    "multi_margin_loss": Samples(
        edges=_edges_margins,
        variants=({}, {"p": 2, "margin": 0.5}, {"weight": torch.tensor([0.5, 2.0, 1.0, 0.0, 3.0])}),
    ),
}
