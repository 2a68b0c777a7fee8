"""Samples of the losses of ``losses/answers/focal.py``."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lossary.testing import Call
from samples._shared import golden_pair
from samples.binary import edges_logits
from samples.types import Samples


def _golden_sigmoid(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call | None:
    if params["kind"] != "sigmoid":
        return None
    return Call((inputs["input"], inputs["target"]), {n: v for n, v in params.items() if n != "kind"})


SAMPLES: dict[str, Samples] = {
    "sigmoid_focal_loss": Samples(
        edges=edges_logits,
        variants=({}, {"gamma": 0.5}, {"gamma": 5.0, "alpha": 0.25}, {"gamma": 0.0}),
        golden={"focal_sigmoid": golden_pair},
    ),
    "sigmoid_poly_focal_loss": Samples(
        edges=edges_logits,
        variants=({}, {"gamma": 0.5, "epsilon": -0.5}, {"gamma": 5.0, "alpha": 0.25}),
        golden={"poly1_focal": _golden_sigmoid},
    ),
}
