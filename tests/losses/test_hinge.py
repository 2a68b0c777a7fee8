"""Hinge losses: what they must be to each other, quiz answers and worked numbers."""

import pytest
import torch
import torch.nn.functional as F

import lossary.functional as L


def test_worked_numbers() -> None:
    z = torch.tensor([[15.0, -3.0, 7.0]])
    found = [L.multiclass_hinge_loss(z, torch.tensor([y]), margin=m).item() for m in (1.0, 20.0) for y in (0, 1)]
    assert found == [0, 30, 14, 68]  # a lecture has 48 for the last: 38 + 30 are 68


def test_worked_table() -> None:
    """Dog, bird and truck: the three losses and their mean."""
    z = torch.tensor([[3.0, 6.2, -2.1], [0.9, 5.1, 3.4], [1.6, 2.3, -4.5]], dtype=torch.float64)
    found = L.multiclass_hinge_loss(z, torch.tensor([0, 1, 2]), reduction="none").tolist()
    assert found == pytest.approx([4.2, 0.0, 14.9])
    assert L.multiclass_hinge_loss(z, torch.tensor([0, 1, 2])).item() == pytest.approx(19.1 / 3)


def test_scores_all_alike_cost_the_margin_for_every_other_class() -> None:
    assert L.multiclass_hinge_loss(torch.zeros(4, 7), torch.arange(4), margin=0.5).item() == 3


def test_including_the_target_adds_the_margin_and_no_gradient() -> None:
    z = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    y = torch.arange(6) % 5
    plain = L.multiclass_hinge_loss(z, y, margin=0.7)
    whole = L.multiclass_hinge_loss(z, y, margin=0.7, include_target=True)
    torch.testing.assert_close(whole - plain, torch.tensor(0.7, dtype=torch.float64))
    torch.testing.assert_close(*(torch.autograd.grad(loss, z)[0] for loss in (plain, whole)))


def test_two_classes_are_the_binary_hinge() -> None:
    z, y = torch.randn(8, 2, dtype=torch.float64), torch.arange(8) % 2
    wanted = L.hinge_loss(z[:, 1] - z[:, 0], y)
    torch.testing.assert_close(L.multiclass_hinge_loss(z, y), wanted)
    torch.testing.assert_close(L.crammer_singer_loss(z, y), wanted)


def test_per_class_mean_is_torchs() -> None:
    z, y = torch.randn(6, 5, dtype=torch.float64), torch.arange(6) % 5
    for power in (1, 2):
        found = L.multiclass_hinge_loss(z, y, power=power, margin=0.7, per_class_mean=True)
        torch.testing.assert_close(found, F.multi_margin_loss(z, y, p=power, margin=0.7))


def test_crammer_singer_is_the_largest_violation() -> None:
    z, y = torch.randn(6, 5, dtype=torch.float64), torch.arange(6) % 5
    gaps = (z - z.gather(1, y[:, None]) + 1).scatter(1, y[:, None], -torch.inf)
    torch.testing.assert_close(L.crammer_singer_loss(z, y, reduction="none"), gaps.amax(1).relu())


def test_targets_of_all_kinds_agree() -> None:
    z, yes = torch.randn(6, dtype=torch.float64), torch.tensor([True, False, True, True, False, False])
    wanted = L.squared_hinge_loss(z, yes)
    for target in (yes.int(), 2 * yes.int() - 1, yes.double(), 2 * yes.double() - 1):
        assert L.squared_hinge_loss(z, target) == wanted
    with pytest.raises(ValueError, match="target: wanted one of -1, 0, 1"):
        L.hinge_loss(z, torch.full((6,), 2))


def test_squared_hinge_is_the_hinge_squared() -> None:
    z, y = torch.randn(6, dtype=torch.float64), torch.tensor([1, -1, 1, 1, -1, -1])
    torch.testing.assert_close(
        L.squared_hinge_loss(z, y, reduction="none"), L.hinge_loss(z, y, reduction="none").square()
    )


def test_soft_targets_are_refused() -> None:
    with pytest.raises(TypeError, match="target: wanted integer class indices"):
        L.multiclass_hinge_loss(torch.zeros(2, 3), torch.ones(2, 3) / 3)


@pytest.mark.parametrize("name", ["crammer_singer_loss", "multiclass_hinge_loss", "multi_margin_loss"])
def test_the_margin_is_not_lost_beside_large_scores(name: str) -> None:
    """Their difference comes first: 1 + 1e9 - 1e9 is 0 in float32."""
    loss = getattr(L, name)(torch.full((1, 2), 1e9), torch.tensor([0]), margin=1.0, reduction="none")
    assert loss.item() == (0.5 if name == "multi_margin_loss" else 1.0)
