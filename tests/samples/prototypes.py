"""Samples of the losses of ``losses/identities/prototypes.py``."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, dtype

from lossary.testing import Call
from samples._shared import edges_head, golden_in_order
from samples.types import Samples


def _edges_utterances(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(4, dtype=dt)
    two = torch.tensor([0, 0, 1, 1])
    return (
        Call((torch.stack([axes[:2], -axes[:2]]),)),  # (S, U, D); cosine exactly -1
        Call((axes[[0, 0, 1, 1]] * 1e4, two)),  # exactly 1 within speakers
        Call((torch.cat([axes[:2], -axes[:2]]), torch.tensor([0, 1, 0, 1], dtype=torch.int32))),  # opposite: centroid 0
        Call((torch.ones(4, 2, dtype=dt), two)),  # identical: all speakers tie
        Call((torch.cat([axes[:3], axes.new_zeros(1, 4)]), two)),  # a zero vector
        Call((axes, torch.zeros(4, dtype=torch.int64))),  # one speaker
        Call((axes, torch.arange(4))),  # one utterance each
        Call((axes, two), {"ids": torch.zeros(4, dtype=torch.int64)}),  # no other speaker
        Call((axes[:0], two[:0])),  # empty
    )


def _golden_ge2e(kind: str, inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["embeddings"],), {**params, "w": inputs["w"], "b": inputs["b"], "kind": kind})


SAMPLES: dict[str, Samples] = {
    "proxy_anchor_loss": Samples(
        golden={"proxy_anchor": golden_in_order},
        edges=lambda dt: edges_head(dt)[:-1],  # one proxy a class
        variants=({}, {"scale": 8.0, "margin": 0.3}, {"scale": 1.0, "margin": 0.0}),
    ),
    "ge2e_loss": Samples(
        edges=_edges_utterances,
        variants=({}, {"w": 2.0, "kind": "contrast", "b": -0.5}, {"w": 3.0, "normalize": False}),
        golden={"ge2e_softmax": partial(_golden_ge2e, "softmax"), "ge2e_contrast": partial(_golden_ge2e, "contrast")},
    ),
}
