"""Triplets against brute force over all of them."""

import itertools

import pytest
import torch
from torch import Tensor

from lossary.losses.triplet import triplet_loss


def batch() -> tuple[Tensor, Tensor]:
    x = torch.randn(9, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x, torch.tensor([0, 1, 0, 2, 1, 3, 0, 1, 2])


def gaps(x: Tensor, labels: Tensor) -> dict[int, list[tuple[int, int, Tensor]]]:
    """Of each anchor (positive, negative, d(a, p) - d(a, n))."""
    d = torch.cdist(x, x)
    found: dict[int, list[tuple[int, int, Tensor]]] = {a: [] for a in range(len(x))}
    for a, p, n in itertools.product(range(len(x)), repeat=3):
        if a != p and labels[a] == labels[p] and labels[a] != labels[n]:
            found[a].append((p, n, d[a, p] - d[a, n]))
    return found


@pytest.mark.parametrize("margin", [0.3, None])
def test_batch_hard_takes_the_worst_triplet_of_each_anchor(margin: float | None) -> None:
    x, labels = batch()
    worst = torch.stack([max(g for *_, g in triplets) for triplets in gaps(x, labels).values() if triplets])
    expected = torch.nn.functional.softplus(worst) if margin is None else (worst + margin).relu()
    torch.testing.assert_close(triplet_loss(x, labels, margin=margin), expected.mean())
    assert triplet_loss(x, labels, margin=margin, reduction="none")[5] == 0  # the only one of its label
