"""Samples of the losses of ``losses/views/retrieval.py``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, dtype

from lossary.testing import Call
from samples._shared import edges_pairs
from samples.types import Samples


def _edges_with_negatives(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(3, dtype=dt)
    return (
        *edges_pairs(dt),
        Call((axes, axes.clone(), axes[:2].clone())),
        Call((axes, axes.clone(), axes[:0].clone())),
    )


def _golden_info_nce(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call(tuple(inputs.values()), {n: v for n, v in params.items() if n != "negatives"})


def _golden_pairs(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call(tuple(inputs.values()), dict(params))


SAMPLES: dict[str, Samples] = {
    "info_nce_loss": Samples(
        edges=_edges_with_negatives,
        variants=({}, {"temperature": 1.0, "normalize": False}, {"temperature": 0.02}),
        golden={"info_nce": _golden_info_nce},
    ),
    "multiple_negatives_ranking_loss": Samples(
        edges=_edges_with_negatives,
        variants=(
            {},
            {"scale": 2.0, "symmetric": True},
            {"scale": 0.5, "similarity": "dot"},
        ),
        golden={"mnr": _golden_pairs},
    ),
    "n_pair_loss": Samples(edges=edges_pairs, variants=({}, {"l2_reg": 0.02}), golden={"n_pair": _golden_pairs}),
}
