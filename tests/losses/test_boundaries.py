"""Distances to boundaries, one by one, and the losses that weigh errors by them."""

from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import lossary as L
from lossary.kernels import transform


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def nearest(region: Tensor, place: Tensor, spacing: tuple[float, ...]) -> float:
    """How far the nearest position of a region is, by looking at each."""
    return ((region.nonzero() - place) * torch.tensor(spacing)).square().sum(1).min().sqrt().item()


@pytest.mark.parametrize("held", [1 << 22, 100])
@pytest.mark.parametrize(
    ("shape", "spacing"), [((23,), (1.0,)), ((9, 14), (1.0, 1.0)), ((9, 14), (0.5, 3.0)), ((4, 5, 6), (2.0, 1.0, 1.5))]
)
def test_distances_are_those_to_the_nearest_position_of_the_other_side(
    shape: tuple[int, ...], spacing: tuple[float, ...], held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transform, "CANDIDATES", held)
    region = draw(*shape) > 0.9
    got = L.signed_distances(region[None, None], spacing=spacing)[0, 0]
    for place in product(*map(range, shape)):
        inside = bool(region[place])
        want = nearest(region != inside, torch.tensor(place), spacing)
        assert got[place].item() == pytest.approx(-want if inside else want, rel=1e-6)


def test_distances_of_classes_are_those_of_their_regions() -> None:
    labels = torch.randint(3, (2, 6, 7), generator=torch.Generator().manual_seed(0))
    regions = F.one_hot(labels, 3).movedim(-1, 1)
    assert L.signed_distances(labels, classes=3).equal(L.signed_distances(regions))
    assert not L.signed_distances(labels, classes=4)[:, 3].any()  # a class that is nowhere has no boundary
    assert not L.signed_distances(torch.ones(1, 1, 5))[0].any()  # nor has one that is everywhere


def test_ignored_positions_bound_nothing() -> None:
    got = L.signed_distances(torch.tensor([[0, 0, 1, 1, -100, -100]]), classes=2)
    assert got[0, 1, :4].tolist() == [2, 1, -1, -2]


def test_a_wrong_position_costs_its_distance() -> None:
    target = torch.zeros(1, 8, 8, dtype=torch.int64)
    target[:, 2:4, 2:4] = 1
    distances = L.signed_distances(target, classes=2)
    logits = 40.0 * F.one_hot(target, 2).movedim(-1, 1) - 20
    least = L.boundary_loss(logits, distances, reduction="sum")
    for place in ((2, 5), (7, 7)):
        wrong = logits.clone()
        wrong[(0, slice(None), *place)] *= -1
        more = L.boundary_loss(wrong, distances, reduction="sum") - least
        torch.testing.assert_close(more, 2 * distances[(0, 1, *place)] / 64)


def test_two_classes_are_one_region_and_what_is_around_it() -> None:
    x, target = draw(2, 1, 5, 6), (draw(2, 5, 6, seed=1) > 0.5).long()
    both = torch.cat([torch.zeros_like(x), x], 1)
    distances = L.signed_distances(target, classes=2).double()
    one = L.sigmoid_boundary_loss(x, distances[:, 1:], reduction="none")
    torch.testing.assert_close(L.boundary_loss(both, distances, reduction="none")[:, 1:], one)
    for options in ({}, {"alpha": 1.0, "spacing": (1.0, 2.0)}):
        given: dict[str, Any] = {"reduction": "none", **options}
        one = L.sigmoid_hausdorff_dt_loss(x, target[:, None], **given)
        torch.testing.assert_close(L.hausdorff_dt_loss(both, target, **given), one.expand(-1, 2))


def test_hausdorff_weighs_squares_by_both_distances() -> None:
    x, target = draw(3, 2, 6, 5).requires_grad_(), (draw(3, 2, 6, 5, seed=1) > 0.3).long()
    p = x.sigmoid()
    fields = [L.signed_distances(t).double().abs() for t in (target, (p > 0.5).long())]
    want = ((p - target).square() * (fields[0] ** 1.5 + fields[1] ** 1.5)).mean()
    got = L.sigmoid_hausdorff_dt_loss(x, target, alpha=1.5)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(*(torch.autograd.grad(loss, x)[0] for loss in (got, want)))


def test_a_class_alone_may_be_masked() -> None:
    x, distances = draw(2, 3, 7), draw(2, 3, 7, seed=1)
    mask = draw(2, 3, 7, seed=2) > 0
    each = (x.softmax(1) * distances).masked_fill(~mask, 0).sum(2) / mask.sum(2)
    hollow = distances.masked_fill(~mask, torch.nan)
    torch.testing.assert_close(L.boundary_loss(x, hollow, mask=mask, reduction="none"), each)


def test_spacing_and_shapes_that_do_not_fit_are_refused() -> None:
    x, y = draw(2, 3, 4, 5), torch.zeros(2, 4, 5, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"^spacing: wanted one number, or 2"):
        L.hausdorff_dt_loss(x, y, spacing=(1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match=r"^spacing: wanted a finite number"):
        L.signed_distances(y, classes=3, spacing=0.0)
    with pytest.raises(ValueError, match=r"^distances: wanted the shape of input"):
        L.boundary_loss(x, x[:, :1])
    with pytest.raises(ValueError, match=r"^target: wanted positions"):
        L.signed_distances(torch.zeros(2, 3))
    with pytest.raises(IndexError, match=r"^target: "):
        L.signed_distances(y + 3, classes=3)
