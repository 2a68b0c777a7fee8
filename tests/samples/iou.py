"""Samples of the losses of ``losses/boxes/iou.py``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, dtype

from lossary.testing import Call
from samples.types import Samples


def _edges(dt: dtype) -> tuple[Call, ...]:
    square, point, line = (0.0, 0.0, 2.0, 2.0), (1.0, 1.0, 1.0, 1.0), (0.0, 1.0, 2.0, 1.0)
    upright, corner, far = (1.0, 0.0, 1.0, 2.0), (2.0, 2.0, 3.0, 4.0), (1e3, -1e3, 1.5e3, 1e3)

    def boxes(*rows: tuple[float, ...]) -> Tensor:
        return torch.tensor(rows, dtype=dt)

    return (
        Call((boxes(square, corner), boxes(square, corner))),  # a perfect fit
        Call((boxes(square, corner, far), boxes(corner, far, square))),  # touching; far apart
        Call((boxes(point, point, square), boxes(point, square, point))),  # points
        Call((boxes(line, upright, line, point), boxes(line, line, upright, line))),  # lines
        Call((boxes((2.0, 2.0, 0.0, 0.0), (3.0, 0.0, 1.0, 1.0)), boxes(square, square))),  # corners the wrong way
        Call((boxes((0.0, 0.0, 0.0, 0.0), square), boxes((0.0, 0.0, 0.0, 0.0), square))),  # padding
        Call((boxes((1e-3, 0.0, 1e3, 1e-3), (0.0, 0.0, 1e-3, 1e3)), boxes(square, square))),  # very flat
        Call((boxes(square, point).view(1, 2, 4), torch.tensor([[[0, 0, 1, 2], [1, 1, 1, 1]]]))),  # integers
        Call((boxes(square), boxes(corner)), {"mask": torch.tensor([False])}),
        Call((boxes(square)[:0], boxes(corner)[:0])),  # empty
    )


def _edges_places(dt: dtype) -> tuple[Call, ...]:
    z = torch.tensor([[1e4, -1e4, 0.0], [50.0, 0.0, -50.0], [0.0, 0.0, 0.0]], dtype=dt)
    return (
        Call((z, torch.tensor([0.0, 1.0, 2.0], dtype=dt))),  # on bins, the first and the last too
        Call((z, torch.tensor([1.5, 1.75, 0.25], dtype=dt))),
        Call((z, torch.tensor([2, 2, 2]))),  # whole numbers
        Call((z[:, :2], torch.tensor([0.5, 1.0, 0.0], dtype=dt))),  # two bins
        Call((z[:0], torch.zeros(0, dtype=dt))),  # empty
    )


def _golden(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["input"], inputs["target"]), dict(params))


SAMPLES: dict[str, Samples] = {
    "iou_loss": Samples(
        _edges, ({}, {"mode": "log"}, {"mode": "log", "eps": 0.25}, {"mode": "square"}), {"iou": _golden}
    ),
    "generalized_iou_loss": Samples(_edges, golden={"generalized_iou": _golden}),
    "distance_iou_loss": Samples(_edges, golden={"distance_iou": _golden}),
    "complete_iou_loss": Samples(_edges, ({}, {"trade_off": "exact"}), {"complete_iou": _golden}),
    "distribution_focal_loss": Samples(_edges_places, golden={"distribution_focal": _golden}),
}
