"""Samples of the losses of ``losses/lifetimes/hazards.py``."""

import torch
from torch import dtype

from lossary.testing import Call
from samples._shared import golden_in_order
from samples.types import Samples


def _edges_risks(dt: dtype) -> tuple[Call, ...]:
    s = torch.tensor([0.0, 1e4, -1e4, 50.0], dtype=dt)
    times, all_seen = torch.tensor([1.0, 2.0, 2.0, 3.0], dtype=dt), torch.ones(4, dtype=torch.bool)
    return (
        Call((s, times, all_seen)),
        Call((s, times.flip(0), all_seen.to(dt))),
        Call((s, torch.zeros(4, dtype=torch.int32), all_seen.to(torch.uint8))),  # all tied
        Call((torch.zeros_like(s), torch.ones(4, dtype=torch.int64), all_seen)),  # and all alike
        Call((s, times, torch.tensor([0, 1, 0, 1]))),  # an event and a censored one of one time
        Call((s, times, ~all_seen)),  # no event
        Call((s[:1], times[:1], all_seen[:1])),  # nobody else
        Call((s[:0], times[:0], all_seen[:0])),
    )


def _edges_times(dt: dtype) -> tuple[Call, ...]:
    x, times = torch.tensor([0.0, 20.0, -4.0, 1.0], dtype=dt), torch.tensor([0.0, 1e4, 0.5, 1.0], dtype=dt)
    return (
        Call((x, times, torch.tensor([True, True, False, True]))),  # at once; late
        Call((x, times, torch.zeros(4, dtype=torch.int64))),
        Call((x, torch.tensor([3, 1, 2, 5], dtype=torch.int32), torch.ones(4, dtype=dt))),
        Call((x[:0], times[:0], torch.zeros(0, dtype=torch.bool))),
    )


def _edges_intervals(dt: dtype) -> tuple[Call, ...]:
    z = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4], [0.0, 0.0, 0.0]], dtype=dt)
    return (
        Call((z, torch.tensor([0, 1, 2], dtype=torch.int32), torch.tensor([1, 1, 0]))),  # certain and right
        Call((z, torch.tensor([1, 0, 0], dtype=torch.uint8), torch.tensor([True, False, True]))),
        Call((z[:, :1], torch.zeros(3, dtype=torch.int64), torch.tensor([1.0, 0.0, 1.0], dtype=dt))),  # one interval
        Call((z[:0], torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.bool))),
    )


SAMPLES: dict[str, Samples] = {
    "cox_ph_loss": Samples(golden={"cox": golden_in_order}, edges=_edges_risks, variants=({}, {"ties": "breslow"})),
    "weibull_nll_loss": Samples(
        golden={"weibull": golden_in_order}, edges=_edges_times, variants=({}, {"shape": 2.0}, {"shape": 0.5})
    ),
    "logistic_hazard_loss": Samples(golden={"logistic_hazard": golden_in_order}, edges=_edges_intervals),
}
