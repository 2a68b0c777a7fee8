"""Query-document pairs: both have the same shape, and the network returns embeddings (N, D).

`model()` may return one network for both, or two: the first for queries, the second for documents.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset


def model() -> tuple[nn.Module, nn.Module]:
    def tower() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 32))

    return tower(), tower()


def data() -> TensorDataset:
    """Which lower half belongs to the upper half of a digit?"""
    ink = torch.tensor(load_digits().images, dtype=torch.float32) / 16
    return TensorDataset(ink[:, :4], ink[:, 4:])
