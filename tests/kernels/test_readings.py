"""What is read of whole rows by blocks is what plain torch reads of all scores, and so are its derivatives."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.core import device
from lossary.kernels.rows import blocks, formula
from lossary.kernels.rows.chances import chances
from lossary.kernels.rows.readings import (
    compared,
    entropy,
    merge_readings,
    read_rows,
    read_scores,
    sum_of_squares,
)
from lossary.kernels.rows.scores import Bilinear, Targets

N, C, D = 11, 14, 5
F64 = torch.float64
EVERYTHING = ("log_sum", "expected", "log_squares", "largest", "place", "above")
WAYS = ("plain", "blocks", "accelerator")


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = F64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64).to(dtype).requires_grad_()


def go(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    if way == "plain":
        return
    monkeypatch.setattr(formula, "CPU_PLAIN", 0)
    monkeypatch.setattr(formula, "ACCELERATOR_PLAIN", 0)
    monkeypatch.setattr(blocks, "block_rows", lambda *_: 4)
    if way == "accelerator":
        monkeypatch.setattr(device, "by_cache", lambda _: False)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("unit", [False, True])
def test_readings_are_those_of_the_softmax(monkeypatch: pytest.MonkeyPatch, way: str, unit: bool) -> None:
    x, w, b, labels = draw(N, D), draw(C, D, seed=1), draw(C, seed=2), torch.arange(N) * 5 % C
    source = Bilinear(x, w, b, unit=unit)
    scores = source.dense()
    go(monkeypatch, way)
    found = read_scores(source, Targets(labels), EVERYTHING)
    p, rest = scores.softmax(1), scores.scatter(1, labels[:, None], -torch.inf)
    torch.testing.assert_close(entropy(found), -(p * p.log()).sum(1))
    torch.testing.assert_close(sum_of_squares(found), p.square().sum(1))
    torch.testing.assert_close(found["largest"], rest.amax(1))
    assert torch.equal(found["place"], rest.argmax(1))
    ranks = (scores > scores.gather(1, labels[:, None])).sum(1)
    assert torch.equal(found["above"], ranks)
    assert not found["place"].requires_grad

    def total(e: Tensor, s: Tensor, m: Tensor) -> Tensor:
        return (e * torch.arange(1, N + 1) + 3 * s + m.sin()).sum()

    got = torch.autograd.grad(total(entropy(found), sum_of_squares(found), found["largest"]), (x, w, b))
    want = torch.autograd.grad(total(-(p * p.log()).sum(1), p.square().sum(1), rest.amax(1)), (x, w, b))
    for a, c in zip(got, want, strict=True):
        torch.testing.assert_close(a, c)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("starts", [[0, 6], [0, 1, 13]])
def test_readings_of_parts_merge(monkeypatch: pytest.MonkeyPatch, starts: list[int], way: str) -> None:
    x, w, labels = draw(N, D), draw(C, D, seed=1), torch.arange(N) * 5 % C
    whole = read_scores(Bilinear(x, w), Targets(labels), EVERYTHING)
    bar = (x * w[labels]).sum(1).detach()
    go(monkeypatch, way)
    parts = [
        read_scores(Bilinear(x, w[start:stop]), Targets(labels).part(start), EVERYTHING, bar)
        for start, stop in zip(starts, [*starts[1:], C], strict=True)
    ]
    merged = merge_readings(parts)
    for name, value in whole.items():
        torch.testing.assert_close(merged[name], value, msg=name)
    for a, c in zip(*(torch.autograd.grad(entropy(f).square().sum(), (x, w)) for f in (merged, whole)), strict=True):
        torch.testing.assert_close(a, c)


def divergence(student: Bilinear, teacher: Bilinear) -> Tensor:
    return compared(lambda log_p, log_q: (log_q.exp() * (log_q - log_p)).sum(1), student, teacher)


def distillation(x: Tensor, w: Tensor, u: Tensor, v: Tensor, r: Tensor) -> Tensor:
    return divergence(Bilinear(x, w, row_factor=r), Bilinear(u, v, unit=True))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("learns", [(True,) * 5, (True, True, False, False, False)])
def test_a_teachers_scores_are_soft_targets(
    monkeypatch: pytest.MonkeyPatch, way: str, learns: tuple[bool, ...]
) -> None:
    shapes = ((N, D), (C, D), (N, 3), (C, 3), (N,))
    given = [
        draw(*shape, seed=i).detach().requires_grad_(need)
        for i, (shape, need) in enumerate(zip(shapes, learns, strict=True))
    ]
    x, w, u, v, r = given
    q = F.log_softmax(u @ F.normalize(v).T, 1)
    want = F.kl_div(F.log_softmax((x * r[:, None]) @ w.T, 1), q, reduction="none", log_target=True).sum(1)
    go(monkeypatch, way)
    got = distillation(*given)
    torch.testing.assert_close(got, want)
    asked = [t for t in given if t.requires_grad]
    first = [torch.autograd.grad((f * torch.arange(N)).sum(), asked, create_graph=True) for f in (got, want)]
    second = [torch.autograd.grad(torch.stack([g.square().sum() for g in f]).sum(), asked) for f in first]
    for a, c in (*zip(*first, strict=True), *zip(*second, strict=True)):
        torch.testing.assert_close(a, c)


def test_a_teacher_like_the_student_is_no_distance_away() -> None:
    """The divergence is summed from differences of logarithms, not a difference of sums."""
    x, w = 10 * draw(64, 16, dtype=torch.float32).detach(), draw(5000, 16, seed=1, dtype=torch.float32).detach()
    assert divergence(Bilinear(x, w), Bilinear(x, w)).abs().max() == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_reads_float32(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    go(monkeypatch, "blocks")
    x, w = draw(N, D, dtype=dtype), draw(C, D, seed=1, dtype=dtype)
    found = read_scores(Bilinear(x, w), Targets(torch.arange(N)), ("log_sum",))["log_sum"]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, (x.float() @ w.float().T).logsumexp(1))
    found.sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == dtype


def test_the_scores_are_never_held_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "block_rows", lambda *_: 16)
    x, w = draw(1024, 8, dtype=torch.float32), draw(2048, 8, seed=1, dtype=torch.float32)
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        read_rows(lambda rows, scores: (scores.logsumexp(1),), Bilinear(x, w))
    assert max(kept) == w.numel()


def of_softmax(z: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
    logs = z.log_softmax(1)
    entropy = -(logs.exp() * logs.clamp_min(-1e30)).sum(1)
    return logs.gather(1, labels[:, None])[:, 0], entropy, z.logsumexp(1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cap", [None, 1.5])
@pytest.mark.parametrize("asked", [(0, 1, 2), (0,), (1,), (2,), (0, 2)])
def test_chances_are_those_of_the_softmax(
    monkeypatch: pytest.MonkeyPatch, way: str, cap: float | None, asked: tuple[int, ...]
) -> None:
    x, w, b, r, labels = draw(N, D), draw(C, D, seed=1), draw(C, seed=2), draw(N, seed=3), torch.arange(N) * 5 % C
    source = Bilinear(x, w, b, row_factor=r)
    z = source.dense()
    z = z if cap is None else cap * (z / cap).tanh()
    wanted = of_softmax(z, labels)
    go(monkeypatch, way)
    *found, hits = chances(source, labels, cap)
    for got, want in zip(found, wanted, strict=True):
        torch.testing.assert_close(got, want)
    assert torch.equal(hits, z.argmax(1) == labels)
    assert hits.any()
    along = draw(3, N, seed=4).detach()
    first = [
        torch.autograd.grad(
            torch.stack([(f[i] * along[i]).sum() for i in asked]).sum(), (x, w, b, r), create_graph=True
        )
        for f in (found, wanted)
    ]
    second = [torch.autograd.grad(torch.stack([g.square().sum() for g in f]).sum(), (x, w, b, r)) for f in first]
    third = [
        torch.autograd.grad(torch.stack([(f[i] * along[i]).sum() for i in asked]).sum(), (x, w, b, r))
        for f in (chances(source, labels, cap), of_softmax_again(source, labels, cap))
    ]
    for pair in (first, second, third):
        for got, want in zip(*pair, strict=True):
            torch.testing.assert_close(got, want)


def of_softmax_again(source: Bilinear, labels: Tensor, cap: float | None) -> tuple[Tensor, ...]:
    z = source.dense()
    return of_softmax(z if cap is None else cap * (z / cap).tanh(), labels)


@pytest.mark.parametrize("way", WAYS)
def test_chances_of_certain_rows_keep_their_digits(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Right, wrong and undecided between two, by 20: float32 sums of probabilities would be 1."""
    scores = torch.tensor([[20.0, 0.0, 1.0], [20.0, 0.0, 1.0], [20.0, 20.0, 0.0], [7.0, 7.0, 7.0], [30.0, 20.0, -80.0]])
    labels = torch.tensor([0, 1, 1, 2, 0])
    wanted = [f.detach() for f in of_softmax(scores.double(), labels)]
    go(monkeypatch, way)
    x = scores.clone().requires_grad_()
    logps, entropy, log_sum, hits = chances(Bilinear(x, torch.eye(3)), labels, None)
    for got, want in zip((logps, entropy, log_sum), wanted, strict=True):
        torch.testing.assert_close(got.double(), want, rtol=2e-6, atol=0)
    assert hits.tolist() == [True, False, True, True, True]
    (slope,) = torch.autograd.grad(logps.sum(), x, retain_graph=True)
    torch.testing.assert_close(slope[0, 0].item(), -torch.expm1(wanted[0][0]).item(), rtol=1e-5, atol=0)
    double = scores.double().requires_grad_()
    (want,) = torch.autograd.grad(of_softmax(double, labels)[1].sum(), double)
    torch.testing.assert_close(torch.autograd.grad(entropy.sum(), x)[0].double(), want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_a_column_that_a_bias_rules_out_has_no_chance(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    x, w, labels = draw(N, D), draw(C, D, seed=1), torch.arange(N) % (C - 1)
    b = torch.zeros(C, dtype=F64).index_fill(0, torch.tensor([C - 1]), -torch.inf)
    wanted = of_softmax(x @ w[:-1].T, labels)
    go(monkeypatch, way)
    *found, _ = chances(Bilinear(x, w, b), labels, None)
    for got, want in zip(found, wanted, strict=True):
        torch.testing.assert_close(got, want)
    got, want = (torch.autograd.grad(torch.stack(list(f)).sum(), (x, w)) for f in (found, wanted))
    for a, c in zip(got, want, strict=True):
        torch.testing.assert_close(a, c)
