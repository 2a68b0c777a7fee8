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
    torch.testing.assert_close(got, want, rtol=1e-12, atol=0)  # a temperature is no float32 number
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


def test_the_divergence_of_logits_is_that_of_probabilities() -> None:
    student, teacher = draw(N, C), draw(N, C, seed=1)
    loss = lossary.functional.distillation_loss(student, teacher, temperature=1.0, reduction="none")
    want = lossary.functional.kl_divergence_loss(student, teacher, target_kind="logits", reduction="none")
    torch.testing.assert_close(loss, want)


def test_reverse_is_forward_with_the_two_changed() -> None:
    student, teacher = draw(N, C), draw(N, C, seed=1)
    reverse = lossary.functional.distillation_loss(student, teacher, direction="reverse", temperature=3.0)
    torch.testing.assert_close(reverse, lossary.functional.distillation_loss(teacher, student, temperature=3.0))


def test_the_square_keeps_the_gradients_size() -> None:
    """At a high temperature the gradient is (z - u) / C, of centred logits: the paper's eq. 4."""
    student, teacher = draw(N, C).requires_grad_(), draw(N, C, seed=1)
    loss = lossary.functional.distillation_loss(student, teacher, temperature=1e5, reduction="sum")
    (grad,) = torch.autograd.grad(loss, student)
    far = student.detach() - teacher
    torch.testing.assert_close(grad, (far - far.mean(1, keepdim=True)) / C, rtol=1e-3, atol=1e-4)


def test_the_mixture_s_ends_are_the_divergences() -> None:
    student, teacher = draw(N, C), draw(N, C, seed=1)
    mixed, plain = lossary.functional.jensen_shannon_loss, lossary.functional.distillation_loss
    for beta in (1e-7, 1e-20):  # 1 less the latter is 1
        torch.testing.assert_close(
            mixed(student, teacher, beta=beta) / beta, plain(student, teacher, temperature=1.0), rtol=1e-5, atol=0
        )
    reverse = plain(student, teacher, temperature=1.0, direction="reverse")
    torch.testing.assert_close(mixed(student, teacher, beta=1 - 1e-7) / 1e-7, reverse, rtol=1e-5, atol=0)
    torch.testing.assert_close(mixed(student, teacher), mixed(teacher, student))


@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_by_the_peers_mixture_of_logarithms(beta: float) -> None:
    student, teacher = draw(N, C), draw(N, C, seed=1)
    log_p, log_q = student.log_softmax(1), teacher.log_softmax(1)
    m = (beta * log_q.exp() + (1 - beta) * log_p.exp()).log()
    parts = (F.kl_div(m, log, reduction="none", log_target=True).sum(1) for log in (log_q, log_p))
    want = beta * next(parts) + (1 - beta) * next(parts)
    got = lossary.functional.jensen_shannon_loss(student, teacher, beta=beta, reduction="none")
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("options", [{"direction": "reverse"}, {"beta": 0.3}])
def test_linear_scores_are_those_of_ready_ones(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], blocked: bool
) -> None:
    if blocked:
        monkeypatch.setattr(formula, "CPU_PLAIN", 0)
        monkeypatch.setattr(blocks, "block_rows", lambda *_: 3)
    x, w, u, v = (t.clone().requires_grad_() for t in GIVEN)
    loss = lossary.functional.jensen_shannon_loss if "beta" in options else lossary.functional.distillation_loss
    got = lossary.linear_distillation(x, w, u, v, temperature=2.0, **options)
    want = loss(x @ w.T, (u @ v.T).detach(), temperature=2.0, **options)
    torch.testing.assert_close(got, want)
    for g, h in zip(torch.autograd.grad(got, (x, w)), torch.autograd.grad(want, (x, w)), strict=True):
        torch.testing.assert_close(g, h)


def test_decoupled_parts_add_up_to_plain_distillation() -> None:
    """Where ``beta`` is the probability that the teacher gives to all but the true class."""
    z, u, y = draw(6, 5), draw(6, 5, seed=1), torch.tensor([0, 4, 2, 2, 1, 3])
    unsure = 1 - (u / 3).softmax(1).gather(1, y[:, None])[:, 0]
    given: dict[str, Any] = {"temperature": 3.0, "reduction": "none"}
    parts = [
        lossary.decoupled_distillation_loss(z, u, y, alpha=a, beta=b, **given) for a, b in ((1.0, 0.0), (0.0, 1.0))
    ]
    torch.testing.assert_close(parts[0] + unsure * parts[1], lossary.distillation_loss(z, u, **given))


def test_decoupled_distillation_leaves_out_what_has_no_label() -> None:
    z, u, y = draw(6, 5), draw(6, 5, seed=1), torch.tensor([0, -100, 2, 2, -100, 3])
    there = y >= 0
    want = lossary.decoupled_distillation_loss(z[there], u[there], y[there])
    torch.testing.assert_close(lossary.decoupled_distillation_loss(z, u, y), want)
    many, taught = (t.reshape(2, 3, 5).movedim(-1, 1) for t in (z, u))
    torch.testing.assert_close(lossary.decoupled_distillation_loss(many, taught, y.reshape(2, 3)), want)


def test_a_sure_teacher_still_ranks_the_others() -> None:
    """Where probabilities round to 0 and 1, and their logarithms would be infinite or 0."""
    u = torch.tensor([[400.0, 2.0, 0.0], [300.0, 0.0, 5.0]])
    z = torch.zeros(2, 3, requires_grad=True)
    loss = lossary.decoupled_distillation_loss(z, u, torch.tensor([0, 0]), temperature=1.0)
    exact = lossary.decoupled_distillation_loss(z.double(), u.double(), torch.tensor([0, 0]), temperature=1.0)
    torch.testing.assert_close(loss.double(), exact)
    (grad,) = torch.autograd.grad(loss, z)
    assert grad[0, 1] < 0 < grad[0, 2]
    assert grad[1, 2] < 0 < grad[1, 1]
