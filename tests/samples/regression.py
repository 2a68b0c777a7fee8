"""Samples of the losses of ``losses/values/regression.py``."""

from samples._shared import edges_values, golden_in_order, golden_pair
from samples.types import Samples

SAMPLES: dict[str, Samples] = {
    "mean_bias_error": Samples(edges=edges_values, golden={"mean_bias_error": golden_pair}),
    "mse_loss": Samples(edges=edges_values, variants=({}, {"halved": True}), golden={"mse": golden_pair}),
    "rmse_loss": Samples(golden={"rmse": golden_in_order}, edges=edges_values),
    "l1_loss": Samples(edges=edges_values, golden={"mae": golden_pair}),
    "quantile_loss": Samples(
        edges=edges_values, variants=({}, {"quantile": 0.125}, {"quantile": 0.9}), golden={"quantile": golden_pair}
    ),
}
