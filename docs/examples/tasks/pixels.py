"""A class for each pixel: a map of class numbers (height, width), with -100 for pixels without a label.

The network returns scores (N, C, height, width).
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset


def model() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 3, 3, padding=1))


def data() -> TensorDataset:
    """Paper, the edge of a stroke or its middle, behind noise?"""
    ink = torch.tensor(load_digits().images[:600], dtype=torch.float32)[:, None] / 16
    noise = 0.3 * torch.randn(ink.shape, generator=torch.Generator().manual_seed(0))
    return TensorDataset((ink + noise).clamp(0, 1), torch.bucketize(ink[:, 0], torch.tensor([0.1, 0.6])))
