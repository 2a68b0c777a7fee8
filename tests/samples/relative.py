"""Samples of the losses of ``losses/values/relative.py``."""

import torch
from torch import dtype

from lossary.testing import Call
from samples._shared import edges_values, golden_in_order
from samples.types import Samples


def _edges_amounts(dt: dtype) -> tuple[Call, ...]:
    many = torch.tensor([[1e6, 1e4, 0.0, 1.0]], dtype=dt)
    return (
        *edges_values(dt),  # of either sign, and beside a truth of 0
        Call((many, many * (1 + 2.0**-7))),  # near each other
        Call((many, -many)),
        Call((many * 1e-8, torch.zeros_like(many))),  # less than what is divided by
    )


SAMPLES: dict[str, Samples] = {
    "mape_loss": Samples(golden={"mape": golden_in_order}, edges=_edges_amounts, variants=({}, {"eps": 0.5})),
    "smape_loss": Samples(golden={"smape": golden_in_order}, edges=_edges_amounts, variants=({}, {"eps": 2.0})),
    "msle_loss": Samples(golden={"msle": golden_in_order}, edges=_edges_amounts),
}
