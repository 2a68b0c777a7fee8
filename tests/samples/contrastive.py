"""Samples of the losses of ``losses/pairs/contrastive.py``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, Tensor, dtype

from lossary.testing import Call
from lossary.testing.draws import normal, signs
from samples.types import Samples


def _edges_distances(dt: dtype) -> tuple[Call, ...]:
    d = torch.tensor([0.0, 1.0, 1e4, 0.5], dtype=dt)
    return (
        Call((d, torch.tensor([-1, -1, -1, 1], dtype=torch.int8))),  # the second: at the margin
        Call((d, torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=dt))),
        Call((d[:0], torch.zeros(0, dtype=torch.bool))),
    )


def _draw_signs(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5), normal(g, dt, 6, 5), signs(g, 6)))


def _edges_cosines(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(3, dtype=dt)
    same = torch.tensor([1, -1, 1], dtype=torch.int8)
    return (
        Call((axes, axes.clone(), same)),  # cosine exactly 1
        Call((axes, -axes, same)),
        Call((axes * 0, axes.clone(), same)),  # zero vectors
        Call((axes * 1e4, axes.flip(0), same)),
        Call((axes[0], axes[1].clone(), torch.tensor(1))),
        Call((axes[:0], axes[:0].clone(), same[:0])),
    )


def _draw_pairs(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 3, scale=0.3), normal(g, dt, 6, 3, scale=0.3), torch.tensor([1, 0, 1, 1, 0, 0])))


def _edges_pairs(dt: dtype) -> tuple[Call, ...]:
    zero, axis = torch.zeros(2, 2, dtype=dt), torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=dt)
    return (
        Call((zero, zero.clone(), torch.tensor([1, 0]))),  # distance 0
        Call((zero, axis, torch.tensor([True, False]))),  # a distance of exactly the default margin
        Call((zero, axis * 1e4, torch.tensor([1.0, 0.0]))),
        Call((axis[:0], axis[:0].clone(), torch.zeros(0))),  # empty
        Call((torch.cat([axis, axis]), torch.tensor([0, 1, 0, 0]))),  # labels, with duplicates
        Call((axis[:1], torch.tensor([0]))),  # one item: no pair
        Call((torch.cat([axis, zero]), torch.tensor([[1, 0], [1, 1], [0, 1], [0, 0]]))),  # several labels, and none
        Call((axis, torch.tensor([0, 1])), {"ref_embeddings": zero, "ref_labels": torch.tensor([0, 0])}),
    )


def _golden_pairs(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["x1"], inputs["x2"], inputs["target"]), dict(params))


SAMPLES: dict[str, Samples] = {
    "hinge_embedding_loss": Samples(edges=_edges_distances, variants=({}, {"margin": 0.25}, {"margin": 3.0})),
    "cosine_embedding_loss": Samples(
        draw=_draw_signs, edges=_edges_cosines, variants=({}, {"margin": 0.3}, {"margin": -0.5})
    ),
    "contrastive_loss": Samples(
        draw=_draw_pairs,
        edges=_edges_pairs,
        variants=({}, {"margin": 2.0, "factor": 1.0}, {"margin": 0.5, "similar_label": 0}, {"distance": "cosine"}),
        golden={"contrastive": _golden_pairs},
    ),
}
