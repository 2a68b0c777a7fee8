"""What the losses of images share: where two images differ in light and in structure, and their cards."""

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
    """How structural similarity looks: through a window, with two constants in the square of the images' unit."""

    window: Window
    c1: float
    c2: float


class Parts(NamedTuple):
    """Of 1 what is unlike, and what is alike: either may be too little for a subtraction from 1."""

    unlike: Tensor
    alike: Tensor


# Wang's five moments are four of the sum s and the difference d of two images: x^2 + y^2 is (s^2 + d^2) / 2, and 2 x y
# is (s^2 - d^2) / 2, for means and for variances. What is unlike is then d's share, and cancels nowhere.


def unlike(sums: Tensor, like: Like) -> tuple[Callable[[], Parts], Parts]:
    """Of sums and differences (2, ..., H, W) the parts of light, where asked, and of structure: (..., h, w)."""
    # A variance does not change with what is taken off, but its digits do: constant images have one of 0.
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
    """(2, n, C, H, W) at half the sides; of an odd one the last pixel is a pair of its own."""
    return F.avg_pool2d(sums.flatten(0, 1), 2, ceil_mode=True).unflatten(0, (2, -1))


def check_weights(name: str, value: object) -> None:
    """Numbers of scales, one or more, none below 0."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(f"{name}: wanted a sequence of numbers, one a scale; got {type(value).__name__}")
    if not value:
        raise ValueError(f"{name}: wanted one number a scale or more; got none")
    for number in cast("Sequence[float]", value):
        check_number(name, number, low=0)


def check_images(input: Tensor) -> None:
    check_dim("input", input, 4, "(N, C, H, W)")
    check_float("input", input)


def check_fits(input: Tensor, least: int, why: str) -> None:
    """Both sides of the images are of at least so many pixels."""
    if min(input.shape[-2:]) < least:
        raise ValueError(f"input: wanted {least} pixels or more a side, {why}; got shape {tuple(input.shape)}")


image_card = partial(
    Card,
    data="images",
    input="images",
    kernel="none",
    item="image",
    at_call=frozenset({"sample_weight", "mask"}),
)
