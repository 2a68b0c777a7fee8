"""Samples of the losses of ``losses/identities/sphereface.py``."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lossary.testing import Call
from samples._shared import edges_head
from samples.types import Samples


def _golden_sphereface(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    renamed = {"margin" if name == "m" else name: value for name, value in params.items()}
    return Call((inputs["features"], inputs["weight"], inputs["labels"]), {**renamed, "annealing": 0.0})


def _golden_sphereface2(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["features"], inputs["weight"], inputs["labels"]), dict(params))


SAMPLES: dict[str, Samples] = {
    "sphereface_loss": Samples(
        edges=edges_head,
        variants=(
            {},
            {"margin": 2, "annealing": 0.0},
            {"margin": 3, "scale": 8.0, "annealing": 0.5},
            {"margin": 1, "annealing": 0.0},
        ),
        golden={"a_softmax": _golden_sphereface},
    ),
    "sphereface2_loss": Samples(
        edges=edges_head,
        variants=(
            {},
            {"balance": 0.4, "scale": 8.0, "margin": 0.1, "t": 2.0, "bias": -1.5},
            {"scale": 4.0, "margin": 0.0, "t": 1.0, "gradient": "straight_through"},
        ),
        golden={"sphereface2": _golden_sphereface2},
    ),
}
