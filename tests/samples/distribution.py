"""Samples of the losses of ``losses/views/distribution.py``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, dtype

from lossary.testing import Call
from samples.types import Samples


def _edges_alone(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(3, dtype=dt)
    return (
        Call((axes,)),  # a feature each
        Call((-axes,)),
        Call((torch.cat([axes, -axes]),)),
        Call((axes * torch.tensor([[0.0], [1e4], [1e-4]], dtype=dt),)),
        Call((torch.zeros(4, 2, dtype=dt),)),  # nothing is used
        Call((torch.ones(4, 2, dtype=dt),)),  # all in one place
        Call((axes,), {"mask": torch.tensor([True, False, False])}),
        Call((axes[:1],)),
        Call((axes[:0],)),  # empty
    )


def _edges_directed(dt: dtype) -> tuple[Call, ...]:
    axes, ways = torch.eye(3, dtype=dt), torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 1.0], [0.0, 0.0, 0.0]], dtype=dt)
    return (
        Call((axes, axes.clone())),
        Call((axes, ways)),  # one direction has no length
        Call((axes * torch.tensor([[0.0], [1e4], [1e-4]], dtype=dt), ways)),  # far beyond any normal number
        Call((torch.zeros(4, 3, dtype=dt), ways)),  # collapsed
        Call((torch.cat([axes, -axes]), ways), {"mask": torch.arange(6) % 2 == 0}),
        Call((axes[:1], ways)),
        Call((axes[:0], ways)),  # empty
    )


def _edges_of_two(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(3, dtype=dt)
    return (
        Call((axes, axes.clone())),  # the same
        Call((axes, -axes)),
        Call((axes * torch.tensor([[0.0], [1e4], [1e-4]], dtype=dt), axes[:2])),
        Call((torch.ones(4, 3, dtype=dt), axes)),  # all in one place
        Call((torch.ones(4, 3, dtype=dt), torch.zeros(2, 3, dtype=dt))),
        Call((torch.cat([axes, -axes]), axes), {"mask": torch.arange(6) % 2 == 0}),
        Call((axes[:1], axes[1:2])),
        Call((axes[:0], axes)),  # empty
        Call((axes, axes[:0])),
    )


def _golden_of_two(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["embeddings"], inputs["other"]), params)


def _golden_directed(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["embeddings"], inputs["directions"]), params)


def _golden_alone(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["embeddings"],), params)


SAMPLES: dict[str, Samples] = {
    "flops_loss": Samples(edges=_edges_alone, golden={"flops": _golden_alone}),
    "sigreg_loss": Samples(
        edges=_edges_directed, variants=({}, {"knots": 5, "t_max": 1.5}), golden={"sigreg": _golden_directed}
    ),
    "mmd_loss": Samples(
        edges=_edges_of_two,
        variants=(
            {},
            {"bandwidth": 2.5},
            {"kernel": "laplacian", "bandwidth": 0.5},
            {"kernel": "energy"},
        ),
        golden={"mmd": _golden_of_two},
    ),
}
