"""Samples of the losses of ``losses/answers/margin.py``."""

import torch
from torch import dtype

from lossary.testing import Call
from samples._shared import golden_pair
from samples.types import Samples

_EXTREME = ((0.0, 50.0, -50.0, 1e4, -1e4),)


def _edges_soft_margin(dt: dtype) -> tuple[Call, ...]:
    z = torch.tensor(_EXTREME, dtype=dt)
    return (
        Call((z, torch.tensor([[1, 1, -1, -1, 1]], dtype=torch.int8))),
        Call((z, torch.tensor([[True, False, True, False, True]]))),
        Call((z[:0], torch.zeros(0, 5, dtype=torch.bool))),
    )


def _edges_sets(dt: dtype) -> tuple[Call, ...]:
    z = torch.tensor(_EXTREME, dtype=dt)
    return (
        Call((z, torch.tensor([[True, False, True, False, True]]))),
        Call((z, torch.tensor([[0.5, 0.0, 1.0, 0.25, 1.0]], dtype=dt))),
        Call((z[:0], torch.zeros(0, 5, dtype=torch.bool))),
    )


def _edges_label_lists(dt: dtype) -> tuple[Call, ...]:
    z = torch.tensor([[2.0, 1.0, 1.0, 0.0], [1e4, -1e4, 0.0, 0.0]], dtype=dt)
    return (
        Call((z, torch.tensor([[0, -1, 2, 1], [1, 1, -1, -1]], dtype=torch.int32))),  # at the margin; named twice
        Call((z, torch.tensor([[-1, 0, 1, 2], [3, 2, 1, 0]]))),  # no label, every label
        Call((z[0], torch.tensor([1, 2, -1, -1]))),
        Call((z[:0], torch.zeros(0, 4, dtype=torch.int64))),
    )


def _edges_hinges(dt: dtype) -> tuple[Call, ...]:
    z = torch.tensor([1.0, -1.0, 0.0, 1e4, -1e4], dtype=dt)  # the first two: exactly at the margin
    return (
        Call((z, torch.tensor([1, -1, -1, -1, 1], dtype=torch.int8))),
        Call((z, torch.tensor([True, False, True, True, False]))),
        Call((z, torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0], dtype=dt))),
        Call((z[:0], torch.zeros(0, dtype=torch.bool))),
    )


SAMPLES: dict[str, Samples] = {
    "soft_margin_loss": Samples(edges=_edges_soft_margin),
    "multilabel_soft_margin_loss": Samples(
        edges=_edges_sets, variants=({}, {"weight": torch.tensor([0.5, 2.0, 1.0, 0.0, 3.0])})
    ),
    "multilabel_margin_loss": Samples(edges=_edges_label_lists),
    "hinge_loss": Samples(
        edges=_edges_hinges, variants=({}, {"margin": 0.25}, {"margin": 3.0}), golden={"hinge": golden_pair}
    ),
    "squared_hinge_loss": Samples(
        edges=_edges_hinges, variants=({}, {"margin": 0.25}, {"margin": 3.0}), golden={"squared_hinge": golden_pair}
    ),
}
