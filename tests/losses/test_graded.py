"""Ordered pairs of pairs, sorted: the same as all of them listed, as others do it, with their ties and weights."""

import pytest
import torch
from torch import Tensor

from lossary.kernels.ordered import inversions, running_logsumexp
from lossary.losses.pairs.graded import angle_loss, cosent_loss

F64 = torch.float64


def batch(count: int, grades: int, size: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(count + grades)
    x1, x2 = (torch.randn(count, size, generator=g, dtype=F64).requires_grad_() for _ in range(2))
    return x1, x2, torch.randint(grades, (count,), generator=g)


def listed(scores: Tensor, target: Tensor) -> Tensor:
    """All differences, of which those that do not count lose 1e12: Sentence Transformers' convention."""
    differences = scores[:, None] - scores
    absent = ~(target[:, None] < target)
    return torch.cat([scores.new_zeros(1), (differences - 1e12 * absent).flatten()]).logsumexp(0)


def complex_similarity(x1: Tensor, x2: Tensor) -> Tensor:
    u, v = (torch.complex(*x.chunk(2, 1)) for x in (x1, x2))
    z = (u * v.conj()).sum(1)
    return (z.real + z.imag).abs() / (u.norm(dim=1) * v.norm(dim=1))


@pytest.mark.parametrize("count", [2, 3, 33, 64])
@pytest.mark.parametrize("grades", [1, 2, 5, 1000])
@pytest.mark.parametrize("scale", [0.5, 20.0, 300.0])
def test_sorted_pairs_are_the_listed_ones(count: int, grades: int, scale: float) -> None:
    x1, x2, target = batch(count, grades)
    for got, scores in (
        (cosent_loss(x1, x2, target, scale=scale), torch.cosine_similarity(x1, x2)),
        (cosent_loss(x1, x2, target, scale=scale, similarity="dot"), (x1 * x2).sum(1)),
        (angle_loss(x1, x2, target, scale=scale), complex_similarity(x1, x2)),
    ):
        want = listed(scale * scores, target)
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)
        for a, b in zip(*(torch.autograd.grad(v, (x1, x2)) for v in (got, want)), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def test_a_small_loss_keeps_its_digits() -> None:
    """One plus a small sum is taken without the one: listed, as others do it, 1e-18 is 0."""
    scores, target = torch.tensor([0.0, 41.0], dtype=F64), torch.tensor([0, 1])
    assert listed(scores, target) == 0
    got = torch.nn.functional.softplus(inversions(scores, target)).item()
    assert got == pytest.approx(torch.tensor(-41.0, dtype=F64).exp().item(), rel=1e-12)


@pytest.mark.parametrize("loss", [cosent_loss, angle_loss])
def test_a_weight_is_so_many_copies_and_a_masked_pair_is_none(loss) -> None:
    x1, x2, _ = batch(9, 3)
    target, times = torch.arange(9) % 3, torch.tensor([1, 2, 0, 1, 3, 1, 0, 2, 4])
    copies, there = ([t.repeat_interleave(n, 0) for t in (x1, x2, target)] for n in (times, (times > 0).long()))
    torch.testing.assert_close(loss(x1, x2, target, scale=0.5, sample_weight=times.to(F64)), loss(*copies, scale=0.5))
    torch.testing.assert_close(loss(x1, x2, target, scale=0.5, mask=times > 0), loss(*there, scale=0.5))


def test_only_the_order_of_the_grades_counts() -> None:
    x1, x2, target = batch(20, 4)
    for same in (
        target.float().exp(),
        target.to(torch.int8) - 100,
        target.bfloat16(),
        (target * 1000).to(torch.uint16),
    ):
        assert torch.equal(cosent_loss(x1, x2, same), cosent_loss(x1, x2, target))
    with pytest.raises(ValueError, match="target: wanted a tensor without requires_grad"):
        cosent_loss(x1, x2, target.to(F64).requires_grad_())


def test_equal_embeddings_are_not_the_most_alike_to_the_angle() -> None:
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=F64)
    turned = torch.tensor([[1.0, 0.0], [1.0, -1.0]], dtype=F64)
    loss = angle_loss(x, turned, torch.tensor([0, 1]), scale=1.0).item()
    assert loss == pytest.approx(torch.tensor(1 - 2**0.5).exp().log1p().item())


@pytest.mark.parametrize("count", [1, 2, 7, 16, 100])
def test_running_sums_are_torchs(count: int) -> None:
    x = torch.randn(count, generator=torch.Generator().manual_seed(1), dtype=F64) * 50
    torch.testing.assert_close(running_logsumexp(x), x.logcumsumexp(0), rtol=1e-13, atol=1e-13)


def test_memory_grows_with_the_pairs_and_not_with_their_square() -> None:
    count = 50_000  # whose differences would be 20 GB
    g = torch.Generator().manual_seed(0)
    x1, x2 = (torch.randn(count, 4, generator=g).requires_grad_() for _ in range(2))
    loss = cosent_loss(x1, x2, torch.randint(6, (count,), generator=g))
    loss.backward()
    assert loss.isfinite()
    assert x1.grad is not None
    assert x1.grad.isfinite().all()
