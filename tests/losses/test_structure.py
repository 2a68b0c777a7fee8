"""Losses of images: against the textbook's five moments, in blocks and whole, flat and contradicting images."""

import math
from typing import Any
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import lossary.functional as L
from lossary.kernels import elementwise, windows


def images(*shape: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    x, noise = torch.rand(2, *shape, generator=g, dtype=torch.float64)
    return x, 0.6 * x + 0.4 * noise


def textbook(x: Tensor, y: Tensor, size: int = 11, sigma: float = 1.5, most: float = 1.0) -> tuple[Tensor, Tensor]:
    """Wang's light and structure, (N C, h, w), by five convolutions with a window of two dimensions."""
    weights = torch.tensor([math.exp(-(((i - (size - 1) / 2) / sigma) ** 2) / 2) for i in range(size)]).double()
    window = weights[:, None] * weights / weights.sum() ** 2
    mean = lambda t: F.conv2d(t.flatten(0, 1)[:, None], window[None, None])[:, 0]  # noqa: E731
    mx, my = mean(x), mean(y)
    vx, vy, both = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = (0.01 * most) ** 2, (0.03 * most) ** 2
    return (2 * mx * my + c1) / (mx**2 + my**2 + c1), (2 * both + c2) / (vx + vy + c2)


@pytest.mark.parametrize("options", [(11, 1.5, 1.0), (7, 1.0, 2.0), (4, 0.7, 255.0)])
def test_structural_similarity_is_the_textbooks(options: tuple[int, float, float]) -> None:
    x, y = images(2, 3, 90, 70)
    light, structure = textbook(x, y, *options)
    wanted = 1 - (light * structure).unflatten(0, (2, 3)).flatten(1).mean(1)
    size, sigma, most = options
    found = L.ssim_loss(x, y, window_size=size, sigma=sigma, data_range=most, reduction="none")
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


def test_several_scales_are_the_textbooks() -> None:
    x, y = images(2, 2, 176, 192)
    weights, factors, a, b = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333), [], x, y
    for place, weight in enumerate(weights):
        light, structure = textbook(a, b)
        alike = light * structure if place == 4 else structure
        factors.append(alike.mean((-2, -1)).clamp_min(0) ** weight)
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    wanted = 1 - torch.stack(factors).prod(0).mean()
    torch.testing.assert_close(L.ms_ssim_loss(x, y), wanted, rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("loss", "shape", "options"),
    [
        (L.ssim_loss, (3, 2, 80, 75), {}),
        (L.ssim_loss, (5, 1, 12, 11), {"window_size": 4}),
        (L.ms_ssim_loss, (3, 2, 25, 22), {"window_size": 5, "scale_weights": (0.2, 0.3, 0.5)}),
        (L.ms_ssim_loss, (2, 1, 13, 21), {"window_size": 4, "scale_weights": (1.0, 0.5, 0.0)}),
    ],
)
def test_blocks_change_nothing(loss: Any, shape: tuple[int, ...], options: dict[str, Any]) -> None:
    x, y = images(*shape)
    y[-1] = 1 - x[-1]  # of one image nothing is alike
    whole, cut = x.clone().requires_grad_(), x.clone().requires_grad_()
    wanted = loss(whole, y, reduction="none", **options).mean()
    with mock.patch.object(elementwise, "CACHED_ELEMENTS", x[:2].numel()):
        found = loss(cut, y, **options)
        (by_cut,) = torch.autograd.grad(found, cut)
    (by_whole,) = torch.autograd.grad(wanted, whole)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)
    torch.testing.assert_close(by_cut, by_whole, rtol=1e-9, atol=1e-12 * by_whole.abs().max().item())


def test_equal_images_lose_nothing_however_large_their_numbers() -> None:
    x = 1e4 + images(1, 1, 40, 40)[0].float()
    assert L.ssim_loss(x, x.clone()) == 0
    flat = torch.full((1, 1, 20, 20), 1e4, requires_grad=True)
    value = L.ssim_loss(flat, flat.detach() + 1)
    assert 0 <= value < 1e-6
    assert torch.autograd.grad(value, flat)[0].isfinite().all()


def test_images_that_contradict_each_other_are_as_bad_as_can_be_and_finite() -> None:
    board = (torch.arange(24)[:, None] + torch.arange(24)) % 2
    x = board.double()[None, None].requires_grad_()
    options = {"window_size": 3, "scale_weights": (0.4, 0.6)}
    value = L.ms_ssim_loss(x, 1 - x.detach(), **options)
    assert value == 1
    assert torch.autograd.grad(value, x)[0].count_nonzero() == 0
    assert L.ssim_loss(x, 1 - x.detach(), window_size=3) > 1.9


@pytest.mark.parametrize("cached", [1, 1 << 18])
def test_beside_a_black_image_float32_keeps_its_digits(monkeypatch: pytest.MonkeyPatch, cached: int) -> None:
    """What is alike there is a ten-thousandth, of which one less what is unlike has four digits."""
    monkeypatch.setattr(elementwise, "CACHED_ELEMENTS", cached)
    x, _ = images(2, 1, 20, 20)
    single, double = (0.5 + x.float() / 2).requires_grad_(), (0.5 + x.float().double() / 2).requires_grad_()
    found, wanted = (torch.autograd.grad(L.ssim_loss(t, torch.zeros_like(t)), t)[0] for t in (single, double))
    assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max()


def test_data_range_is_the_unit() -> None:
    x, y = images(1, 1, 20, 20)
    torch.testing.assert_close(L.ssim_loss(255 * x, 255 * y, data_range=255.0), L.ssim_loss(x, y))


def test_small_images_are_refused_by_name() -> None:
    x = torch.zeros(1, 1, 160, 200)
    with pytest.raises(ValueError, match="input: wanted at least 161 pixels per side, for 5 scales"):
        L.ms_ssim_loss(x, x)
    with pytest.raises(ValueError, match="input: wanted at least 11 pixels per side, window_size"):
        L.ssim_loss(x[..., :10], x[..., :10])


@pytest.mark.parametrize("length", [11, 12, 64, 74, 75, 138, 200])
def test_bands_shifts_and_their_transpose_are_one_convolution(length: int) -> None:
    window = windows.gaussian(11, 1.5)
    x = torch.randn(2, length, length + 3, dtype=torch.float64)
    weights = torch.tensor(window, dtype=torch.float64)
    wanted = F.conv2d(x[:, None], (weights[:, None] * weights)[None, None])[:, 0]
    torch.testing.assert_close(windows.smooth(x, window), wanted)
    torch.testing.assert_close(windows._by_shifts(windows._by_shifts(x, window).mT, window).mT, wanted)
    torch.testing.assert_close(windows.smoothed(x, window), wanted)
    by_means = torch.randn_like(wanted)
    torch.testing.assert_close((windows.spread(by_means, window) * x).sum(), (by_means * wanted).sum())


def test_total_variation_counts_steps_and_their_lengths() -> None:
    x = torch.tensor([[[[0.0, 3.0], [4.0, 3.0]]]], dtype=torch.float64)
    assert L.total_variation(x) == (3 + 1 + 4 + 0) / 4
    assert L.total_variation(x, norm="l2") == (5 + 0 + 1) / 4
    assert L.total_variation(x, norm="squared") == (9 + 1 + 16 + 0) / 4
    wide = torch.rand(2, 3, 8, 9, dtype=torch.float64)
    steps = wide.diff(dim=-1).abs().sum() + wide.diff(dim=-2).abs().sum()
    torch.testing.assert_close(L.total_variation(wide) * wide.numel(), steps)
