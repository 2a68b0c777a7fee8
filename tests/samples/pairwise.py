"""Samples of the losses of ``losses/lists/pairwise.py``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, dtype

from lossary.testing import Call
from samples._shared import edges_lists
from samples.types import Samples


def _edges_ranked(dt: dtype) -> tuple[Call, ...]:
    x = torch.tensor([0.0, 1.0, 1e4, -1e4], dtype=dt)
    return (
        Call((x, x.clone(), torch.tensor([1, -1, 1, -1], dtype=torch.int8))),  # ties
        Call((x, -x, torch.tensor([True, False, False, True]))),
        Call((x, x - 0.5, torch.ones(4, dtype=dt))),
        Call((x[:0], x[:0].clone(), torch.zeros(0, dtype=torch.bool))),
    )


def _golden_ranked(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["input1"], inputs["input2"], inputs["target"]), dict(params))


SAMPLES: dict[str, Samples] = {
    "ranknet_loss": Samples(edges=edges_lists),
    "lambda_loss": Samples(edges=edges_lists, variants=({}, {"mu": 0.0}, {"mu": 1.0})),
    "margin_mse_loss": Samples(edges=_edges_ranked, golden={"margin_mse": _golden_ranked}),
    "margin_ranking_loss": Samples(
        edges=_edges_ranked,
        variants=({}, {"margin": 0.5}, {"margin": 2.0}),
        golden={"margin_ranking": _golden_ranked},
    ),
}
