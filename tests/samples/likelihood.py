"""Samples of the losses of ``losses/values/likelihood.py``."""

import torch
from torch import Generator, dtype

from lossary.testing import Call
from lossary.testing.draws import labels as draw_labels
from lossary.testing.draws import normal
from samples._shared import golden_in_order
from samples.types import Samples


def _draw_counts(g: Generator, dt: dtype) -> Call:
    # Halves: Stirling's approximation jumps in at a count of 1.
    return Call((normal(g, dt, 6, 5), draw_labels(g, 7, 6, 5).to(dt) + 0.5))


def _edges_counts(dt: dtype) -> tuple[Call, ...]:
    x = torch.tensor([[0.0, 30.0, -1e4, 1.0]], dtype=dt)
    counts = torch.tensor([[0.0, 1.0, 2.0, 100.0]], dtype=dt)
    return (
        Call((x, counts), {"log_input": True}),
        Call((x.abs(), counts), {"log_input": False}),  # a rate of 0
        Call((x[:0], torch.zeros(0, 4, dtype=torch.int64))),
    )


def _edges_noisy(dt: dtype) -> tuple[Call, ...]:
    x = torch.tensor([[0.0, 1.0], [1e4, -1e4]], dtype=dt)
    return (
        Call((x, torch.zeros_like(x), torch.ones_like(x))),
        Call((x, x.clone(), torch.zeros_like(x))),  # certain and right
        Call((x, torch.zeros_like(x), torch.tensor([0.0, 1e4], dtype=dt))),  # one variance a row
        Call((x[:0], x[:0].clone(), x[:0].clone())),
    )


def _edges_codes(dt: dtype) -> tuple[Call, ...]:
    x = torch.tensor([[0.0, 1.0], [1e4, -1e-4]], dtype=dt)
    return (
        Call((x * 0, x * 0)),  # the standard normal distribution itself
        Call((x, torch.tensor([[-1e4, 0.5], [80.0, 1e-4]], dtype=dt))),  # no variance; where the series ends; nearly 1
        Call((x[0], x[1].clamp(-1, 1))),  # codes of one component
        Call((x[:, :0], x[:, :0].clone())),
        Call((x[:0], x[:0].clone())),
    )


SAMPLES: dict[str, Samples] = {
    "poisson_nll_loss": Samples(draw=_draw_counts, edges=_edges_counts, variants=({}, {"full": True}, {"eps": 1e-4})),
    "kl_gaussian_loss": Samples(golden={"kl_gaussian": golden_in_order}, edges=_edges_codes),
    "gaussian_nll_loss": Samples(edges=_edges_noisy, variants=({}, {"full": True, "eps": 0.01})),
}
