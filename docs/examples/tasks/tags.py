"""Several labels per item: a 0 or 1 for each label. The network returns a value for each."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 3))


def data() -> TensorDataset:
    """Is the digit even, above four, does it have a loop?"""
    pixels, digit = map(torch.tensor, load_digits(return_X_y=True))
    loops = torch.isin(digit, torch.tensor([0, 6, 8, 9]))
    return TensorDataset(pixels.float() / 16, torch.stack([digit % 2 == 0, digit > 4, loops], dim=1))
