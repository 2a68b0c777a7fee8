"""Structural similarity in closed form, with its derivatives by the image: half of autograd's operations, in place."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.kernels.windows import smoothed, spread
from lossary.losses.images._shared import Like, sums_of


class Seen(NamedTuple):
    """What is unlike at every position, and what its derivatives need.

    Where A and B are the means of sum and difference, and P and Q their variances, u = 2 B^2 / (A^2 + B^2 + 2 C1) is
    unlike in light, v = 2 Q / (P + Q + 2 C2) in structure.
    """

    u: Tensor | None
    v: Tensor
    alike: tuple[Tensor | None, Tensor]  # 1 - u and 1 - v: too small to subtract against a black image
    light: Tensor | None  # A^2 + B^2 + 2 C1
    structure: Tensor  # P + Q + 2 C2
    apart: Tensor  # (2, n, C, H, W) sums and differences, less their center
    off_center: Tensor  # (2, n, C, h, w), their means
    mean: Tensor | None  # A, B


def look(sums: Tensor, like: Like, *, light: bool) -> Seen:
    """What is seen in sums and differences (2, n, C, H, W), with or without the light."""
    center = sums.mean((-2, -1), keepdim=True)
    moments = torch.empty((2, *sums.shape), dtype=sums.dtype)
    apart = torch.sub(sums, center, out=moments[0])
    torch.square(apart, out=moments[1])
    off_center, variances = smoothed(moments.flatten(0, 3), like.window).unflatten(0, moments.shape[:4])
    variances = variances.sub_(off_center.square()).clamp_min_(0)
    structure = torch.add(*variances).add_(2 * like.c2)
    alike = torch.sub(*variances).add_(2 * like.c2).div_(structure)
    v = variances[1].mul_(2).div_(structure)
    if not light:
        return Seen(None, v, (None, alike), None, structure, apart, off_center, None)
    mean = off_center + center
    a, b = mean.square()
    divisor = a.add_(b).add_(2 * like.c1)
    bright = (mean[0] - mean[1]).mul_(mean[0] + mean[1]).add_(2 * like.c1).div_(divisor)
    return Seen(b.mul_(2).div_(divisor), v, (bright, alike), divisor, structure, apart, off_center, mean)


def by_sums(seen: Seen, by_u: Tensor | None, by_v: Tensor, like: Like) -> Tensor:
    """The derivatives by sums and differences, from those by what is unlike."""
    by_moments = torch.empty((2, *seen.off_center.shape), dtype=seen.v.dtype)
    by_mean, by_variance = by_moments
    torch.mul(by_v, seen.v, out=by_variance[0]).neg_()
    torch.add(by_variance[0], by_v, alpha=2, out=by_variance[1])
    by_variance.div_(seen.structure)
    torch.mul(seen.off_center, by_variance, out=by_mean).mul_(-2)
    if by_u is not None and seen.u is not None and seen.light is not None and seen.mean is not None:
        factor = by_u.mul(2).div_(seen.light)
        by_mean[0].addcmul_(factor * seen.u, seen.mean[0], value=-1)
        by_mean[1].addcmul_(factor.mul_(2 - seen.u), seen.mean[1])
    means, squares = spread(by_moments.flatten(0, 3), like.window).unflatten(0, by_moments.shape[:4])
    return means.addcmul_(seen.apart, squares, value=2)


def by_first(gradients: Tensor, out: Tensor) -> None:
    """From gradients by the sum x + y and the difference x - y to the gradient by x."""
    torch.add(gradients[0].flatten(1), gradients[1].flatten(1), out=out)


def ssim_slope(x: Tensor, y: Tensor, share: Any, *, shape: Sequence[int], like: Like, out: Tensor) -> Tensor:
    """``share`` times the sum over images of the mean of u + v - u v; ``out`` gets its derivatives by ``x``."""
    seen = look(sums_of(x, y, shape), like, light=True)
    light, structure = seen.alike
    assert seen.u is not None
    assert light is not None
    scale = share / seen.v[0].numel()
    loss = torch.addcmul(seen.u, light, seen.v).sum() * scale
    by_first(by_sums(seen, structure.mul_(scale), light.mul_(scale), like), out)
    return loss


def ms_ssim_slope(
    x: Tensor, y: Tensor, share: Any, *, shape: Sequence[int], like: Like, weights: Sequence[float], out: Tensor
) -> Tensor:
    """``share`` times the sum of the images' losses; ``out`` gets its derivatives by ``x``."""
    sums, last = [sums_of(x, y, shape)], len(weights) - 1
    for _ in range(last):
        sums.append(_halved(sums[-1]))
    scales = [look(s, like, light=place == last) for place, s in enumerate(sums)]
    alike = torch.stack([_mean_alike(seen) for seen in scales])  # (M, n, C)
    powers = torch.tensor(weights, dtype=x.dtype)[:, None, None]
    positive = ~(alike <= 0)
    known = torch.where(positive, alike, 1)
    total = torch.where(positive, known**powers, 0).prod(0)
    by_alike = total / known * powers * (-share / total.shape[1])  # 0 if any is not positive
    gradients = torch.zeros(())
    for place in range(last, -1, -1):
        seen = scales[place]
        by_position = (by_alike[place] / seen.v[0, 0].numel())[..., None, None]
        light, structure = seen.alike
        by_u = None if light is None else -by_position * structure
        by_v = -by_position.expand_as(seen.v) if light is None else -by_position * light
        here = by_sums(seen, by_u, by_v, like)
        gradients = here if place == last else here.add_(_doubled(gradients, here.shape))
    by_first(gradients, out)
    return (1 - total.mean(1)).sum() * share


def _mean_alike(seen: Seen) -> Tensor:
    light, structure = seen.alike
    return (structure if light is None else light * structure).mean((-2, -1))


def _halved(sums: Tensor) -> Tensor:
    """:func:`halved` in an eighth of the time of torch's pooling; with autograd it would be slower."""
    for dim in (-2, -1):
        if sums.shape[dim] % 2:
            sums = torch.cat([sums, sums.narrow(dim, sums.shape[dim] - 1, 1)], dim)
    rows = sums[..., ::2, :] + sums[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2]).div_(4)


def _doubled(gradients: Tensor, shape: Sequence[int]) -> Tensor:
    """From gradients by the output of :func:`_halved` to those by its input, of ``shape``."""
    height, width = shape[-2:]
    # How many pixels each was the mean of: 4, except at the end of an odd side.
    counts = torch.full(gradients.shape[-2:], 4.0, dtype=gradients.dtype)
    if height % 2:
        counts[-1] /= 2
    if width % 2:
        counts[:, -1] /= 2
    large = F.interpolate((gradients / counts).flatten(0, 1), scale_factor=2, mode="nearest")
    return large[..., :height, :width].unflatten(0, (2, -1))
