"""Samples of the losses of ``losses/triplets/triplet.py``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, dtype

from lossary import Lp
from lossary.testing import Call
from samples.types import Samples


def _edges(dt: dtype) -> tuple[Call, ...]:
    line = torch.tensor([[0.0], [1.0], [2.0], [3.0]], dtype=dt)
    pairs = torch.tensor([0, 0, 1, 1])
    return (
        Call((line, torch.tensor([0, 1, 1, 0], dtype=torch.int32))),  # tied distances
        Call((torch.ones(4, 2, dtype=dt), pairs)),  # identical embeddings
        Call((line * 1e4, pairs)),
        Call((line, torch.zeros(4, dtype=torch.int64))),  # one class
        Call((line, torch.arange(4))),  # no positives
        Call((line, pairs), {"ids": torch.zeros(4, dtype=torch.int64)}),  # no negatives
        Call((line, torch.tensor([[1, 0], [1, 1], [0, 1], [0, 0]]))),  # several labels, and none
        Call((line, pairs), {"ref_embeddings": line[1:], "ref_labels": pairs[1:]}),
        Call((line, pairs), {"ref_embeddings": line[:0], "ref_labels": pairs[:0]}),  # an empty memory
        Call((line[:0], pairs[:0])),  # empty
    )


def _edges_triplets(dt: dtype) -> tuple[Call, ...]:
    one, two = torch.ones(3, 2, dtype=dt), torch.full((3, 2), 2.0, dtype=dt)
    return (
        Call((one, one.clone(), one.clone())),  # identical
        Call((one, one.clone(), two)),  # anchor = positive
        Call((one, two, one.clone())),
        Call((one * 1e4, -one * 1e4, two)),
        Call((one[:0], one[:0].clone(), two[:0])),  # empty
    )


def _golden_hard(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["embeddings"], inputs["labels"]), {**params, "mining": "hard"})


def _golden_all(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["embeddings"], inputs["labels"]), {**params, "mining": "all"})


def _golden_distance(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["embeddings"], inputs["labels"]), {**params, "mining": "all", "average": "all"})


def _golden_triplets(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["anchor"], inputs["positive"], inputs["negative"]), {**params, "eps": 0.0})


def _squared_distance(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).square().sum(-1)


def _golden_bpr(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["anchor"], inputs["positive"], inputs["negative"]), dict(params))


SAMPLES: dict[str, Samples] = {
    "bpr_loss": Samples(edges=_edges_triplets, variants=({}, {"l2_reg": 0.25}), golden={"bpr": _golden_bpr}),
    "triplet_loss": Samples(
        edges=_edges,
        variants=(
            {},
            {"margin": 0.5},
            {"margin": 2.0, "squared": True},
            {"margin": 0.5, "mining": "semihard"},
            {"margin": 0.7, "mining": "all"},
            {"margin": 2.0, "mining": "all", "average": "all", "squared": True},
            {"mining": "all"},
            {"margin": 0.3, "distance": "cosine"},
            {"margin": 0.3, "distance": "snr", "mining": "all"},
            {"margin": 0.7, "distance": Lp(3.0, 1.5), "mining": "semihard"},
        ),
        golden={
            "triplet_batch_hard": _golden_hard,
            "triplet_batch_all": _golden_all,
            "triplet_distance": _golden_distance,
        },
    ),
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
        variants=({}, {"margin": 0.3, "swap": True}, {"margin": 3.0, "distance_function": _squared_distance}),
    ),
}
