"""Sums of the softmax by class: logits are read once, and their gradient is written once.

See :mod:`lossary.kernels.overlap`.
"""

import torch
from torch import Tensor

from lossary.kernels.fused import memory_kernels as kernels
from lossary.kernels.fused import tiles
from lossary.kernels.fused.launch import launch
from lossary.kernels.stable import widened


def sums(logits: Tensor, target: Tensor, keep: Tensor | None, squared: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Overlap, predicted and true sums, (N, C) each in float32, of logits (N, C, L) and class indices (N, L)."""
    logits, target, keep = _in_one_piece(logits, target, keep)
    n, classes, length = logits.shape
    shape = _shape(classes)
    chunks = max(1, -(-length // (shape["PLACES"] * tiles.STEPS)))
    out = torch.empty(n, chunks, 3, classes, dtype=torch.float32, device=logits.device)
    arguments = (logits, target, keep, out, classes, length, chunks)
    launch(kernels.overlap_sums, n * chunks, logits, *arguments, SQUARED=squared, **shape, STEPS=tiles.STEPS)
    overlap, predicted, truth = widened(out).sum(1).float().unbind(1)
    return overlap, predicted, truth


def slopes(
    logits: Tensor, target: Tensor, keep: Tensor | None, squared: bool, by_overlap: Tensor, by_predicted: Tensor
) -> Tensor:
    """The gradient by the logits, in their dtype, from the gradients by the sums."""
    logits, target, keep = _in_one_piece(logits, target, keep)
    n, classes, length = logits.shape
    shape = _shape(classes)
    chunks = -(-length // shape["PLACES"])
    out = torch.empty_like(logits)
    by = (by_overlap.contiguous(), by_predicted.contiguous())
    arguments = (logits, target, keep, *by, out, classes, length, chunks)
    launch(kernels.overlap_slopes, n * chunks, logits, *arguments, SQUARED=squared, **shape)
    return out


def _in_one_piece(logits: Tensor, target: Tensor, keep: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    kept = None if keep is None else keep.contiguous().view(torch.uint8)
    return logits.contiguous(), target.contiguous(), kept


def _shape(classes: int) -> dict[str, int]:
    """A program has all classes, at as many places as fit."""
    padded = tiles.power_of_two(classes)
    return {"CLASSES": padded, "PLACES": max(16, tiles.LOGITS // padded)}
