"""The small training that exhibits share; its source stands on the page before all code."""

from collections.abc import Callable

import torch
from torch import Tensor


def trained(
    loss: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    size: int = 2,
    steps: int = 600,
    every: int = 0,
    batch: int = 0,
    lr: float = 0.01,
) -> tuple[torch.nn.Module, list[Tensor]]:
    """Train a network of one hidden layer by a loss of its features; also the features of x, every so many steps.

    x is (N, D), or (N, K, D) with K inputs of each label, which stay together.
    """
    layers = torch.nn.Linear(x.shape[-1], 64), torch.nn.ReLU(), torch.nn.Linear(64, size)
    model, frames = torch.nn.Sequential(*layers), []
    heads = loss.parameters() if isinstance(loss, torch.nn.Module) else []
    optimizer = torch.optim.Adam([*model.parameters(), *heads], lr=lr)
    for step in range(steps + 1):
        if every and step % every == 0:
            frames.append(model(x).detach())
        chosen = torch.randint(len(x), (batch,)) if batch else slice(None)
        optimizer.zero_grad()
        z = model(x[chosen]).flatten(0, -2)
        loss(z, y[chosen].repeat_interleave(len(z) // len(y[chosen]))).backward()
        optimizer.step()
    return model, frames
