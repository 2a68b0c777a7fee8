"""Samples of the losses of ``losses/tokens/rewards.py``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, dtype

from lossary.testing import Call
from samples.types import Samples


def _edges(dt: dtype) -> tuple[Call, ...]:
    w = torch.tensor([-2.0, -1e4, -1.0, -0.5, -1e-7], dtype=dt)
    l = torch.tensor([-2.0, -1.0, -1e4, -0.25, -3.0], dtype=dt)
    certain = torch.tensor([0.0, 0.0, -1.0, -1e-12], dtype=dt)
    return (
        Call((w, l)),  # equal; wrong and right by far; nearly certain of the better one
        Call((l, w)),
        Call((certain, certain.flip(0))),  # probabilities of exactly 1
        Call((certain, certain.clone())),
        Call((torch.full((3,), -0.6931472, dtype=dt), torch.tensor([-0.6931, -0.69315, -0.7], dtype=dt))),  # near log 2
        Call((w[:1], l[:1])),
        Call((w[:0], l[:0])),  # empty
    )


def _edges_rewards(dt: dtype) -> tuple[Call, ...]:
    w = torch.tensor([0.0, 1e4, -1e4, 3.0], dtype=dt)
    l = torch.tensor([0.0, -1e4, 1e4, 2.0], dtype=dt)
    return (
        Call((w, l)),
        Call((w, l), {"margins": torch.tensor([0.0, 1.0, 2.0, 1.0], dtype=dt)}),
        Call((w[:0], l[:0])),  # empty
    )


def _golden(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call(tuple(inputs.values())[:2], {**params, **{n: t for n, t in inputs.items() if n == "margins"}})


SAMPLES: dict[str, Samples] = {
    "cpo_loss": Samples(
        edges=_edges,
        variants=({}, {"beta": 0.5, "label_smoothing": 0.1, "nll_weight": 0.25}, {"nll_weight": 0.0}),
        golden={"cpo": _golden},
    ),
    "simpo_loss": Samples(
        edges=_edges,
        variants=({}, {"beta": 2.5, "gamma": 0.3, "label_smoothing": 0.1}),
        golden={"simpo": _golden},
    ),
    "orpo_loss": Samples(edges=_edges, variants=({}, {"beta": 0.5}), golden={"orpo": _golden}),
    "bradley_terry_loss": Samples(
        edges=_edges_rewards, variants=({}, {"center": 0.01}), golden={"bradley_terry": _golden}
    ),
}
