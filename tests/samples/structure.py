"""Samples of the losses of ``losses/images/structure.py``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, Tensor, dtype

from lossary.testing import Call
from lossary.testing.draws import uniform
from samples.types import Samples


def _placed(dt: dtype, rows: int, columns: int) -> tuple[Tensor, ...]:
    """Black, white, a ramp, stripes, a checkerboard, and the negative of the last: (1, 1, H, W) each."""
    i, j = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    board = (i + j) % 2
    numbers = (0 * i, 0 * i + 1, (i + j) / (rows + columns), j % 2, board, 1 - board)
    return tuple(n.to(dt)[None, None] for n in numbers)


def _edges_pairs(dt: dtype, rows: int, columns: int, **given: Any) -> tuple[Call, ...]:
    black, white, ramp, stripes, board, negative = _placed(dt, rows, columns)
    return tuple(
        Call(images, given)
        for images in (
            (black, black.clone()),  # nothing to see
            (torch.cat([white, white]), torch.cat([black, white])),  # constant ones
            (ramp, ramp.clone()),  # equal
            (board, negative),  # the opposite
            (torch.cat([ramp, stripes], 1), torch.cat([white, board], 1)),  # two channels
            (ramp[:0], board[:0]),  # empty
        )
    )


def _edges(dt: dtype) -> tuple[Call, ...]:
    loud = Call(tuple(200 * t for t in (_placed(dt, 12, 11)[2], _placed(dt, 12, 11)[3])), {"data_range": 255.0})
    return (*_edges_pairs(dt, 12, 11), loud)


def _edges_of_scales(dt: dtype) -> tuple[Call, ...]:
    return _edges_pairs(dt, 7, 6, window_size=3, scale_weights=(0.3, 0.7))


def _few_scales(g: Generator, dt: dtype) -> Call:
    """Two scales of a small window, and an odd side: a gradient by every pixel of 161 a side takes minutes."""
    x = uniform(g, torch.float64, 3, 2, 5, 6)
    images = x, 0.7 * x + 0.3 * uniform(g, torch.float64, 3, 2, 5, 6)
    return Call(tuple(t.to(dt) for t in images), {"window_size": 3, "scale_weights": (0.3, 0.7)})


def _edges_alone(dt: dtype) -> tuple[Call, ...]:
    black, white, ramp, stripes, board, _ = _placed(dt, 3, 4)
    one = white[..., :1, :1]
    return tuple(Call((t,)) for t in (black, torch.cat([white, ramp]), stripes, 1e4 * board, one, ramp[:0]))


def _golden(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call(tuple(inputs[name] for name in ("input", "target") if name in inputs), dict(params))


_OTHER = {"window_size": 3, "sigma": 0.8, "data_range": 2.0, "k1": 0.05, "k2": 0.1}

SAMPLES: dict[str, Samples] = {
    "ssim_loss": Samples(_edges, ({}, _OTHER), {"ssim": _golden}),
    "ms_ssim_loss": Samples(
        _edges_of_scales,
        ({}, {"sigma": 0.8, "data_range": 2.0, "k1": 0.05, "k2": 0.1}),
        {"ms_ssim": _golden},
        _few_scales,
    ),
    "total_variation": Samples(_edges_alone, ({}, {"norm": "l2"}, {"norm": "squared"}), {"total_variation": _golden}),
}
