"""Samples of the losses of ``losses/views/decorrelation.py``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, dtype

from lossary.testing import Call
from samples.types import Samples


def _edges(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(3, dtype=dt)
    same = torch.ones(4, 2, dtype=dt)
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=dt)
    return (
        Call((axes, axes.clone())),
        Call((axes, -axes)),
        Call((axes * torch.tensor([[0.0], [1e2], [1e-2]], dtype=dt), axes.flip(0))),
        Call((signs, signs.clone())),  # decorrelated as it is
        Call((signs, signs.flip(1).clone())),  # the wrong features agree
        Call((same, same.clone())),  # collapsed
        Call((axes[:1], axes[:1].clone())),  # one item: nothing varies
        Call((torch.cat([axes, axes], 1), torch.cat([axes, -axes], 1))),  # half as many items as features
        Call((axes[:0], axes[:0].clone())),  # empty
    )


def _edges_alone(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(3, dtype=dt)
    return (
        Call((axes,)),  # all equally far
        Call((torch.cat([axes, -axes]),)),
        Call((axes * torch.tensor([[0.0], [1e4], [1e-4]], dtype=dt),)),  # a zero vector
        Call((torch.ones(4, 2, dtype=dt),)),  # all in one place
        Call((axes,), {"mask": torch.tensor([True, False, False])}),  # nobody beside it
        Call((axes[:1],)),
        Call((axes[:0],)),  # empty
    )


def _golden_alone(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["embeddings"],), params)


def _golden(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["z1"], inputs["z2"]), params)


SAMPLES: dict[str, Samples] = {
    "barlow_twins_loss": Samples(
        edges=_edges, variants=({}, {"off_diagonal": 0.5, "eps": 0.1}), golden={"barlow_twins": _golden}
    ),
    "koleo_loss": Samples(edges=_edges_alone, variants=({}, {"eps": 0.1}), golden={"koleo": _golden_alone}),
    "vicreg_loss": Samples(
        edges=_edges,
        variants=({}, {"invariance": 1.0, "variance": 0.5, "covariance": 4.0, "spread": 2.0, "eps": 0.01}),
        golden={"vicreg": _golden},
    ),
}
