"""The asymmetric loss beside cross-entropy, the focal loss and its paper's code."""

import pytest
import torch
from torch import Tensor

import lossary

F = lossary.functional
G = torch.Generator().manual_seed(0)
Z = 4 * torch.randn(30, 7, dtype=torch.float64, generator=G)
Y = torch.rand(30, 7, generator=G) < 0.2


def test_without_powers_and_margin_it_is_cross_entropy() -> None:
    loss = F.asymmetric_loss(Z, Y, gamma_positive=0.0, gamma_negative=0.0, margin=0.0)
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(Z, Y), rtol=1e-14, atol=0)


def test_with_equal_powers_and_no_margin_it_is_the_focal_loss() -> None:
    loss = F.asymmetric_loss(Z, Y, gamma_positive=2.0, gamma_negative=2.0, margin=0.0)
    torch.testing.assert_close(loss, F.sigmoid_focal_loss(Z, Y, gamma=2.0), rtol=1e-13, atol=0)


def by_the_paper(z: Tensor, y: Tensor, yes: float, no: float, margin: float, held: bool) -> Tensor:
    """As its code has it, but for the bound of the logarithms."""
    p, y = z.sigmoid(), y.double()
    rest = (1 - p + margin).clamp(max=1) if margin > 0 else 1 - p
    right = p * y + rest * (1 - y)
    power = (1 - right) ** (yes * y + no * (1 - y))
    return -(y * p.log() + (1 - y) * rest.log()) * (power.detach() if held else power)


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize(
    ("yes", "no", "margin"), [(0.0, 4.0, 0.05), (1.0, 4.0, 0.05), (2.0, 3.0, 0.3), (1.0, 2.0, 0.0)]
)
def test_the_paper_s_code_over_a_grid(yes: float, no: float, margin: float, held: bool) -> None:
    x = torch.linspace(-8, 8, 321, dtype=torch.float64).repeat(2, 1).requires_grad_()
    y = torch.tensor([True, False])[:, None].expand(x.shape)
    options = {"gamma_positive": yes, "gamma_negative": no, "margin": margin, "hold_focus": held}
    got = F.asymmetric_loss(x, y, reduction="none", **options)
    want = by_the_paper(x, y, yes, no, margin, held)
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-15)
    (grad,), (wanted,) = (torch.autograd.grad(loss.sum(), x) for loss in (got, want))
    torch.testing.assert_close(grad, wanted, rtol=1e-8, atol=1e-13)


def test_below_the_margin_nothing_is_asked() -> None:
    z = torch.tensor([-50.0, -4.0, -2.95], requires_grad=True)  # the threshold lies at -2.944
    loss = F.asymmetric_loss(z, torch.zeros(3, dtype=torch.bool), reduction="none")
    loss.sum().backward()
    assert not loss.any()
    assert z.grad is not None
    assert not z.grad.any()


def test_in_float16_nothing_is_cut_at_zero() -> None:
    """Where the paper's code takes log(0): a label that holds and is given next to nothing."""
    z = torch.tensor([-20.0, 20.0], dtype=torch.float16, requires_grad=True)
    loss = F.asymmetric_loss(z, torch.tensor([True, False]), margin=0.0, reduction="none")
    loss.sum().backward()
    torch.testing.assert_close(loss.detach(), torch.tensor([20.0, 20.0]))
    assert z.grad is not None
    assert z.grad.isfinite().all()


def test_gradients_stay_off_where_they_were_off() -> None:
    with torch.no_grad():
        F.asymmetric_loss(Z, Y, hold_focus=True)
        assert not torch.is_grad_enabled()


def test_smoothed_binary_targets_are_those_of_two_classes() -> None:
    smoothed = F.binary_cross_entropy_with_logits(Z, Y, label_smoothing=0.2)
    two = torch.stack([torch.zeros_like(Z), Z], 1)
    torch.testing.assert_close(smoothed, torch.nn.functional.cross_entropy(two, Y.long(), label_smoothing=0.2))


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.float32])
def test_ignored_answers_are_as_if_masked(dtype: torch.dtype) -> None:
    unknown = torch.rand(30, 7, generator=torch.Generator().manual_seed(1)) < 0.3
    y = torch.where(unknown, -1, Y.long()).to(dtype)
    mask = torch.arange(30) % 5 != 0
    for reduction in ("none", "mean"):
        got = F.binary_cross_entropy_with_logits(Z, y, ignore_index=-1, mask=mask, reduction=reduction)
        want = F.binary_cross_entropy_with_logits(Z, Y, mask=mask[:, None] & ~unknown, reduction=reduction)
        torch.testing.assert_close(got, want, rtol=1e-14, atol=0)


def test_a_module_pickled_before_it_had_a_field_gets_the_default() -> None:
    module = lossary.BCEWithLogitsLoss()
    state = {n: v for n, v in module.__dict__.items() if n not in ("label_smoothing", "ignore_index")}
    old = lossary.BCEWithLogitsLoss.__new__(lossary.BCEWithLogitsLoss)
    old.__setstate__(state)
    assert torch.equal(old(Z, Y), module(Z, Y))
