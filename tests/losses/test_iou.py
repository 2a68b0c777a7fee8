"""Losses of boxes: against the definitions written out, in blocks and whole, and what they are to each other."""

import math
from collections.abc import Callable
from unittest import mock

import pytest
import torch
from torch import Tensor

import lossary.functional as L
from lossary.kernels import elementwise

LOSSES = (L.iou_loss, L.generalized_iou_loss, L.distance_iou_loss, L.complete_iou_loss)
losses = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)


def pairs(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Boxes beside boxes: apart, within each other, equal, with one side in common."""
    g = torch.Generator().manual_seed(seed)
    centers = torch.randn(2, n, 2, generator=g, dtype=torch.float64)
    halves = torch.randn(2, n, 2, generator=g, dtype=torch.float64).exp() / 2
    x, y = torch.cat([centers - halves, centers + halves], 2)
    x[n // 4] = y[n // 4]
    x[n // 3, :2] = y[n // 3, :2].minimum(x[n // 3, 2:] - 0.1)
    x[0] = y[0] + 100
    return x, y


def by_hand(name: str, p: list[float], t: list[float]) -> float:
    """The definitions, a pair at a time, with the peers' names for lengths and without their epsilons."""
    area = lambda b: (b[2] - b[0]) * (b[3] - b[1])  # noqa: E731
    inside = [max(p[0], t[0]), max(p[1], t[1]), min(p[2], t[2]), min(p[3], t[3])]
    around = [min(p[0], t[0]), min(p[1], t[1]), max(p[2], t[2]), max(p[3], t[3])]
    shared = area(inside) if inside[2] > inside[0] and inside[3] > inside[1] else 0.0
    union = area(p) + area(t) - shared
    loss = 1 - shared / union
    if name == "generalized_iou_loss":
        return loss + (area(around) - union) / area(around)
    if name == "iou_loss":
        return loss
    square = ((p[0] + p[2] - t[0] - t[2]) / 2) ** 2 + ((p[1] + p[3] - t[1] - t[3]) / 2) ** 2
    near = loss + square / ((around[2] - around[0]) ** 2 + (around[3] - around[1]) ** 2)
    if name == "distance_iou_loss":
        return near
    angles = (math.atan((b[2] - b[0]) / (b[3] - b[1])) for b in (t, p))
    v = 4 / math.pi**2 * (next(angles) - next(angles)) ** 2
    return near + (v * v / (loss + v) if v else 0.0)


@losses
def test_each_is_its_definition(loss: Callable[..., Tensor]) -> None:
    x, y = pairs(60)
    wanted = [by_hand(loss.__name__, p, t) for p, t in zip(x.tolist(), y.tolist(), strict=True)]
    torch.testing.assert_close(
        loss(x, y, reduction="none"), torch.tensor(wanted, dtype=x.dtype), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize(
    ("loss", "options"),
    [
        *((loss, {}) for loss in LOSSES),
        (L.iou_loss, {"mode": "log", "eps": 0.2}),
        (L.iou_loss, {"mode": "square"}),
        (L.complete_iou_loss, {"trade_off": "exact"}),
    ],
)
def test_blocks_change_nothing(loss: Callable[..., Tensor], options: dict[str, str]) -> None:
    """Neither those whose slopes are known nor those that are left to autograd, weights or not."""
    x, y = pairs(90)
    flat = x.clone()
    flat[40:, 3] = flat[40:, 1]
    turned = x[:, [2, 1, 0, 3]]
    weight = torch.arange(90, dtype=x.dtype)
    for boxes, given in ((x, {}), (flat, {}), (turned, {}), (x * 1e-12, {}), (x, {"sample_weight": weight})):
        whole, cut = boxes.clone().requires_grad_(), boxes.clone().requires_grad_()
        beside = y * 1e-12 if boxes.abs().max() < 1e-6 else y
        items = loss(whole, beside, reduction="none", **options)
        share = given.get("sample_weight", torch.ones(90, dtype=x.dtype))
        wanted = (items * share).sum() / share.sum()
        with mock.patch.object(elementwise, "CACHED_ELEMENTS", 4 * 16):
            found = loss(cut, beside, **options, **given)
            (by_cut,) = torch.autograd.grad(found, cut)
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)
        (by_whole,) = torch.autograd.grad(wanted, whole)
        torch.testing.assert_close(by_cut, by_whole, rtol=1e-11, atol=1e-13 * by_whole.abs().max().item())


@losses
def test_neither_place_nor_unit_nor_roles_matter(loss: Callable[..., Tensor]) -> None:
    x, y = pairs(30, seed=1)
    wanted = loss(x, y, reduction="none")
    torch.testing.assert_close(loss(1e5 * (x + 3), 1e5 * (y + 3), reduction="none"), wanted)
    torch.testing.assert_close(loss(y, x, reduction="none"), wanted)
    torch.testing.assert_close(loss(x[:, [2, 1, 0, 3]], y, reduction="none"), wanted)  # corners the wrong way round


def test_boxes_apart_are_pulled_together_but_by_plain_iou() -> None:
    x = torch.tensor([[0.0, 0.0, 1.0, 1.0]], dtype=torch.float64, requires_grad=True)
    y = x.detach() + 5
    for loss in LOSSES:
        (grad,) = torch.autograd.grad(loss(x, y), x)
        after = loss((x - 1e-2 * grad).detach(), y)
        assert (after < loss(x, y)) == (loss is not L.iou_loss)
    assert L.generalized_iou_loss(x, y + 1e6).item() == pytest.approx(2, abs=1e-9)


def test_of_one_aspect_ratio_complete_is_distance() -> None:
    x, _ = pairs(20)
    center = (x[:, :2] + x[:, 2:]).repeat(1, 2) / 2
    y = center + (x - center) * 1.7 + 0.3
    torch.testing.assert_close(L.complete_iou_loss(x, y), L.distance_iou_loss(x, y))


def test_the_trade_off_is_a_constant_unless_it_is_asked_for() -> None:
    x, y = pairs(20)
    x.requires_grad_()
    gap = L.complete_iou_loss(x, y, reduction="none") - L.distance_iou_loss(x, y, reduction="none")  # alpha v
    iou = L.iou_loss(x, y, reduction="none")
    v = (gap + (gap.square() + 4 * gap * iou).sqrt()) / 2  # the positive root of v^2 = gap (1 - IoU + v)
    alpha = (v / (iou + v)).nan_to_num().detach()
    (by_constant,) = torch.autograd.grad(L.complete_iou_loss(x, y, reduction="sum"), x)
    (by_exact,) = torch.autograd.grad(L.complete_iou_loss(x, y, reduction="sum", trade_off="exact"), x)
    width, height = (x[:, 2:] - x[:, :2]).unbind(1)
    true_width, true_height = (y[:, 2:] - y[:, :2]).unbind(1)
    again = 4 / math.pi**2 * (torch.atan(true_width / true_height) - torch.atan(width / height)).square()
    (wanted,) = torch.autograd.grad(L.distance_iou_loss(x, y, reduction="sum") + (alpha * again).sum(), x)
    torch.testing.assert_close(by_constant, wanted)
    assert not torch.allclose(by_constant, by_exact, rtol=1e-2)


def test_the_logarithm_is_that_of_the_overlap() -> None:
    x, y = pairs(20)
    linear, log = (L.iou_loss(x, y, mode=mode, reduction="none") for mode in ("linear", "log"))
    torch.testing.assert_close(log, -(1 - linear).clamp_min(1e-6).log())
    torch.testing.assert_close(L.iou_loss(x, y, mode="square", reduction="none"), 1 - (1 - linear).square())
