"""Samples of the losses of ``losses/masks/boundaries.py``."""

import torch
from torch import dtype

from lossary.testing import Call
from samples._shared import edges_indices, edges_regions, golden_in_order
from samples.types import Samples

_WEIGHTS = torch.tensor([0.0, 1.0, 2.5])
_VARIANTS = ({}, {"alpha": 1.0}, {"alpha": 0.5, "spacing": 2.5}, {"class_weight": _WEIGHTS})


def _edges_distances(dt: dtype) -> tuple[Call, ...]:
    saturated = torch.tensor([[[1e4, -1e4, 0.0, 0.0], [-1e4, 1e4, 0.0, 0.0], [0.0, 0.0, 0.0, -1e4]]], dtype=dt)
    far = torch.tensor([[[1.0, -1.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0], [1e3, -1e3, 1e-3, 1.0]]], dtype=dt)
    return (
        Call((saturated, far)),
        Call((-saturated, far)),
        Call((saturated, torch.ones(1, 3, 4, dtype=torch.int32))),
        Call((saturated, far), {"mask": torch.tensor([False])}),
        Call((saturated[..., 0], far[..., 0])),  # one position
        Call((saturated[:0], far[:0])),  # empty
        Call((saturated[:, :, :0], far[:, :, :0])),  # no positions
    )


def _plain(edges: tuple[Call, ...]) -> tuple[Call, ...]:
    """Without what these losses do not have."""
    return tuple(Call(call.args, {n: v for n, v in call.kwargs.items() if n != "smooth"}) for call in edges)


SAMPLES: dict[str, Samples] = {
    "boundary_loss": Samples(
        edges=_edges_distances, variants=({}, {"class_weight": _WEIGHTS}), golden={"boundary": golden_in_order}
    ),
    "sigmoid_boundary_loss": Samples(
        edges=_edges_distances, variants=({}, {"class_weight": _WEIGHTS}), golden={"sigmoid_boundary": golden_in_order}
    ),
    "hausdorff_dt_loss": Samples(
        edges=lambda dt: _plain(edges_indices(dt)),
        variants=(*_VARIANTS, {"ignore_index": 1}),
        golden={"hausdorff_dt": golden_in_order},
    ),
    "sigmoid_hausdorff_dt_loss": Samples(
        edges=lambda dt: _plain(edges_regions(dt)),
        variants=_VARIANTS,
        golden={"sigmoid_hausdorff_dt": golden_in_order},
    ),
}
