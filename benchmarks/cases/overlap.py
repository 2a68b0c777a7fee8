"""Segmentation losses over (N, C, H, W) logits and (N, H, W) class indices."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

import lossary.functional as LF
from benchmarks.case import DENSE, OURS, Bar, Case, Contender, Inputs, Maker, by
from benchmarks.cases.pointwise import KORNIA, MONAI, SMP

FLOOR = "softmax alone"
SIZE = (4, 19, 256, 256)
SMOOTH, ALPHA, BETA = 1.0, 0.3, 0.7


def draw(n: int, c: int, h: int, w: int) -> Inputs:
    return Inputs((torch.randn(n, c, h, w) * 2,), (torch.randint(c, (n, h, w)),))


def floor(x: Tensor) -> Maker:
    return by((x,), lambda: x.softmax(1).sum())


# ---------------------------------------------------------------- contenders


def dice(x: Tensor, y: Tensor) -> Mapping[str, Maker]:
    return {
        FLOOR: floor(x),
        OURS: by((x,), LF.dice_loss, x, y, smooth=SMOOTH),
        DENSE: by((x,), dense_tversky, x, y, 0.5, 0.5, SMOOTH / 2),
        KORNIA: partial(kornia, "dice_loss", x, y),
        MONAI: partial(monai, "DiceLoss", x, y),
        SMP: partial(smp, "DiceLoss", x, y),
    }


def tversky(x: Tensor, y: Tensor) -> Mapping[str, Maker]:
    return {
        FLOOR: floor(x),
        OURS: by((x,), LF.tversky_loss, x, y, smooth=SMOOTH, alpha=ALPHA, beta=BETA),
        DENSE: by((x,), dense_tversky, x, y, ALPHA, BETA, SMOOTH),
        KORNIA: partial(kornia, "tversky_loss", x, y, alpha=ALPHA, beta=BETA),
        MONAI: partial(monai, "TverskyLoss", x, y, alpha=ALPHA, beta=BETA),
        SMP: partial(smp, "TverskyLoss", x, y, alpha=ALPHA, beta=BETA),
    }


def jaccard(x: Tensor, y: Tensor) -> Mapping[str, Maker]:
    return {
        FLOOR: floor(x),
        OURS: by((x,), LF.jaccard_loss, x, y, smooth=SMOOTH),
        DENSE: by((x,), dense_tversky, x, y, 1.0, 1.0, SMOOTH),
        MONAI: partial(monai, "DiceLoss", x, y, jaccard=True),
        SMP: partial(smp, "JaccardLoss", x, y),
    }


def lovasz(x: Tensor, y: Tensor) -> Mapping[str, Maker]:
    return {
        FLOOR: floor(x),
        OURS: by((x,), LF.lovasz_softmax_loss, x, y),
        DENSE: by((x,), dense_lovasz, x, y),
        KORNIA: partial(kornia, "lovasz_softmax_loss", x, y),
        SMP: partial(smp, "LovaszLoss", x, y),
    }


def dense_tversky(x: Tensor, y: Tensor, alpha: float, beta: float, smooth: float) -> Tensor:
    """Dice at halves (and half the smoothing), Jaccard at ones."""
    p, true = x.softmax(1).flatten(2), F.one_hot(y, x.shape[1]).movedim(-1, 1).flatten(2).to(x.dtype)
    overlap = (p * true).sum(2)
    missed = alpha * (p.sum(2) - overlap) + beta * (true.sum(2) - overlap)
    return (1 - (overlap + smooth) / (overlap + missed + smooth)).mean()


def dense_lovasz(x: Tensor, y: Tensor) -> Tensor:
    """The authors' code, over the classes that are present in the batch."""
    p, classes = x.softmax(1).movedim(1, -1).flatten(0, -2), y.flatten()
    losses: list[Tensor] = []
    for k in classes.unique().tolist():
        true = (classes == k).to(x.dtype)
        errors, order = (true - p[:, k]).abs().sort(descending=True)
        true = true[order]
        overlap, union = true.sum() - true.cumsum(0), true.sum() + (1 - true).cumsum(0)
        jaccard = 1 - overlap / union
        jaccard = torch.cat([jaccard[:1], jaccard.diff()])
        losses.append(errors @ jaccard)
    return torch.stack(losses).mean()


def kornia(name: str, x: Tensor, y: Tensor, **options: float) -> Contender:
    from kornia import losses

    loss: Callable[..., Tensor] = partial(getattr(losses, name), **options)
    return Contender(lambda: loss(x, y), (x,))


def monai(name: str, x: Tensor, y: Tensor, **options: float) -> Contender:
    from monai.losses import dice, tversky

    loss = getattr(tversky if name == "TverskyLoss" else dice, name)(softmax=True, to_onehot_y=True, **options)
    return Contender(lambda: loss(x, y[:, None]), (x,))


def smp(name: str, x: Tensor, y: Tensor, **options: float) -> Contender:
    from segmentation_models_pytorch import losses

    loss = getattr(losses, name)("multiclass", **options)
    return Contender(lambda: loss(x, y), (x,))


# ---------------------------------------------------------------- cases

LOSSES = {"Dice": dice, "Tversky": tversky, "Jaccard": jaccard, "Lovasz-softmax": lovasz}


def cases() -> list[Case]:
    saved, peers = Bar("saved", 1.2), (KORNIA, MONAI, SMP)
    return [
        segmentation("Dice", SIZE, (Bar("minimum", 0.85, (KORNIA,)), Bar("minimum", 0.75, (MONAI,)), saved)),
        segmentation("Tversky", SIZE, (Bar("minimum", 0.8, peers), saved)),
        segmentation("Jaccard", SIZE, (Bar("minimum", 0.8, peers), saved)),
        segmentation("Lovasz-softmax", SIZE, (Bar("time", 0.25, peers), Bar("error", 1e-5))),
    ]


def segmentation(loss: str, size: tuple[int, int, int, int], bars: tuple[Bar, ...] = ()) -> Case:
    shape = " x ".join(map(str, size))
    return Case(f"{loss}, {shape}", "overlap", partial(draw, *size), LOSSES[loss], FLOOR, bars, processes=5)


def toys() -> list[Case]:
    return [segmentation(loss, (2, 5, 6, 7)) for loss in LOSSES]
