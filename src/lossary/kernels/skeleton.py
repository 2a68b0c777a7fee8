"""Soft skeletons: the middle lines of regions of numbers in [0, 1], by differentiable erosions and dilations."""

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.kernels.again import by_rows

_POOLS = (F.max_pool1d, F.max_pool2d, F.max_pool3d)
#: Numbers that autograd stores per position and iteration.
HELD = 16


def _largest(x: Tensor, sides: tuple[int, ...]) -> Tensor:
    """The neighbourhood of each position; there is nothing beyond the border."""
    return _POOLS[len(sides) - 1](x, sides, stride=1, padding=tuple(side // 2 for side in sides))


def _along_axes(x: Tensor) -> Tensor:
    """The largest of each position and its neighbours along every axis."""
    axes = x.dim() - 2
    found = [_largest(x, tuple(3 if i == axis else 1 for i in range(axes))) for axis in range(axes)]
    if axes < 3:
        return found[0] if axes == 1 else torch.maximum(*found)
    return torch.stack(found).amax(0)  # tied axes get equal shares


def skeleton(x: Tensor, keep: Tensor | None, iterations: int) -> Tensor:
    """Images (N, C, ...) of one to three dimensions: what an opening would remove after each erosion, accumulated.

    Some images at a time, which are eroded again for the gradient. Positions that are not kept are nobody's neighbours.
    """
    if x.numel() == 0:
        return x
    shape, images = x.shape, x.flatten(0, 1)[:, None]
    kept = () if keep is None else (keep.expand(shape).flatten(0, 1)[:, None],)

    def of_some(x: Tensor, *keep: Tensor) -> Tensor:
        return _skeleton(x, keep[0] if keep else None, iterations)

    width = HELD * (iterations + 1) * images[0].numel()
    return by_rows(of_some, (images, *kept), width=width).view(shape)


def _skeleton(x: Tensor, keep: Tensor | None, iterations: int) -> Tensor:
    # The minimum of numbers is minus the maximum of their negatives.
    negated, found = -x, None
    for _ in range(iterations + 1):
        negated = _along_axes(negated if keep is None else torch.where(keep, negated, -1))
        eroded = -negated
        opened = _largest(eroded if keep is None else torch.where(keep, eroded, 0), (3,) * (x.dim() - 2))
        more, x = (x - opened).relu(), eroded
        found = more if found is None else found + torch.addcmul(more, found, more, value=-1).relu()
    assert found is not None
    return found if keep is None else torch.where(keep, found, 0)
