"""Samples of the losses of ``losses/identities/extended.py``."""

from samples._shared import edges_head
from samples.angular import golden_head
from samples.types import Samples

SAMPLES: dict[str, Samples] = {
    "combined_margin_loss": Samples(
        edges=edges_head,
        variants=(
            {},
            {"m1": 1.35, "m2": 0.4, "m3": 0.1, "scale": 8.0},
            {"m1": 2.0, "m2": 0.0, "m3": 0.0, "scale": 4.0, "beyond_pi": "plain"},
        ),
    ),
    "curricularface_loss": Samples(
        edges=edges_head,
        variants=({}, {"margin": 0.3, "scale": 8.0, "t": 0.5}, {"margin": 1.25, "scale": 4.0, "t": -0.25}),
        golden={"curricularface": golden_head},
    ),
}
