"""Samples of the losses of ``losses/values/counts.py``."""

import torch
from torch import Generator, dtype

from lossary.testing import Call
from lossary.testing.draws import labels as draw_labels
from lossary.testing.draws import normal
from samples._shared import golden_in_order
from samples.types import Samples


def _draw_amounts(g: Generator, dt: dtype) -> Call:
    # Halves: a little less than 0, where differences look, is no count.
    return Call((normal(g, dt, 6, 5), draw_labels(g, 7, 6, 5).to(dt) + 0.5))


def _draw_scattered(g: Generator, dt: dtype) -> Call:
    call = _draw_amounts(g, dt)
    return Call((*call.args, normal(g, torch.float64, 6, 5, scale=2.0).exp().to(dt)))


def _edges_amounts(dt: dtype) -> tuple[Call, ...]:
    x = torch.tensor([[0.0, 30.0, -30.0, 1.0]], dtype=dt)
    y = torch.tensor([[0.0, 1.0, 2.5, 100.0]], dtype=dt)
    return (
        Call((x, y)),
        Call((x, torch.zeros(1, 4, dtype=torch.int32))),  # nothing came
        Call((torch.tensor([-1e4, 0.0], dtype=dt), torch.tensor([0.0, 1e4], dtype=dt)), {"power": 1.0}),
        Call((x[:0], y[:0])),
    )


def _edges_scattered(dt: dtype) -> tuple[Call, ...]:
    x = torch.tensor([[0.0, 30.0, -1e4, 1.0]], dtype=dt)
    y = torch.tensor([[0.0, 1.0, 2.0, 100.0]], dtype=dt)
    return (
        Call((x, y, torch.zeros_like(x))),  # Poisson's
        Call((x, y, torch.full_like(x, 1e-6))),
        Call((x, y, torch.tensor([[0.1, 0.125, 1.0, 1e4]], dtype=dt))),  # where the two forms meet; all scatter
        Call((torch.tensor([1e4, -1e4], dtype=dt), torch.tensor([3.0, 0.0], dtype=dt), torch.ones(2, dtype=dt))),
        Call((x[:0], y[:0], x[:0].clone())),
    )


SAMPLES: dict[str, Samples] = {
    "tweedie_loss": Samples(
        golden={"tweedie": golden_in_order},
        draw=_draw_amounts,
        edges=_edges_amounts,
        variants=({}, {"power": 1.0}, {"power": 1.25}, {"power": 2.0}, {"power": 1.9}),
    ),
    "negative_binomial_nll_loss": Samples(
        golden={"negative_binomial": golden_in_order},
        draw=_draw_scattered,
        edges=_edges_scattered,
        variants=({}, {"full": True}),
    ),
}
