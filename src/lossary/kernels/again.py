"""Rows by blocks that are made again for their gradient: memory of one block, whatever is held within it."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lossary.core import device as _device

#: Numbers held at once: on a CPU, and elsewhere.
CACHED, LARGE = 2**20, 2**26


def by_rows(make: Callable[..., Tensor], rows: tuple[Tensor, ...], *others: Tensor | float, width: int) -> Tensor:
    """``make(*rows, *others)``, one number a row, of which each holds ``width`` numbers on the way.

    Args:
        make: Row by row; right to as many derivatives as it is itself.
        rows: Tensors of as many rows each.
        others: What all rows share.
        width: How many numbers a row holds.
    """
    count = rows[0].shape[0]
    step = max(1, (CACHED if _device.by_cache(rows[0]) else LARGE) // max(1, width))
    if count <= step:
        return make(*rows, *others)
    parts: list[Tensor] = []
    for start in range(0, count, step):
        some = (t[start : start + step] for t in rows)
        parts.append(checkpoint(make, *some, *others, use_reentrant=False, preserve_rng_state=False))
    return torch.cat(parts)
