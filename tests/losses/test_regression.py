"""Regression losses: what they must be to each other, and the lectures' worked numbers."""

import pytest
import torch
from torch import Tensor

import lossary.functional as L

# Four predictions and their truths, as a lecture has them.
INPUT = torch.tensor([2.5, 0.0, 2.0, 8.0], dtype=torch.float64)
TARGET = torch.tensor([3.0, -0.5, 2.0, 7.0], dtype=torch.float64)


def residuals(*values: float) -> tuple[Tensor, Tensor]:
    x = torch.tensor(values, dtype=torch.float64)
    return x, torch.zeros_like(x)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("mse_loss", 0.375),
        ("l1_loss", 0.5),
        ("huber_loss", 0.1875),
        ("smooth_l1_loss", 0.1875),
        ("mean_bias_error", 0.25),
    ],
)
def test_worked_numbers(name: str, wanted: float) -> None:
    assert getattr(L, name)(INPUT, TARGET).item() == wanted


def test_squared_errors_weigh_outliers() -> None:
    """An error of 4 costs 16 and one of 1 costs 1; doubling an error from 3 quadruples it, but doubles its size."""
    assert L.mse_loss(*residuals(4.0, 1.0), reduction="none").tolist() == [16.0, 1.0]
    assert L.l1_loss(*residuals(3.0, 6.0), reduction="none").tolist() == [3.0, 6.0]
    assert L.mse_loss(*residuals(3.0, 6.0), reduction="none").tolist() == [9.0, 36.0]


def test_huber_is_delta_times_smooth_l1() -> None:
    for delta in (0.3, 1.0, 2.5):
        x, y = residuals(-4.0, -0.2, 0.0, 0.3, 1.0, 7.0)
        huber = L.huber_loss(x, y, reduction="none", delta=delta)
        torch.testing.assert_close(huber, delta * L.smooth_l1_loss(x, y, reduction="none", beta=delta))
    assert L.huber_loss(INPUT, TARGET, delta=0.5).item() == 0.15625
    assert L.smooth_l1_loss(INPUT, TARGET, beta=0.5).item() == 0.3125


def test_huber_goes_from_absolute_to_squared() -> None:
    torch.testing.assert_close(L.huber_loss(INPUT, TARGET, delta=1e6), L.mse_loss(INPUT, TARGET) / 2)
    small = L.huber_loss(INPUT, TARGET, delta=1e-9) / 1e-9
    torch.testing.assert_close(small, L.l1_loss(INPUT, TARGET))


def test_halved_is_half() -> None:
    assert L.mse_loss(INPUT, TARGET, halved=True) == L.mse_loss(INPUT, TARGET) / 2


def test_log_cosh_keeps_tiny_and_huge_residuals() -> None:
    """r^2 / 2 near 0 and |r| - log 2 far out, also in float32, where common formulas give 0 and infinity."""
    x = torch.tensor([1e-8, 1e-4, 1e4])
    found = L.log_cosh_loss(x, torch.zeros(3), reduction="none")
    wanted = torch.tensor([5e-17, 5e-9, 1e4 - 0.6931472])
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=0)


def test_quantile_of_one_half_is_half_the_absolute_error() -> None:
    torch.testing.assert_close(L.quantile_loss(INPUT, TARGET), L.l1_loss(INPUT, TARGET) / 2)


def test_quantile_loss_is_least_at_the_quantile() -> None:
    y = torch.arange(1, 100, dtype=torch.float64)
    losses = [L.quantile_loss(torch.full_like(y, v), y, quantile=0.9).item() for v in range(1, 100)]
    assert losses.index(min(losses)) + 1 == 90  # 89.1 of 99 values lie below


def test_several_quantiles_are_one_each() -> None:
    x, y = torch.randn(6, 3, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
    together = L.quantile_loss(x, y, quantile=(0.1, 0.5, 0.9), reduction="none")
    for column, q in enumerate((0.1, 0.5, 0.9)):
        torch.testing.assert_close(together[:, column], L.quantile_loss(x[:, column], y, quantile=q, reduction="none"))
    with pytest.raises(ValueError, match=r"input: wanted \(\.\.\., 2\)"):
        L.quantile_loss(x, y, quantile=(0.1, 0.9))


def test_missing_values_are_masked() -> None:
    x, y = INPUT.clone().requires_grad_(), torch.where(torch.arange(4) == 1, torch.nan, TARGET)
    loss = L.huber_loss(x, y, mask=~y.isnan())
    loss.backward()
    kept = torch.tensor([0, 2, 3])
    assert loss == L.huber_loss(INPUT[kept], TARGET[kept])
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_weights_a_row_line_up_with_rows() -> None:
    """(N,) weights beside (N, N) predictions are one a row: broadcasting would make them one a column."""
    x, y = torch.randn(3, 3, dtype=torch.float64), torch.zeros(3, 3, dtype=torch.float64)
    weight = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(L.mse_loss(x, y, sample_weight=weight), x[0].square().mean())
    each = torch.rand(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for loss in (L.mse_loss, L.l1_loss):
        wanted = loss(x, y, weight=each * weight[:, None])
        torch.testing.assert_close(loss(x, y, weight=each, sample_weight=weight), wanted)


def test_broadcasting_is_refused() -> None:
    with pytest.raises(ValueError, match=r"target: wanted the shape of input, \(4, 1\); got \(4,\)"):
        L.mse_loss(INPUT[:, None], TARGET)


def test_weights_in_half_are_multiplied_in_float32() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(4, 3, generator=generator).bfloat16() for _ in range(2))
    weight, rows = torch.tensor([0.1, 0.7, 3.0]).expand(4, 3).bfloat16(), torch.tensor([0.3, 1.1, 0.9, 0.7]).bfloat16()
    got = L.huber_loss(x.float(), y.float(), weight=weight, sample_weight=rows)
    exact = L.huber_loss(x.double(), y.double(), weight=weight.double(), sample_weight=rows.double())
    torch.testing.assert_close(got.double(), exact, rtol=1e-6, atol=0)
    got = L.l1_loss(x.float(), y.float(), weight=weight, sample_weight=rows)
    exact = L.l1_loss(x.double(), y.double(), weight=weight.double(), sample_weight=rows.double())
    torch.testing.assert_close(got.double(), exact, rtol=1e-6, atol=0)
