"""Batches beyond what is written out at once, under torch's checkpoint: what was saved is given once, to one reader."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

import lossary.functional as L

LABELS = torch.arange(300) % 8
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "rows summed": lambda x, w: L.arcface_loss(x, w, LABELS),
    "rows": lambda x, w: L.arcface_loss(x, w, LABELS, reduction="none").sum(),
    "pairs": lambda x, w: L.supcon_loss(x, LABELS) + w.sum(),
    "distances": lambda x, w: L.triplet_loss(x, LABELS) + w.sum(),
}


@pytest.mark.parametrize("name", LOSSES)
def test_checkpointing_changes_nothing(name: str) -> None:
    leaves = [torch.randn(n, 64).requires_grad_() for n in (300, 2000)]
    plain = torch.autograd.grad(LOSSES[name](*leaves), leaves)
    again = torch.autograd.grad(checkpoint(LOSSES[name], *leaves, use_reentrant=False), leaves)
    for got, wanted in zip(again, plain, strict=True):
        torch.testing.assert_close(got, wanted)
