"""Losses that know how many samples a class has, beside plain cross-entropy of changed logits."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

import lossary
from lossary.kernels.rows import formula

F = lossary.functional
G = torch.Generator().manual_seed(0)
Z = 2 * torch.randn(40, 6, dtype=torch.float64, generator=G)
Y = torch.randint(6, (40,), generator=G)
COUNTS = torch.tensor([500, 100, 40, 9, 3, 1])
WEIGHT = torch.linspace(0.5, 2, 6, dtype=torch.float64)


@pytest.mark.parametrize("tau", [0.0, 1.0, 1.5])
def test_adjusted_logits_are_logits_with_the_log_shares_added(tau: float) -> None:
    shares = COUNTS.double() / COUNTS.sum()
    want = cross_entropy(Z + tau * shares.log(), Y, WEIGHT, reduction="none")
    for counts in (COUNTS, shares):
        got = F.logit_adjusted_loss(Z, Y, class_counts=counts, tau=tau, reduction="none")
        torch.testing.assert_close(got * WEIGHT[Y], want, rtol=1e-13, atol=1e-15)


def test_balanced_softmax_is_its_other_name() -> None:
    assert F.balanced_softmax_loss is F.logit_adjusted_loss
    weighed = COUNTS * Z.exp()
    want = -(weighed.gather(1, Y[:, None])[:, 0] / weighed.sum(1)).log().mean()
    torch.testing.assert_close(F.balanced_softmax_loss(Z, Y, class_counts=COUNTS), want)


def test_equal_counts_change_nothing() -> None:
    for counts in (None, torch.full((6,), 7)):
        torch.testing.assert_close(F.logit_adjusted_loss(Z, Y, class_counts=counts), cross_entropy(Z, Y))


def test_a_class_that_nobody_has_is_no_candidate() -> None:
    counts = torch.tensor([500, 100, 40, 9, 3, 0])
    y = Y.clamp(max=4)
    z = Z.clone().requires_grad_()
    loss = F.logit_adjusted_loss(z, y, class_counts=counts)
    without = F.logit_adjusted_loss(Z[:, :5], y, class_counts=counts[:5])
    torch.testing.assert_close(loss.detach(), without)
    (grad,) = torch.autograd.grad(loss, z)
    assert not grad[:, 5].any()


def margins(most: float) -> Tensor:
    found = COUNTS.double() ** -0.25
    return found * most / found.max()


@pytest.mark.parametrize(("most", "scale"), [(0.5, 30.0), (0.3, 1.0), (0.0, 2.0)])
def test_margins_are_taken_off_the_true_class(most: float, scale: float) -> None:
    moved = Z - torch.zeros_like(Z).scatter(1, Y[:, None], margins(most)[Y][:, None])
    want = cross_entropy(scale * moved, Y, WEIGHT)
    got = F.ldam_loss(Z, Y, class_counts=COUNTS, max_margin=most, scale=scale, class_weight=WEIGHT)
    torch.testing.assert_close(got, want, rtol=1e-13, atol=0)


def test_all_alike_have_the_largest_margin() -> None:
    got = F.ldam_loss(Z, Y, scale=1.0)
    want = F.ldam_loss(Z, Y, scale=1.0, class_counts=torch.full((6,), 3))
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(got, cross_entropy(Z.scatter_add(1, Y[:, None], torch.full_like(Z, -0.5)), Y))


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("name", ["logit_adjusted_loss", "ldam_loss"])
def test_scores_of_a_linear_head_are_never_held(monkeypatch: pytest.MonkeyPatch, name: str, blocked: bool) -> None:
    if blocked:
        monkeypatch.setattr(formula, "CPU_PLAIN", 0)
    x, w, b = (
        torch.randn(*shape, generator=G, dtype=torch.float64).requires_grad_() for shape in ((40, 5), (6, 5), (6,))
    )
    loss = getattr(F, name)
    options = {"class_counts": COUNTS, "class_weight": WEIGHT}
    got = lossary.linear_loss(loss, x, w, Y, b, **options)
    want = loss(x @ w.T + b, Y, **options)
    torch.testing.assert_close(got, want)
    for g, h in zip(torch.autograd.grad(got, (x, w, b)), torch.autograd.grad(want, (x, w, b)), strict=True):
        torch.testing.assert_close(g, h)


def test_effective_numbers_of_single_samples_keep_their_digits() -> None:
    """1 - 0.9999^n by a power loses four of seven digits at n = 1."""
    single = lossary.class_weights(torch.tensor([1, 3]), method="effective")
    double = lossary.class_weights(torch.tensor([1.0, 3.0], dtype=torch.float64), method="effective")
    torch.testing.assert_close(single.double(), double, rtol=3e-7, atol=0)
