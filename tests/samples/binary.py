"""Samples of the losses of ``losses/answers/binary.py``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, Tensor, dtype

from lossary.testing import Call
from lossary.testing.draws import normal
from samples._shared import golden_pair
from samples.types import Samples


def edges_logits(dt: dtype) -> tuple[Call, ...]:
    z = torch.tensor([[0.0, 50.0, -50.0, 1e4, -1e4]], dtype=dt)
    return (
        Call((z, torch.ones(1, 5, dtype=torch.bool))),
        Call((z, torch.zeros(1, 5, dtype=torch.uint8))),
        Call((z, torch.tensor([[0.5, 1.0, 0.0, 0.25, 1.0]], dtype=dt))),
        Call((z[0, :1], torch.ones(1, dtype=torch.int32))),  # one element
        Call((z[:0], torch.zeros(0, 5, dtype=torch.int64))),  # empty
    )


def _draw_soft(g: Generator, dt: dtype) -> Call:
    soft = torch.rand(6, 5, generator=g, dtype=torch.float64).to(dt)
    return Call((normal(g, dt, 6, 5, scale=3.0), soft))


def _edges_probabilities(dt: dtype) -> tuple[Call, ...]:
    p = torch.tensor([[0.0, 1.0, 0.5, 1e-30, 0.0]], dtype=dt)
    return (
        Call((p, torch.tensor([[0.0, 1.0, 1.0, 1.0, 0.25]], dtype=dt))),  # certain and right
        Call((p, torch.tensor([[True, False, True, False, True]]))),  # certain and wrong
        Call((p[:0], torch.zeros(0, 5, dtype=torch.int64))),
    )


def _golden_with_logits(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    given = params["pos_weight"]
    pos_weight = torch.tensor(given, dtype=inputs["input"].dtype) if isinstance(given, list) else given
    return Call((inputs["input"], inputs["target"]), {**params, "pos_weight": pos_weight})


def _golden_balanced(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call | None:
    if not params["from_logits"]:
        return None
    weights = {"positive_weight": params["w_pos"], "negative_weight": params["w_neg"]}
    return Call((inputs["input"], inputs["target"]), {**weights, "reduction": params["reduction"]})


def _golden_balanced_probabilities(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call | None:
    if params["from_logits"]:
        return None
    target = inputs["target"].detach()  # as a weight an element it stands for the label, not for the soft target
    weight = params["w_pos"] * target + params["w_neg"] * (1 - target)
    return Call((inputs["input"], target, weight), {"reduction": params["reduction"]})


SAMPLES: dict[str, Samples] = {
    "binary_cross_entropy_with_logits": Samples(
        edges=edges_logits,
        draw=_draw_soft,
        variants=(
            {},
            {"pos_weight": 3.0, "label_smoothing": 0.1},
            {"pos_weight": torch.tensor([0.5, 2.0, 1.0, 4.0, 0.0]), "ignore_index": 0},
        ),
        golden={"bce_with_logits": _golden_with_logits, "bce_smoothed": golden_pair},
    ),
    "binary_cross_entropy": Samples(
        edges=_edges_probabilities,
        golden={"bce": golden_pair, "balanced_bce": _golden_balanced_probabilities},
    ),
    "balanced_bce_loss": Samples(
        edges=edges_logits,
        draw=_draw_soft,
        variants=({}, {"positive_weight": 4.0, "negative_weight": 0.0}, {"positive_weight": 0.75}),
        golden={"balanced_bce": _golden_balanced},
    ),
}
