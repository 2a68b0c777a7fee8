"""Distances stay exact where products cancel, and their gradient is 0 at distance 0."""

import pytest
import torch
from torch import Tensor

from lossary.kernels import distances
from lossary.kernels.distances import norm, pairwise


@pytest.fixture(params=["written out", "products"])
def route(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "products":
        monkeypatch.setattr(distances, "WRITTEN_OUT", 0)
        monkeypatch.setattr(distances, "BLOCK", 8)  # several blocks of pairs that cancel
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
