"""Euclidean distances: exact for near-identical points, with gradient 0 at distance 0.

``|x|^2 + |y|^2 - 2<x, y>`` is fast, but cancels: for points closer than the rounding of their norms it is noise, and so
is its gradient. Small cases use the differences themselves; large ones use the products and then recompute the pairs
that cancelled from the differences.
"""

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lossary.core import device as _device
from lossary.kernels.modes import full_precision
from lossary.kernels.stable import accumulate, scales

#: Up to this many differences (N * M * D) are simply written out.
WRITTEN_OUT = 2**21
#: A squared distance below this share of the squared norms has lost too many digits and is recomputed.
CANCELLED = 1e-2
#: In float64 products of float32 numbers, this share of the squared norms is rounding: the points are the same.
SAME = 2**-46
#: Differences held at once when cancelled pairs are recomputed.
CACHED_DISTANCES = 2**21


def root(squared: Tensor) -> Tensor:
    """The square root, with gradient 0 at 0."""
    positive = ~(squared <= 0)  # so written, a NaN stays one
    return torch.where(positive, squared, torch.ones_like(squared)).sqrt() * positive


def squares(differences: Tensor) -> Tensor:
    """Squared Euclidean lengths along the last dimension."""
    return differences.square().sum(-1)


def norm(differences: Tensor, p: float = 2.0) -> Tensor:
    """Lengths along the last dimension, with gradient 0 at length 0."""
    if p == 1:
        return differences.abs().sum(-1)
    if p != 2:
        return _norm(differences, p)
    found = squares(differences)
    least, largest = _range(found)
    if not largest < math.inf:
        return _scaled_norm(differences)
    return found.sqrt() if least > 0 else root(found)


def _range(found: Tensor) -> tuple[float, float]:
    """The least and the largest of squares: from 0 to infinity if values must not be read."""
    if found.numel() == 0:
        return 0.0, 0.0
    if not _device.values_visible(found):
        return 0.0, math.inf
    least, largest = torch.aminmax(found.detach())
    return least.item(), largest.item()


def _scaled_norm(differences: Tensor) -> Tensor:
    scale = scales(differences).clamp_min(1)  # only for huge ones: lengths below 1e-19 are 0 in float32
    return root(squares(differences / scale)) * scale.squeeze(-1)


def lengths(differences: Tensor, *, squared: bool) -> Tensor:
    return squares(differences) if squared else norm(differences)


def _norm(differences: Tensor, p: float) -> Tensor:
    # Not torch's norm, whose derivatives with respect to entries of 0 are NaN.
    scale = torch.linalg.vector_norm(differences.detach(), torch.inf, -1, keepdim=True)
    scale = scale + (scale == 0)
    shares = (differences / scale).abs()
    some = ~(shares <= 0)  # so written, a NaN stays one
    total = (torch.where(some, shares, 1).pow(p) * some).sum(-1)
    some = ~(total <= 0)
    return torch.where(some, total, 1).pow(1 / p) * some * scale.squeeze(-1)


