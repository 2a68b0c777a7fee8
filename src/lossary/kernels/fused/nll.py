"""The mean negative log-likelihood of rows, from their statistics: one kernel forward and one backward."""

import torch
from torch import Tensor

from lossary.kernels.fused import tiles
from lossary.kernels.fused import vector_kernels as kernels
from lossary.kernels.fused.launch import launch


def mean(
    rest: Tensor, target: Tensor, among: Tensor | None, count: Tensor | None, weight: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The mean, and its divisor; 0-d. Without ``among`` a row has one target, without ``count`` it surely has."""
    found, divisor = (torch.empty((), dtype=torch.float32, device=rest.device) for _ in range(2))
    known = (rest, among, target, count, _read(weight), found, divisor)
    launch(kernels.nll_mean, 1, rest, *known, len(rest), BLOCK=tiles.NUMBERS)
    return found, divisor


def slopes(
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
    known = (rest, among, target, count, _read(weight), divisor, by_mean, by_rest, by_among, by_target)
    launch(kernels.nll_slopes, -(-len(rest) // tiles.ROWS), rest, *known, len(rest), BLOCK=tiles.ROWS)
    return by_rest, by_target, by_among


def _read(weight: Tensor | None) -> Tensor | None:
    if weight is None:
        return None
    weight = weight.contiguous()
    return weight.view(torch.uint8) if weight.dtype == torch.bool else weight
