"""Losses of quality scores: what they are at plain answers, at their targets, and beside the papers' formulas."""

import pytest
import torch
import torch.nn.functional as F

import lossary.functional as L

Z = torch.tensor([[-6.0, -0.5, 0.0, 2.0], [0.3, 5.0, -2.0, 1.0]], dtype=torch.float64)
FITS = torch.tensor([[0.0, 0.3, 0.9, 0.0], [1.0, 0.7, 0.0, 0.05]], dtype=torch.float64)


def test_quality_focal_is_the_papers() -> None:
    p = Z.sigmoid()
    for beta in (0.0, 0.7, 2.0):
        entropy = F.binary_cross_entropy(p, FITS, reduction="none")
        wanted = (FITS - p).abs() ** beta * entropy
        torch.testing.assert_close(L.quality_focal_loss(Z, FITS, beta=beta, reduction="none"), wanted)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_of_plain_answers_quality_focal_is_focal(gamma: float) -> None:
    answers = FITS > 0.2
    torch.testing.assert_close(
        L.quality_focal_loss(Z, answers, beta=gamma), L.sigmoid_focal_loss(Z, answers, gamma=gamma)
    )


def test_quality_focal_is_least_at_its_target_and_keeps_the_faintest() -> None:
    met = torch.logit(FITS.clamp(0.1, 0.9)).requires_grad_()
    value = L.quality_focal_loss(met, met.detach().sigmoid(), reduction="sum")
    assert value < 1e-30
    assert torch.autograd.grad(value, met)[0].abs().max() < 1e-15
    faint = torch.tensor([20.0])
    assert L.quality_focal_loss(faint, torch.ones(1)).item() == pytest.approx(8.76e-27, rel=1e-2)


def test_varifocal_is_the_papers() -> None:
    p, alpha, gamma = Z.sigmoid(), 0.6, 1.5
    positive = FITS * F.binary_cross_entropy(p, FITS, reduction="none")
    negative = -alpha * p**gamma * (1 - p).log()
    found = L.varifocal_loss(Z, FITS, alpha=alpha, gamma=gamma, reduction="none")
    torch.testing.assert_close(found, torch.where(FITS > 0, positive, negative))


def test_varifocal_jumps_at_nothing_so_its_target_may_not_learn() -> None:
    with pytest.raises(ValueError, match="target: wanted a tensor without requires_grad"):
        L.varifocal_loss(Z, FITS.clone().requires_grad_())


def test_a_distribution_over_distances_is_two_entropies() -> None:
    scores = torch.randn(5, 8, dtype=torch.float64)
    sides = torch.tensor([0.0, 2.25, 7.0, 3.5, 6.9], dtype=torch.float64)
    left = torch.tensor([0, 2, 6, 3, 6])
    log = scores.log_softmax(1)
    rows = torch.arange(5)
    wanted = -((left + 1 - sides) * log[rows, left] + (sides - left) * log[rows, left + 1])
    torch.testing.assert_close(L.distribution_focal_loss(scores, sides, reduction="none"), wanted)
    whole = torch.tensor([0, 2, 7, 3, 1])
    torch.testing.assert_close(L.distribution_focal_loss(scores, whole), F.cross_entropy(scores, whole))
    with pytest.raises(ValueError, match=r"target: wanted numbers in \[0, 7\]; got 7.5"):
        L.distribution_focal_loss(scores, sides + 0.5)
