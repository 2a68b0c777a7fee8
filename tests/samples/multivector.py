"""Samples of the losses of ``losses/views/multivector.py``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, Tensor, dtype

from lossary.testing import Call
from lossary.testing.draws import normal
from samples.types import Samples


def _draw(g: Generator, dt: dtype) -> Call:
    """Texts of unequal lengths, one of them empty."""
    lengths = {"query_mask": torch.tensor([3, 1, 2, 3, 2]), "positive_mask": torch.tensor([4, 2, 0, 1, 3])}
    masks = {name: torch.arange(3 if name[0] == "q" else 4) < length[:, None] for name, length in lengths.items()}
    return Call((normal(g, dt, 5, 3, 4), normal(g, dt, 5, 4, 4)), masks)


def _edges(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(4, dtype=dt).reshape(2, 2, 4)
    long = axes * torch.tensor([[[0.0], [1e4]], [[1e-4], [1.0]]], dtype=dt)
    first = torch.tensor([[True, False], [True, False]])
    return (
        Call((axes, axes.clone())),
        Call((axes, -axes)),  # every match is as bad
        Call((long, axes.clone())),
        Call((axes, torch.ones(2, 3, 4, dtype=dt))),  # every token is as good
        Call((axes, -axes), {"query_mask": first, "positive_mask": first}),  # padding would be better
        Call((axes, axes.clone()), {"query_mask": ~first & first}),  # nothing is asked
        Call((axes, axes.clone()), {"positive_mask": ~first & first}),  # nothing is answered
        Call((axes, axes.clone(), axes[:1, :1] + 1), {"negatives_mask": first[:1, :1]}),
        Call((axes, axes.clone(), axes[:0])),
        Call((axes, axes.clone()), {"ids": torch.tensor([3, 3])}),  # no negatives
        Call((axes, axes[:, :0])),  # documents without tokens
        Call((axes[:1], axes[:1].clone())),
        Call((axes[:0], axes[:0].clone())),  # empty
    )


def _golden(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    lengths = {n: torch.tensor(v) for n, v in params.items() if n.endswith("_lengths")}
    longest = {"query_lengths": inputs["query"].shape[1], "positive_lengths": inputs["positive"].shape[1]}
    masks = {n.replace("lengths", "mask"): torch.arange(longest[n]) < v[:, None] for n, v in lengths.items()}
    hyper = {n: v for n, v in params.items() if n not in lengths}
    return Call(tuple(inputs.values()), {**masks, **hyper})


SAMPLES: dict[str, Samples] = {
    "colbert_loss": Samples(
        edges=_edges,
        draw=_draw,
        variants=({}, {"temperature": 0.25}, {"temperature": 3.0, "normalize": False}),
        golden={"colbert": _golden},
    ),
}
