"""A linear student and a linear teacher: the divergence of ready scores, without them."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import lossary
from lossary.kernels.rows import blocks, formula

N, C, D, E = 7, 12, 4, 3


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


GIVEN = (draw(N, D), draw(C, D, seed=1), draw(N, E, seed=2), draw(C, E, seed=3))
BIASES = {"bias": draw(C, seed=4), "teacher_bias": draw(C, seed=5)}


def ready(x: Tensor, w: Tensor, u: Tensor, v: Tensor, b: Tensor, a: Tensor, tau: float | Tensor) -> Tensor:
    log_p, log_q = ((z / tau).log_softmax(1) for z in (x @ w.T + b, u @ v.T + a))
    return F.kl_div(log_p, log_q.detach(), reduction="none", log_target=True).sum(1) * tau**2


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("tau", [1.0, 2.5])
def test_the_divergence_of_ready_scores(monkeypatch: pytest.MonkeyPatch, tau: float, blocked: bool) -> None:
    if blocked:
        monkeypatch.setattr(formula, "CPU_PLAIN", 0)
        monkeypatch.setattr(blocks, "block_rows", lambda *_: 3)
    leaves = [t.clone().requires_grad_() for t in (*GIVEN, *BIASES.values())]
    x, w, u, v, b, a = leaves
    weight, mask = torch.arange(N) + 1.0, torch.arange(N) != 3
    broken = torch.where(mask[:, None], x, torch.nan)
    got = lossary.linear_distillation(
        broken, w, u, v, bias=b, teacher_bias=a, temperature=tau, sample_weight=weight, mask=mask
    )
    want = (ready(x, w, u, v, b, a, tau) * weight * mask).sum() / (weight * mask).sum()
    torch.testing.assert_close(got, want)
    learning = (x, w, b)
    for g, h in zip(torch.autograd.grad(got, learning), torch.autograd.grad(want, learning), strict=True):
        torch.testing.assert_close(g, h)


def test_no_gradient_reaches_the_teacher() -> None:
    x, w, u, v = (t.clone().requires_grad_() for t in GIVEN)
    lossary.linear_distillation(x, w, u, v).backward()
    assert x.grad is not None
    assert u.grad is None
    assert v.grad is None


def test_a_temperature_learns() -> None:
    tau = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    loss = lossary.linear_distillation(*GIVEN, temperature=tau)
    assert torch.autograd.grad(loss, tau)[0] != 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher_weight": draw(C + 1, E)}, r"teacher_weight: wanted"),
        ({"teacher_features": draw(N + 1, E)}, r"teacher_features: wanted"),
        ({"weight": draw(C, D + 1)}, r"weight: wanted"),
        ({"temperature": 0.0}, r"temperature: wanted"),
        ({"bias": draw(C + 1)}, r"bias: wanted"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = dict(zip(("features", "weight", "teacher_features", "teacher_weight"), GIVEN, strict=True))
    with pytest.raises(ValueError, match=message):
        lossary.linear_distillation(**(given | change))
