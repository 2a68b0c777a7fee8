"""Samples of the losses of ``losses/answers/quality.py``."""

import torch
from torch import Generator, dtype

from lossary.testing import Call
from lossary.testing.draws import normal, uniform
from samples._shared import golden_pair
from samples.types import Samples


def _edges(dt: dtype) -> tuple[Call, ...]:
    z = torch.tensor([[1e4, -1e4, 0.0], [50.0, -50.0, 20.0]], dtype=dt)
    fits = torch.tensor([[0.5, 0.25, 0.5], [1.0, 0.0, 0.75]], dtype=dt)  # the third is met exactly
    return (
        Call((z, fits)),
        Call((z, torch.zeros(2, 3, dtype=torch.int32))),  # no object
        Call((z, torch.ones(2, 3, dtype=torch.bool))),  # each fits perfectly
        Call((z[:1, :1], fits[:1, :1])),
        Call((z[:0], fits[:0])),  # empty
    )


def _draw(g: Generator, dt: dtype) -> Call:
    """Every second candidate is none."""
    fits = uniform(g, torch.float64, 6, 5) * (torch.arange(30).view(6, 5) % 2)
    return Call((normal(g, dt, 6, 5, scale=3.0), fits.to(dt)))


def _draw_soft(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5, scale=3.0), uniform(g, dt, 6, 5)))


SAMPLES: dict[str, Samples] = {
    "quality_focal_loss": Samples(
        _edges, ({}, {"beta": 0.5}, {"beta": 1.0}, {"beta": 0.0}), {"quality_focal": golden_pair}, _draw_soft
    ),
    "varifocal_loss": Samples(
        _edges, ({}, {"alpha": 0.25, "gamma": 0.5}, {"gamma": 0.0}), {"varifocal": golden_pair}, _draw
    ),
}
