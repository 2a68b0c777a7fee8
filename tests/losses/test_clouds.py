"""Clouds of points beside all distances, in blocks and whole."""

from typing import Any

import pytest
import torch
from torch import Tensor

import lossary as L
from lossary.kernels import nearest


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dense(x: Tensor, y: Tensor, squared: bool) -> Tensor:
    """Of one cloud each."""
    apart = (x[:, None] - y).square().sum(2)
    apart = apart if squared else apart.sqrt()
    return apart.amin(1).mean() + apart.amin(0).mean()


@pytest.mark.parametrize("held", [1 << 20, 40])
@pytest.mark.parametrize("squared", [True, False])
def test_each_cloud_counts_the_points_that_it_has(squared: bool, held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "DISTANCES", held)  # all points at once, or a few
    x, y = draw(3, 20, 3).requires_grad_(), draw(3, 13, 3, seed=1).requires_grad_()
    sizes = [[20, 1, 7], [5, 13, 9]]
    want = torch.stack([dense(a[:p], b[:m], squared) for a, b, p, m in zip(x, y, *sizes, strict=True)]).mean()
    masks = [torch.arange(t.shape[1]) < torch.tensor(ks)[:, None] for t, ks in zip((x, y), sizes, strict=True)]
    given = [t.masked_fill(~mask[..., None], torch.nan) for t, mask in zip((x, y), masks, strict=True)]
    got = L.chamfer_loss(*given, squared=squared, input_mask=masks[0], target_mask=masks[1])
    torch.testing.assert_close(got, want)
    for ours, theirs in zip(*(torch.autograd.grad(loss, (x, y)) for loss in (got, want)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_cloud_beside_an_empty_one_costs_nothing() -> None:
    x, y = draw(2, 4, 3).requires_grad_(), draw(2, 5, 3, seed=1)
    there = torch.tensor([[False] * 5, [True] * 5])
    got = L.chamfer_loss(x, y, target_mask=there, reduction="none")
    assert got[0] == 0
    torch.testing.assert_close(got[1], dense(x[1], y[1], True))
    (grad,) = torch.autograd.grad(got.sum(), x)
    assert not grad[0].any()


@pytest.mark.parametrize(("points", "others"), [(0, 4), (4, 0), (0, 0)])
def test_a_cloud_of_no_points_costs_nothing(points: int, others: int) -> None:
    x, y = torch.ones(2, points, 3, requires_grad=True), torch.ones(2, others, 3, requires_grad=True)
    got = L.chamfer_loss(x, y, reduction="none")
    assert got.tolist() == [0, 0]
    assert not any(grad.any() for grad in torch.autograd.grad(got.sum(), (x, y)))


def test_near_points_far_from_the_origin_keep_their_digits() -> None:
    """Where products are of 1e6 and squared distances of 1e-4, float32 has no digit of the difference."""
    x = (draw(1, 50, 3) * 1e-2 + 1e3).float()
    y = (draw(1, 40, 3, seed=1) * 1e-2 + 1e3).float()
    want = L.chamfer_loss(x.double(), y.double())
    torch.testing.assert_close(L.chamfer_loss(x, y).double(), want, rtol=1e-5, atol=0)


@pytest.mark.parametrize("scale", [1e-30, 1e25])
def test_the_nearest_is_found_at_every_scale(scale: float) -> None:
    x, y = draw(2, 9, 3).float(), draw(2, 7, 3, seed=1).float()
    for found, want in zip(nearest.nearest_of_each(scale * x, scale * y), nearest.nearest_of_each(x, y), strict=True):
        assert found.equal(want)


def test_of_points_as_near_the_first_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for held in (1 << 20, 3):
        monkeypatch.setattr(nearest, "DISTANCES", held)
        to_y, to_x = nearest.nearest_of_each(torch.zeros(1, 4, 2), torch.zeros(1, 3, 2))
        assert not to_y.any()
        assert not to_x.any()


def test_distances_are_not_kept() -> None:
    x, y, kept = draw(2, 300, 3).requires_grad_(), draw(2, 200, 3, seed=1), list[int]()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        L.chamfer_loss(x, y)
    assert max(kept) <= x.numel()


def test_masks_that_do_not_fit_are_refused() -> None:
    x, y = draw(3, 2, 4), draw(3, 5, 4)
    there = torch.ones(3, 5, dtype=torch.bool)
    wrong: dict[str, Any] = {"input_mask": there}
    with pytest.raises(ValueError, match=r"^input_mask: wanted"):
        L.chamfer_loss(x, y, **wrong)
    with pytest.raises(TypeError, match=r"^target_mask: wanted booleans"):
        L.chamfer_loss(x, y, target_mask=there.long())
    with pytest.raises(ValueError, match=r"^target: wanted"):
        L.chamfer_loss(x, y[..., :3])
