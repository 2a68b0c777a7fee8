"""DINO beside its code, its head beside ready scores, and the center of one process and of several."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, distributed

import lossary
from distributed.launch import launch
from lossary.kernels.rows import blocks, formula

L: Any = lossary.functional
N, K, D, E = 6, 11, 4, 3


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_its_code(student: Tensor, teacher: Tensor, center: Tensor, of_student: float, of_teacher: float) -> Tensor:
    """A loop over pairs of views, of which equal ones are left out."""
    q = ((teacher - center) / of_teacher).softmax(-1)
    losses = [
        torch.sum(-q[:, u] * (student[:, v] / of_student).log_softmax(-1), -1)
        for u, v in product(range(teacher.shape[1]), range(student.shape[1]))
        if u != v
    ]
    return torch.stack(losses).mean(0)


@pytest.mark.parametrize(("views", "seen"), [(8, 2), (2, 2), (3, 1), (2, 5)])
def test_every_pair_of_different_views(views: int, seen: int) -> None:
    student, teacher, center = draw(N, views, K), draw(N, seen, K, seed=1), 0.1 * draw(K, seed=2)
    got = L.dino_loss(student, teacher, center=center, reduction="none")
    torch.testing.assert_close(got, by_its_code(student, teacher, center, 0.1, 0.04), rtol=1e-12, atol=0)


def test_one_view_of_either_is_one_pair() -> None:
    student, teacher = draw(N, K), draw(N, K, seed=1)
    want = F.cross_entropy(student / 0.1, (teacher / 0.04).softmax(1))
    torch.testing.assert_close(L.dino_loss(student, teacher), want)
    with pytest.raises(ValueError, match="student: wanted a view"):
        L.dino_loss(student[:, None], teacher[:, None])


def test_the_teacher_is_held_unless_asked() -> None:
    student, teacher = draw(N, 3, K).requires_grad_(), draw(N, 2, K, seed=1).requires_grad_()
    assert torch.autograd.grad(L.dino_loss(student, teacher), teacher, allow_unused=True) == (None,)
    (grad,) = torch.autograd.grad(L.dino_loss(student, teacher, hold_teacher=False), teacher)
    assert grad.any()


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("views", [(5, 2), (2, 2), None])
def test_cosines_with_prototypes_are_never_held(
    monkeypatch: pytest.MonkeyPatch, views: tuple[int, int] | None, blocked: bool
) -> None:
    if blocked:
        monkeypatch.setattr(formula, "CPU_PLAIN", 0)
        monkeypatch.setattr(blocks, "block_rows", lambda *_: 7)
    v, u = ((), ()) if views is None else ((views[0],), (views[1],))
    x, t = draw(N, *v, D).requires_grad_(), draw(N, *u, E, seed=1).requires_grad_()
    w, s, center = draw(K, D, seed=2).requires_grad_(), draw(K, E, seed=3).requires_grad_(), 0.2 * draw(K, seed=4)
    weight, mask = torch.arange(N) + 1.0, torch.arange(N) != 2
    given = {"center": center, "sample_weight": weight, "mask": mask, "teacher_temperature": 0.3}
    got = lossary.linear_dino_loss(x, w, t, s, **given)
    cosines = (F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T for a, b in ((x, w), (t, s)))
    want = L.dino_loss(*cosines, **given)
    torch.testing.assert_close(got, want)
    for g, h in zip(torch.autograd.grad(got, (x, w)), torch.autograd.grad(want, (x, w)), strict=True):
        torch.testing.assert_close(g, h)


@pytest.mark.parametrize("blocked", [False, True])
def test_both_temperatures_learn(monkeypatch: pytest.MonkeyPatch, blocked: bool) -> None:
    if blocked:
        monkeypatch.setattr(formula, "CPU_PLAIN", 0)
        monkeypatch.setattr(blocks, "block_rows", lambda *_: 7)
    x, t, w, s = draw(N, 3, D), draw(N, 2, E, seed=1), draw(K, D, seed=2), draw(K, E, seed=3)
    taus = [torch.tensor(tau, dtype=torch.float64, requires_grad=True) for tau in (0.2, 0.3)]
    given = dict(zip(("student_temperature", "teacher_temperature"), taus, strict=True))
    cosines = (F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T for a, b in ((x, w), (t, s)))
    got, want = lossary.linear_dino_loss(x, w, t, s, **given), L.dino_loss(*cosines, **given)
    for g, h in zip(torch.autograd.grad(got, taus), torch.autograd.grad(want, taus), strict=True):
        torch.testing.assert_close(g, h)


def test_a_head_moves_its_center_while_it_trains() -> None:
    head = lossary.DINOHead(lossary.DINOLoss(), num_prototypes=K, embedding_size=D).double()
    x, t = draw(N, 3, D), draw(N, 2, D, seed=1)
    first = head(x, t)
    mean = (F.normalize(t, dim=-1) @ F.normalize(head.teacher_weight, dim=-1).T).mean((0, 1))
    torch.testing.assert_close(head.center, 0.1 * mean)
    second = head.eval()(x, t)
    assert not torch.equal(first, second)
    torch.testing.assert_close(head.center, 0.1 * mean)


def test_the_teacher_s_prototypes_follow() -> None:
    head = lossary.DINOHead(lossary.DINOLoss(), num_prototypes=K, embedding_size=D)
    before = head.teacher_weight.clone()
    with torch.no_grad():
        head.weight.add_(1)
    head.follow(0.75)
    torch.testing.assert_close(head.teacher_weight, before + 0.25)


def test_a_kept_center_is_saved() -> None:
    loss = lossary.DINOLoss(center=torch.zeros(K, dtype=torch.float64))
    teacher = draw(N, 2, K)
    loss.update_center(teacher, momentum=0.5)
    other = lossary.DINOLoss(center=torch.ones(K, dtype=torch.float64))
    other.load_state_dict(loss.state_dict())
    torch.testing.assert_close(other.center, teacher.mean((0, 1)) / 2)
    with pytest.raises(ValueError, match="center: wanted DINOLoss"):
        lossary.DINOLoss().update_center(teacher)


def of_a_rank(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'met'}", rank=rank, world_size=2)
    group, part = distributed.group.WORLD, (slice(0, 1), slice(1, None))[rank]
    loss = lossary.DINOLoss(center=torch.zeros(K, dtype=torch.float64))
    loss.update_center(draw(N, 2, K)[part], group=group)
    torch.manual_seed(0)
    head = lossary.DINOHead(lossary.DINOLoss(), num_prototypes=K, embedding_size=D).double()
    head(draw(N, 3, D)[part], draw(N, 2, D, seed=1)[part], group=group)
    torch.save((loss.center, head.center), folder / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.skipif(not hasattr(distributed.ProcessGroup, "get_group_store"), reason="ranks want torch 2.9")
def test_the_center_is_one_of_all_ranks(tmp_path: Path) -> None:
    launch(of_a_rank, 2, tmp_path)
    loss = lossary.DINOLoss(center=torch.zeros(K, dtype=torch.float64))
    loss.update_center(draw(N, 2, K))
    torch.manual_seed(0)
    head = lossary.DINOHead(lossary.DINOLoss(), num_prototypes=K, embedding_size=D).double()
    head(draw(N, 3, D), draw(N, 2, D, seed=1))
    for rank in range(2):
        for found, whole in zip(torch.load(tmp_path / f"{rank}.pt"), (loss.center, head.center), strict=True):
            torch.testing.assert_close(found, whole)


def test_byol_s_is_twice_the_negative_cosine_and_two() -> None:
    p, z = draw(N, D), draw(N, D, seed=1)
    byol = (F.normalize(p) - F.normalize(z)).square().sum(1)
    torch.testing.assert_close(2 + 2 * L.negative_cosine_loss(p, z, reduction="none"), byol)


def by_swav_s_code(scores: Tensor, iterations: int) -> Tensor:
    """Exponentials, divided by sums of rows and of columns in turn."""
    q = (scores / 0.05).exp().T
    q = q / q.sum()
    for _ in range(iterations):
        q = q / q.sum(1, keepdim=True) / len(q)
        q = q / q.sum(0, keepdim=True) / q.shape[1]
    return (q * q.shape[1]).T


@pytest.mark.parametrize("iterations", [1, 3])
def test_assignments_are_those_of_exponentials(iterations: int) -> None:
    student, teacher = 0.3 * draw(N, 3, K), 0.3 * draw(N, 2, K, seed=1)
    q = torch.stack([by_swav_s_code(view, iterations) for view in teacher.unbind(1)], 1)
    log_p = (student / 0.1).log_softmax(-1)
    pairs = [(q[:, u] * log_p[:, v]).sum(-1) for u, v in product(range(2), range(3)) if u != v]
    want = -torch.stack(pairs).mean(0)
    torch.testing.assert_close(L.swav_loss(student, teacher, iterations=iterations, reduction="none"), want)


def test_prototypes_are_assigned_alike_whatever_all_prefer() -> None:
    teacher = 0.1 * draw(32, 4)
    liked = teacher + torch.tensor([3.0, 0.0, 0.0, 0.0])  # exp(60) in the paper's code
    student = draw(32, 4, seed=1)
    torch.testing.assert_close(L.swav_loss(student, liked), L.swav_loss(student, teacher))
