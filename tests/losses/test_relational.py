"""Relational distillation: distances and angles beside their definitions, in blocks and whole."""

from itertools import permutations
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import lossary as L
from lossary.losses.views import relational


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def distances(x: Tensor, weight: Tensor) -> Tensor:
    pairs = list(permutations(range(len(x)), 2))
    found = torch.stack([(x[i] - x[j]).norm() for i, j in pairs])
    return found / by_weight(found, pairs, weight)


def angles(x: Tensor, _: Tensor) -> Tensor:
    triplets = permutations(range(len(x)), 3)
    return torch.stack([F.cosine_similarity(x[i] - x[j], x[k] - x[j], dim=0) for i, j, k in triplets])


def by_weight(found: Tensor, tuples: list[Any], weight: Tensor) -> Tensor:
    shares = torch.stack([weight[list(chosen)].prod() for chosen in tuples])
    return (shares * found).sum() / shares.sum()


LOSSES = {
    "distance": (L.rkd_distance_loss, distances, 2),
    "angle": (L.rkd_angle_loss, angles, 3),
}


@pytest.mark.parametrize("held", [1 << 22, 60])
@pytest.mark.parametrize("kind", LOSSES)
def test_relations_are_compared_as_the_paper_defines_them(
    kind: str, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relational, "RELATIONS", held)  # one block of rows, or several
    loss, relations, size = LOSSES[kind]
    x, y, weight = draw(8, 3).requires_grad_(), draw(8, 5, seed=1), draw(8, seed=2).exp()
    gaps = F.huber_loss(relations(x, weight), relations(y, weight), reduction="none")
    want = by_weight(gaps, list(permutations(range(8), size)), weight)
    got = loss(x, y, sample_weight=weight)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(*(torch.autograd.grad(one, x)[0] for one in (got, want)))


@pytest.mark.parametrize("kind", LOSSES)
def test_moved_turned_and_longer_embeddings_relate_the_same(kind: str) -> None:
    loss, *_ = LOSSES[kind]
    x = draw(9, 4)
    turn = torch.linalg.qr(draw(4, 4, seed=1))[0]
    assert loss(3 * x @ turn + 5, x) < 1e-20
    assert loss(x * torch.tensor([2.0, 1, 1, 1], dtype=x.dtype), x) > 1e-3


def test_the_common_mean_over_all_places_is_a_share_of_ours() -> None:
    """The paper's code averages over N^2 and N^3 places."""
    x, y, n = draw(7, 3), draw(7, 4, seed=1), 7
    d, t = (torch.cdist(z, z) for z in (x, y))
    theirs = F.smooth_l1_loss(d / d[d > 0].mean(), t / t[t > 0].mean())
    torch.testing.assert_close(L.rkd_distance_loss(x, y), theirs * n / (n - 1))
    a, b = (F.normalize(z - z[:, None], dim=2) for z in (x, y))
    theirs = F.smooth_l1_loss(a @ a.mT, b @ b.mT)
    torch.testing.assert_close(L.rkd_angle_loss(x, y), theirs * n**2 / (n - 1) / (n - 2))


@pytest.mark.parametrize("kind", LOSSES)
def test_relations_of_a_large_batch_are_never_held_whole(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relational, "RELATIONS", 4000)
    loss, _, size = LOSSES[kind]
    n = 40 if size == 3 else 100
    x, y = draw(n, 3).requires_grad_(), draw(n, 4, seed=1)
    made: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: made.append(t.numel()) or t, lambda t: t):
        loss(x, y)
    assert made
    assert max(made) <= (n * n if size == 3 else n * n / 2)


def test_one_heavy_item_leaves_the_rest_their_digits() -> None:
    """The products of weights are added up without the square of the sum, of which they are a small part."""
    x, y = draw(6, 3), draw(6, 4, seed=1)
    weight = torch.tensor([1e6, 1, 2, 1, 3, 1])
    for loss, *_ in LOSSES.values():
        want = loss(x, y, sample_weight=weight.double())
        got = loss(x.float(), y.float(), sample_weight=weight)
        torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=0)
