"""Rows that count by their direction: normalised here, or by kernels together with their products."""

import torch
from torch import Tensor

from lossary.kernels.fused import switch
from lossary.kernels.modes import transformed
from lossary.kernels.stable import accumulate, accumulator, sphere_apart


def by_kernels(x: Tensor, half: torch.dtype | None) -> bool:
    """Whether kernels compute the norms of vectors themselves, so that vectors stay as they are."""
    return switch.ON and switch.serve(x, accumulator(x) if half is None else half) and not transformed()


def rows_of_length(
    x: Tensor, radius: float | Tensor, half: torch.dtype | None
) -> tuple[Tensor, Tensor | None, float | None]:
    """``x``, ``row_factor`` and ``radius`` of a :class:`Bilinear` whose rows count by their direction.

    ``radius`` is one number, or one per row.
    """
    if not by_kernels(x, half):
        return *sphere_apart(accumulate(x), radius, half), None
    if isinstance(radius, Tensor):
        return x, radius.expand(len(x)), 1.0
    return x, None, float(radius)
