"""Gaps of ready scores: by blocks, all at once and by plain torch the same, exact where p is near 1, nothing faint."""

from typing import Any

import pytest
import torch
from torch import Tensor

import lossary
from lossary.kernels import ready
from lossary.kernels.stable import ABSENT
from lossary.losses.classes import softmax
from lossary.testing.laws.devices import as_on_an_accelerator


@pytest.fixture(params=["one row", "some rows", "all at once"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a CPU, or the way of an accelerator."""
    monkeypatch.setattr(ready, "FEW_SCORES", 0)
    monkeypatch.setattr(ready, "CACHED_SCORES", 1 if request.param == "one row" else 3 * 7)
    if request.param == "all at once":
        monkeypatch.setattr("lossary.core.device.by_cache", lambda _: False)


def batch(spread: float = 1.0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    x = spread * torch.randn(11, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return x.to(dtype).requires_grad_(), torch.arange(11) % 7


def plain(x: Tensor, labels: Tensor) -> Tensor:
    rest = x.scatter(1, labels[:, None], -torch.inf).logsumexp(1)
    return rest - x.gather(1, labels[:, None])[:, 0]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("spread", [1.0, 300.0])
def test_gaps_and_both_derivatives_are_those_of_plain_torch(spread: float) -> None:
    x, labels = batch(spread)
    found, wanted = ready.gaps(x, labels), plain(x, labels)
    torch.testing.assert_close(found, wanted)
    along = torch.linspace(-1, 2, 11, dtype=torch.float64)
    for _ in range(2):  # the kept one first, which must not be written over
        first = torch.autograd.grad(found, x, along, retain_graph=True)[0]
        torch.testing.assert_close(first, torch.autograd.grad(wanted, x, along, retain_graph=True)[0])
    second = [
        torch.autograd.grad(torch.autograd.grad(gap.square().sum(), x, create_graph=True)[0].square().sum(), x)[0]
        for gap in (found, wanted)
    ]
    torch.testing.assert_close(*second)


@pytest.mark.usefixtures("way")
def test_a_gap_is_exact_where_the_label_is_all_but_certain() -> None:
    x = torch.tensor([[60.0, 0.0, -1.0], [1e4, 1e4 - 30, 0.0], [-torch.inf, 1.0, 2.0], [3.0, -torch.inf, -torch.inf]])
    found = ready.gaps(x, torch.zeros(4, dtype=torch.long))
    wanted = plain(x[:3].double(), torch.zeros(3, dtype=torch.long)).float()
    torch.testing.assert_close(found[:3], wanted, rtol=2e-7, atol=0)
    assert found[3] == ABSENT  # no other class is possible


@pytest.mark.parametrize("spread", [1.0, 32.0])
def test_nothing_faint_is_kept_or_handed_out(spread: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "FEW_SCORES", 0)
    x = (spread * torch.randn(64, 1000, generator=torch.Generator().manual_seed(0))).requires_grad_()
    gap = ready.gaps(x, torch.arange(64))
    kept = gap.grad_fn.saved_tensors[2]  # pyright: ignore
    gradient = torch.autograd.grad(gap, x, torch.full((64,), 1e-6))[0]
    for t in (kept, gradient):
        assert not ((t != 0) & (t.abs() < torch.finfo(t.dtype).tiny)).any()
    exact = x.detach().double().requires_grad_()
    wanted = torch.autograd.grad(plain(exact, torch.arange(64)), exact, torch.full((64,), 1e-6).double())[0]
    torch.testing.assert_close(gradient.double(), wanted, rtol=0, atol=1e-6 * 2e-6)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_scores_have_float32_gaps_and_a_gradient_rounded_once(dtype: torch.dtype) -> None:
    x, labels = batch(4.0, dtype)
    gap = ready.gaps(x, labels)
    assert gap.dtype == torch.float32
    exact = x.detach().double().requires_grad_()
    wanted = plain(exact, labels)
    torch.testing.assert_close(gap.double(), wanted, rtol=1e-6, atol=1e-6)
    gradient = torch.autograd.grad(gap.sum(), x)[0]
    assert gradient.dtype == dtype
    torch.testing.assert_close(gradient, torch.autograd.grad(wanted.sum(), exact)[0].to(dtype), rtol=1e-2, atol=1e-7)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_focal_slope_is_the_derivative_of_the_formula(gamma: float, weighted: bool) -> None:
    gap = torch.tensor([-300.0, -40.0, -3.0, 0.0, 1e-3, 5.0, 40.0, 900.0], dtype=torch.float64, requires_grad=True)
    alpha = torch.linspace(0.5, 2, len(gap), dtype=torch.float64) if weighted else None
    numbers = (gamma,) if alpha is None else (gamma, alpha)
    losses, by_gap = softmax._focal_slope(gap.detach(), *numbers)
    wanted = softmax._focal(gap, *numbers)
    torch.testing.assert_close(losses, wanted.detach(), rtol=1e-14, atol=0)
    torch.testing.assert_close(by_gap, torch.autograd.grad(wanted.sum(), gap)[0], rtol=1e-13, atol=1e-300)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_focal_loss_of_two_orders_with_weights_and_a_gamma_that_learns(reduction: Any) -> None:
    x, labels = batch(2.0, torch.float64)
    weight = torch.rand(len(labels), dtype=torch.float64)
    gamma = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)

    def orders(gamma: Any, learns: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        loss = lossary.focal_loss(x, labels, gamma=gamma, sample_weight=weight, reduction=reduction)
        first = torch.autograd.grad(loss, learns, create_graph=True)
        return loss, *first, *torch.autograd.grad(first[0].square().sum(), learns)

    fixed, learnt = orders(1.5, (x,)), orders(gamma, (x, gamma))
    torch.testing.assert_close(fixed, (learnt[0], learnt[1], learnt[3]), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["focal_loss", "poly_loss", "poly_focal_loss", "generalized_cross_entropy_loss"])
def test_losses_of_the_gap_are_the_same_on_an_accelerator(name: str) -> None:
    x, labels = batch(8.0)
    with as_on_an_accelerator():
        found = torch.autograd.grad(getattr(lossary, name)(x, labels), x)[0]
    torch.testing.assert_close(found, torch.autograd.grad(getattr(lossary, name)(x, labels), x)[0])
