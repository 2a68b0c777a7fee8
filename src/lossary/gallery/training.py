"""The small training that exhibits share, and how its features are tested; both stand on the page before all code."""

from collections.abc import Callable

import sklearn.metrics
import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.lab.data.builtin import emoji


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


def found_first(model: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """Of how many in a hundred the second picture is found by the first, by the cosine of their features."""
    first, second = (F.normalize(model(x[:, k]).detach()) for k in (0, 1))
    return 100 * ((first @ second.T).argmax(1) == torch.arange(len(x))).double().mean().item()


def verified(model: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """The chance that two pictures of one emoji are more alike than two of different ones, by that cosine."""
    first, second = (F.normalize(model(x[:, k]).detach()) for k in (0, 1))
    return float(sklearn.metrics.roc_auc_score(torch.eye(len(x)).flatten(), (first @ second.T).flatten()))


def emoji_drawn(known: int) -> Tensor:
    """The pixels of 1,500 emoji by three designers (1500, 3, D), in a drawn order, less the mean of the first ones."""
    x = torch.as_tensor(emoji.stored()[0])[torch.randperm(1500)].flatten(2) / 255
    return x - x[:known].mean((0, 1))
