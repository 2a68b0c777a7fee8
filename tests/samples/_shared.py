"""Batches that the samples of several families place or draw."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, dtype

from lossary.testing import Call


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


#: Weights of the 5 classes that are drawn.
CLASS_WEIGHT = torch.tensor([0.5, 2.0, 1.0, 0.25, 3.0])


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


def golden_in_order(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call(tuple(inputs.values()), dict(params))


def golden_classes(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call | None:
    if params.get("kind") == "sigmoid":
        return None
    given = {n: _as_tensor(v, inputs["input"]) for n, v in params.items() if n != "kind"}
    if "label_smoothing" in given:
        given["label_smoothing"] = given["label_smoothing"] or 0.0
    return Call((inputs["input"], inputs["target"]), given)


def edges_pairs(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(3, dtype=dt)
    same = torch.ones(2, 2, dtype=dt)
    return (
        Call((axes, axes.clone())),  # cosine exactly 1
        Call((axes, -axes)),  # and -1
        Call((axes * torch.tensor([[0.0], [1e2], [1e-2]], dtype=dt), axes.flip(0))),  # a zero vector
        Call((same, same.clone())),  # identical
        Call((axes, axes.clone()), {"ids": torch.tensor([0, 1, 0])}),
        Call((axes, axes.clone()), {"ids": torch.zeros(3, dtype=torch.int32)}),  # no negatives at all
        Call((axes[:1], axes[:1].clone())),
        Call((axes[:0], axes[:0].clone())),  # empty
    )


def edges_lists(dt: dtype) -> tuple[Call, ...]:
    s = torch.tensor([[0.0, 1e4, -1e4, 50.0], [0.0, 0.0, 0.0, 0.0], [3.0, 2.0, 1.0, 0.0]], dtype=dt)
    y = torch.tensor([[0.0, 1.0, 4.0, 0.5], [2.0, 0.0, 1.0, 3.0], [4.0, 3.0, 2.0, 0.0]], dtype=dt)
    infinite = torch.tensor([[2.0, -torch.inf, 1.0, -torch.inf], [torch.inf, 1.0, torch.inf, -torch.inf]], dtype=dt)
    there = torch.tensor([[True, True, False, True], [False, False, False, True], [False, True, True, False]])
    return (
        Call((s, y)),  # far apart and wrong; undecided; right
        Call((s, y.flip(1))),
        Call((s, y), {"mask": there}),  # padding
        Call((infinite, torch.tensor([[4.0, 0.0, 1.0, 0.0], [3.0, 1.0, 2.0, 0.0]], dtype=dt))),  # padded with -inf
        Call((s, torch.ones(3, 4, dtype=torch.bool))),  # nothing to choose
        Call((s, torch.zeros(3, 4, dtype=torch.uint8))),  # nothing to gain
        Call((s[:, :1], y[:, :1])),  # one candidate
        Call((s[:, :0], y[:, :0])),  # none
        Call((s[:0], y[:0])),  # empty
    )


def edges_head(dt: dtype) -> tuple[Call, ...]:
    axes = torch.eye(3, dtype=dt)
    return (
        # cosine exactly 1 and exactly -1 with the own class; a zero vector; lengths far apart
        Call((axes, axes.clone(), torch.tensor([0, 1, 2]))),
        Call((-axes, axes.clone(), torch.tensor([0, 1, 2], dtype=torch.int32))),
        Call((axes * torch.tensor([[0.0], [1e4], [1e-4]], dtype=dt), axes.flip(0), torch.tensor([0, 1, 1]))),
        Call((axes[:0], axes.clone(), torch.zeros(0, dtype=torch.int64))),  # empty batch
        Call((axes, axes[:1].clone(), torch.zeros(3, dtype=torch.int64))),  # one class
        # three centers a class, two of them the same
        Call((axes, torch.stack([axes, axes.roll(1, 0), axes.roll(1, 0)], 1) + 0.1, torch.tensor([2, 1, 0]))),
    )


def edges_indices(dt: dtype) -> tuple[Call, ...]:
    saturated = torch.tensor([[[1e4, -1e4, 0.0, 0.0], [-1e4, 1e4, 0.0, 0.0], [0.0, 0.0, 0.0, -1e4]]], dtype=dt)
    target = torch.tensor([[0, 1, 0, 1]], dtype=torch.int32)  # class 2 has no position
    return (
        Call((saturated, target)),
        Call((-saturated, target)),
        # one class everywhere, and of some variants the ignored one: everything ignored, 0 / 0
        Call((saturated, torch.zeros_like(target)), {"smooth": 0.0}),
        Call((saturated, torch.ones_like(target)), {"smooth": 0.0}),
        Call((saturated[:0], target[:0])),  # empty
        Call((saturated[:, :, :0], target[:, :0])),  # no positions
    )


def edges_regions(dt: dtype) -> tuple[Call, ...]:
    saturated = torch.tensor([[[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4]]], dtype=dt)
    full = torch.tensor([[[True, False, True], [False, False, False], [True, True, True]]])
    return (
        Call((saturated, full)),
        Call((-saturated, full.to(dt))),
        Call((saturated, torch.zeros(1, 3, 3, dtype=torch.int64)), {"smooth": 0.0}),
        Call((saturated[:0], full[:0])),  # empty
    )
