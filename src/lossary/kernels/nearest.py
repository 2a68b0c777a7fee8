"""Each point's nearest among another set of points, exactly: by differences, a block of points at a time."""

import torch
from torch import Tensor

from lossary.core import device as _device
from lossary.kernels.stable import scales

#: Distances held at once.
DISTANCES = 1 << 20


@torch.no_grad()
def nearest_of_each(
    x: Tensor, y: Tensor, x_there: Tensor | None = None, y_there: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """For sets x (N, P, D) and y (N, M, D) the place of the nearest in y for each of x, (N, P), and vice versa, (N, M).

    Of equally near ones the first. Points that are not there are nobody's nearest; if none is, the place is any.

    Args:
        x: Points of few dimensions: these are gone through one by one.
        y: Points of as many.
        x_there: (N, P) boolean, which of ``x`` exist; None for all.
        y_there: (N, M) boolean, likewise.
    """
    (count, wide), long = x.shape[:2], y.shape[1]
    scale = scales(torch.cat([x.flatten(1), y.flatten(1)], 1))[..., None]  # a square may not overflow, nor vanish
    x, y = x / scale, y / scale
    to_y = [torch.zeros(count, 0, dtype=torch.int64, device=x.device)]
    best = x.new_full((count, long), torch.inf)
    to_x = torch.zeros(count, long, dtype=torch.int64, device=x.device)
    # A compiler holds no distances, and would write out every block.
    step = max(1, wide if _device.traced() else DISTANCES // max(1, count * long))
    for first in range(0, wide if long else 0, step):
        rows = x[:, first : first + step]
        apart = (rows[..., None, 0] - y[:, None, :, 0]).square()
        for d in range(1, x.shape[2]):
            apart = apart + (rows[..., None, d] - y[:, None, :, d]).square()
        reached = apart if y_there is None else apart.masked_fill(~y_there[:, None], torch.inf)
        to_y.append(reached.min(2).indices)
        if x_there is not None:
            apart = apart.masked_fill(~x_there[:, first : first + step, None], torch.inf)
        least, place = apart.min(1)
        nearer = least < best
        best, to_x = torch.where(nearer, least, best), torch.where(nearer, place + first, to_x)
    return torch.cat(to_y, 1), to_x
