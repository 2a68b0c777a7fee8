"""Samples of the losses of ``losses/identities/angular.py``."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lossary.testing import Call
from samples._shared import edges_head
from samples.types import Samples


def golden_head(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    renamed = {"beyond_pi" if name == "theta_plus_m" else name: value for name, value in params.items()}
    return Call((inputs["features"], inputs["weight"], inputs["labels"]), renamed)


SAMPLES: dict[str, Samples] = {
    "normalized_softmax_loss": Samples(
        edges=edges_head,
        variants=({}, {"scale": 1.0}, {"scale": 1.0, "normalize_embeddings": False}),
        golden={"normface": golden_head},
    ),
    "cosface_loss": Samples(
        edges=edges_head,
        variants=({}, {"margin": 0.1, "scale": 8.0}, {"margin": 0.0, "scale": 1.0}),
        golden={"am_softmax": golden_head},
    ),
    "arcface_loss": Samples(
        edges=edges_head,
        variants=(
            {},
            {"margin": 0.3, "scale": 8.0, "beyond_pi": "plain"},
            {"margin": 1.25, "scale": 4.0},
            {"margin": 0.5, "scale": 8.0, "beyond_pi": "easy"},
            {"margin": 0.0, "scale": 1.0},
        ),
        golden={"arcface": golden_head},
    ),
}
