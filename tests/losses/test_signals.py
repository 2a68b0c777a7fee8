"""Losses of waves: against torch's own spectrogram and the papers' fractions; silence, loudness, mirrored ends."""

import math

import pytest
import torch

import lossary.functional as L
from lossary.kernels import elementwise

G = torch.Generator().manual_seed(0)
X, NOISE = torch.randn(2, 3, 1600, generator=G, dtype=torch.float64)
Y = X + 0.4 * NOISE


def test_distortion_is_the_papers() -> None:
    for zero_mean in (True, False):
        x, y = (t + 0.7 - 0.7 * zero_mean for t in (X, Y))
        if zero_mean:
            x, y = (t - t.mean(1, keepdim=True) for t in (X + 3, Y - 2))
        a = (x * y).sum(1, keepdim=True) / y.square().sum(1, keepdim=True)
        wanted = -10 * ((a * y).square().sum(1) / (a * y - x).square().sum(1)).log10()
        found = L.si_sdr_loss(x + 5 * zero_mean, y, zero_mean=zero_mean, eps=1e-30, reduction="none")
        torch.testing.assert_close(found, wanted)


def test_loudness_does_not_matter_to_distortion() -> None:
    wanted = L.si_sdr_loss(X, Y)
    for factor in (1e-6, 1e6):
        torch.testing.assert_close(L.si_sdr_loss(factor * X, Y), wanted)
        torch.testing.assert_close(L.si_sdr_loss(X, factor * Y), wanted)


def test_silence_is_as_bad_as_can_be_and_has_no_gradient() -> None:
    silent = torch.zeros(1, 64, dtype=torch.float64)
    for estimate, y in ((silent, X[:1, :64]), (X[:1, :64], silent), (silent, silent)):
        x = estimate.clone().requires_grad_()
        value = L.si_sdr_loss(x, y)
        assert value.item() == pytest.approx(80, abs=1e-6)
        assert torch.autograd.grad(value, x)[0].abs().max() < 1e-9
    assert L.si_sdr_loss(2 * Y, Y).item() == pytest.approx(-80, abs=1e-6)


@pytest.mark.parametrize(("size", "hop", "length"), [(256, 60, 200), (128, 33, 128), (75, 20, 50)])
def test_spectra_are_torchs(size: int, hop: int, length: int) -> None:
    window = torch.hann_window(length, dtype=torch.float64)
    magnitudes = [torch.stft(t, size, hop, length, window, return_complex=True).abs().clamp_min(1e-4) for t in (X, Y)]
    x, y = (t.flatten(1) for t in magnitudes)
    options = {"fft_sizes": (size,), "hop_sizes": (hop,), "win_lengths": (length,), "reduction": "none"}
    convergence = (y - x).norm(dim=1) / y.norm(dim=1)
    logarithms = (y.log() - x.log()).abs().mean(1)
    torch.testing.assert_close(L.multi_resolution_stft_loss(X, Y, magnitude_weight=0.0, **options), convergence)
    torch.testing.assert_close(L.multi_resolution_stft_loss(X, Y, convergence_weight=0.0, **options), logarithms)


def test_resolutions_are_averaged_and_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [(1024, 120, 600), (2048, 240, 1200), (512, 50, 240)]
    single = [
        L.multi_resolution_stft_loss(X, Y, fft_sizes=(n,), hop_sizes=(hop,), win_lengths=(length,))
        for n, hop, length in sizes
    ]
    x = X.clone().requires_grad_()
    whole = L.multi_resolution_stft_loss(x, Y)
    torch.testing.assert_close(whole, torch.stack(single).mean())
    (wanted,) = torch.autograd.grad(whole, x)
    monkeypatch.setattr(elementwise, "CACHED_ELEMENTS", 1600)
    (found,) = torch.autograd.grad(L.multi_resolution_stft_loss(x, Y), x)
    torch.testing.assert_close(found, wanted)


def test_a_silent_signal_has_the_least_magnitude() -> None:
    options = {"convergence_weight": 0.0, "fft_sizes": (64,), "hop_sizes": (16,), "win_lengths": (64,)}
    silent = torch.zeros(1, 100, requires_grad=True)
    assert L.multi_resolution_stft_loss(silent, torch.zeros(1, 100), **options) == 0
    value = L.multi_resolution_stft_loss(silent, X[:1, :100].float(), **options)
    assert math.log(1e4) < value < math.log(1e7)
    assert torch.autograd.grad(value, silent)[0].count_nonzero() == 0


def test_resolutions_that_do_not_fit_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="hop_sizes: wanted as many as fft_sizes, 3; got 2"):
        L.multi_resolution_stft_loss(X, Y, hop_sizes=(120, 240))
    with pytest.raises(ValueError, match="win_lengths: wanted at most the points of each transform, 512; got 600"):
        L.multi_resolution_stft_loss(X, Y, fft_sizes=(512,), hop_sizes=(120,), win_lengths=(600,))
    with pytest.raises(ValueError, match=r"input: wanted \(..., T\) of at least 1025 samples"):
        L.multi_resolution_stft_loss(X[:, :1024], Y[:, :1024])
