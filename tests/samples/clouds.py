"""Samples of the losses of ``losses/points/clouds.py``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, Tensor, dtype

from lossary.testing import Call
from lossary.testing.draws import normal
from samples.types import Samples


def _draw(g: Generator, dt: dtype) -> Call:
    """Clouds of unequal sizes, one of them empty."""
    sizes = {"input_mask": torch.tensor([5, 1, 3, 2, 5, 4]), "target_mask": torch.tensor([4, 4, 0, 1, 2, 3])}
    masks = {name: torch.arange(5 if name[0] == "i" else 4) < size[:, None] for name, size in sizes.items()}
    return Call((normal(g, dt, 6, 5, 3), normal(g, dt, 6, 4, 3)), masks)


def _edges(dt: dtype) -> tuple[Call, ...]:
    corners = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [[1e4, -1e4], [1e-4, 0.0], [0.5, 0.5]]], dtype=dt)
    nobody = torch.zeros(2, 3, dtype=torch.bool)
    first = torch.tensor([[True, False, False], [True, True, False]])
    return (
        Call((corners, corners.clone())),  # the same
        Call((corners, corners.flip(1))),  # in another order
        Call((corners, corners.flip(0))),
        Call((corners, torch.ones(2, 4, 2, dtype=dt) / 2)),  # all as near
        Call((corners, corners[:, :1])),
        Call((corners, corners.clone()), {"input_mask": first, "target_mask": ~first}),
        Call((corners, corners.clone()), {"target_mask": nobody}),
        Call((corners, corners.clone()), {"mask": torch.tensor([True, False])}),
        Call((corners, corners[:, :0])),  # no points
        Call((corners[:1, :, :1], corners[:1, :2, :1])),  # on a line
        Call((corners[:0], corners[:0])),  # empty
    )


def _golden(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["input"], inputs["target"]), params)


SAMPLES: dict[str, Samples] = {
    "chamfer_loss": Samples(edges=_edges, draw=_draw, variants=({}, {"squared": False}), golden={"chamfer": _golden}),
}
