"""Samples of the losses of ``losses/views/relational.py``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, dtype

from lossary.testing import Call
from samples.types import Samples


def _edges(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(4, dtype=dt)
    line = torch.arange(4, dtype=dt)[:, None].expand(-1, 2) - 1.5
    return (
        Call((axes, 2 * axes)),  # the same relations
        Call((axes, line)),
        Call((line, axes)),  # angles of 0 and 180 degrees
        Call((axes * torch.tensor([[0.0], [1e4], [1e-4], [1.0]], dtype=dt), axes)),
        Call((axes[[0, 0, 1, 2]], axes)),  # two of the student's in one place
        Call((axes, axes[[0, 0, 1, 2]])),  # two of the teacher's
        Call((torch.ones(4, 3, dtype=dt), axes)),  # all in one place
        Call((axes, torch.ones(4, 3, dtype=dt))),
        Call((axes, line), {"mask": torch.tensor([True, True, False, True])}),
        Call((axes, line), {"sample_weight": torch.tensor([1.0, 0.0, 1e-4, 0.0], dtype=dt)}),  # one pair, no triplet
        Call((axes[:2], line[:2])),
        Call((axes[:1], line[:1])),
        Call((axes[:0], line[:0])),  # empty
    )


def _golden(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["student"], inputs["teacher"]), params)


SAMPLES: dict[str, Samples] = {
    "rkd_distance_loss": Samples(edges=_edges, golden={"rkd_distance": _golden}),
    "rkd_angle_loss": Samples(edges=_edges, golden={"rkd_angle": _golden}),
}
