"""Permutation-invariant training beside all permutations, one by one."""

from itertools import permutations
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lossary as L
from lossary.kernels.assignment import cheapest


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def least(costs: Tensor) -> Tensor:
    """The least total of each item, by trying."""
    rows = torch.arange(costs.shape[1])
    return torch.stack([costs[:, rows, list(p)].sum(1) for p in permutations(range(len(rows)))]).amin(0)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_the_order_is_the_best_of_all(size: int) -> None:
    costs = draw(20, size, size)
    chosen = cheapest(costs)
    assert chosen.sort(1).values.equal(torch.arange(size).expand(20, -1))
    torch.testing.assert_close(costs.gather(2, chosen[..., None]).sum((1, 2)), least(costs))


def test_many_sources_are_brought_back_in_order() -> None:
    wanted = torch.stack([torch.randperm(12, generator=torch.Generator().manual_seed(i)) for i in range(3)])
    costs = draw(3, 12, 12).square()
    costs.scatter_(2, wanted[..., None], -1.0)
    assert cheapest(costs).equal(wanted)


def test_an_order_is_one_also_where_costs_are_endless_or_missing() -> None:
    for bad in (torch.inf, -torch.inf, torch.nan):
        costs = torch.full((2, 4, 4), bad)
        costs[1, 0, 2] = 1.0
        assert cheapest(costs).sort(1).values.equal(torch.arange(4).expand(2, -1))
    costs = torch.full((1, 3, 3), torch.inf).masked_fill(torch.eye(3).flip(0) == 1, 0.0)
    assert cheapest(costs).tolist() == [[2, 1, 0]]


LOSSES = {
    "errors": (L.MSELoss, draw(4, 3, 50, seed=1)),
    "signals": (L.SISDRLoss, draw(4, 3, 50, seed=1)),
    "activity": (L.BCEWithLogitsLoss, (draw(4, 3, 50, seed=1) > 0).double()),
}


@pytest.mark.parametrize("kind", LOSSES)
def test_value_and_gradient_are_those_of_the_best_permutation(kind: str) -> None:
    make, y = LOSSES[kind]
    x = draw(4, 3, 50).requires_grad_()
    item: Any = make()

    def one(n: int, order: tuple[int, ...]) -> Tensor:
        return item(x[n, list(order)], y[n])

    want = torch.stack([torch.stack([one(n, p) for p in permutations(range(3))]).amin() for n in range(4)]).mean()
    loss = L.PermutationInvariant(make())
    got = loss(x, y)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(*(torch.autograd.grad(value, x)[0] for value in (got, want)))
    shuffled = x.detach()[:, [2, 0, 1]]
    torch.testing.assert_close(loss(shuffled, y), got.detach())
    order = loss.order(shuffled, y)
    torch.testing.assert_close(item(shuffled[torch.arange(4)[:, None], order].flatten(0, 1), y.flatten(0, 1)), got)


def test_classes_have_an_order_too() -> None:
    y = torch.tensor([[0, 2, 1], [2, 2, 0]])
    x = 9 * nn.functional.one_hot(y, 3)[:, [1, 2, 0]].double()
    assert L.PermutationInvariant(L.CrossEntropyLoss())(x, y) < 1e-3 < L.cross_entropy(x.flatten(0, 1), y.flatten())


def test_masked_sources_and_frames_count_for_nothing() -> None:
    x, y = draw(2, 3, 8), draw(2, 3, 8, seed=1)
    loss = L.PermutationInvariant(L.MSELoss())
    there = torch.tensor([[True, True, False], [True, True, True]])
    hollow = y.masked_fill(~there[..., None], torch.nan)
    got = loss(x, hollow, mask=there)
    costs = (x[0, :, None] - y[0]).square().sum(-1)  # of the first mixture: 2 targets, any 2 of 3 predictions
    first = torch.stack([costs[i, 0] + costs[j, 1] for i, j in permutations(range(3), 2)]).amin()
    second = loss(x[1:], y[1:]) * 3 * 8
    torch.testing.assert_close(got, (first + second) / (5 * 8))
    frames = (torch.arange(8) < 5).expand(2, 3, 8)
    torch.testing.assert_close(loss(x, y.masked_fill(~frames, torch.nan), mask=frames), loss(x[..., :5], y[..., :5]))
    weight = torch.tensor([1.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(loss(x, y, sample_weight=weight), loss(x[:1], y[:1]))


def test_values_come_in_the_order_of_the_targets() -> None:
    y = draw(5, 4, 6)
    x = y[:, [3, 1, 0, 2]].clone()
    x[0, 3] += 1  # the prediction of target 2
    got = L.PermutationInvariant(L.MSELoss(reduction="none"))(x, y)
    assert got.shape == (5, 4, 6)
    assert got.sum(-1).nonzero().tolist() == [[0, 2]]


def test_only_the_chosen_pairs_are_held() -> None:
    x, y, kept = draw(2, 6, 100).requires_grad_(), draw(2, 6, 100, seed=1), list[int]()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        L.PermutationInvariant(L.L1Loss())(x, y)
    assert max(kept) <= x.numel()


def test_it_compiles_in_one_graph() -> None:
    x, y = draw(2, 3, 20), draw(2, 3, 20, seed=1)
    loss = L.PermutationInvariant(L.MSELoss())
    compiled: Any = torch.compile(loss, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, y), loss(x, y))
    assert loss(x[:0], y[:0]) == 0


def test_what_does_not_fit_is_refused() -> None:
    loss = L.PermutationInvariant(L.MSELoss())
    for x, y in ((draw(2, 3, 4), draw(2, 2, 4)), (draw(2, 13, 4), draw(2, 13, 4)), (draw(2), draw(2))):
        with pytest.raises(ValueError, match=r"^input: wanted \(N, S, \.\.\.\) twice"):
            loss(x, y)
    with pytest.raises(TypeError, match=r"^loss: wanted a loss Module"):
        L.PermutationInvariant(L.mse_loss)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"^mask: wanted shape"):
        loss(draw(2, 3, 4), draw(2, 3, 4), mask=torch.ones(2, 2, dtype=torch.bool))
