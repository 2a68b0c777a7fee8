"""Samples of the losses of ``losses/views/selfdistillation.py``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, Tensor, dtype

from lossary.testing import Call
from lossary.testing.draws import normal
from samples._shared import edges_pairs
from samples.types import Samples


def _crops(g: Generator, dt: dtype) -> Call:
    """Six items of four views and five prototypes; the teacher sees two views."""
    return Call((normal(g, dt, 6, 4, 5, scale=0.3), normal(g, dt, 6, 2, 5, scale=0.1)))


def _edges(dt: dtype) -> tuple[Call, ...]:
    z = torch.tensor([[1e3, 0.0, -1e3], [0.0, 0.0, 0.0], [5.0, -5.0, 0.0]], dtype=dt)
    crops = torch.stack([z, z.flip(0), z.flip(1)], 1)
    return (
        Call((z, z.clone())),  # certain and right; undecided
        Call((z, z.flip(1).clone())),  # certain and wrong
        Call((crops, crops[:, :2].clone())),
        Call((crops[:, :2], crops.clone())),  # the student sees fewer views
        Call((crops[:, 1:], crops[:, :1].clone())),  # one view of the teacher's
        Call((z[:1, :1], z[:1, :1].clone())),  # one prototype
        Call((z[:0], z[:0].clone())),  # empty
    )


def _edges_together(dt: dtype) -> tuple[Call, ...]:
    same = torch.zeros(3, 2, 4, dtype=dt)
    return (*_edges(dt), Call((same, same.clone())))  # all alike: assigned evenly


def _golden_together(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["student"], inputs["teacher"]), {**params, "hold_teacher": False})


def _golden(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    center = torch.tensor(params["center"], dtype=inputs["student"].dtype)
    return Call((inputs["student"], inputs["teacher"]), {**params, "center": center, "hold_teacher": False})


def _golden_cosine(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["z1"], inputs["z2"]), {"hold_projection": False})


SAMPLES: dict[str, Samples] = {
    "dino_loss": Samples(
        edges=_edges,
        draw=_crops,
        variants=(
            {},
            {"center": torch.linspace(-0.3, 0.4, 5), "teacher_temperature": 0.07},
            {"student_temperature": 1.0, "teacher_temperature": 0.5},
        ),
        golden={"dino": _golden},
    ),
    "swav_loss": Samples(
        edges=_edges_together,
        draw=_crops,
        variants=({}, {"temperature": 0.5, "epsilon": 0.2, "iterations": 1}, {"iterations": 10}),
        golden={"swav": _golden_together},
    ),
    "negative_cosine_loss": Samples(
        edges=lambda dt: tuple(Call(call.args) for call in edges_pairs(dt)), golden={"negative_cosine": _golden_cosine}
    ),
}
