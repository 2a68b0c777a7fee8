"""Classes in an order: fifty digits, what other code computes, and distances between classes."""

import mpmath
import pytest
import torch
import torch.nn.functional as F

from lossary.losses.classes.ordinal import coral_loss, corn_loss, earth_mover_loss
from lossary.losses.lifetimes.hazards import logistic_hazard_loss

mpmath.mp.dps = 50

Z = 3 * torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.tensor([0, 4, 2, 1, 4, 3])


def test_thresholds_have_fifty_digits() -> None:
    coral, corn = (loss(Z, LABELS, reduction="none").tolist() for loss in (coral_loss, corn_loss))
    for place, (row, label) in enumerate(zip(Z.tolist(), LABELS.tolist(), strict=True)):
        above = [1 / (1 + mpmath.exp(-mpmath.mpf(v))) for v in row]
        each = [mpmath.log(p if label > k else 1 - p) for k, p in enumerate(above)]
        assert coral[place] == pytest.approx(float(-sum(each)), rel=1e-13)
        assert corn[place] == pytest.approx(float(-sum(each[: label + 1])), rel=1e-13)


def test_coral_is_that_of_its_authors() -> None:
    """As their code's documentation has it, where labels are given as answers."""
    levels = torch.tensor([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    z = torch.tensor([[2.1, 1.8, -2.1, -1.8], [1.9, -1.0, -1.5, -1.3], [1.9, 1.8, 1.7, 1.6]])
    assert coral_loss(z, levels.sum(1).long()).item() == pytest.approx(0.6920, abs=5e-5)
    weight = torch.tensor([0.5, 2.0, 0.0, 1.0])
    peers = F.binary_cross_entropy_with_logits(z, levels, weight.expand(3, 4), reduction="none").sum(1).mean()
    torch.testing.assert_close(coral_loss(z, levels.sum(1).long(), threshold_weight=weight), peers)


def test_corn_is_the_mean_over_all_steps_and_a_distribution() -> None:
    total, steps = torch.zeros((), dtype=torch.float64), 0
    for k in range(4):
        asked = k <= LABELS  # those above class k - 1
        answers = (LABELS[asked] > k).double()
        total += F.binary_cross_entropy_with_logits(Z[asked, k], answers, reduction="sum")
        steps += int(asked.sum())
    torch.testing.assert_close(corn_loss(Z, LABELS), total / steps)
    chances = [corn_loss(Z[:1], torch.tensor([label]), reduction="sum").neg().exp() for label in range(5)]
    torch.testing.assert_close(torch.stack(chances).sum().item(), 1.0)


def test_corn_is_a_lifetime_that_goes_on_where_the_label_is_above() -> None:
    last = LABELS.clamp_max(3)
    hazard = logistic_hazard_loss(-Z, last, LABELS < 4, reduction="none")
    torch.testing.assert_close(corn_loss(Z, LABELS, reduction="none"), hazard)


@pytest.mark.parametrize("power", [1, 2])
def test_earth_mover_has_fifty_digits(power: int) -> None:
    labels = LABELS.clamp_max(3)
    found = (earth_mover_loss(Z, labels, power=1), earth_mover_loss(Z, labels))[power - 1]
    total = mpmath.mpf(0)
    for row, label in zip(Z.tolist(), labels.tolist(), strict=True):
        shares = [mpmath.exp(mpmath.mpf(v)) for v in row]
        below = [sum(shares[: k + 1]) / sum(shares) for k in range(4)]
        total += sum(abs(b - (label <= k)) ** power for k, b in enumerate(below))
    assert found.item() == pytest.approx(float(total / 6), rel=1e-13)


def test_earth_mover_of_one_is_the_expected_distance() -> None:
    labels = LABELS.clamp_max(3)
    distance = (torch.arange(4) - labels[:, None]).abs()
    torch.testing.assert_close(earth_mover_loss(Z, labels, power=1), (Z.softmax(1) * distance).sum(1).mean())


def test_a_small_loss_keeps_its_digits_in_float32() -> None:
    """All but 2e-9 lies on the first class: one less its share is 0 in float32."""
    z = torch.tensor([[20.0, 0.0, -1.0]])
    wanted = earth_mover_loss(z.double(), torch.tensor([0]))
    found = earth_mover_loss(z, torch.tensor([0])).double()
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=0)
    assert wanted < 1e-16


def test_a_mistake_costs_more_the_further_off_it_is() -> None:
    z = torch.tensor([[9.0, 0.0, 0.0, 0.0]])
    labels = [torch.tensor([k]) for k in range(4)]
    prices = [earth_mover_loss(z, label).item() for label in labels]
    assert prices == sorted(prices)
    assert len(set(prices)) == 4
    answers = torch.tensor([[-4.0, -4.5, -5.0]])  # surely the first class
    for loss in (coral_loss, corn_loss):
        prices = [loss(answers, label, reduction="none").item() for label in labels]
        assert prices[0] == min(prices)
    assert [coral_loss(answers, label).item() for label in labels] == sorted(
        coral_loss(answers, label).item() for label in labels
    )
