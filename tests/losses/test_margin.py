"""torch's margin losses: what ours say more than torch's."""

import pytest
import torch

import lossary.functional as L


def test_booleans_are_signs() -> None:
    d, similar = torch.rand(6, dtype=torch.float64), torch.tensor([True, False, True, True, False, False])
    sign = 2 * similar.int() - 1
    assert L.hinge_embedding_loss(d, similar) == L.hinge_embedding_loss(d, sign)
    assert L.margin_ranking_loss(d, d.flip(0), similar) == L.margin_ranking_loss(d, d.flip(0), sign)
    x = torch.randn(2, 6, 3, dtype=torch.float64)
    assert L.cosine_embedding_loss(x[0], x[1], similar) == L.cosine_embedding_loss(x[0], x[1], sign)


@pytest.mark.parametrize("name", ["margin_ranking_loss", "cosine_embedding_loss"])
def test_a_sign_of_zero_is_refused(name: str) -> None:
    x = torch.zeros(2, 3)
    target = torch.zeros((2, 3) if name == "margin_ranking_loss" else (2,))
    with pytest.raises(ValueError, match="target: wanted one of -1, 1 each"):
        getattr(L, name)(x, x, target)


def test_cosines_do_not_hear_lengths() -> None:
    x, y = torch.randn(2, 6, 3, dtype=torch.float64)
    sign = torch.tensor([1, -1, 1, 1, -1, -1])
    for scale in (1e-30, 1e-6, 1e30):
        torch.testing.assert_close(L.cosine_embedding_loss(scale * x, y, sign), L.cosine_embedding_loss(x, y, sign))


def test_multi_margin_is_the_multiclass_hinge_over_the_classes() -> None:
    z, y = torch.randn(6, 5, dtype=torch.float64), torch.arange(6) % 5
    torch.testing.assert_close(L.multi_margin_loss(z, y) * 5, L.multiclass_hinge_loss(z, y))


def test_variance_below_the_bound_can_recover() -> None:
    """The bound holds for the value only: the gradient still says that a larger variance is better."""
    var = torch.tensor([0.0], dtype=torch.float64, requires_grad=True)
    loss = L.gaussian_nll_loss(torch.tensor([1.0]), torch.tensor([0.0]), var, eps=0.01)
    loss.backward()
    assert loss.isfinite()
    assert var.grad is not None
    assert var.grad.item() < 0


def test_masked_variance_may_be_missing() -> None:
    x, y, var = (torch.tensor([1.0, torch.nan]), torch.tensor([0.0, 1.0]), torch.tensor([2.0, torch.nan]))
    found = L.gaussian_nll_loss(x, y, var.requires_grad_(), mask=torch.tensor([True, False]))
    assert found == L.gaussian_nll_loss(x[:1], y[:1], var[:1])
    (grad,) = torch.autograd.grad(found, var)
    assert grad.isfinite().all()
    assert grad[1] == 0
