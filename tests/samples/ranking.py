"""Samples of the losses of ``losses/answers/ranking.py``."""

import torch
from torch import dtype

from lossary.testing import Call
from samples._shared import golden_pair
from samples.types import Samples


def _edges(dt: dtype) -> tuple[Call, ...]:
    z = torch.tensor([0.5, -0.5, 0.0, 1e4, -1e4], dtype=dt)
    half = torch.tensor([True, False, True, False, False])
    return (
        Call((z, half)),
        Call((z, torch.tensor([1, -1, 1, -1, 1], dtype=torch.int8))),
        Call((z, torch.tensor([1, 0, 1, 0, 0], dtype=torch.uint8))),
        Call((0 * z, half)),  # all tied
        Call((z.clamp(-1, 1) + half * 2, half)),  # beyond the margin
        Call((torch.stack([z, -z], 1), torch.stack([half, ~half], 1)), {"mask": torch.arange(5) > 0}),
        Call((torch.stack([z, z], 1), torch.stack([half, half | True], 1))),  # one label without a no
        Call((z, half & False)),  # no yes at all
        Call((z[:1], half[:1])),
        Call((z[:0], half[:0])),  # empty
    )


SAMPLES: dict[str, Samples] = {
    "auc_margin_loss": Samples(
        edges=_edges, variants=({}, {"margin": 0.25}, {"margin": 4.0}), golden={"auc_margin": golden_pair}
    ),
}
