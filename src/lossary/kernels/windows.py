"""Means of an image over a separable window that slides over it, where it lies within the image.

On a CPU they are products with bands: a tile of outputs is a matrix of inputs times one that holds the window in each
of its columns. That takes six times the multiplications, in a tenth of the time of a convolution of one channel.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lossary.core import device as _device
from lossary.kernels.products import product

Window = Sequence[float]

#: Outputs of a tile. Of more, most of a band is zeros; fewer are no work for a product.
TILE = 64


def gaussian(size: int, sigma: float) -> Window:
    """The weights of a Gaussian at whole distances from its middle; their sum is 1."""
    weights = [math.exp(-(((i - (size - 1) / 2) / sigma) ** 2) / 2) for i in range(size)]
    return tuple(weight / sum(weights) for weight in weights)


def smooth(x: Tensor, window: Window) -> Tensor:
    """The means over the last two dimensions, (..., H, W) to (..., H - k + 1, W - k + 1) for a window of k."""
    # Elsewhere than on a CPU products may be rounded to ten bits, and compilers make one pass of the sum.
    along = _by_bands if _device.by_cache(x) else _by_shifts
    return along(along(x, window).mT, window).mT


def _by_bands(x: Tensor, window: Window) -> Tensor:
    rows = x.flatten(0, -2)
    tiles = _tiles(x.shape[-1], window, x)
    means = torch.cat([product(rows[:, start : start + band.shape[1]], band) for start, band in tiles], -1)
    return means.unflatten(0, x.shape[:-1])


def _by_shifts(x: Tensor, window: Window) -> Tensor:
    count = x.shape[-1] - len(window) + 1
    total = window[0] * x[..., :count]
    for start, weight in enumerate(window[1:], 1):
        total = torch.add(total, x[..., start : start + count], alpha=weight)
    return total


def _tiles(length: int, window: Window, like: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Where a tile's inputs begin, and its band: a row an output, a column an input."""
    count = length - len(window) + 1
    weights = torch.tensor(window, dtype=like.dtype, device=like.device)
    size = min(TILE, count)
    padded = torch.cat([weights, weights.new_zeros(size)])  # a row more than k: each next one is shifted by one
    band = padded.repeat(size)[: size * (len(padded) - 1)].view(size, -1)
    for start in range(0, count, size):
        rows = min(size, count - start)
        yield start, band[:rows, : rows + len(window) - 1]


# ---------------------------------------------------------------- outside of a graph


def smoothed(x: Tensor, window: Window) -> Tensor:
    """:func:`smooth` of (M, H, W) on a CPU, without a graph and without copies."""
    (count, height, width), less = x.shape, len(window) - 1
    across = x.new_empty(count, height, width - less)
    _smooth_(across.view(-1, width - less), x.reshape(-1, width), window)
    out = x.new_empty(count, height - less, width - less)
    for to, of in zip(out, across, strict=True):
        _smooth_(to.mT, of.mT, window)
    return out


def spread(by_means: Tensor, window: Window) -> Tensor:
    """Gradients by the means, (M, h, w), to those by what they are of: the transpose of :func:`smoothed`."""
    (count, height, width), more = by_means.shape, len(window) - 1
    across = by_means.new_zeros(count, height, width + more)
    _spread_(across.view(-1, width + more), by_means.reshape(-1, width), window)
    out = by_means.new_zeros(count, height + more, width + more)
    for to, of in zip(out, across, strict=True):
        _spread_(to.mT, of.mT, window)
    return out


def _smooth_(out: Tensor, x: Tensor, window: Window) -> None:
    for start, band in _tiles(x.shape[1], window, x):
        torch.mm(x[:, start : start + band.shape[1]], band.mT, out=out[:, start : start + band.shape[0]])


def _spread_(out: Tensor, by_means: Tensor, window: Window) -> None:
    for start, band in _tiles(out.shape[1], window, out):
        out[:, start : start + band.shape[1]].addmm_(by_means[:, start : start + band.shape[0]], band)
