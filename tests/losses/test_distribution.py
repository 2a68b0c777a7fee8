"""How a batch is distributed, beside formulas over all pairs, and what the losses are least at."""

from typing import Any

import torch
from torch import Tensor

import lossary

L: Any = lossary.functional


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_flops_is_the_products_of_two_random_items() -> None:
    """The mean over all pairs of items of the products of their absolute features: what a search multiplies."""
    x = draw(7, 5)
    torch.testing.assert_close(L.flops_loss(x), (x.abs() @ x.abs().mT).mean())
    weight = torch.arange(7).double()
    share = weight / weight.sum()
    pairs = share @ x.abs() @ x.abs().mT @ share
    torch.testing.assert_close(L.flops_loss(x, sample_weight=weight), pairs)


def test_flops_is_less_the_more_features_share_the_same_total() -> None:
    shared = torch.full((4, 4), 0.25)
    apart = torch.eye(4)
    crowded = torch.eye(4)[[0] * 4]
    losses = [L.flops_loss(x).item() for x in (shared, apart, crowded)]
    assert losses == [0.25, 0.25, 1.0]
