"""Losses of single elements: their sum and gradient in one pass through memory."""

import torch
from torch import Tensor

from lossary.core.device import has_float64
from lossary.kernels.fused import memory_kernels as kernels
from lossary.kernels.fused import tiles
from lossary.kernels.fused.launch import launch
from lossary.kernels.fused.switch import ElementKernel

#: Up to this many programs' sums, float32 adds them up to its last digit or two.
FEW_SUMS = 1 << 8


def value_and_slope(
    kernel: ElementKernel, x: Tensor, y: Tensor | None, share: float | Tensor | None, out: Tensor
) -> Tensor | None:
    """``share`` times the sum of losses, 0-d, and their derivatives by ``x`` in ``out``; None if memory has gaps."""
    if not all(t is None or t.is_contiguous() for t in (x, y, out)):
        return None
    size, count = tiles.ELEMENTS, x.numel()
    sums = torch.empty(-(-count // size), dtype=torch.float32, device=x.device)
    # Filled on the device: copying a number there would make it wait.
    share = torch.full((), share, device=x.device) if isinstance(share, float) else share
    y = y.view(torch.uint8) if y is not None and y.dtype == torch.bool else y
    kind, *numbers = kernel
    launch(kernels.value_and_slope, len(sums), x, x, y, share, out, sums, count, *numbers, KIND=kind, BLOCK=size)
    return sums.sum(dtype=torch.float64 if len(sums) > FEW_SUMS and has_float64(sums) else None)


def scale_(g: Tensor, by: Tensor) -> Tensor:
    """``g`` times a number on the device, in place; if that is 1, without a pass through memory."""
    if not (g.is_contiguous() and by.numel() == 1):
        return g.mul_(by)
    size = tiles.ELEMENTS
    launch(kernels.scale_unless_one, -(-g.numel() // size), g, g, by, g.numel(), BLOCK=size)
    return g
