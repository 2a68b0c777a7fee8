"""An ordinary training script. `lossary compare train_digits.py` tries other losses in place of its own.

Lossary uses `model`, `data` and, if defined, `metric`. The script's own training loop stays unchanged below.
"""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def model() -> nn.Module:
    """Pixels to embeddings. No final layer of class scores: each loss brings its own."""
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32))


def data() -> TensorDataset:
    """Pairs of an input and a class. It could also return three data sets: training, validation, test."""
    pixels, digits = load_digits(return_X_y=True)
    return TensorDataset(torch.tensor(pixels / 16, dtype=torch.float32), torch.tensor(digits))


def top_2_accuracy(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """A score for each item: here 1 if the digit is among the two most probable."""
    return (np.argsort(-probabilities, axis=1)[:, :2] == targets[:, None]).any(axis=1)


metric = top_2_accuracy


def main() -> None:
    network = nn.Sequential(model(), nn.Linear(32, 10))
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    for _ in range(10):
        for inputs, targets in DataLoader(data(), batch_size=64, shuffle=True):
            loss = nn.functional.cross_entropy(network(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


if __name__ == "__main__":
    main()
