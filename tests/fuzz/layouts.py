"""The same numbers, stored otherwise."""

from collections.abc import Callable
from random import Random

import torch
from torch import Tensor


def transposed(x: Tensor) -> Tensor:
    return x.mT.contiguous().mT if x.dim() >= 2 else x


def spread(x: Tensor) -> Tensor:
    return torch.stack([x, x], -1)[..., 0]


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else spread(x)


def offset(x: Tensor) -> Tensor:
    """Starts one element after an aligned address."""
    room = torch.empty(x.numel() + 1, dtype=x.dtype)
    room[1:] = x.reshape(-1)
    return room[1:].view(x.shape)


def turned(x: Tensor) -> Tensor:
    """The dimensions stored in the opposite order."""
    order = tuple(reversed(range(x.dim())))
    return x.permute(order).contiguous().permute(order)


def part(x: Tensor) -> Tensor:
    """A window of a larger tensor."""
    room = torch.empty([n + 2 for n in x.shape], dtype=x.dtype)
    window = room[tuple(slice(1, n + 1) for n in x.shape)]
    window.copy_(x)
    return window


def expanded(x: Tensor) -> Tensor:
    """One row for all, without a copy; only where all rows are the same."""
    if x.dim() == 0 or x.shape[0] < 2 or not torch.equal(x, x[:1].expand_as(x)):
        return x
    return x[:1].clone().expand_as(x)


LAYOUTS: tuple[Callable[[Tensor], Tensor], ...] = (transposed, spread, channels_last, offset, turned, part, expanded)


def stored(x: Tensor, rng: Random) -> Tensor:
    return rng.choice(LAYOUTS)(x)
