"""Random and placed batches, shared by the cards of families that take the same data."""

import torch
from torch import Generator, Tensor, dtype


def normal(g: Generator, dt: dtype, *shape: int, scale: float = 1.0) -> Tensor:
    # Drawn in float64: the same batch for every dtype.
    return (torch.randn(*shape, generator=g, dtype=torch.float64) * scale).to(dt)


def labels(g: Generator, classes: int, *shape: int) -> Tensor:
    return torch.randint(classes, shape, generator=g)


def signs(g: Generator, *shape: int) -> Tensor:
    return 2 * labels(g, 2, *shape) - 1
