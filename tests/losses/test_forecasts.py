"""Forecasts of a whole distribution: fifty digits, all pairs of draws, and the honest forecast as the best one."""

import mpmath
import pytest
import torch
from torch import Tensor

from lossary.losses.values.forecasts import ensemble_crps_loss, gaussian_crps_loss
from lossary.losses.values.regression import l1_loss

mpmath.mp.dps = 50


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("r", "s"), [(0.5, 1.0), (3.0, 0.25), (1e-6, 2.0), (35.0, 1.0), (41.0, 1.0), (0.0, 3.0)])
def test_gaussian_crps_has_fifty_digits(r: float, s: float) -> None:
    """By the integral that defines it."""
    x, std = torch.tensor([r], dtype=torch.float64), torch.tensor([s], dtype=torch.float64)
    wide = mpmath.mpf(s)
    low = mpmath.quad(lambda t: mpmath.ncdf((t + r) / wide) ** 2, [-mpmath.inf, *sorted((-r, 0.0, -r - 4 * s))])
    high = mpmath.quad(lambda t: mpmath.ncdf(-(t + r) / wide) ** 2, [0, r + 4 * s, mpmath.inf])
    exact: float = float(low + high)  # pyright: ignore
    found = gaussian_crps_loss(-x, torch.zeros_like(x), std).item()
    assert found == pytest.approx(exact, rel=1e-13)


def test_gaussian_crps_without_spread_is_the_absolute_error() -> None:
    x, std = draws(9).requires_grad_(), torch.zeros(9, dtype=torch.float64)
    loss, plain = gaussian_crps_loss(x, draws(9, seed=1), std), l1_loss(x, draws(9, seed=1))
    torch.testing.assert_close(loss, plain, rtol=0, atol=0)
    torch.testing.assert_close(*(torch.autograd.grad(e, x)[0] for e in (loss, plain)), rtol=0, atol=0)


def test_gaussian_crps_is_what_many_draws_score() -> None:
    mean, std, y = torch.tensor(0.5), torch.tensor(2.0), torch.tensor([1.25], dtype=torch.float64)
    levels = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    quantiles = (mean + std * torch.special.ndtri(levels))[None]
    wanted = gaussian_crps_loss(mean.double()[None], y, std.double()[None])
    torch.testing.assert_close(ensemble_crps_loss(quantiles, y), wanted, rtol=1e-4, atol=0)


@pytest.mark.parametrize("fair", [False, True])
@pytest.mark.parametrize("members", [1, 2, 3, 16])
def test_ensemble_crps_is_that_of_all_pairs(members: int, fair: bool) -> None:
    """Ties among the draws and with the target included; their gradients are the pairs', where sign(0) is 0."""
    x, y = draws(8, members).round(decimals=0).requires_grad_(), draws(8, seed=1).round(decimals=0) + 0.25
    pairs = (x[:, :, None] - x[:, None]).abs().sum((1, 2))
    dense = (x - y[:, None]).abs().mean(1) - pairs / (2 * members * max(members - fair, 1))
    found = ensemble_crps_loss(x, y, fair=fair, reduction="none")
    torch.testing.assert_close(found, dense, rtol=0, atol=1e-14)
    torch.testing.assert_close(*(torch.autograd.grad(e.sum(), x)[0] for e in (found, dense)), rtol=0, atol=1e-14)
    assert (found >= 0).all()


def test_ensemble_crps_has_fifty_digits_of_draws_that_nearly_agree() -> None:
    """Far from 0 and close to each other: the mean distance less half the mean spread loses most digits."""
    x, y = 1e8 + torch.tensor([[0.0, 2.0**-20, 3 * 2.0**-20]], dtype=torch.float64), 1e8 + 2.0**-21
    a, b = [mpmath.mpf(v) for v in x[0].tolist()], mpmath.mpf(y)
    wanted = sum(abs(v - b) for v in a) / 3 - sum(abs(v - w) for v in a for w in a) / 18
    found = ensemble_crps_loss(x, torch.tensor([y], dtype=torch.float64)).item()
    assert found == pytest.approx(float(wanted), rel=1e-14)


def test_draws_of_the_truth_are_the_best_of_few_if_it_is_fair() -> None:
    """Two draws of a standard normal truth: without `fair` a narrower forecast scores better."""
    x, y = draws(40_000, 2), draws(40_000, seed=1)
    scores = {
        fair: [ensemble_crps_loss(x * width, y, fair=fair).item() for width in (0.5, 1.0, 1.5)]
        for fair in (False, True)
    }
    assert min(scores[True]) == scores[True][1]
    assert min(scores[False]) == scores[False][0]


def test_no_draws_are_refused() -> None:
    with pytest.raises(ValueError, match=r"input: wanted \(\.\.\., M\) with M >= 1"):
        ensemble_crps_loss(torch.zeros(3, 0), torch.zeros(3))
