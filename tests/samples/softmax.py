"""Samples of the losses of ``losses/classes/softmax.py``."""

from torch import dtype

from lossary.testing import Call
from samples._shared import CLASS_WEIGHT, edges_classes, golden_classes
from samples.types import Samples


def _edges_log(dt: dtype) -> tuple[Call, ...]:
    return tuple(Call((call.args[0].log_softmax(-1), call.args[1])) for call in edges_classes(dt)[:2])


SAMPLES: dict[str, Samples] = {
    "cross_entropy": Samples(
        edges=edges_classes,
        variants=(
            {},
            {"label_smoothing": 0.1},
            {"weight": CLASS_WEIGHT, "label_smoothing": 0.25},
            {"weight": CLASS_WEIGHT},
        ),
        golden={"cross_entropy": golden_classes},
    ),
    "nll_loss": Samples(edges=_edges_log, variants=({}, {"weight": CLASS_WEIGHT}, {"ignore_index": 1})),
    "focal_loss": Samples(
        edges=edges_classes,
        variants=(
            {},
            {"gamma": 0.5},
            {"gamma": 5.0, "alpha": CLASS_WEIGHT},
            {"gamma": 0.0, "class_weight": CLASS_WEIGHT},
        ),
        golden={"focal_softmax": golden_classes},
    ),
}
