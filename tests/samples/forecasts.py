"""Samples of the losses of ``losses/values/forecasts.py``."""

import torch
from torch import dtype

from lossary.testing import Call
from samples._shared import golden_in_order
from samples.types import Samples


def _edges_gaussian(dt: dtype) -> tuple[Call, ...]:
    x = torch.tensor([[0.0, 1.0], [1e4, -1e4]], dtype=dt)
    return (
        Call((x, torch.zeros_like(x), torch.ones_like(x))),
        Call((x, x.clone(), torch.zeros_like(x))),  # certain and right
        Call((x, torch.ones_like(x), torch.zeros_like(x))),  # certain and wrong
        Call((x, torch.zeros_like(x), torch.tensor([[1e-4, 0.025], [1e4, 1e-30]], dtype=dt))),  # 40 of them away
        Call((x[:0], x[:0].clone(), x[:0].clone())),
    )


def _edges_draws(dt: dtype) -> tuple[Call, ...]:
    x = torch.tensor([[0.0, 1.0, -1.0, 1e4], [2.0, 2.0, 2.0, 2.0]], dtype=dt)
    return (
        Call((x, torch.tensor([0.0, 2.0], dtype=dt))),  # one draw, and all of them, are the target
        Call((x, torch.tensor([3, -50], dtype=torch.int32))),
        Call((x[:, :1], torch.tensor([0.0, 1e4], dtype=dt))),  # one draw
        Call((x[:, :1], torch.tensor([0.0, 1e4], dtype=dt)), {"fair": True}),
        Call((x[:0], torch.zeros(0, dtype=dt))),
    )


SAMPLES: dict[str, Samples] = {
    "gaussian_crps_loss": Samples(golden={"gaussian_crps": golden_in_order}, edges=_edges_gaussian),
    "ensemble_crps_loss": Samples(
        golden={"ensemble_crps": golden_in_order}, edges=_edges_draws, variants=({}, {"fair": True})
    ),
}
