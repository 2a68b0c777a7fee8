"""Samples of the losses of ``losses/classes/distillation.py``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, dtype

from lossary.testing import Call
from samples._shared import golden_pair
from samples.types import Samples


def _edges(dt: dtype) -> tuple[Call, ...]:
    z = torch.tensor([[1e4, 0.0, -1e4], [0.0, 0.0, 0.0], [50.0, -50.0, 0.0]], dtype=dt)
    impossible = torch.tensor([[0.0, -torch.inf, 0.0], [-torch.inf, 1.0, 0.0]], dtype=dt)
    return (
        Call((z, z.clone())),  # nothing to learn
        Call((z[:2], z[:2].flip(0))),  # one is certain, the other undecided
        Call((impossible, impossible.clone())),  # a class is impossible to both
        Call((z.repeat(2, 1, 1).movedim(-1, 1), z.repeat(2, 1, 1).movedim(-1, 1).clone())),
        Call((z[0], z[1])),  # no batch
        Call((z[:, :1], z[:, :1].clone())),  # one class
        Call((z[:0], z[:0].clone())),  # empty
    )


def _edges_labelled(dt: dtype) -> tuple[Call, ...]:
    by_class = ([0, 1, 2], [1, 2], [0, 1], [[0, 1, 2], [2, 1, 0]], 1, [0, 0, 0], [])
    found = (Call((*c.args, torch.tensor(y, dtype=torch.int64))) for c, y in zip(_edges(dt), by_class, strict=True))
    z = torch.tensor([[1e3, 0.0, -1e3], [0.0, 1.0, 2.0]], dtype=dt)
    return (*found, Call((z, z.flip(0), torch.tensor([2, -100]))), Call((z, z, torch.full((2,), -100))))


def _golden_labelled(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call(tuple(inputs.values()), dict(params))


SAMPLES: dict[str, Samples] = {
    "distillation_loss": Samples(
        edges=_edges,
        variants=({}, {"temperature": 0.5}, {"direction": "reverse", "temperature": 4.0}),
        golden={"distillation": golden_pair},
    ),
    "decoupled_distillation_loss": Samples(
        edges=_edges_labelled,
        variants=({}, {"temperature": 0.5, "alpha": 0.0}, {"beta": 0.5, "temperature": 1.0}),
        golden={"decoupled_distillation": _golden_labelled},
    ),
    "jensen_shannon_loss": Samples(
        edges=_edges,
        variants=({}, {"beta": 0.1, "temperature": 2.0}, {"beta": 0.99}),
        golden={"jensen_shannon": golden_pair},
    ),
}
