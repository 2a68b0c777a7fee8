"""Generalised cross-entropy between its two ends."""

import torch
import torch.nn.functional as F

import lossary


def test_generalized_cross_entropy_lies_between_cross_entropy_and_one_minus_p() -> None:
    z = torch.randn(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0, 1, 2, 3, 4, 0])
    p = z.softmax(1).gather(1, y[:, None])[:, 0]
    loss = lossary.functional.generalized_cross_entropy_loss
    torch.testing.assert_close(loss(z, y, q=1.0, reduction="none"), 1 - p)
    torch.testing.assert_close(loss(z, y, q=0.7, reduction="none"), (1 - p**0.7) / 0.7)
    torch.testing.assert_close(loss(z, y, q=1e-9), F.cross_entropy(z, y))


def test_a_certain_mistake_has_a_finite_loss_and_no_gradient() -> None:
    z = torch.tensor([[1e4, 0.0]], requires_grad=True)
    loss = lossary.functional.generalized_cross_entropy_loss(z, torch.tensor([1]))
    loss.backward()
    assert z.grad is not None
    torch.testing.assert_close(loss.detach(), torch.tensor(1 / 0.7))
    assert not z.grad.any()
