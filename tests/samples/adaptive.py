"""Samples of the losses of ``losses/identities/adaptive.py``."""

from collections.abc import Mapping
from typing import Any

from torch import Generator, Tensor, dtype

from lossary.testing import Call
from lossary.testing.draws import labels, normal
from samples._shared import edges_head
from samples.angular import golden_head
from samples.types import Samples


def _draw_long(g: Generator, dt: dtype) -> Call:
    """Lengths between those that MagFace tells apart, but for one on either side."""
    x = normal(g, dt, 6, 5)
    lengths = [3.0, 12.0, 30.0, 60.0, 100.0, 300.0]
    return Call(
        (x / x.norm(dim=1, keepdim=True) * x.new_tensor(lengths)[:, None], normal(g, dt, 7, 5), labels(g, 7, 6))
    )


def _golden(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return golden_head(inputs, params)


SAMPLES: dict[str, Samples] = {
    "adaface_loss": Samples(
        edges=edges_head,
        variants=(
            {},
            {"margin": 0.25, "h": 1.0, "scale": 8.0, "gradient": "exact"},
            {"margin": 0.5, "h": 0.5, "scale": 4.0, "norm_mean": 1.5, "norm_std": 0.75, "eps": 0.25},
        ),
        golden={"adaface": _golden},
    ),
    "magface_loss": Samples(
        edges=edges_head,
        draw=_draw_long,
        variants=(
            {},
            {"l_margin": 0.1, "u_margin": 0.6, "scale": 8.0, "lambda_g": 5.0, "beyond_pi": "linear"},
            {"l_a": 2.0, "u_a": 40.0, "scale": 4.0, "beyond_pi": "plain"},
        ),
        golden={"magface": _golden},
    ),
}
