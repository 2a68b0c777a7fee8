"""Samples of the losses of ``losses/classes/divergence.py``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, dtype

from lossary.testing import Call
from samples.types import Samples


def _edges(dt: dtype) -> tuple[Call, ...]:
    z = torch.tensor([[1e4, 0.0, -1e4], [0.0, 0.0, 0.0]], dtype=dt)
    t = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]], dtype=dt)
    impossible = torch.tensor([[0.0, -torch.inf, 0.0], [-torch.inf, 1.0, 0.0]], dtype=dt)
    return (
        Call((z, t)),
        Call((z, t.flip(0))),
        Call((impossible, t), {"target_kind": "probabilities"}),  # probability 0 against target 0
        Call((z, z), {"target_kind": "logits"}),
        Call((t, t), {"input_kind": "probabilities", "target_kind": "probabilities"}),
        Call((z.repeat(2, 1, 1).movedim(-1, 1), t.repeat(2, 1, 1).movedim(-1, 1))),
        Call((z[0], t[0])),
        Call((z[:0], t[:0])),
    )


def _edges_log(dt: dtype) -> tuple[Call, ...]:
    logs = ((call.args[0].log_softmax(1), call.args[1]) for call in _edges(dt)[:3])
    return tuple(Call(pair, {"log_target": False}) for pair in logs)


_KINDS = {"logits": "logits", "prob": "probabilities", "log_prob": "log_probabilities"}


def _golden(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call | None:
    if params["reduction"] == "mean":  # over elements
        return None
    kinds = {n: _KINDS[params[n]] for n in ("input_kind", "target_kind")}
    reduction = {"batchmean": "mean"}.get(params["reduction"], params["reduction"])
    return Call((inputs["input"], inputs["target"]), {**kinds, "reduction": reduction})


def _golden_torch(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call | None:
    if params["input_kind"] != "log_prob" or params["target_kind"] == "logits":
        return None
    given = {"reduction": params["reduction"], "log_target": params["target_kind"] == "log_prob"}
    return Call((inputs["input"], inputs["target"]), given)


SAMPLES: dict[str, Samples] = {
    "kl_divergence_loss": Samples(golden={"kl_div": _golden}, edges=_edges, variants=({}, {"target_kind": "logits"})),
    "kl_div": Samples(golden={"kl_div": _golden_torch}, edges=_edges_log, variants=({}, {"log_target": True})),
}
