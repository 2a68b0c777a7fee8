"""Samples of the losses of ``losses/views/decoupled.py``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, dtype

from lossary.testing import Call
from samples._shared import edges_pairs
from samples.types import Samples


def _edges_views(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(3, dtype=dt)
    return (
        *edges_pairs(dt),
        Call((axes, -axes), {"temperature": 0.01}),
        Call((axes, axes.clone()), {"temperature": 0.01}),
    )


def _edges_labelled(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(4, dtype=dt)
    return (
        *_edges_views(dt),
        Call((axes, torch.tensor([0, 0, 1, 1], dtype=torch.uint8))),
        Call((axes, torch.zeros(4, dtype=torch.int64))),  # no negatives
        Call((axes, torch.arange(4))),  # no positives
        Call((axes, torch.tensor([0, 0, 1, 2]))),  # some without
    )


def _golden(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["z1"], inputs["z2"]), dict(params))


SAMPLES: dict[str, Samples] = {
    "dcl_loss": Samples(
        edges=_edges_labelled,
        variants=(
            {},
            {"temperature": 0.5, "weighting": "von_mises_fisher"},
            {"temperature": 1.0, "weighting": "von_mises_fisher", "sigma": 0.2, "gradient": "exact"},
        ),
        golden={"dcl": _golden},
    ),
    "hard_negative_contrastive_loss": Samples(
        edges=_edges_views,
        variants=(
            {},
            {"temperature": 0.1, "tau_plus": 0.02, "beta": 0.5},
            {"temperature": 1.0, "beta": 0.0},
            {"temperature": 0.3, "tau_plus": 0.0, "beta": 2.0},
        ),
        golden={"hcl": _golden},
    ),
}
