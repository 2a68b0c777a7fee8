"""What the presets share: losses with a peer's call, targets in its layout, heads from a checkpoint."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lossary.core.check import check_among, check_same_shape
from lossary.core.loss import HeadLoss

Head = TypeVar("Head", bound=HeadLoss)


class Called(nn.Module):
    """A Lossary loss called with a peer's inputs; ``loss`` is what to keep once the calls are Lossary's."""

    def __init__(self, loss: nn.Module, inputs: Callable[..., tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.loss = loss
        self.inputs = inputs

    def forward(self, *peer: Tensor) -> Tensor:
        return self.loss(*self.inputs(*peer))


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """(N, ...) labels as (N, classes, ...) booleans; a label that is not a class is in none."""
    column = torch.arange(classes, device=labels.device).reshape(-1, *(1 for _ in labels.shape[1:]))
    return labels.unsqueeze(1) == column


def indices(target: Tensor, input: Tensor) -> Tensor:
    """(N, C, ...) one-hot regions as (N, ...) labels."""
    check_same_shape("target", target, "input", input)
    # Soft labels have no index.
    check_among("target", target, (0, 1))
    return target.argmax(1)


def read(path: str | Path) -> Mapping[str, Any]:
    """A checkpoint; nothing in it is executed."""
    return torch.load(path, map_location="cpu", weights_only=True)


def started(head: Head, std: float) -> Head:
    """Class weights drawn as a peer draws them: for unit directions, the gradient shrinks with 1 / length."""
    nn.init.normal_(head.weight, std=std)
    return head


def fill(head: HeadLoss, weight: Tensor) -> None:
    """Put ``weight``, (C, D), into ``head``."""
    if weight.shape != head.weight.shape:
        wanted = f"(num_classes, embedding_size) = {tuple(head.weight.shape)}"
        raise ValueError(f"head: wanted class weights {wanted}; the checkpoint has {tuple(weight.shape)}")
    with torch.no_grad():
        head.weight.copy_(weight)
