"""Rows in blocks that are recomputed for their gradient: the memory of one block, whatever it stores internally."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lossary.core import device as _device
from lossary.kernels.modes import plain_only

#: Numbers held at once on a CPU; elsewhere the device's memory decides.
CACHED = 2**20


def by_rows(make: Callable[..., Tensor], rows: tuple[Tensor, ...], *others: Tensor | float, width: int) -> Tensor:
    """``make(*rows, *others)`` in blocks of rows, where each row needs ``width`` numbers of temporary memory.

    Args:
        make: Works row by row. The result is differentiable as often as it is.
        rows: Tensors with equally many rows.
        others: What all rows share.
        width: How many numbers a row needs.
    """
    count, like = rows[0].shape[0], rows[0]
    held = CACHED if _device.by_cache(like) else _device.budget(like) // 4
    step = max(1, held // max(1, width))
    # A compiler would unroll the blocks, and torch.func's transforms do not support checkpoints.
    if count <= step or plain_only():
        return make(*rows, *others)
    parts: list[Tensor] = []
    for start in range(0, count, step):
        some = (t[start : start + step] for t in rows)
        parts.append(checkpoint(make, *some, *others, use_reentrant=False, preserve_rng_state=False))
    return torch.cat(parts)
