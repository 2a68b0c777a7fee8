"""Losses that see one number at a time, and center loss, which sees one row at a time."""

from collections.abc import Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

import lossary.functional as LF
from benchmarks.case import DENSE, OURS, Bar, Case, Contender, Inputs, Maker, by

TORCHVISION, SMP, MONAI, KORNIA = "torchvision", "segmentation-models-pytorch", "MONAI", "kornia"
BCE = "torch binary cross-entropy"
POPULAR, PICKED = "popular code, N x C and a mask", "popular code, N x C and a gather"
GAMMA = 2.0


def draw_binary(n: int) -> Inputs:
    return Inputs((torch.randn(n, 8) * 2,), (torch.randint(2, (n, 8)).float(),))


def sigmoid_focal(x: Tensor, y: Tensor) -> Mapping[str, Maker]:
    y = y.to(x.dtype)

    def dense() -> Tensor:
        p = x.sigmoid()
        missed = p + y - 2 * p * y
        return (missed**GAMMA * F.binary_cross_entropy_with_logits(x, y, reduction="none")).mean()

    return {
        BCE: by((x,), F.binary_cross_entropy_with_logits, x, y),
        OURS: by((x,), LF.sigmoid_focal_loss, x, y, gamma=GAMMA),
        DENSE: by((x,), dense),
        TORCHVISION: partial(torchvision, x, y),
        SMP: partial(smp, x, y),
        MONAI: partial(monai, x, y),
        KORNIA: partial(kornia, x, y),
    }


def torchvision(x: Tensor, y: Tensor) -> Contender:
    from torchvision.ops import sigmoid_focal_loss

    return Contender(lambda: sigmoid_focal_loss(x, y, alpha=-1, gamma=GAMMA, reduction="mean"), (x,))


def smp(x: Tensor, y: Tensor) -> Contender:
    from segmentation_models_pytorch.losses import FocalLoss

    loss = FocalLoss("binary", gamma=GAMMA)
    return Contender(lambda: loss(x, y), (x,))


def monai(x: Tensor, y: Tensor) -> Contender:
    from monai.losses.focal_loss import FocalLoss

    loss = FocalLoss(gamma=GAMMA)
    return Contender(lambda: loss(x, y), (x,))


def kornia(x: Tensor, y: Tensor) -> Contender:
    from kornia.losses import binary_focal_loss_with_logits

    return Contender(lambda: binary_focal_loss_with_logits(x, y, None, GAMMA, reduction="mean"), (x,))


def draw_centers(n: int, c: int, d: int) -> Inputs:
    return Inputs((torch.randn(n, d), torch.randn(c, d)), (torch.randint(c, (n,)),))


def center(x: Tensor, centers: Tensor, labels: Tensor) -> Mapping[str, Maker]:
    both = (x, centers)

    def distances() -> Tensor:
        grid = x.square().sum(1, keepdim=True).expand(len(x), len(centers)) + centers.square().sum(1)
        return torch.addmm(grid, x, centers.T, beta=1, alpha=-2)

    def masked() -> Tensor:
        mask = labels[:, None] == torch.arange(len(centers), device=x.device)
        return (distances() * mask).clamp(1e-12, 1e12).sum() / len(x) / 2

    def gathered() -> Tensor:
        return distances().gather(1, labels[:, None]).clamp(1e-12, 1e12).mean() / 2

    return {
        OURS: by(both, LF.center_loss, x, centers, labels),
        DENSE: by(both, lambda: (x - centers[labels]).square().sum(1).mean() / 2),
        POPULAR: by(both, masked),
        PICKED: by(both, gathered),
    }


def focal_case(n: int, bars: tuple[Bar, ...] = ()) -> Case:
    return Case(
        f"sigmoid focal, {n * 8:,} elements", "none", partial(draw_binary, n), sigmoid_focal, BCE, bars, processes=3
    )


def center_case(n: int, c: int, d: int, bars: tuple[Bar, ...] = ()) -> Case:
    return Case(f"center loss, N={n} C={c} D={d}", "none", partial(draw_centers, n, c, d), center, DENSE, bars)


def cases() -> list[Case]:
    peers = (TORCHVISION, SMP, MONAI, KORNIA)
    n, c = 512, 100_000
    return [
        focal_case(800_000, (Bar("time", 0.35, (TORCHVISION,)), Bar("time", 0.4, peers), Bar("saved", 1))),
        # Less than a tensor of N x C would take.
        center_case(n, c, 128, (Bar("extra", n * c * 4 / 2**20), Bar("time", 0.3, (PICKED,)))),
    ]


def toys() -> list[Case]:
    return [focal_case(41), center_case(13, 29, 8)]
