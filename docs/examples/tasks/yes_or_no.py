"""Yes or no: the target is 0 or 1, and the network returns one value per item."""

import torch
from sklearn.datasets import load_breast_cancer
from torch import nn
from torch.utils.data import TensorDataset


def model() -> nn.Module:
    return nn.Sequential(nn.BatchNorm1d(30), nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 1))


def data() -> TensorDataset:
    """Is the tumour malignant?"""
    measured, benign = load_breast_cancer(return_X_y=True)
    return TensorDataset(torch.tensor(measured, dtype=torch.float32), 1 - torch.tensor(benign))
