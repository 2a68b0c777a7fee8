"""The exact Euclidean distance transform, axis by axis, by tensors alone."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lossary.core import device as _device

#: Candidates held at once: on a CPU as many as its cache holds, elsewhere, where each step is a launch, more.
CANDIDATES, OFF_THE_CPU = 1 << 18, 1 << 26


@torch.no_grad()
def signed_distances(inside: Tensor, outside: Tensor, spacing: Sequence[float], dtype: torch.dtype) -> Tensor:
    """For each position the distance to the nearest of ``inside``, less that to the nearest of ``outside``.

    So it is above 0 outside and below 0 inside, and nowhere between -1 and 1 at unit spacing. A map that lacks either
    has no boundary: all its distances are 0.

    Args:
        inside: (B, ...) boolean maps.
        outside: Likewise; what is neither is no part of the map.
        spacing: How far positions are apart, one number per dimension.
        dtype: Of the result.
    """
    each = [squared_distances(there, spacing, dtype).sqrt() for there in (inside, outside)]
    exists = inside.flatten(1).any(1) & outside.flatten(1).any(1)
    exists = exists.reshape(-1, *(1 for _ in spacing))
    to_inside, to_outside = (torch.where(exists, d, 0) for d in each)
    return to_inside - to_outside


@torch.no_grad()
def squared_distances(there: Tensor, spacing: Sequence[float], dtype: torch.dtype) -> Tensor:
    """The squared distance of each position of (B, ...) maps to the nearest that is there; infinite if none is.

    The least over one axis after another (Felzenszwalb and Huttenlocher). Along the last one, it is the last before or
    the next; along the others all candidates are tried: n times as many steps as there are positions, for an axis of
    length n, but no step waits for another.
    """
    if there.numel() == 0:
        return there.to(dtype)
    *others, last = (
        apart * torch.arange(size, dtype=dtype, device=there.device)
        for size, apart in zip(there.shape[1:], spacing, strict=True)
    )
    before = torch.where(there, last, -torch.inf).cummax(-1).values
    after = torch.where(there, last, torch.inf).flip(-1).cummin(-1).values.flip(-1)
    found = torch.minimum(last - before, after - last).square()
    held = CANDIDATES if _device.by_cache(there) else OFF_THE_CPU
    held = found.numel() * max(there.shape) if _device.traced() else held  # a compiler holds none
    for axis, place in enumerate(others, start=1):
        along = (place[:, None] - place).square()
        lines = found.movedim(axis, -1)
        parts = lines.reshape(-1, len(place)).split(max(1, held // along.numel()))
        found = torch.cat([(part[:, None] + along).amin(2) for part in parts]).reshape(lines.shape).movedim(-1, axis)
    return found
