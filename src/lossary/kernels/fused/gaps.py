"""Gaps of ready scores, which are read once; their gradient is written once. See :mod:`lossary.kernels.ready`."""

import torch
from torch import Tensor

from lossary.kernels.fused import memory_kernels as kernels
from lossary.kernels.fused import tiles
from lossary.kernels.fused.launch import launch


def gaps(scores: Tensor, labels: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """The gaps, (N,); and for :func:`slopes` the rest's largest score, and how far its log-sum-exp is above that."""
    scores, labels = _rows(scores), labels.contiguous()
    n, columns = scores.shape
    gap, top, log_sum = (torch.empty(n, dtype=torch.float32, device=scores.device) for _ in range(3))
    sizes = (columns, scores.stride(0))
    launch(kernels.gaps, n, scores, scores, labels, gap, top, log_sum, *sizes, BLOCK=_block(columns))
    return gap, (top, log_sum)


def slopes(scores: Tensor, labels: Tensor, rest: tuple[Tensor, Tensor], by_gap: Tensor) -> Tensor:
    """The gradient by the scores, in their dtype."""
    scores, labels, by_gap = _rows(scores), labels.contiguous(), by_gap.contiguous()
    n, columns = scores.shape
    out, block = torch.empty(n, columns, dtype=scores.dtype, device=scores.device), _block(columns)
    programs, sizes = n * -(-columns // block), (columns, scores.stride(0))
    launch(kernels.gap_slopes, programs, scores, scores, labels, *rest, by_gap, out, *sizes, BLOCK=block)
    return out


def _rows(scores: Tensor) -> Tensor:
    return scores if scores.stride(1) == 1 else scores.contiguous()


def _block(columns: int) -> int:
    return min(tiles.SCORES, tiles.power_of_two(columns))
