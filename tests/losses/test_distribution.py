"""How a batch is distributed, beside formulas over all pairs, and what the losses are least at."""

from typing import Any

import pytest
import torch
from torch import Tensor

import lossary
from lossary.losses.views import distribution

L: Any = lossary.functional


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_flops_is_the_products_of_two_random_items() -> None:
    """The mean over all pairs of items of the products of their absolute features: what a search multiplies."""
    x = draw(7, 5)
    torch.testing.assert_close(L.flops_loss(x), (x.abs() @ x.abs().mT).mean())
    weight = torch.arange(7).double()
    share = weight / weight.sum()
    pairs = share @ x.abs() @ x.abs().mT @ share
    torch.testing.assert_close(L.flops_loss(x, sample_weight=weight), pairs)


def test_flops_is_less_the_more_features_share_the_same_total() -> None:
    shared = torch.full((4, 4), 0.25)
    apart = torch.eye(4)
    crowded = torch.eye(4)[[0] * 4]
    losses = [L.flops_loss(x).item() for x in (shared, apart, crowded)]
    assert losses == [0.25, 0.25, 1.0]


def minimal_code(x: Tensor, directions: Tensor, knots: int = 17, t_max: float = 3.0) -> Tensor:
    """As the authors' listing has it, which holds all waves."""
    t = torch.linspace(0, t_max, knots, dtype=x.dtype)
    step = t_max / (knots - 1)
    weights = torch.full((knots,), 2 * step, dtype=x.dtype)
    weights[[0, -1]] = step
    window = torch.exp(-t.square() / 2)
    waves = (x @ (directions / directions.norm(dim=1, keepdim=True)).mT)[..., None] * t
    apart = (waves.cos().mean(-3) - window).square() + waves.sin().mean(-3).square()
    return (apart @ (weights * window) * len(x)).mean()


@pytest.mark.parametrize("waves", [1 << 24, 200])
@pytest.mark.parametrize("options", [{}, {"knots": 12, "t_max": 5.0}])
def test_sigreg_is_its_minimal_code(options: dict[str, Any], waves: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distribution, "WAVES", waves)  # a block of directions, or several
    x, ways = draw(20, 5).requires_grad_(), draw(7, 5, seed=1).requires_grad_()
    got, want = L.sigreg_loss(x, ways, **options), minimal_code(x, ways, **options)
    torch.testing.assert_close(got, want)
    for g, h in zip(*(torch.autograd.grad(loss, (x, ways)) for loss in (got, want)), strict=True):
        torch.testing.assert_close(g, h)


def test_sigreg_is_less_the_more_normal_the_batch() -> None:
    one = torch.ones(1, 1, dtype=torch.float64)
    places = torch.linspace(0.005, 0.995, 100, dtype=torch.float64)[:, None]
    normal, even = torch.special.ndtri(places), (places - 0.5) * 12**0.5
    batches = (normal, even, 2 * normal, 0 * normal, normal + 1, normal + 3)
    losses = [L.sigreg_loss(x, one).item() for x in batches]
    assert losses == sorted(losses), losses
    assert losses[0] < 0.001 < losses[1]


def test_normal_batches_of_all_sizes_have_about_the_same_sigreg() -> None:
    ways = draw(50, 4, seed=2)
    means = [torch.stack([L.sigreg_loss(draw(n, 4, seed=s), ways) for s in range(50)]).mean() for n in (20, 2000)]
    assert 0.9 < means[0] / means[1] < 1.1, means


def test_sigreg_counts_items_by_what_their_weights_say() -> None:
    """Equal weights are no weights, and an item of weight 0 is not there, not even in N."""
    x, ways = draw(9, 4), draw(3, 4, seed=1)
    weight = torch.tensor([2.0] * 6 + [0.0] * 3)
    torch.testing.assert_close(L.sigreg_loss(x, ways, sample_weight=weight), L.sigreg_loss(x[:6], ways))


