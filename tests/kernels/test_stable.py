"""The log-space helpers against 50-digit arithmetic, and at their extremes."""

import mpmath
import pytest
import torch
from torch import Tensor

from lossary.kernels.stable import ABSENT, clamped_log, inverse_norm, softplus, unit

mpmath.mp.dps = 50


def close(got: Tensor, wanted: list[mpmath.mpf]) -> None:
    """Every entry right to the last digits, by its own size."""
    exact = torch.tensor([float(w) for w in wanted], dtype=torch.float64)
    torch.testing.assert_close(got.detach(), exact, rtol=1e-15, atol=0)


# between 20 and 37 F.softplus is linear, and wrong in float64
SCORES = [-700.0, -40.0, -1.0, 0.0, 1e-9, 1.0, 19.5, 20.5, 25.0, 36.0, 700.0]


def test_softplus_is_exact() -> None:
    x = torch.tensor(SCORES, dtype=torch.float64, requires_grad=True)
    value = softplus(x)
    (slope,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), x)
    wanted = [1 / (1 + mpmath.exp(-s)) for s in SCORES]
    close(value, [mpmath.log1p(mpmath.exp(s)) for s in SCORES])
    close(slope, wanted)
    torch.testing.assert_close(bend, torch.tensor([float(p * (1 - p)) for p in wanted]).double())


def test_softplus_of_nothing_and_of_nan() -> None:
    x = torch.tensor([-torch.inf, torch.inf, torch.nan, ABSENT])
    torch.testing.assert_close(softplus(x), torch.tensor([0.0, torch.inf, torch.nan, 0.0]), equal_nan=True)


def test_clamped_log_has_no_gradient_where_it_is_clamped() -> None:
    p = torch.tensor([0.0, 1e-50, 0.25, 1.0], dtype=torch.float64, requires_grad=True)
    value = clamped_log(p)
    close(value, [mpmath.mpf(-100), mpmath.mpf(-100), mpmath.log("0.25"), mpmath.mpf(0)])
    assert torch.autograd.grad(value.sum(), p)[0].tolist() == [0.0, 0.0, 4.0, 1.0]


@pytest.mark.parametrize("length", [1e-30, 1e-19, 1.0, 1e19, 1e30])
def test_directions_do_not_depend_on_length(length: float) -> None:
    """Squares of 1e-30 and of 1e30 leave float32's range."""
    x = torch.tensor([[3.0, 4.0]]) * length
    torch.testing.assert_close(unit(x), torch.tensor([[0.6, 0.8]]))
    torch.testing.assert_close(inverse_norm(x), torch.tensor([0.2 / length]))


def test_a_zero_vector_stays_zero_without_a_gradient() -> None:
    x = torch.zeros(2, 3, requires_grad=True)
    (grad,) = torch.autograd.grad(unit(x).sum() + inverse_norm(x).sum(), x)
    assert unit(x).count_nonzero() == 0
    assert grad.count_nonzero() == 0
