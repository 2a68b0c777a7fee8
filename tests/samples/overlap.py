"""Samples of the losses of ``losses/masks/overlap.py``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lossary.testing import Call
from samples._shared import edges_indices, edges_regions
from samples.types import Samples


def _golden_softmax(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call | None:
    if params["mode"] != "multiclass":
        return None
    return Call((inputs["input"], inputs["target"]), {n: v for n, v in params.items() if n != "mode"})


def _golden_sigmoid(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call | None:
    if params["mode"] != "binary":
        return None
    # One region of L positions a sample.
    regions = (inputs["input"][:, None], inputs["target"][:, None])
    return Call(regions, {n: v for n, v in params.items() if n != "mode"})


_VARIANTS = (
    {},
    {"smooth": 0.0, "absent": "skip"},
    {"aggregate": "batch", "smooth": 1e-3, "ignore_index": 1},
    {"class_weight": torch.tensor([0.0, 1.0, 2.5])},
)


def both_forms(name: str, variant: Mapping[str, Any]) -> dict[str, Samples]:
    """Of a loss's softmax and sigmoid forms: they differ in the data alone."""
    variants = (*_VARIANTS, variant)
    return {
        f"{name}_loss": Samples(edges_indices, variants, {name: _golden_softmax}),
        f"sigmoid_{name}_loss": Samples(edges_regions, variants, {name: _golden_sigmoid}),
    }


SAMPLES: dict[str, Samples] = {
    **both_forms("dice", {"squared": True, "ignore_index": 0}),
    **both_forms("jaccard", {"ignore_index": 0}),
}
