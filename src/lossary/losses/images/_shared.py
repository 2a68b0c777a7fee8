"""What the image losses share: where two images differ in light and in structure, and their cards."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.core.card import Card
from lossary.core.check import check_dim, check_float, check_number
from lossary.kernels.windows import Window, smooth


class Like(NamedTuple):
    """The settings of structural similarity: a window, and two constants in the squared unit of the images."""

    window: Window
    c1: float
    c2: float


class Parts(NamedTuple):
    """The parts of 1 that are unlike and alike: either may be too small to survive subtraction from 1."""

    unlike: Tensor
    alike: Tensor


# Four moments of the sum s and the difference d of two images replace Wang's five: x^2 + y^2 is (s^2 + d^2) / 2, and 2
# x y is (s^2 - d^2) / 2, for means and for variances. What is unlike is then the share of d, and nothing cancels.


def unlike(sums: Tensor, like: Like) -> tuple[Callable[[], Parts], Parts]:
    """From sums and differences (2, ..., H, W): the parts of light, on demand, and of structure, (..., h, w)."""
    # Subtracting the center leaves the variance as it is but saves its digits: constant images get exactly 0.
    center = sums.detach().mean((-2, -1), keepdim=True)
    apart = sums - center
    mean = smooth(apart, like.window)
    p, q = (smooth(apart.square(), like.window) - mean.square()).clamp_min(0)

    def light() -> Parts:
        a, b = mean + center
        divisor = a.square() + b.square() + 2 * like.c1
        return Parts(2 * b.square() / divisor, ((a - b) * (a + b) + 2 * like.c1) / divisor)

    divisor = p + q + 2 * like.c2
    return light, Parts(2 * q / divisor, (p - q + 2 * like.c2) / divisor)


def sums_of(x: Tensor, y: Tensor, shape: Sequence[int]) -> Tensor:
    """(2, n, C, H, W): sums and differences of images in rows (n, C H W)."""
    x, y = x.unflatten(1, shape), y.unflatten(1, shape)
    return torch.stack([x + y, x - y])


def halved(sums: Tensor) -> Tensor:
    """(2, n, C, H, W) at half the sides; on an odd side, the last pixel is averaged alone."""
    return F.avg_pool2d(sums.flatten(0, 1), 2, ceil_mode=True).unflatten(0, (2, -1))


def check_weights(name: str, value: object) -> None:
    """One number per scale, at least one, none below 0."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(f"{name}: wanted a sequence of numbers, one per scale; got {type(value).__name__}")
    if not value:
        raise ValueError(f"{name}: wanted at least one number; got none")
    for number in cast("Sequence[float]", value):
        check_number(name, number, low=0)


def check_images(input: Tensor) -> None:
    check_dim("input", input, 4, "(N, C, H, W)")
    check_float("input", input)


def check_fits(input: Tensor, least: int, why: str) -> None:
    """Both sides of the images must have at least ``least`` pixels."""
    if min(input.shape[-2:]) < least:
        raise ValueError(f"input: wanted at least {least} pixels per side, {why}; got shape {tuple(input.shape)}")


image_card = partial(
    Card,
    data="images",
    input="images",
    kernel="none",
    item="image",
    at_call=frozenset({"sample_weight", "mask"}),
)
