"""Batch normalisation over the items of all ranks, on any device and in any network, while a mode is on.

torch's ``SyncBatchNorm`` needs accelerators and a converted network. Here the same layers normalise over their rank's
items outside of the mode, and over all ranks' items within it.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, distributed
from torch.distributed import ProcessGroup
from torch.overrides import TorchFunctionMode

from lossary.distributed.gather import Ranks


class NormalizedTogether(TorchFunctionMode):
    """Under it, ``batch_norm`` in training uses the means and variances of all ranks' items, with their gradient."""

    def __init__(self, group: ProcessGroup) -> None:
        super().__init__()
        self.group = group

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if func is F.batch_norm and given.get("training"):
            return _batch_norm(self.group, *args, **given)
        return func(*args, **given)


def _batch_norm(
    group: ProcessGroup,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    x = input if input.dtype == torch.float64 else input.float()
    mean, var, items = _moments(x, group)
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((var * (items / (items - 1))).to(running_var.dtype), momentum)  # unbiased, as in torch
    shape = (1, -1, *(1,) * (x.dim() - 2))
    scale = (var + eps).rsqrt() if weight is None else (var + eps).rsqrt() * weight
    normal = (x - mean.view(shape)) * scale.view(shape)
    return (normal if bias is None else normal + bias.view(shape)).to(input.dtype)


def _moments(x: Tensor, group: ProcessGroup) -> tuple[Tensor, Tensor, Tensor]:
    """Each channel's mean and variance over all ranks, and the count of numbers; one exchange of 2 C + 1 numbers."""
    over = [dim for dim in range(x.dim()) if dim != 1]
    here = x.numel() // x.shape[1]
    mean = x.sum(over) / max(here, 1)
    squares = (x - mean.view(1, -1, *(1,) * (x.dim() - 2))).square().sum(over)
    size = distributed.get_world_size(group)
    ranks = Ranks((1,) * size, distributed.get_rank(group), group)
    each = ranks.in_order(torch.cat([mean, squares, mean.new_tensor([here])])[None])
    means, squares, items = each.split([len(mean), len(mean), 1], 1)
    # Merged by how far each rank's mean is from the whole one, so nothing large is subtracted from anything large.
    mean = (items * means).sum(0) / items.sum()
    return mean, (squares + items * (means - mean).square()).sum(0) / items.sum(), items.sum().detach()
