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
    "combined_margin_loss": Samples(
        edges=edges_head,
        variants=(
            {},
            {"m1": 1.35, "m2": 0.4, "m3": 0.1, "scale": 8.0},
            {"m1": 2.0, "m2": 0.0, "m3": 0.0, "scale": 4.0, "beyond_pi": "plain"},
        ),
    ),
}
