"""Samples of the losses of ``losses/identities/neighbors.py``."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lossary.testing import Call
from samples.similarity import edges_labelled
from samples.types import Samples


def _golden(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["embeddings"], inputs["labels"]), dict(params))


SAMPLES: dict[str, Samples] = {
    "nca_loss": Samples(edges=edges_labelled, variants=({}, {"scale": 10.0}), golden={"nca": _golden}),
    "smooth_ap_loss": Samples(
        edges=edges_labelled,
        variants=({}, {"temperature": 0.1}, {"temperature": 1.0}),
        golden={"smooth_ap": _golden},
    ),
}
