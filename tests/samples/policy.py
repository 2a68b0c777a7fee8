"""Samples of the losses of ``losses/tokens/policy.py``."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, dtype

from lossary.testing import Call
from samples.types import Samples


def _edges_tokens(dt: dtype) -> tuple[Call, ...]:
    old = torch.tensor([[-1.0, -1.0, -0.5, -50.0, -1e4, 0.0]], dtype=dt)
    new = torch.tensor([[-1.0, -1.0 + math.log(1.2), -0.5, -0.1, 0.0, -1e4]], dtype=dt)  # 0, a bound, the extremes
    gain = torch.tensor([[1.0, 1.0, 0.0, 1.0, 1.0, 1.0]], dtype=dt)
    return (
        Call((new, old, gain)),
        Call((new, old, -gain)),  # unbounded from above but for e^40
        Call((old, old.clone(), gain * 1e4)),
        Call((new[0], old[0], gain[0])),  # no answers
        Call((new[:0], old[:0], gain[:0])),  # empty
        Call((new[:, :0], old[:, :0], gain[:, :0])),
    )


def _edges_values(dt: dtype) -> tuple[Call, ...]:
    u = torch.zeros(2, 4, dtype=dt)
    v = torch.tensor([[0.0, 0.2, -0.25, 1.0], [1e4, -1e4, 0.125, 0.5]], dtype=dt)
    r = torch.tensor([[0.0, 0.0, 0.0, 1.0], [0.0, -1e4, 1.0, 0.5]], dtype=dt)
    return (
        Call((v, u, r)),
        Call((v, v.clone(), r)),
        Call((r, u, r.clone())),  # right, though far from where it was
        Call((v[:0], u[:0], r[:0])),  # empty
    )


def _edges_answers(dt: dtype) -> tuple[Call, ...]:
    old = torch.tensor([[-1.0, -1.0, -50.0, -1e4], [0.0, -1.0, -2.0, -3.0]], dtype=dt)
    new = torch.tensor([[-1.0, -0.8125, -0.125, 0.0], [-1e4, -1.0, -2.25, -3.0]], dtype=dt)
    gain = torch.tensor([1.0, -1.0], dtype=dt)
    near = new + torch.tensor([0.0, 1e-4, -1e-2, 1.0], dtype=dt)
    there = torch.tensor([[True, True, True, False], [False, False, False, False]])
    return (
        Call((new, old, gain), {"ref_logps": near}),  # of a reference that is near: k3 of 0, 1e-4, ...
        Call((new, old, -gain), {"ref_logps": old}),
        Call((new, old, torch.stack([gain] * 4, 1))),  # an advantage a token
        Call((old, old.clone(), gain * 0), {"ref_logps": old}),
        Call((new, old, gain), {"mask": there}),  # an answer without tokens
        Call((new[:0], old[:0], gain[:0])),  # empty
        Call((new[:, :0], old[:, :0], gain)),  # no tokens at all
    )


def _golden_tokens(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call(tuple(inputs.values()), dict(params))


def _golden_answers(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    given = {"ref_logps": inputs["ref_logps"]} if "ref_logps" in inputs else {}
    given |= {"mask": inputs["mask"] == 1} if "mask" in inputs else {}
    return Call((inputs["logps"], inputs["old_logps"], inputs["advantages"]), {**params, **given})


SAMPLES: dict[str, Samples] = {
    "ppo_clip_loss": Samples(
        edges=_edges_tokens,
        variants=({}, {"epsilon_low": 0.1, "epsilon_high": 0.3, "largest_ratio": 1.5}, {"epsilon_low": 1.0}),
        golden={"ppo_clip": _golden_tokens},
    ),
    "ppo_value_loss": Samples(
        edges=_edges_values, variants=({}, {"epsilon": 0.5}, {"epsilon": 0.0}), golden={"ppo_value": _golden_tokens}
    ),
    "grpo_loss": Samples(
        edges=_edges_answers,
        variants=(
            {},
            {"average": "token", "epsilon_high": 0.28, "beta": 0.5},
            {"average": "constant", "max_length": 8, "largest_ratio": 4.0},
            {"ratio": "sequence", "epsilon_low": 0.05, "epsilon_high": 0.1, "beta": 0.1},
        ),
        golden={"grpo": _golden_answers},
    ),
}
