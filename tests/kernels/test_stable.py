"""The log-space helpers against 50-digit arithmetic, and at their extremes."""

import mpmath
import pytest
import torch
from torch import Tensor

from lossary.kernels import stable
from lossary.kernels.stable import ABSENT, clamped_log, in_range, softplus, sphere, unit

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


LENGTHS = {
    torch.float32: [2.0**-147, 2.0**-133, 1e-30, 1e-19, 1e-9, 1.0, 1e19, 1e30, 6e37],
    torch.float64: [2.0**-1072, 2.0**-1030, 1e-160, 1.0, 1e160, 1e300],
}


@pytest.mark.parametrize(("dtype", "length"), [(d, length) for d, lengths in LENGTHS.items() for length in lengths])
def test_directions_do_not_depend_on_length(dtype: torch.dtype, length: float) -> None:
    """Squares of 1e-30 and of 1e30 leave float32's range; 1 / 1e-40 does."""
    x = (torch.tensor([[3.0, 4.0], [3.0, -4.0]], dtype=torch.float64) * length).to(dtype).requires_grad_()
    wanted = torch.tensor([[0.6, 0.8], [0.6, -0.8]], dtype=dtype)
    for found in (unit(x), sphere(x, 1.0), torch.compile(unit, backend="aot_eager", fullgraph=True)(x)):
        torch.testing.assert_close(found, wanted)
    (grad,) = torch.autograd.grad(unit(x)[:, 0].sum(), x)
    true = torch.tensor([[0.64, -0.48], [0.64, 0.48]], dtype=torch.float64) / 5
    largest, most = grad.double().abs().max(), true.abs().max()
    torch.testing.assert_close(grad.double() / largest, true / most, rtol=0, atol=1e-6)
    # One that would be no number of this dtype is as long as leaves room for more.
    bound = torch.finfo(dtype).tiny ** (5 / 6)
    assert 0.2 < (largest * max(length, bound) / most).item() < 6
    assert length < bound or largest.item() == pytest.approx(most.item() / length)


@pytest.mark.parametrize("visible", [True, False])
def test_lengths_far_apart_in_one_batch(visible: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ordinary rows keep their digits, and a zero row its zero gradient, beside the tiniest and the longest."""
    if not visible:
        monkeypatch.setattr(stable, "values_visible", lambda *_: False)
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0], [3e-45, 4e-45], [3e38, 1e38]], requires_grad=True)
    (grad,) = torch.autograd.grad(unit(x)[:, 0].sum(), x)
    exact = torch.tensor([[3.0, 4.0], [1.0, 0.0], [2.0, 3.0], [3.0, 1.0]], dtype=torch.float64)
    wanted = torch.nn.functional.normalize(exact)
    wanted[1] = 0
    torch.testing.assert_close(unit(x).detach(), wanted.float())
    torch.testing.assert_close(grad[:2], torch.tensor([[0.128, -0.096], [0.0, 0.0]]))
    assert grad.isfinite().all()


def test_a_zero_vector_stays_zero_without_a_gradient() -> None:
    x = torch.zeros(2, 3, requires_grad=True)
    y, inverse = in_range(x)
    (grad,) = torch.autograd.grad(unit(x).sum() + y.sum() * 0 + inverse.sum(), x)
    assert unit(x).count_nonzero() == 0
    assert inverse.count_nonzero() == 0
    assert grad.count_nonzero() == 0


@pytest.mark.parametrize("dim", [0, -1])
def test_vectors_that_nobody_looks_at_have_plain_torchs_derivatives(monkeypatch: pytest.MonkeyPatch, dim: int) -> None:
    """A zero vector and tiny ones among them; the second derivatives' weights come from the vectors themselves."""
    x = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = torch.where(torch.arange(6)[:, None] == 2, 0, x)
    x.requires_grad_()

    def derivatives(y: Tensor, inverse: Tensor) -> list[Tensor]:
        loss = (y * inverse).sin().sum() + inverse.square().sum() + y.pow(3).sum()
        (first,) = torch.autograd.grad(loss, x, create_graph=True)
        return [loss, first, torch.autograd.grad(first.square().sum(), x)[0]]

    want = derivatives(*stable._in_range(x, dim))
    monkeypatch.setattr(stable, "values_visible", lambda *_: False)
    for a, b in zip(derivatives(*stable.in_range(x, dim)), want, strict=True):
        torch.testing.assert_close(a, b)
