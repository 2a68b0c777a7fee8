"""A language model's head and what lies between its tokens and the losses of answers, against ready scores."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

import lossary
from lossary.core import device as _device
from lossary.kernels.rows import blocks, formula, swept

F64 = torch.float64
B, T, D, C = 3, 5, 4, 11
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"temperature": 0.7},
    {"soft_cap": 2.0},
    {"soft_cap": 2.0, "temperature": 1.5},
)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64).requires_grad_()


def batch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    labels = torch.arange(B * T).reshape(B, T) * 7 % C
    labels[0, 0] = labels[2, 3] = -100
    return draw(B, T, D), draw(C, D, seed=1), labels, draw(C, seed=2)


def ready(
    x: Tensor, w: Tensor, y: Tensor, b: Tensor, temperature: float = 1.0, soft_cap: float | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    z = x @ w.T + b
    z = (z if soft_cap is None else soft_cap * (z / soft_cap).tanh()) / temperature
    logs, counts = z.log_softmax(-1), y >= 0
    own = logs.gather(-1, y.clamp_min(0)[..., None])[..., 0]
    return own * counts, -(logs.exp() * logs).sum(-1) * counts, z.logsumexp(-1) * counts


@pytest.fixture(params=["ready", "blocks", "pieces"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param != "ready":
        monkeypatch.setattr(formula, "CPU_PLAIN", 0)
        monkeypatch.setattr(blocks, "block_rows", lambda *_: 4)
    if request.param == "pieces":  # of three columns
        monkeypatch.setattr(swept, "piece_size", lambda: 3 * 4)


@pytest.mark.parametrize("options", OPTIONS)
def test_a_head_reads_what_ready_scores_say(options: dict[str, Any]) -> None:
    x, w, y, b = batch()
    logps, entropy, log_sum = ready(x, w, y, b, **options)
    found = lossary.linear_readings(x, w, y, b, **options)
    alone = lossary.linear_logps(x, w, y, b, **options)
    for got, want in ((found.logps, logps), (found.entropy, entropy), (found.log_sum, log_sum), (alone, logps)):
        torch.testing.assert_close(got, want)
    assert torch.equal(found.hits, ((x @ w.T + b).argmax(-1) == y) & (y >= 0))

    def total(l: Tensor, h: Tensor, s: Tensor) -> Tensor:
        return (l * torch.arange(T)).sum() + (h * h).sum() + s.sin().sum()

    together = total(found.logps, found.entropy, found.log_sum), total(logps, entropy, log_sum)
    for first, second in (together, (alone.square().sum(), logps.square().sum())):
        for got, want in zip(
            *(torch.autograd.grad(f, (x, w, b), retain_graph=True) for f in (first, second)), strict=True
        ):
            torch.testing.assert_close(got, want)


def test_masked_tokens_may_hold_anything() -> None:
    x, w, y, b = batch()
    mask = torch.ones(B, T, dtype=torch.bool)
    mask[1, 2] = mask[0, 1] = False
    broken, wild = x.detach().clone(), y.clone()
    broken[~mask], wild[~mask] = torch.nan, 999
    for run in (lossary.linear_logps, lambda *a, **k: lossary.linear_readings(*a, **k).entropy):
        head: Callable[..., Tensor] = run
        leaf = broken.clone().requires_grad_()
        got = head(leaf, w, wild, b, mask=mask)
        torch.testing.assert_close(got, head(x, w, y, b) * mask)
        by_x, by_w = torch.autograd.grad(got.sum(), (leaf, w))
        assert by_x.isfinite().all()
        assert by_w.isfinite().all()
        assert not by_x[~mask].any()
        assert head(x, w, y, b, mask=mask[:, 0]).shape == (B, T)  # a whole answer


def test_a_head_of_no_tokens_and_one_of_a_single_word() -> None:
    x, w, y, b = batch()
    none = lossary.linear_logps(x[:0], w, y[:0], b)
    assert none.shape == (0, T)
    one = lossary.linear_readings(x, w[:1], torch.zeros(B, T, dtype=torch.int32), b[:1])
    assert not one.logps.any()
    assert not one.entropy.any()
    assert one.hits.all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_read_in_float32(dtype: torch.dtype) -> None:
    x, w, y, _ = (t.detach() for t in batch())
    x, w = x.to(dtype), w.to(dtype)
    for got in (lossary.linear_logps(x, w, y), lossary.linear_readings(x, w, y).logps):
        assert got.dtype == torch.float32
        torch.testing.assert_close(
            got.double(), ready(x.double(), w.double(), y, torch.zeros(C).double())[0], rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"features": torch.zeros(B, T, D + 1)}, ValueError, "features: wanted"),
        ({"features": torch.zeros(D)}, ValueError, "features: wanted"),
        ({"labels": torch.zeros(B, T + 1).long()}, ValueError, "labels: wanted"),
        ({"labels": torch.zeros(B, T)}, TypeError, "labels: wanted integer"),
        ({"labels": torch.full((B, T), C)}, IndexError, "labels: wanted class indices"),
        ({"bias": torch.zeros(C + 1)}, ValueError, "bias: wanted"),
        ({"temperature": 0.0}, ValueError, "temperature: wanted"),
        ({"soft_cap": -1.0}, ValueError, "soft_cap: wanted"),
        ({"mask": torch.ones(B, T)}, TypeError, "mask: wanted booleans"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], kind: type[Exception], message: str) -> None:
    given: dict[str, Any] = dict(zip(("features", "weight", "labels", "bias"), batch(), strict=True))
    for head in (lossary.linear_logps, lossary.linear_readings):
        with pytest.raises(kind, match=message):
            head(**(given | change))


def test_the_z_loss_and_cross_entropy_from_one_reading() -> None:
    x, w, y, b = batch()
    found, counts = lossary.linear_readings(x, w, y, b), y >= 0
    loss = lossary.z_loss(found.log_sum, strength=1e-2, mask=counts) - found.logps.sum() / counts.sum()
    z = x @ w.T + b
    wanted = (
        torch.nn.functional.cross_entropy(z.flatten(0, 1), y.flatten()) + 1e-2 * z.logsumexp(-1)[counts].square().mean()
    )
    torch.testing.assert_close(loss, wanted)


def test_the_z_loss_of_batches_adds_up_and_leaves_out_what_does_not_count() -> None:
    z, mask = draw(4, 6), torch.rand(4, 6, generator=torch.Generator().manual_seed(1)) > 0.4
    whole = lossary.z_loss(z, mask=mask)
    torch.testing.assert_close(whole, 1e-4 * z[mask].square().mean())
    count = mask.sum().item()
    parts = [lossary.z_loss(z[rows], mask=mask[rows], divisor=count) for rows in (slice(0, 1), slice(1, 4))]
    torch.testing.assert_close(torch.stack(parts).sum(), whole)
    broken = torch.where(mask, z, torch.nan)
    torch.testing.assert_close(lossary.z_loss(broken, mask=mask), whole)
    assert lossary.z_loss(z, mask=mask & False) == 0
    none = lossary.z_loss(z, strength=torch.tensor([0.5]), reduction="none", sample_weight=torch.arange(4.0).double())
    torch.testing.assert_close(none, 0.5 * z.square() * torch.arange(4.0).double()[:, None])


# ---------------------------------------------------------------- answers


def test_an_answer_is_its_own_tokens_alone() -> None:
    logps = -torch.rand(4, 6, dtype=F64)
    mask = torch.arange(6) < torch.tensor([[6], [3], [1], [0]])
    broken = torch.where(mask, logps, torch.nan).requires_grad_()
    sums, means = (lossary.sequence_logps(broken, mask, average=a) for a in (False, True))
    for i, n in enumerate((6, 3, 1, 0)):
        torch.testing.assert_close(sums[i], logps[i, :n].sum())
        torch.testing.assert_close(means[i], logps[i, :n].mean() if n else torch.zeros((), dtype=F64))
    (slope,) = torch.autograd.grad(means.sum(), broken)
    torch.testing.assert_close(slope, mask / mask.sum(1, keepdim=True).clamp_min(1).double())
    torch.testing.assert_close(lossary.sequence_logps(logps, average=True), logps.mean(1))
    with pytest.raises(ValueError, match="mask: wanted shape"):
        lossary.sequence_logps(logps, mask[:, 0])
    assert lossary.sequence_logps(logps.half()).dtype == torch.float32


def test_the_reference_point_is_a_constant_and_not_below_zero() -> None:
    p, q = draw(6), draw(6, seed=1).detach()
    found = lossary.kto_reference_point(p, q)
    assert not found.requires_grad
    torch.testing.assert_close(found, (p - q).mean().clamp_min(0).detach())
    assert lossary.kto_reference_point(q - 5, q) == 0
    assert lossary.kto_reference_point(q[:0], q[:0]) == 0
    mask = torch.arange(6) > 1
    torch.testing.assert_close(lossary.kto_reference_point(p + 9, q, mask=mask), (p + 9 - q)[2:].mean().detach())


def test_advantages_are_of_the_group() -> None:
    rewards = torch.tensor([1.0, 0.0, 0.5, 3.0, 3.0, 3.0], dtype=F64)
    found = lossary.group_advantages(rewards, 3).reshape(2, 3)
    torch.testing.assert_close(found[0], (rewards[:3] - 0.5) / (rewards[:3].std() + 1e-4))
    assert not found[1].any()  # all alike: nothing to learn, and no rounding blown up
    assert not lossary.group_advantages(rewards, 1).any()
    with pytest.raises(ValueError, match="rewards: wanted a multiple of 4"):
        lossary.group_advantages(rewards, 4)


# ---------------------------------------------------------------- all of it


def test_dpo_over_131_thousand_words_never_holds_their_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs of answers through a head: the loss and its gradients of ready scores, in a fraction of their bytes."""
    words, size, pairs, length = 131_072, 4, 2, 32
    monkeypatch.setattr(formula, "CPU_PLAIN", 1 << 18)
    monkeypatch.setattr(blocks, "block_rows", lambda *_: 4)
    monkeypatch.setattr(swept, "piece_size", lambda: 1 << 18)
    monkeypatch.setattr(_device, "budget", lambda _: 1 << 21)
    g = torch.Generator().manual_seed(0)
    x = torch.randn(2 * pairs, length, size, generator=g).requires_grad_()
    w = (torch.randn(words, size, generator=g) / 2).requires_grad_()
    y = torch.randint(words, (2 * pairs, length), generator=g)
    own = torch.arange(length) < torch.tensor([[32], [20], [25], [31]])  # the rest is padding

    def loss(logps: Tensor) -> Tensor:
        chosen, rejected = lossary.sequence_logps(logps, own).chunk(2)
        reference = torch.full_like(chosen, -300.0)
        return lossary.dpo_loss(chosen, rejected, reference, reference)

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as trace:
        value = loss(lossary.linear_logps(x, w, y, mask=own))
        found = torch.autograd.grad(value, (x, w))
    held = peak = 0
    for event in trace.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    scores = 4 * words * own.numel()
    assert peak < scores / 8 + 3 * 4 * w.numel()
    wanted = loss((x @ w.T).log_softmax(-1).gather(-1, y[..., None])[..., 0])
    torch.testing.assert_close(value, wanted)
    for got, want in zip(found, torch.autograd.grad(wanted, (x, w)), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-6)


def test_a_head_learns_what_is_preferred() -> None:
    torch.manual_seed(0)
    x, w = torch.randn(2, 6, 8), torch.zeros(20, 8, requires_grad=True)
    y = torch.randint(20, (2, 6))
    optimiser = torch.optim.SGD([w], lr=0.5)
    for _ in range(30):
        optimiser.zero_grad()
        chosen, rejected = lossary.sequence_logps(lossary.linear_logps(x, w, y), average=True).chunk(2)
        lossary.simpo_loss(chosen, rejected).backward()
        optimiser.step()
    means = lossary.sequence_logps(lossary.linear_logps(x, w, y), average=True)
    assert means[0] > means[1] + 0.5
