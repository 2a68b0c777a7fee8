"""Samples of the losses of ``losses/pairs/graded.py``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, dtype

from lossary.testing import Call
from samples.types import Samples


def _edges(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(4, dtype=dt)
    grades = torch.tensor([0.25, 1.0, 0.25, 0.0], dtype=dt)
    return (
        Call((axes, axes.clone(), grades)),  # cosine exactly 1: all tied
        Call((axes, -axes, grades.bool())),
        Call((axes, axes.roll(1, 0), torch.tensor([3, 1, 1, 2], dtype=torch.int8))),  # cosine exactly 0
        Call((axes * torch.tensor([[0.0], [1e4], [1e-4], [1.0]], dtype=dt), axes + 0.5, grades)),  # a zero vector
        Call((axes, axes + 1, grades), {"scale": 1e4}),  # all but a maximum
        Call((axes, axes + 1, grades), {"scale": 1e-4}),
        Call((axes, axes + 1, torch.ones(4, dtype=torch.uint8))),  # all as similar
        Call((axes, axes + 1, torch.arange(4))),  # no ties
        Call((axes, axes + 1, -torch.arange(4.0))),
        Call((axes[:1], axes[:1].clone(), grades[:1])),  # one pair
        Call((axes[:0], axes[:0].clone(), grades[:0])),  # empty
    )


def _golden(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["x1"], inputs["x2"], inputs["target"]), dict(params))


SAMPLES: dict[str, Samples] = {
    "cosent_loss": Samples(
        edges=_edges,
        variants=({}, {"scale": 2.0}, {"scale": 0.5, "similarity": "dot"}),
        golden={"cosent": _golden},
    ),
    "angle_loss": Samples(edges=_edges, variants=({}, {"scale": 1.5}), golden={"angle": _golden}),
}
