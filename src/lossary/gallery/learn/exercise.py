"""What an exercise is: a stub, the library's answer, and the batches on which both are asked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

#: "plain": small whole numbers; "any": whatever is drawn; "large": scores at which a naive formula breaks.
Kind = Literal["plain", "any", "large"]
Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class Exercise:
    """One function to write or to mend."""

    name: str
    title: str
    stub: str  # what is handed out
    right: Callable[..., Tensor]
    draw: Callable[[int, Kind], Batch]  # arguments of a batch of some size
    mend: bool = True  # False: to be written
    slopes: bool = True  # whether gradients are compared
    large: bool = True  # whether it is asked for large scores


def scores(*shape: int, kind: Kind) -> Tensor:
    """Numbers as a network gives them."""
    if kind == "plain":
        return torch.randint(-2, 3, shape).double()
    return torch.randn(shape, dtype=torch.float64) * (1000 if kind == "large" else 1)


def labels(size: int, classes: int) -> Tensor:
    return torch.randint(classes, (size,))


def truths(size: int) -> Tensor:
    """Of each, 0 or 1."""
    return torch.randint(2, (size,)).double()
