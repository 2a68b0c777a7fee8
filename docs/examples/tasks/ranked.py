"""Lists to rank: each item holds the candidates of a list (L, ...) and their relevance (L,).

The network returns a value for each candidate. Lists may have any length: zeros pad them and do not count.
"""

import torch
from sklearn.datasets import load_diabetes
from torch import Tensor, nn
from torch.utils.data import StackDataset


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))


def data() -> StackDataset:
    """Who of a doctor's patients needs care first?"""
    measured, worse = load_diabetes(return_X_y=True)
    sizes = [8, 10, 12] * 14

    def lists(values: Tensor) -> list[Tensor]:
        return list(values[: sum(sizes)].split(sizes))

    return StackDataset(lists(20 * torch.tensor(measured)), lists(torch.tensor(worse) // 50))
