"""Correlations of features, beside the papers' code, with few items and with many."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lossary
from lossary.kernels import distances, moments

L: Any = lossary.functional
SHAPES = [(12, 5), (5, 12), (6, 12), (40, 3)]


def draw(*shape: int, seed: int = 0) -> Tensor:
    made = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (made @ torch.randn(shape[1], shape[1], generator=torch.Generator().manual_seed(9)).double() + 1).detach()


def views(shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    a = draw(*shape)
    return a.requires_grad_(), (a.detach() + 0.5 * draw(*shape, seed=1)).requires_grad_()


def off_diagonal(x: Tensor) -> Tensor:
    return x[~torch.eye(len(x), dtype=torch.bool)]


def barlow(a: Tensor, b: Tensor, weight: float) -> Tensor:
    """By the paper's code: batch normalisation without weights, and a product over the number of items."""
    norm = nn.BatchNorm1d(a.shape[1], affine=False, track_running_stats=False, dtype=torch.float64)
    c = norm(a).T @ norm(b) / len(a)
    return (c.diagonal() - 1).square().sum() + weight * off_diagonal(c).square().sum()


def vicreg(a: Tensor, b: Tensor, sim: float, std: float, cov: float) -> Tensor:
    """By the paper's code, which solo-learn and Lightly follow."""
    loss = sim * F.mse_loss(a, b)
    for z in (a, b):
        loss = loss + std * F.relu(1 - (z.var(0) + 1e-4).sqrt()).mean() / 2
        loss = loss + cov * off_diagonal(torch.cov(z.T)).square().sum() / z.shape[1]
    return loss


def same_with_gradients(got: Tensor, want: Tensor, leaves: tuple[Tensor, ...]) -> None:
    torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-13)
    for g, h in zip(torch.autograd.grad(got, leaves), torch.autograd.grad(want, leaves), strict=True):
        torch.testing.assert_close(g, h, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weight", [0.0051, 1.0])
def test_barlow_twins_is_its_code(shape: tuple[int, int], weight: float) -> None:
    a, b = views(shape)
    same_with_gradients(L.barlow_twins_loss(a, b, off_diagonal=weight), barlow(a, b, weight), (a, b))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_vicreg_is_its_code(shape: tuple[int, int], scale: float) -> None:
    a, b = (scale * v.detach() for v in views(shape))
    a, b = a.requires_grad_(), b.requires_grad_()
    same_with_gradients(L.vicreg_loss(a, b), vicreg(a, b, 25, 25, 1), (a, b))
    options = {"invariance": 1.0, "variance": 3.0, "covariance": 0.5}
    same_with_gradients(L.vicreg_loss(a, b, **options), vicreg(a, b, 1, 3, 0.5), (a, b))


def test_products_of_items_stand_for_those_of_features() -> None:
    """Neither matrix is larger than twice the batch."""
    wide = torch.empty(4, 1000, device="meta"), torch.empty(4, 1000, device="meta")
    made: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: made.append(t.numel()), lambda _: None):
        moments.cross_squares(*(t.requires_grad_() for t in wide))
    assert made
    assert max(made) <= 4 * 1000


@pytest.mark.parametrize("name", ["barlow_twins_loss", "vicreg_loss"])
def test_items_that_weigh_nothing_are_not_there(name: str) -> None:
    a, b = (v.detach() for v in views((9, 4)))
    weight = torch.tensor([1.0, 0.0, 2.0, 2.0, 0.0, 1.0, 0.5, 3.0, 1.0])
    kept, loss = weight > 0, getattr(L, name)
    spoilt = torch.where(kept[:, None], a, torch.nan)
    want = loss(a[kept], b[kept], sample_weight=weight[kept])
    torch.testing.assert_close(loss(spoilt, b, sample_weight=weight), want)
    torch.testing.assert_close(loss(a, b, sample_weight=7 * weight), loss(a, b, sample_weight=weight))


def test_a_whole_weight_is_so_many_copies_to_barlow_twins() -> None:
    a, b = (v.detach() for v in views((6, 4)))
    weight = torch.tensor([1, 3, 2, 1, 0, 2])
    copies = torch.arange(6).repeat_interleave(weight)
    got = L.barlow_twins_loss(a, b, sample_weight=weight.double())
    torch.testing.assert_close(got, L.barlow_twins_loss(a[copies], b[copies]))


def test_variances_stay_without_bias_under_weights() -> None:
    """Of many draws of two values the mean of the weighted variances is the variance."""
    x = torch.randn(200_000, 3, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    share = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    centre = (share[:, None] * x).sum(1, keepdim=True)
    biased = (share[:, None] * (x - centre).square()).sum(1)
    assert abs((biased / (1 - share.square().sum())).mean().item() - 1) < 0.01
    loss = L.vicreg_loss(x[0], x[0], sample_weight=share, invariance=0.0, covariance=0.0, variance=1.0, spread=9.0)
    want = 9 - (biased[0, 0] / (1 - share.square().sum()) + 1e-4).sqrt()
    torch.testing.assert_close(loss, want)


def test_one_item_is_finite() -> None:
    a = draw(1, 3).requires_grad_()
    for loss in (L.barlow_twins_loss(a, a), L.vicreg_loss(a, a)):
        (grad,) = torch.autograd.grad(loss, a)
        assert loss.isfinite()
        assert not grad.any()


def test_koleo_is_the_logarithm_of_the_least_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    x = draw(40, 5).requires_grad_()

    def dense() -> Tensor:
        z = F.normalize(x)
        apart = (z[:, None] - z).square().sum(2) + 100 * torch.eye(40)
        return -(apart.min(1).values.sqrt() + 1e-8).log()

    same_with_gradients(L.koleo_loss(x, reduction="none").sum(), dense().sum(), (x,))
    monkeypatch.setattr(distances, "NEAREST_ENTRIES", 100)  # in blocks of two rows
    same_with_gradients(L.koleo_loss(x), dense().mean(), (x,))


def test_neighbours_nearer_than_products_can_tell_are_told_apart() -> None:
    """In float32 all three have the same product, 1."""
    x = torch.tensor([[1.0, 0.0], [1.0, 2e-4], [1.0, 1e-6]])
    got = L.koleo_loss(x, reduction="none")
    torch.testing.assert_close(got, L.koleo_loss(x.double(), reduction="none").float(), rtol=1e-3, atol=0)
    torch.testing.assert_close(got[0].exp(), torch.tensor(1 / 1.01e-6), rtol=1e-3, atol=0)
