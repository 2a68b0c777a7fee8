"""Errors by ratio, and of a batch as a whole: fifty digits, what they are to each other, and where others are NaN."""

from typing import Any

import mpmath
import torch
from torch import Tensor

from lossary.losses.values.regression import mse_loss, rmse_loss
from lossary.losses.values.relative import mape_loss, msle_loss, smape_loss
from lossary.losses.values.robust import charbonnier_loss

mpmath.mp.dps = 50


def close(got: Tensor, wanted: list[Any]) -> None:
    torch.testing.assert_close(got, torch.tensor([float(w) for w in wanted], dtype=got.dtype), rtol=1e-14, atol=0)


X = torch.tensor([0.3, 1.0 + 2.0**-40, 250.0, 0.0, 3.0], dtype=torch.float64)
Y = torch.tensor([0.7, 1.0, 249.0, 2.5, 3.5], dtype=torch.float64)
PAIRS = [(mpmath.mpf(x), mpmath.mpf(y)) for x, y in zip(X.tolist(), Y.tolist(), strict=True)]


def test_fifty_digits() -> None:
    close(mape_loss(X, Y, reduction="none"), [abs(x - y) / y for x, y in PAIRS])
    close(smape_loss(X, Y, reduction="none"), [2 * abs(x - y) / (x + y) for x, y in PAIRS])
    close(msle_loss(X, Y, reduction="none"), [(mpmath.log(1 + x) - mpmath.log(1 + y)) ** 2 for x, y in PAIRS])
    close(msle_loss(-X, Y, reduction="none"), [(mpmath.log(1 + x) + mpmath.log(1 + y)) ** 2 for x, y in PAIRS])
    eps = mpmath.mpf(1e-3)
    close(charbonnier_loss(X, Y, reduction="none"), [mpmath.sqrt((x - y) ** 2 + eps**2) for x, y in PAIRS])
    close(rmse_loss(X, Y)[None], [mpmath.sqrt(sum((x - y) ** 2 for x, y in PAIRS) / len(PAIRS))])


def test_msle_keeps_small_steps_between_large_amounts() -> None:
    """The difference of two logarithms is 0 in float32 where amounts differ in their seventh digit."""
    x, y = torch.tensor([1e6 + 1]), torch.tensor([1e6])
    torch.testing.assert_close(msle_loss(x, y), torch.tensor(1e-12), rtol=1e-5, atol=0)


def test_msle_brings_predictions_below_zero_back() -> None:
    x = torch.tensor([-2.0, 0.0], requires_grad=True)
    (grad,) = torch.autograd.grad(msle_loss(x, torch.ones(2), reduction="sum"), x)
    assert (grad < 0).all(), "a step against the gradient goes up"
    torch.testing.assert_close(grad[1], -2 * torch.tensor(2.0).log())


def test_a_share_of_nothing() -> None:
    """Of a true 0: eps is divided by; smape is 2, and 0 where nothing was predicted."""
    x, zero = torch.tensor([3.0, 0.0]), torch.zeros(2)
    assert mape_loss(x, zero, eps=0.5, reduction="none").tolist() == [6.0, 0.0]
    assert smape_loss(x, zero, reduction="none").tolist() == [2.0, 0.0]


def test_rmse_is_the_root_of_the_mean_and_finite_where_all_is_right() -> None:
    g = torch.Generator().manual_seed(0)
    x, y, w = (torch.randn(7, 3, generator=g, dtype=torch.float64) for _ in range(3))
    x.requires_grad_()
    found, wanted = rmse_loss(x, y, sample_weight=w.abs()), mse_loss(x, y, sample_weight=w.abs()).sqrt()
    torch.testing.assert_close(found, wanted, rtol=1e-14, atol=0)
    torch.testing.assert_close(*(torch.autograd.grad(loss, x)[0] for loss in (found, wanted)), rtol=1e-12, atol=0)
    (grad,) = torch.autograd.grad(rmse_loss(x, x.detach().clone()), x)
    assert not grad.any()


def test_rmse_of_residuals_whose_squares_are_out_of_range() -> None:
    for size in (1e-25, 1e25):
        x = torch.full((4,), size, requires_grad=True)
        loss = rmse_loss(x, torch.zeros(4))
        torch.testing.assert_close(loss.detach(), torch.tensor(size), rtol=1e-6, atol=0)
        torch.testing.assert_close(torch.autograd.grad(loss, x)[0], torch.full((4,), 0.25))


def test_charbonnier_is_the_hyperbola_of_other_code() -> None:
    """Kornia's is eps = 1 less 1; what adds its number unsquared is ours of its root."""
    r = torch.linspace(-3, 3, 13, dtype=torch.float64)
    zero = torch.zeros_like(r)
    kornia, added = (r.square() + 1).sqrt() - 1, (r.square() + 1e-6).sqrt()
    torch.testing.assert_close(charbonnier_loss(r, zero, eps=1.0, reduction="none") - 1, kornia)
    torch.testing.assert_close(charbonnier_loss(r, zero, reduction="none"), added)
