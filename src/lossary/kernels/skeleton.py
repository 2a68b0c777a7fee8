"""Soft skeletons: the middle lines of regions of numbers in [0, 1], by erosions and dilations that have gradients."""

import torch
import torch.nn.functional as F
from torch import Tensor

_POOLS = (F.max_pool1d, F.max_pool2d, F.max_pool3d)


def _largest(x: Tensor, sides: tuple[int, ...]) -> Tensor:
    """Around each position; beyond the border there is nothing."""
    return _POOLS[len(sides) - 1](x, sides, stride=1, padding=tuple(side // 2 for side in sides))


def _eroded(x: Tensor, keep: Tensor | None) -> Tensor:
    """The least of each position and its neighbours along every axis; what is not kept is nobody's neighbour."""
    x = -x if keep is None else torch.where(keep, -x, -1)
    axes = x.dim() - 2
    found = [_largest(x, tuple(3 if i == axis else 1 for i in range(axes))) for axis in range(axes)]
    return -torch.stack(found).amax(0) if axes > 1 else -found[0]


def _opened(x: Tensor, keep: Tensor | None) -> Tensor:
    x = _eroded(x, keep)
    return _largest(x if keep is None else torch.where(keep, x, 0), (3,) * (x.dim() - 2))


def skeleton(x: Tensor, keep: Tensor | None, iterations: int) -> Tensor:
    """(N, C, ...) of one to three dimensions: of each erosion what an opening would remove, gathered."""
    if x.numel() == 0:
        return x
    found = (x - _opened(x, keep)).relu()
    for _ in range(iterations):
        x = _eroded(x, keep)
        more = (x - _opened(x, keep)).relu()
        found = found + (more - found * more).relu()
    return found if keep is None else torch.where(keep, found, 0)
