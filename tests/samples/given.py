"""Samples of the losses of ``losses/triplets/given.py``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, dtype

from lossary.testing import Call
from samples.triplet import _squared_distance as squared_distance
from samples.types import Samples


def _edges_triplets(dt: dtype) -> tuple[Call, ...]:
    one, two = torch.ones(3, 2, dtype=dt), torch.full((3, 2), 2.0, dtype=dt)
    return (
        Call((one, one.clone(), one.clone())),  # identical
        Call((one, one.clone(), two)),  # anchor = positive
        Call((one, two, one.clone())),
        Call((one * 1e4, -one * 1e4, two)),
        Call((one[:0], one[:0].clone(), two[:0])),  # empty
    )


def _golden_triplets(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["anchor"], inputs["positive"], inputs["negative"]), {**params, "eps": 0.0})


def _golden_bpr(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["anchor"], inputs["positive"], inputs["negative"]), dict(params))


SAMPLES: dict[str, Samples] = {
    "bpr_loss": Samples(edges=_edges_triplets, variants=({}, {"l2_reg": 0.25}), golden={"bpr": _golden_bpr}),
    "triplet_margin_loss": Samples(
        edges=_edges_triplets,
        variants=(
            {},
            {"margin": 0.3, "eps": 0.0, "swap": True},
            {"margin": 3.0, "p": 1.0},
            {"margin": 5.0, "eps": 0.0, "squared": True},
        ),
        golden={"triplet": _golden_triplets},
    ),
    "triplet_margin_with_distance_loss": Samples(
        edges=_edges_triplets,
        variants=({}, {"margin": 0.3, "swap": True}, {"margin": 3.0, "distance_function": squared_distance}),
    ),
}
