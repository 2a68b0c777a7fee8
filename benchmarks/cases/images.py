"""Images beside images: means over a window at every position."""

import math
from collections.abc import Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

import lossary.functional as LF
from benchmarks.case import DENSE, OURS, Bar, Case, Contender, Inputs, Maker, by
from benchmarks.peers import make_torchvision_importable

KORNIA, PIQA = "kornia", "piqa"


def draw(*shape: int) -> Inputs:
    x = torch.rand(shape)
    return Inputs(((x + 0.1 * torch.randn(shape)).clamp(0, 1),), (x,))


def similarity(x: Tensor, y: Tensor) -> Mapping[str, Maker]:
    y = y.to(x.dtype)
    return {
        OURS: by((x,), LF.ssim_loss, x, y),
        DENSE: by((x,), dense, x, y),
        KORNIA: partial(kornia, x, y),
        PIQA: partial(piqa, "SSIM", x, y),
    }


def scales(x: Tensor, y: Tensor) -> Mapping[str, Maker]:
    y = y.to(x.dtype)
    return {OURS: by((x,), LF.ms_ssim_loss, x, y), PIQA: partial(piqa, "MS_SSIM", x, y)}


def dense(x: Tensor, y: Tensor) -> Tensor:
    """The five moments, each by a convolution of the channels."""
    count = x.shape[1]
    weights = torch.tensor([math.exp(-(((i - 5) / 1.5) ** 2) / 2) for i in range(11)], dtype=torch.float64)
    window = (weights / weights.sum()).to(x).expand(count, 1, 1, 11)

    def mean(t: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(t, window.mT, groups=count), window, groups=count)

    mx, my = mean(x), mean(y)
    vx, vy, both = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    light = (2 * mx * my + 1e-4) / (mx.square() + my.square() + 1e-4)
    return 1 - (light * (2 * both + 9e-4) / (vx + vy + 9e-4)).mean()


def kornia(x: Tensor, y: Tensor) -> Contender:
    from kornia.losses import ssim_loss

    return Contender(lambda: 2 * ssim_loss(x, y, 11, padding="valid"), (x,))


def piqa(name: str, x: Tensor, y: Tensor) -> Contender:
    make_torchvision_importable()
    import piqa

    loss = getattr(piqa, name)().to(x.device)
    return Contender(lambda: 1 - loss(x, y), (x,))


def case(name: str, shape: tuple[int, ...], bars: tuple[Bar, ...] = ()) -> Case:
    makers = {"SSIM": similarity, "MS-SSIM": scales}
    size = " x ".join(map(str, shape))
    floor = DENSE if name == "SSIM" else OURS
    return Case(f"{name}, {size}", "none", partial(draw, *shape), makers[name], floor, bars, processes=3)


def cases() -> list[Case]:
    size = (8, 3, 256, 256)
    bars = Bar("time", 0.6, (KORNIA, PIQA)), Bar("saved", 1)
    return [case("SSIM", size, bars), case("MS-SSIM", size, bars)]


def toys() -> list[Case]:
    return [case("SSIM", (2, 3, 13, 14))]
