"""Distances stay exact where products cancel, and their gradient is 0 at distance 0."""

import pytest
import torch
from torch import Tensor

from lossary.kernels import distances
from lossary.kernels.distances import norm, pairwise


@pytest.fixture(params=["written out", "products", "wide products"])
def route(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param != "written out":
        monkeypatch.setattr(distances, "WRITTEN_OUT", 0)
    if request.param == "wide products":
        monkeypatch.setattr("lossary.core.device.by_cache", lambda _: False)
    elif request.param == "products":
        monkeypatch.setattr(distances, "CACHED_DISTANCES", 8)  # several blocks of pairs that cancel
    return request.param


def clustered(dtype: torch.dtype) -> Tensor:
    """Points in pairs 1e-4 apart, far from the origin."""
    g = torch.Generator().manual_seed(0)
    far = torch.randn(6, 3, generator=g, dtype=torch.float64).repeat_interleave(2, 0) + 10
    return (far + 1e-4 * torch.randn(12, 3, generator=g, dtype=torch.float64)).float().to(dtype)


@pytest.mark.parametrize("squared", [False, True])
def test_near_points_keep_their_digits_in_float32(route: str, squared: bool) -> None:
    weight = torch.randn(12, 12, generator=torch.Generator().manual_seed(1))
    x = clustered(torch.float32).requires_grad_()
    exact = clustered(torch.float64).requires_grad_()
    differences = exact[:, None] - exact
    results = []
    for points, d in (
        (x, pairwise(x, x, squared=squared)),
        (exact, differences.square().sum(-1) if squared else norm(differences)),
    ):
        # the pairs alone: the far distances would hide an error of theirs
        near = d.reshape(6, 2, 6, 2).diagonal(dim1=0, dim2=2)[0, 1]
        (grad,) = torch.autograd.grad((d * weight).sum(), points)
        results.append((near.detach().double(), grad.double()))
    (near, grad), (wanted_near, wanted_grad) = results
    torch.testing.assert_close(near, wanted_near, rtol=1e-5, atol=0)
    torch.testing.assert_close(grad, wanted_grad, rtol=1e-4, atol=1e-5)


def test_agrees_with_the_paired_form_and_its_derivatives(route: str) -> None:
    g = torch.Generator().manual_seed(2)
    x, y = (torch.randn(n, 4, generator=g, dtype=torch.float64, requires_grad=True) for n in (5, 7))
    expected = norm(x[:, None] - y)
    torch.testing.assert_close(pairwise(x, y), expected)
    assert torch.autograd.gradcheck(pairwise, (x, y))
    assert torch.autograd.gradgradcheck(pairwise, (x, y))


def test_no_gradient_at_distance_zero(route: str) -> None:
    x = torch.ones(4, 3, requires_grad=True)
    d = pairwise(x, x)
    assert d.count_nonzero() == 0
    (grad,) = torch.autograd.grad(d.sum(), x)
    assert grad.count_nonzero() == 0


def test_routes_meet_at_their_border() -> None:
    g = torch.Generator().manual_seed(3)
    x = torch.randn(1200, 2, generator=g, dtype=torch.float64)  # beyond WRITTEN_OUT
    whole = pairwise(x, x)
    torch.testing.assert_close(whole[:50], pairwise(x[:50], x), rtol=1e-12, atol=1e-12)
    assert whole.diagonal().count_nonzero() == 0


@pytest.mark.parametrize("size", [1e20, 3e30, 1e37])
def test_long_distances_whose_squares_are_beyond_float32(route: str, size: float) -> None:
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3 * size, 4 * size], [-size, 0.0]], requires_grad=True)
    d = pairwise(x, x)
    exact = x.detach().double().requires_grad_()
    wanted = norm(exact[:, None] - exact)
    far = wanted > 1e3
    torch.testing.assert_close(d[far].detach(), wanted[far].detach().float())
    if route == "wide products":  # where nobody looks for what is infinite, 14 digits of the longest are kept
        return
    torch.testing.assert_close(d.detach(), wanted.detach().float())
    assert d[0, 1].item() == 5
    found, true = (torch.autograd.grad(of[0].sum() + of[2].sum(), by)[0] for of, by in ((d, x), (wanted, exact)))
    torch.testing.assert_close(found, true.float())


@pytest.mark.parametrize("p", [0.5, 1.0, 1.5, 2.0, 3.0, 7.0, 300.0])
def test_any_norm_of_entries_that_are_zero_and_of_huge_ones(p: float) -> None:
    x = torch.tensor([[0.0, 0.0], [0.0, 2.0], [3e20, 3e20], [0.0, -1e-30], [2.0, 2.0]], dtype=torch.float64)
    single = x.float().requires_grad_()
    lengths = norm(single, p)
    equal = 2 ** (1 / p)
    wanted = torch.tensor([0.0, 2.0, 3e20 * equal, 0.0 if p == 2 else 1e-30, 2 * equal])
    torch.testing.assert_close(lengths.detach(), wanted, atol=0, rtol=1e-6)
    (grad,) = torch.autograd.grad(lengths.sum(), single, create_graph=True)
    share = 2 ** (1 / p - 1)
    true = torch.tensor([[0.0, 0.0], [0.0, 1.0], [share, share], [0.0, 0.0 if p == 2 else -1.0], [share, share]])
    torch.testing.assert_close(grad.detach(), true)
    if grad.requires_grad:
        assert torch.autograd.grad(grad.square().sum(), single)[0].isfinite().all()