def test_an_item_too_far_for_the_knots_is_not_drawn_farther() -> None:
    """The waves of the minimal code repeat themselves: there an item at 34 is as good as one at 0."""
    one, period = torch.ones(1, 1, dtype=torch.float64), 2 * torch.pi * 16 / 3
    x = torch.tensor([[0.0], [period]], dtype=torch.float64).requires_grad_()
    torch.testing.assert_close(minimal_code(x, one), minimal_code(0 * x, one))
    (grad,) = torch.autograd.grad(L.sigreg_loss(x, one), x)
    assert grad[1] == 0
    torch.testing.assert_close(L.sigreg_loss(x, one), minimal_code(x / 2, one))
    near = torch.tensor([[0.0], [period / 2 - 1e-4]], dtype=torch.float64).requires_grad_()
    assert torch.autograd.grad(L.sigreg_loss(near, one), near)[0][1].abs() < 1e-3  # no jump where it ends


def test_directions_of_another_space_are_refused() -> None:
    for ways in (draw(3, 5), draw(0, 4), draw(4)):
        with pytest.raises(ValueError, match=r"^directions: wanted"):
            L.sigreg_loss(draw(9, 4), ways)


KERNELS = {
    "gaussian": lambda d: (-d.square() / 2).exp(),
    "laplacian": lambda d: (-d).exp(),
    "energy": lambda d: -d,
}


@pytest.mark.parametrize("distances", [1 << 22, 60])
@pytest.mark.parametrize("kernel", KERNELS)
def test_mmd_is_kernels_within_less_those_across(kernel: Any, distances: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distribution, "DISTANCES", distances)  # one block of rows, or several
    x, y = draw(12, 3).requires_grad_(), (draw(9, 3, seed=1) + 0.5).requires_grad_()

    def mean(a: Tensor, b: Tensor) -> Tensor:
        apart = (a[:, None] - b).square().sum(2)
        same = apart == 0
        return KERNELS[kernel](torch.where(same, 1, apart).sqrt().masked_fill(same, 0) / 1.5).mean()

    got = L.mmd_loss(x, y, kernel=kernel, bandwidth=1.5)
    want = mean(x, x) + mean(y, y) - 2 * mean(x, y)
    torch.testing.assert_close(got, want)
    for g, h in zip(*(torch.autograd.grad(loss, (x, y)) for loss in (got, want)), strict=True):
        torch.testing.assert_close(g, h)


def test_mmd_of_whole_weights_is_that_of_copies() -> None:
    x, y, weight = draw(6, 3), draw(4, 3, seed=1), torch.tensor([1, 0, 2, 1, 3, 0])
    copies = torch.arange(6).repeat_interleave(weight)
    for kernel in KERNELS:
        got = L.mmd_loss(x, y, kernel=kernel, sample_weight=weight.double())
        torch.testing.assert_close(got, L.mmd_loss(x[copies], y, kernel=kernel))


def test_mmd_keeps_digits_where_kernels_are_near_one() -> None:
    """At a bandwidth of 1000 all kernels are 1 up to 1e-6, of which float32 has one digit."""
    x, y = draw(50, 3), draw(40, 3, seed=1) + 1
    want = L.mmd_loss(x, y, bandwidth=1e3)
    got = L.mmd_loss(x.float(), y.float(), bandwidth=1e3)
    torch.testing.assert_close(got.double(), want, rtol=1e-4, atol=0)


@pytest.mark.parametrize("kernel", ["gaussian", "laplacian"])
def test_far_items_keep_their_gradient(kernel: str) -> None:
    x, y = torch.zeros(1, 1), torch.full((1, 1), 6.0)
    grads = []
    for dtype in (torch.float32, torch.float64):
        leaf = x.to(dtype).requires_grad_()
        grads += torch.autograd.grad(L.mmd_loss(leaf, y.to(dtype), kernel=kernel, bandwidth=0.8), leaf)
    assert grads[1] != 0
    torch.testing.assert_close(grads[0].double(), grads[1], rtol=1e-5, atol=0)


def test_the_distances_of_a_large_batch_are_never_held_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distribution, "DISTANCES", 400)
    x, y = draw(100, 3).requires_grad_(), draw(80, 3, seed=1)
    made: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: made.append(t.numel()) or t, lambda t: t):
        L.mmd_loss(x, y)
    assert made
    assert max(made) < 100 * 80 / 2
