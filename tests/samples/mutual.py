"""Samples of the losses of ``losses/views/mutual.py``."""

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
        Call((axes, axes.clone())),
        Call((axes, -axes)),
        Call((axes * torch.tensor([[0.0], [1e4], [1e-4]], dtype=dt), axes.flip(0))),
        Call((torch.ones(2, 2, dtype=dt), torch.ones(2, 2, dtype=dt))),  # identical embeddings
        Call((axes[:1], axes[:1].clone())),  # one item: nothing to tell it from
        Call((axes[:0], axes[:0].clone())),  # empty
    )


def _golden_views(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["z1"], inputs["z2"]), dict(params))


SAMPLES: dict[str, Samples] = {
    "nt_xent_loss": Samples(
        edges=_edges_views,
        variants=({}, {"temperature": 0.1}, {"temperature": 0.02}),
        golden={"nt_xent": _golden_views},
    ),
    "clip_loss": Samples(
        edges=edges_pairs,
        variants=({}, {"temperature": 1.0, "normalize": False}, {"temperature": 0.02}),
    ),
    "siglip_loss": Samples(
        edges=edges_pairs,
        variants=({}, {"scale": 2.0, "bias": -1.0, "normalize": False}, {"scale": 50.0, "bias": -20.0}),
    ),
}
