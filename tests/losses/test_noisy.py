"""Losses for labels of which some are wrong: between their two ends, beside plain references, at a certain mistake."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import lossary

L: Any = lossary.functional
G = torch.Generator().manual_seed(0)
Z = 3 * torch.randn(30, 6, dtype=torch.float64, generator=G)
Y = torch.randint(6, (30,), generator=G)
P = Z.softmax(1)


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


@pytest.mark.parametrize("log_zero", [-4.0, -9.2])
def test_both_directions_of_cross_entropy(log_zero: float) -> None:
    hot = F.one_hot(Y, 6).double()
    logs = (1 - hot) * log_zero
    want = 0.3 * F.cross_entropy(Z, Y, reduction="none") - 2 * (P * logs).sum(1)
    got = L.symmetric_cross_entropy_loss(Z, Y, alpha=0.3, beta=2.0, log_zero=log_zero, reduction="none")
    torch.testing.assert_close(got, want, rtol=1e-12, atol=0)


def test_a_certain_mistake_costs_the_reverse_no_more_than_its_bound() -> None:
    z = torch.tensor([[1e4, 0.0]], requires_grad=True)
    loss = L.symmetric_cross_entropy_loss(z, torch.tensor([1]), alpha=0.0)
    torch.testing.assert_close(loss.detach(), torch.tensor(4.0))
    (grad,) = torch.autograd.grad(loss, z)
    assert not grad.any()


def test_bi_tempered_is_cross_entropy_where_both_temperatures_are_1() -> None:
    for target in (Y, P.flip(0)):
        got = L.bi_tempered_logistic_loss(Z, target, t1=1.0, t2=1.0, reduction="none")
        torch.testing.assert_close(got, F.cross_entropy(Z, target, reduction="none"), rtol=1e-12, atol=1e-12)
    near = L.bi_tempered_logistic_loss(Z, Y, t1=1 - 1e-9, t2=1 + 1e-9)
    torch.testing.assert_close(near, F.cross_entropy(Z, Y), rtol=1e-6, atol=0)


def tempered(z: Tensor, t: float) -> Tensor:
    """The tempered softmax, its normaliser halved down to."""
    low, high = z.amax(1, keepdim=True), z.amax(1, keepdim=True) + 1e7
    for _ in range(100):
        middle = (low + high) / 2
        above = (1 + (t - 1) * (middle - z)).pow(-1 / (t - 1)).sum(1, keepdim=True) > 1
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return (1 + (t - 1) * (low - z)).pow(-1 / (t - 1))


@pytest.mark.parametrize("spread", [0.01, 1.0, 30.0, 1e3])
@pytest.mark.parametrize(("t1", "t2"), [(0.0, 1.2), (0.8, 1.2), (0.5, 4.0), (1.0, 2.0)])
def test_bi_tempered_has_the_normaliser_however_far_apart_scores_are(spread: float, t1: float, t2: float) -> None:
    """Five steps of the authors' iteration are off by percents where they are far apart."""
    z = Z * spread
    p = tempered(z, t2)
    own = p.gather(1, Y[:, None])[:, 0]
    log = own.log() if t1 == 1 else (own.pow(1 - t1) - 1) / (1 - t1)
    want = -log - (1 - p.pow(2 - t1).sum(1)) / (2 - t1)
    got = L.bi_tempered_logistic_loss(z, Y, t1=t1, t2=t2, reduction="none")
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


def test_bi_tempered_of_probabilities_is_the_mean_over_labels() -> None:
    every = [L.bi_tempered_logistic_loss(Z, torch.full_like(Y, c), reduction="none") for c in range(6)]
    got = L.bi_tempered_logistic_loss(Z, P.flip(0), reduction="none")
    torch.testing.assert_close(got, (P.flip(0) * torch.stack(every, 1)).sum(1))


def test_a_nearly_certain_right_answer_keeps_its_digits_in_float32() -> None:
    z = torch.tensor([[30.0, 0.0, -1.0]])
    for t1 in (0.0, 0.5, 1.0):
        got, want = (L.bi_tempered_logistic_loss(x, torch.tensor([0]), t1=t1, t2=1.1) for x in (z, z.double()))
        torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=0)


@pytest.mark.parametrize("gap", [10.0, 20.0, 40.0])
def test_a_confident_mistake_keeps_the_gradient_that_float32_can_hold(gap: float) -> None:
    """It is p ** q (1 - p): from the value, 1 - p ** q, nothing of it is left."""
    grads = []
    for dtype in (torch.float32, torch.float64):
        z = torch.tensor([[0.0, gap]], dtype=dtype, requires_grad=True)
        grads += torch.autograd.grad(L.generalized_cross_entropy_loss(z, torch.tensor([0])), z)
    torch.testing.assert_close(grads[0].double(), grads[1], rtol=1e-5, atol=0)
