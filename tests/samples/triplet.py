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


def _golden_hard(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["embeddings"], inputs["labels"]), {**params, "mining": "hard"})


def _golden_all(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["embeddings"], inputs["labels"]), {**params, "mining": "all"})


def _golden_distance(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["embeddings"], inputs["labels"]), {**params, "mining": "all", "average": "all"})


# Modules that earlier releases have stored call it by this name.
def _squared_distance(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).square().sum(-1)


SAMPLES: dict[str, Samples] = {
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
}
