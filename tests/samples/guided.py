"""Samples of the losses of ``losses/views/guided.py``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, Tensor, dtype

from lossary.testing import Call
from lossary.testing.draws import normal
from samples._shared import edges_pairs
from samples.types import Samples


def _draw_guided(g: Generator, dt: dtype) -> Call:
    guide = {"guide_anchor": normal(g, dt, 5, 3), "guide_positive": normal(g, dt, 5, 3)}
    return Call((normal(g, dt, 5, 4), normal(g, dt, 5, 4)), guide)


def _draw_frequent(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 5, 4), normal(g, dt, 5, 4)), {"log_q": normal(g, dt, 5) - 3})


def _edges_guided(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(3, dtype=dt)
    same = torch.ones(3, 2, dtype=dt)
    return (
        *edges_pairs(dt),
        Call((axes, axes.clone(), axes[:2] + 0.25)),
        Call((axes, axes.clone(), axes[:0])),
        Call((axes, axes.clone()), {"guide_anchor": same, "guide_positive": same.clone()}),  # all as near
        Call((axes, axes.clone()), {"guide_anchor": -same, "guide_positive": same, "contrast_anchors": False}),
        Call((axes, axes.clone()), {"guide_anchor": 0 * same, "guide_positive": same}),
        Call((axes, axes.roll(1, 0)), {"guide_anchor": axes[:, :2], "guide_positive": axes[:, 1:], "margin": 3.0}),
        Call((axes, axes, axes + 1), {"guide_anchor": axes, "guide_positive": axes, "guide_negatives": axes}),
    )


def _edges_frequent(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(3, dtype=dt)
    rare = torch.tensor([0.0, -50.0, -200.0], dtype=dt)
    return (
        *edges_pairs(dt),
        Call((axes, axes.clone()), {"log_q": rare}),
        Call((axes, axes.clone(), axes + 1), {"log_q": rare, "negatives_log_q": rare.flip(0)}),
        Call((axes, axes.clone(), axes[:0])),
    )


def _golden(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    by_name = {n: v.detach() for n, v in inputs.items() if "guide" in n or "log_q" in n}
    return Call(tuple(v for n, v in inputs.items() if n not in by_name), {**by_name, **params})


SAMPLES: dict[str, Samples] = {
    "gist_embed_loss": Samples(
        edges=_edges_guided,
        draw=_draw_guided,
        variants=(
            {},
            {"temperature": 0.5, "margin": 0.1, "contrast_anchors": False},
            {"temperature": 0.1, "margin": 0.25, "margin_strategy": "relative", "contrast_positives": False},
        ),
        golden={"gist": _golden},
    ),
    "sampled_softmax_loss": Samples(
        edges=_edges_frequent,
        draw=_draw_frequent,
        variants=({}, {"temperature": 1.0, "normalize": False}, {"temperature": 0.2, "correct_positive": False}),
        golden={"sampled_softmax": _golden},
    ),
}
