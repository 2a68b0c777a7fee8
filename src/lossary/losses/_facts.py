"""What the cards of losses that take the same data share: draws, placed edges, golden adapters."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor, dtype

from lossary.cards import Call, Card
from lossary.draws import labels as draw_labels
from lossary.draws import normal, signs

# ---------------------------------------------------------------- a number against a number


def draw_values(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5), normal(g, dt, 6, 5, scale=2.0)))


def edges_values(dt: dtype) -> tuple[Call, ...]:
    x = torch.tensor([[0.0, 1.0, -1.0, 0.5], [1e4, -1e4, 1e-4, 0.375]], dtype=dt)
    return (
        Call((x, torch.zeros_like(x))),  # residual 0, the usual turns, huge and tiny
        Call((x, x.clone())),  # all right
        Call((x[1, :1], x[0, :1])),  # one element
        Call((x[:0], x[:0].clone())),  # empty
        Call((x, torch.ones(2, 4, dtype=torch.int32))),  # integer targets
    )


def golden_pair(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    renamed = {"q": "quantile"}
    return Call((inputs["input"], inputs["target"]), {renamed.get(n, n): v for n, v in params.items()})


value_card = partial(
    Card,
    data="values",
    kernel="none",
    item="element",
    draw=draw_values,
    edges=edges_values,
    at_call=frozenset({"sample_weight", "mask"}),
)

# ---------------------------------------------------------------- a logit or score against yes or no


def draw_signs(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5, scale=2.0), signs(g, 6, 5)))


def draw_logits(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5, scale=3.0), draw_labels(g, 2, 6, 5)))


def edges_logits(dt: dtype) -> tuple[Call, ...]:
    z = torch.tensor([[0.0, 50.0, -50.0, 1e4, -1e4]], dtype=dt)
    return (
        Call((z, torch.ones(1, 5, dtype=torch.bool))),
        Call((z, torch.zeros(1, 5, dtype=torch.uint8))),
        Call((z, torch.tensor([[0.5, 1.0, 0.0, 0.25, 1.0]], dtype=dt))),
        Call((z[0, :1], torch.ones(1, dtype=torch.int32))),  # one element
        Call((z[:0], torch.zeros(0, 5, dtype=torch.int64))),  # empty
    )


logit_card = partial(
    Card,
    data="binary",
    kernel="none",
    item="element",
    edges=edges_logits,
    at_call=frozenset({"sample_weight", "mask"}),
)

# ---------------------------------------------------------------- scores against one class of many

#: Weights of the 5 classes that are drawn.
CLASS_WEIGHT = torch.tensor([0.5, 2.0, 1.0, 0.25, 3.0])
TAKES_LOGITS = (
    "It takes logits: a softmax before it squeezes the gradient.",
    "(B, L, C) scores need dim=-1; where L = C the other reading is not seen.",
)


def draw_classes(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 5, scale=3.0), draw_labels(g, 5, 6)))


def edges_classes(dt: dtype) -> tuple[Call, ...]:
    hard = torch.tensor([[1e4, -1e4, 0.0], [50.0, 0.0, -50.0], [0.0, 0.0, 0.0]], dtype=dt)
    masked = torch.tensor([[0.0, -torch.inf, 1.0], [2.0, -torch.inf, -torch.inf]], dtype=dt)
    pixels = hard[:2].repeat(2, 1, 1).movedim(-1, 1)
    return (
        Call((hard, torch.tensor([0, 0, 0], dtype=torch.int32))),  # certain and right; undecided
        Call((hard, torch.tensor([1, 2, 2]))),  # certain and wrong
        Call((masked, torch.tensor([2, 0], dtype=torch.uint8))),  # impossible classes; one possible class
        Call((masked, torch.tensor([[0.5, 0.0, 0.5], [1.0, 0.0, 0.0]], dtype=dt))),  # soft targets
        Call((pixels, torch.tensor([[0, 1], [-100, 2]]))),  # (N, C, L) with an ignored one
        Call((hard, torch.full((3,), -100))),  # all ignored
        Call((hard[0], torch.tensor(2))),  # no batch
        Call((hard[:0], torch.zeros(0, dtype=torch.int64))),  # empty
    )


def _as_tensor(value: object, like: Tensor) -> object:
    return torch.tensor(value, dtype=like.dtype) if isinstance(value, list) else value


def golden_classes(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call | None:
    if params.get("kind") == "sigmoid":
        return None
    given = {n: _as_tensor(v, inputs["input"]) for n, v in params.items() if n != "kind"}
    if "label_smoothing" in given:
        given["label_smoothing"] = given["label_smoothing"] or 0.0
    return Call((inputs["input"], inputs["target"]), given)


class_card = partial(
    Card,
    data="classes",
    kernel="rows",
    item="row",
    draw=draw_classes,
    edges=edges_classes,
    mean_is_plain=False,
    at_call=frozenset({"sample_weight", "mask"}),
)
