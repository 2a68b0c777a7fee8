"""Samples of the losses of ``losses/waves/signals.py``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, Tensor, dtype

from lossary.testing import Call
from lossary.testing.draws import normal
from samples.types import Samples

#: Two resolutions of a moment: a gradient by every sample of a thousand takes minutes.
_SMALL: Mapping[str, Any] = {"fft_sizes": (8, 5), "hop_sizes": (3, 2), "win_lengths": (6, 5)}


def _edges(dt: dtype, **given: Any) -> tuple[Call, ...]:
    wave = torch.tensor([[1.0, -2.0, 0.5, 1.5, -1.0, 2.0, -0.5, -1.5]], dtype=dt)
    step = torch.tensor([[1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0]], dtype=dt)
    silence, flat = torch.zeros_like(wave), torch.ones_like(wave)
    pairs = (
        (wave, wave.clone()),  # right
        (wave, -2 * wave),
        (torch.cat([silence, wave, silence]), torch.cat([wave, silence, silence])),
        (wave, step),
        (flat, wave),
        (1e4 * wave, 1e-4 * step),
        (torch.stack([wave, step], 1), torch.stack([step, wave], 1)),  # two channels
        (wave[:0], step[:0]),  # empty
    )
    return tuple(Call(pair, given) for pair in pairs)


def _edges_spectra(dt: dtype) -> tuple[Call, ...]:
    return _edges(dt, **_SMALL)


def _draw(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 6, 7), normal(g, dt, 6, 7)))


def _draw_spectra(g: Generator, dt: dtype) -> Call:
    return Call((normal(g, dt, 3, 11), normal(g, dt, 3, 11)), _SMALL)


def _golden(inputs: Mapping[str, Tensor], params: Mapping[str, Any]) -> Call:
    return Call((inputs["input"], inputs["target"]), dict(params))


SAMPLES: dict[str, Samples] = {
    "si_sdr_loss": Samples(_edges, ({}, {"zero_mean": False, "eps": 1e-3}), {"si_sdr": _golden}, _draw),
    "multi_resolution_stft_loss": Samples(
        _edges_spectra,
        ({}, {"convergence_weight": 0.25, "magnitude_weight": 2.0, "eps": 0.5}),
        {"multi_resolution_stft": _golden},
        _draw_spectra,
    ),
}
