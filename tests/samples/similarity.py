"""Samples of the losses of ``losses/identities/similarity.py``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, dtype

from lossary.testing import Call
from samples._shared import golden_in_order
from samples.types import Samples


def _edges(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(4, dtype=dt)
    two = torch.tensor([0, 0, 1, 1])
    return (
        Call((axes[[0, 0, 1, 1]] * 1e4, two)),  # cosine exactly 1 within classes
        Call((torch.cat([axes[:2], -axes[:2]]), torch.tensor([0, 1, 0, 1], dtype=torch.int32))),  # exactly -1
        Call((torch.ones(4, 2, dtype=dt), two)),  # identical embeddings
        Call((torch.cat([axes[:3], axes.new_zeros(1, 4)]), two)),  # a zero vector
        Call((axes, two), {"alpha": 1e4, "beta": 1e4}),  # all but a maximum
        Call((axes, two), {"alpha": 1e-3, "beta": 1e-3}),  # all but a mean
        Call((axes, torch.zeros(4, dtype=torch.int64))),  # no negatives
        Call((axes, torch.arange(4))),  # no positives
        Call((axes[:1], two[:1])),  # one item
        Call((axes, torch.tensor([[1, 0], [1, 1], [0, 1], [0, 0]]))),  # several labels, and none
        Call((axes, two), {"ref_embeddings": axes[1:] * 1e4, "ref_labels": two[1:]}),
        Call((axes, two), {"ref_embeddings": axes[:0], "ref_labels": two[:0]}),  # an empty memory
        Call((axes[:0], two[:0])),  # empty
    )


def edges_labelled(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(4, dtype=dt)
    two = torch.tensor([0, 0, 1, 1])
    return (
        Call((axes[[0, 0, 1, 1]] * 1e4, two)),  # cosine exactly 1 within classes
        Call((torch.cat([axes[:2], -axes[:2]]), torch.tensor([0, 1, 0, 1], dtype=torch.int32))),  # exactly -1
        Call((torch.ones(4, 2, dtype=dt), two)),  # identical embeddings
        Call((torch.cat([axes[:3], axes.new_zeros(1, 4)]), two)),  # a zero vector
        Call((axes, torch.zeros(4, dtype=torch.int64))),  # one class
        Call((axes, torch.arange(4))),  # no positives
        Call((axes, torch.tensor([[1, 0], [1, 1], [0, 1], [0, 0]]))),  # several labels, and none
        Call((axes, two), {"ref_embeddings": axes[1:] * 1e4, "ref_labels": two[1:]}),
        Call((axes, two), {"ref_embeddings": axes[:0], "ref_labels": two[:0]}),  # an empty memory
        Call((axes[:0], two[:0])),  # empty
    )


def _golden_labelled(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["embeddings"], inputs["labels"]), dict(params))


SAMPLES: dict[str, Samples] = {
    "circle_loss": Samples(
        golden={"circle": golden_in_order},
        edges=edges_labelled,
        variants=({}, {"scale": 8.0, "margin": 0.25}, {"scale": 1.0, "margin": -0.1}),
    ),
    "multi_similarity_loss": Samples(
        edges=_edges,
        variants=(
            {},
            {"alpha": 5.0, "beta": 10.0, "base": 0.2},
            {"alpha": 40.0, "beta": 2.0, "base": -0.1},
        ),
        golden={"multi_similarity": _golden_labelled},
    ),
    "supcon_loss": Samples(
        edges=edges_labelled,
        variants=({}, {"temperature": 1.0}, {"temperature": 0.02}),
        golden={"supcon": _golden_labelled},
    ),
}
