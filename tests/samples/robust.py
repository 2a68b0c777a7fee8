"""Samples of the losses of ``losses/values/robust.py``."""

from samples._shared import edges_values, golden_in_order, golden_pair
from samples.types import Samples

SAMPLES: dict[str, Samples] = {
    "huber_loss": Samples(
        edges=edges_values, variants=({}, {"delta": 0.375}, {"delta": 5.0}), golden={"huber": golden_pair}
    ),
    "smooth_l1_loss": Samples(
        edges=edges_values, variants=({}, {"beta": 0.375}, {"beta": 0.0}), golden={"smooth_l1": golden_pair}
    ),
    "charbonnier_loss": Samples(
        golden={"charbonnier": golden_in_order}, edges=edges_values, variants=({}, {"eps": 0.5}, {"eps": 1e-6})
    ),
    "log_cosh_loss": Samples(edges=edges_values, golden={"log_cosh": golden_pair}),
}
