"""Samples of the losses of ``losses/answers/asymmetric.py``."""

import math

import torch
from torch import dtype

from lossary.testing import Call
from samples._shared import golden_pair
from samples.binary import edges_logits
from samples.types import Samples


def _edges(dt: dtype) -> tuple[Call, ...]:
    at = torch.tensor([[math.log(0.05 / 0.95), math.log(0.2 / 0.8), -4.0, 4.0]], dtype=dt)
    return (
        *edges_logits(dt),
        Call((at, torch.zeros(1, 4, dtype=torch.bool))),  # at the thresholds, below and above
        Call((at, torch.ones(1, 4, dtype=torch.bool))),
    )


SAMPLES: dict[str, Samples] = {
    "asymmetric_loss": Samples(
        edges=_edges,
        variants=(
            {},
            {"gamma_positive": 1.0, "gamma_negative": 2.0, "margin": 0.2},
            {"gamma_positive": 0.5, "gamma_negative": 1.5, "margin": 0.0},
        ),
        golden={"asymmetric": golden_pair},
    ),
}
