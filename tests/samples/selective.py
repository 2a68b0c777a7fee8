"""Samples of the losses of ``losses/classes/selective.py``."""

import torch
from torch import dtype

from lossary.testing import Call
from samples._shared import CLASS_WEIGHT, edges_classes, golden_classes
from samples.types import Samples


def _edges_tied(dt: dtype) -> tuple[Call, ...]:
    same = torch.tensor([[1.0, 0.0, -1.0]], dtype=dt).repeat(4, 1)
    return (*edges_classes(dt), Call((same, torch.tensor([0, 0, 1, 1]))))


def _edges_indices(dt: dtype) -> tuple[Call, ...]:
    return tuple(call for call in edges_classes(dt) if not call.args[1].is_floating_point())


SAMPLES: dict[str, Samples] = {
    "ohem_cross_entropy_loss": Samples(
        edges=_edges_tied,
        variants=(
            {},
            {"fraction": 0.5, "class_weight": CLASS_WEIGHT},
            {"fraction": 0.1, "threshold": 0.7},
            {"fraction": 1.0},
        ),
        golden={"ohem": golden_classes},
    ),
    "asymmetric_softmax_loss": Samples(
        edges=_edges_indices,
        variants=(
            {},
            {"gamma_positive": 0.5, "gamma_negative": 0.5, "label_smoothing": 0.3},
            {"gamma_negative": 0.0, "class_weight": CLASS_WEIGHT},
        ),
        golden={"asymmetric_softmax": golden_classes},
    ),
}
