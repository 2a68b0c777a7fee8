"""Boxes beside boxes: a few lengths a pair, of which plain code makes a hundred tensors."""

import math
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

import lossary.functional as LF
from benchmarks.case import DENSE, OURS, Bar, Case, Contender, Inputs, Maker, by

TORCHVISION = "torchvision"


def draw(n: int) -> Inputs:
    """Boxes of an image, in pixels, and predictions that are off by some of them."""
    centers, lengths = torch.rand(n, 2) * 600, torch.rand(n, 2) * 100 + 20
    true = torch.cat([centers - lengths / 2, centers + lengths / 2], 1)
    return Inputs((true + torch.randn(n, 4) * 3,), (true,))


def complete(x: Tensor, y: Tensor) -> Mapping[str, Maker]:
    y = y.to(x.dtype)
    return {
        OURS: by((x,), LF.complete_iou_loss, x, y),
        DENSE: by((x,), dense, x, y),
        TORCHVISION: partial(torchvision, x, y),
    }


def dense(x: Tensor, y: Tensor) -> Tensor:
    """By columns, as detectors have it."""
    x1, y1, x2, y2 = x.unbind(1)
    a1, b1, a2, b2 = y.unbind(1)
    width, height, true_width, true_height = x2 - x1, y2 - y1, a2 - a1, b2 - b1
    shared = (torch.minimum(x2, a2) - torch.maximum(x1, a1)).clamp_min(0)
    shared = shared * (torch.minimum(y2, b2) - torch.maximum(y1, b1)).clamp_min(0)
    iou = shared / (width * height + true_width * true_height - shared)
    diagonal = (torch.maximum(x2, a2) - torch.minimum(x1, a1)).square()
    diagonal = diagonal + (torch.maximum(y2, b2) - torch.minimum(y1, b1)).square()
    distance = ((x1 + x2 - a1 - a2).square() + (y1 + y2 - b1 - b2).square()) / (4 * diagonal)
    v = 4 / math.pi**2 * (torch.atan(true_width / true_height) - torch.atan(width / height)).square()
    alpha = (v / (1 - iou + v)).detach()
    return (1 - iou + distance + alpha * v).mean()


def torchvision(x: Tensor, y: Tensor) -> Contender:
    from torchvision.ops import complete_box_iou_loss

    return Contender(lambda: complete_box_iou_loss(x, y, reduction="mean"), (x,))


def case(n: int, bars: tuple[Bar, ...] = ()) -> Case:
    return Case(f"complete IoU, {n:,} boxes", "none", partial(draw, n), complete, DENSE, bars, processes=3)


def cases() -> list[Case]:
    return [case(1_000_000, (Bar("time", 0.5, (TORCHVISION,)), Bar("saved", 1)))]


def toys() -> list[Case]:
    return [case(23)]
