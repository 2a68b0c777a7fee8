"""Samples of the losses of ``losses/identities/centers.py``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, dtype

from lossary.testing import Call
from samples.types import Samples


def _edges_centers(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(3, dtype=dt)
    labels = torch.tensor([0, 1, 1], dtype=torch.int32)
    return (
        Call((axes, axes.clone(), labels)),  # on the center
        Call((axes * 1e4, -axes, labels)),
        Call((axes[:0], axes.clone(), labels[:0])),  # empty
    )


def _golden_centers(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["features"], inputs["centers"], inputs["labels"]), dict(params))


SAMPLES: dict[str, Samples] = {
    "center_loss": Samples(edges=_edges_centers, golden={"center_loss": _golden_centers}),
}
