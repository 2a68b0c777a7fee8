"""The mean of a formula over rows, from their statistics: one kernel forward and one backward."""

import torch
from torch import Tensor

from lossary.kernels.fused import tiles
from lossary.kernels.fused import vector_kernels as kernels
from lossary.kernels.fused.launch import launch
from lossary.kernels.fused.switch import RowKernel


def mean(
    kernel: RowKernel, rest: Tensor, target: Tensor, among: Tensor | None, count: Tensor | None, weight: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The mean and its divisor, 0-d. Without ``among`` a row has one target at most; without ``count``, exactly one."""
    found, divisor = (torch.empty((), dtype=torch.float32, device=rest.device) for _ in range(2))
    (kind, *numbers), n = kernel, len(rest)
    known = (rest, among, target, count, _readable(weight), found, divisor)
    launch(kernels.row_mean, 1, rest, *known, n, *numbers, KIND=kind, BLOCK=tiles.NUMBERS)
    return found, divisor


def slopes(
    kernel: RowKernel,
    rest: Tensor,
    target: Tensor,
    among: Tensor | None,
    count: Tensor | None,
    weight: Tensor | None,
    divisor: Tensor,
    by_mean: Tensor,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The gradients by ``rest``, ``target`` and ``among``."""
    by_rest, by_target = torch.empty_like(rest), torch.empty_like(target)
    by_among = None if among is None else torch.empty_like(among)
    (kind, *numbers), n, size = kernel, len(rest), tiles.ROWS
    known = (rest, among, target, count, _readable(weight), divisor, by_mean, by_rest, by_among, by_target)
    launch(kernels.row_slopes, -(-n // size), rest, *known, n, *numbers, KIND=kind, BLOCK=size)
    return by_rest, by_target, by_among


def _readable(weight: Tensor | None) -> Tensor | None:
    if weight is None:
        return None
    weight = weight.contiguous()
    return weight.view(torch.uint8) if weight.dtype == torch.bool else weight