def pairwise(x: Tensor, y: Tensor, *, squared: bool = False) -> Tensor:
    """Distances of every row of ``x`` to every row of ``y``: (N, D), (M, D) -> (N, M)."""
    with full_precision(x):
        x, y = accumulate(x), accumulate(y)
        # A compiler fuses the differences into the sum, and the number of recomputed pairs depends on the data.
        shapes_only = _device.traced() or not _device.has_values(x)
        if shapes_only or _few(x, y):
            return _distances(x, y, squared)
        if x.dtype == torch.float32 and not _device.by_cache(x) and _device.has_float64(x):
            found = _wide_products(x, y)
            return (found if squared else root(found)).to(x.dtype)
        found = _Products.apply(x, y)[0]
        if squared:
            return found
        if not _device.values_visible(x) or _range(found)[1] < math.inf:  # if it must not be read, assume it is finite
            return root(found)
        return torch.cat([_again(rows, y) for rows in x.split(max(1, CACHED_DISTANCES // max(1, y.numel())))])


def rough(x: Tensor, y: Tensor) -> Tensor:
    """Numbers in the order of the distances, up to rounding: for choosing among them."""
    with full_precision(x):
        x, y = accumulate(x), accumulate(y)
        if _few(x, y):
            return (x[:, None] - y).square().sum(-1)
        centre = y.mean(0)
        x, y = x - centre, y - centre
        return torch.addmm(y.square().sum(1).expand(x.shape[0], -1), x, y.T, alpha=-2)


def _few(x: Tensor, y: Tensor) -> bool:
    return x.shape[0] * y.shape[0] * x.shape[1] <= WRITTEN_OUT


def _wide_products(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances by products in float64: in float32 pairs cancel, and asking which would wait for the device."""
    centre = y.detach().mean(0)
    wide, other = (x - centre).double(), (y - centre).double()
    norms = wide.square().sum(1, keepdim=True) + other.square().sum(1)
    found = torch.addmm(norms, wide, other.T, alpha=-2)
    return found * (found > SAME * norms)


def _distances(x: Tensor, y: Tensor, squared: bool = False) -> Tensor:
    return lengths(x[:, None] - y, squared=squared)


#: In blocks that are recomputed for the gradient.
_again = partial(checkpoint, _distances, use_reentrant=False, preserve_rng_state=False)


class _Products(torch.autograd.Function):
    """Squared distances by products, cancelled pairs by differences; also returns the indices of those pairs."""

    @staticmethod
    def forward(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # A common offset does not change distances; without it far fewer pairs cancel.
        centre = y.mean(0)
        x, y = x - centre, y - centre
        norms = x.square().sum(1)[:, None] + y.square().sum(1)
        lengths = torch.addmm(norms, x, y.T, alpha=-2)
        i, j = (lengths < CANCELLED * norms).nonzero(as_tuple=True)
        for block in _blocks(i, x.shape[1]):
            lengths[i[block], j[block]] = squares(x[i[block]] - y[j[block]])
        return lengths, i, j

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(*inputs, *output[1:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        with full_precision(grads[0]):  # not from what was saved, which a checkpoint returns only once
            return _products_backward(ctx.saved_tensors, grads[0])


def _products_backward(saved: tuple[Tensor, ...], by_lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Out of place and itself differentiable, for second derivatives."""
    x, y, i, j = saved
    centre = y.detach().mean(0)
    x, y = x - centre, y - centre
    g = 2 * by_lengths
    whole = g.index_put((i, j), g.new_zeros(()))
    gx = whole.sum(1)[:, None] * x - whole @ y
    gy = whole.sum(0)[:, None] * y - whole.T @ x
    for block in _blocks(i, x.shape[1]):
        k, l = i[block], j[block]
        pull = g[k, l][:, None] * (x[k] - y[l])
        gx, gy = gx.index_add(0, k, pull), gy.index_add(0, l, pull, alpha=-1)
    return gx, gy


def _blocks(index: Tensor, width: int) -> list[slice]:
    step = max(1, CACHED_DISTANCES // width)
    return [slice(start, start + step) for start in range(0, index.shape[0], step)]


#: Distances held at once, of a block of rows to all others.
NEAREST_ENTRIES = 1 << 22


@torch.no_grad()
def nearest_others(x: Tensor, y: Tensor, exists: Tensor | None) -> tuple[Tensor, Tensor]:
    """For every row of ``x`` (N, D), the first N rows of ``y`` (M, D): the index of the nearest other row of ``y``.

    Args:
        x: Rows.
        y: The same rows, followed by others.
        exists: (M,) boolean, which rows of ``y`` exist; None for all.

    Returns:
        (N,) indices, and whether there is another row at all. Among equally near rows, the first.
    """
    step = max(NEAREST_ENTRIES // max(len(y), 1), 1)
    places: list[Tensor] = [torch.zeros(0, dtype=torch.int64, device=x.device)]
    found: list[Tensor] = [torch.zeros(0, dtype=torch.bool, device=x.device)]
    for first in range(0, len(x), step):
        distances = pairwise(x[first : first + step], y)
        own = torch.arange(first, first + len(distances), device=x.device)
        distances = distances.scatter(1, own[:, None], torch.inf)
        if exists is not None:
            distances = distances.masked_fill(~exists, torch.inf)
        places.append(distances.argmin(1))  # a NaN, where there is one
        found.append(~(distances == torch.inf).all(1))
    return torch.cat(places), torch.cat(found)
