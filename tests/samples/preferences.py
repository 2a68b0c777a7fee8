"""Samples of the losses of ``losses/tokens/preferences.py``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, dtype

from lossary.testing import Call
from samples.types import Samples


def _edges_pairs(dt: dtype) -> tuple[Call, ...]:
    w = torch.tensor([-20.0, -1e4, -1.0, -0.5, 0.0], dtype=dt)
    l = torch.tensor([-20.0, -1.0, -1e4, -0.25, 0.0], dtype=dt)
    return (
        Call((w, l, w.clone(), l.clone())),  # as the reference: no lead
        Call((w, l, l.clone(), l.clone())),  # leads of 0 and of -+1e4
        Call((w, l, l.clone(), w.clone())),
        # a lead of 10 at beta 0.1: the hinge's kink; 5: what IPO asks for
        Call((w[:2] + 10, w[:2].clone(), w[:2].clone(), w[:2].clone())),
        Call((w[:1] + 5, w[:1].clone(), w[:1].clone(), w[:1].clone())),
        Call((w[:0], l[:0], w[:0], l[:0])),  # empty
    )


def _edges_liked(dt: dtype) -> tuple[Call, ...]:
    p = torch.tensor([-20.0, -1e4, -1.0, 0.0], dtype=dt)
    q = torch.tensor([-20.0, -1.0, -1e4, -0.5], dtype=dt)
    return (
        Call((p, q, torch.tensor([1, 0, 1, 0], dtype=torch.int8))),
        Call((p, q, torch.tensor([False, True, False, True]))),
        Call((p, p.clone(), torch.ones(4, dtype=dt)), {"kl": 3.0}),
        Call((p, q, torch.zeros(4, dtype=torch.int64)), {"kl": torch.tensor(-2.0, dtype=dt)}),  # counts as 0
        Call((p[:0], q[:0], torch.zeros(0, dtype=torch.bool))),  # empty
    )


def _golden_pair(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call(tuple(inputs.values()), dict(params))


def _golden_liked(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["logps"], inputs["ref_logps"], inputs["target"]), dict(params))


SAMPLES: dict[str, Samples] = {
    "dpo_loss": Samples(
        edges=_edges_pairs,
        variants=(
            {},
            {"beta": 0.5, "label_smoothing": 0.1},
            {"kind": "robust", "label_smoothing": 0.2},
            {"kind": "hinge", "beta": 0.7},
            {"kind": "exo", "label_smoothing": 0.01},
            {"kind": "nca"},
            {"kind": "bco", "beta": 0.3},
            {"kind": "sppo", "beta": 0.5},
            {"kind": "apo_zero"},
            {"kind": "apo_down"},
        ),
        golden={"dpo": _golden_pair},
    ),
    "ipo_loss": Samples(edges=_edges_pairs, variants=({}, {"beta": 0.5}), golden={"ipo": _golden_pair}),
    "kto_loss": Samples(
        edges=_edges_liked,
        variants=({}, {"beta": 0.5, "desirable_weight": 0.75, "undesirable_weight": 1.5}),
        golden={"kto": _golden_liked},
    ),
}
