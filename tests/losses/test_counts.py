"""Counts and amounts of many zeros: fifty digits, and the distributions at the ends."""

from typing import Any

import mpmath
import pytest
import torch
from torch import Tensor, distributions

from lossary.losses.values.counts import negative_binomial_nll_loss, tweedie_loss
from lossary.losses.values.likelihood import poisson_nll_loss

mpmath.mp.dps = 50

X = torch.tensor([-2.0, 0.25, 1.5, 6.0, 0.0], dtype=torch.float64)
Y = torch.tensor([0.0, 3.0, 4.0, 300.0, 1.0], dtype=torch.float64)


def exact(x: Any, y: Any, a: Any) -> Any:
    """As the paper has it, by log-gammas of 1 / alpha."""
    mu, r = mpmath.exp(mpmath.mpf(x)), 1 / mpmath.mpf(a)
    of_count = mpmath.loggamma(y + r) - mpmath.loggamma(y + 1) - mpmath.loggamma(r)
    return -(of_count + r * mpmath.log(1 / (1 + mu / r)) + y * mpmath.log(mu / (r + mu)))


@pytest.mark.parametrize("a", [1e-9, 1e-4, 0.05, 0.0999, 0.1, 0.3, 2.0, 50.0])
def test_negative_binomial_has_fifty_digits_at_every_dispersion(a: float) -> None:
    x, dispersion = X.clone().requires_grad_(), torch.full_like(X, a, requires_grad=True)
    losses = negative_binomial_nll_loss(x, Y, dispersion, full=True, reduction="none")
    by_mean, by_dispersion = torch.autograd.grad(losses.sum(), [x, dispersion])
    for place, (s, y) in enumerate(zip(X.tolist(), Y.tolist(), strict=True)):
        size = max(1.0, abs(y * s), y)  # of the terms
        assert losses[place].item() == pytest.approx(float(exact(s, y, a)), abs=1e-13 * size)
        slopes = (
            mpmath.diff(lambda t, y=y: exact(t, y, a), mpmath.mpf(s)),
            mpmath.diff(lambda t, s=s, y=y: exact(s, y, t), mpmath.mpf(a), h=mpmath.mpf(10) ** -22),
        )
        for found, wanted in zip((by_mean, by_dispersion), slopes, strict=True):
            assert found[place].item() == pytest.approx(float(wanted), rel=1e-9, abs=1e-10 * size)


def test_negative_binomial_is_torchs_distribution() -> None:
    g = torch.Generator().manual_seed(1)
    x, a = torch.randn(40, generator=g, dtype=torch.float64), torch.rand(40, generator=g, dtype=torch.float64) + 0.1
    y = torch.poisson(torch.full((40,), 3.0, dtype=torch.float64), generator=g)
    theirs = distributions.NegativeBinomial(1 / a, logits=x + a.log())
    found = negative_binomial_nll_loss(x, y, a, full=True, reduction="none")
    torch.testing.assert_close(found, -theirs.log_prob(y))


def test_no_dispersion_is_poisson_with_its_gradients() -> None:
    x, a = X.clone().requires_grad_(), torch.zeros_like(X).requires_grad_()
    loss, poisson = negative_binomial_nll_loss(x, Y, a), poisson_nll_loss(x, Y)
    torch.testing.assert_close(loss, poisson)
    torch.testing.assert_close(*(torch.autograd.grad(e, x, retain_graph=True)[0] for e in (loss, poisson)))
    (slope,) = torch.autograd.grad(loss, a)
    mu = X.exp()
    # The variance beyond the mean's own says whether the dispersion should grow.
    torch.testing.assert_close(slope, -((Y - mu).square() - Y) / 2 / len(X))
    assert negative_binomial_nll_loss(X, Y, 0.0) == negative_binomial_nll_loss(X, Y, torch.zeros_like(X))


def test_float32_is_as_good_at_a_tiny_dispersion() -> None:
    """By log-gammas of a million the seventh digit is off by one."""
    x, y, a = X.float(), Y.float(), torch.full((5,), 1e-6)
    wanted = negative_binomial_nll_loss(X, Y, a.double(), reduction="none")
    torch.testing.assert_close(
        negative_binomial_nll_loss(x, y, a, reduction="none").double(), wanted, rtol=1e-6, atol=0
    )


def of_counts(power: float, x: Tensor, y: Tensor) -> list[float]:
    p = mpmath.mpf(power)
    pairs = [(mpmath.mpf(a), mpmath.mpf(b)) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    return [float(mpmath.exp((2 - p) * a) / (2 - p) - b * mpmath.exp((1 - p) * a) / (1 - p)) for a, b in pairs]


@pytest.mark.parametrize("power", [1.0625, 1.5, 1.9375])
def test_tweedie_has_fifty_digits(power: float) -> None:
    wanted = torch.tensor(of_counts(power, X, Y), dtype=torch.float64)
    torch.testing.assert_close(tweedie_loss(X, Y, power=power, reduction="none"), wanted, rtol=1e-14, atol=1e-14)


def test_tweedie_is_poisson_at_one_and_gamma_at_two() -> None:
    y = Y + 0.5
    torch.testing.assert_close(tweedie_loss(X, y, power=1.0), poisson_nll_loss(X, y))
    gamma = distributions.Gamma(torch.tensor(1.0, dtype=torch.float64), (-X).exp())  # of shape 1: an exponential
    torch.testing.assert_close(tweedie_loss(X, y, power=2.0, reduction="none"), -gamma.log_prob(y))


@pytest.mark.parametrize("power", [1.0, 1.3, 1.7, 2.0])
def test_tweedie_is_least_at_the_mean(power: float) -> None:
    y = torch.tensor([0.0, 0.0, 3.0, 9.0], dtype=torch.float64)
    x = y.mean().log().expand(4).clone().requires_grad_()
    (grad,) = torch.autograd.grad(tweedie_loss(x, y, power=power), x)
    assert grad.sum().item() == pytest.approx(0, abs=1e-12)


def test_a_count_below_zero_is_refused() -> None:
    for loss in (lambda y: tweedie_loss(X, y), lambda y: negative_binomial_nll_loss(X, y, 0.5)):
        with pytest.raises(ValueError, match=r"target: wanted no negative number; got -1\.0"):
            loss(Y - 1)
    with pytest.raises(ValueError, match="dispersion: wanted no negative number"):
        negative_binomial_nll_loss(X, Y, -torch.ones(5))
