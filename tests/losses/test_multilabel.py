"""Losses for several labels at a time, against slow and obvious forms; torch's overflow that is not ours."""

import pytest
import torch
from torch import Tensor

import lossary.functional as L


def all_pairs(scores: Tensor, labels: list[int]) -> float:
    total = 0.0
    for j in labels:
        for i in set(range(len(scores))) - set(labels):
            total += max(0.0, 1 - (scores[j] - scores[i]).item())
    return total / len(scores)


@pytest.mark.parametrize("labels", [[], [2], [0, 3, 4], [0, 1, 2, 3, 4]])
def test_margin_over_all_pairs(labels: list[int]) -> None:
    scores = torch.tensor([0.3, -1.0, 0.9, 0.9, 2.0], dtype=torch.float64)
    padded = torch.tensor(labels + [-1] * (5 - len(labels)))
    assert L.multilabel_margin_loss(scores, padded).item() == pytest.approx(all_pairs(scores, labels))


def test_gradient_exactly_at_the_margin_is_zero() -> None:
    scores = torch.tensor([2.0, 1.0, 0.0], requires_grad=True)
    L.multilabel_margin_loss(scores, torch.tensor([0, -1, -1])).backward()
    assert scores.grad is not None
    assert scores.grad.tolist() == [0.0, 0.0, 0.0]


def test_margin_loss_has_linear_memory() -> None:
    """All pairs of 3,000 labels and as many other classes would be 9 million numbers a row."""
    scores = torch.randn(2, 6000, requires_grad=True)
    target = torch.where(torch.arange(6000) < 3000, torch.arange(6000), -1).expand(2, -1)
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        L.multilabel_margin_loss(scores, target)
    assert max(kept) <= 2 * 6001


def test_soft_margin_is_the_logistic_loss() -> None:
    z, t = torch.randn(6, dtype=torch.float64), torch.tensor([1, -1, 1, 1, -1, -1])
    torch.testing.assert_close(L.soft_margin_loss(z, t), L.binary_cross_entropy_with_logits(z, t > 0))


def test_soft_margin_does_not_overflow() -> None:
    z = torch.tensor([-100.0], requires_grad=True)
    loss = L.soft_margin_loss(z, torch.tensor([1]))
    loss.backward()
    assert loss.item() == 100
    assert z.grad is not None
    assert z.grad.item() == -1
    assert torch.nn.functional.soft_margin_loss(z, torch.tensor([1.0])).item() == torch.inf
