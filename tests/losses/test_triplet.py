"""Triplets against brute force over all of them."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from lossary.kernels import tuples
from lossary.kernels.stable import softplus
from lossary.losses.triplets.given import bpr_loss, triplet_margin_loss
from lossary.losses.triplets.triplet import triplet_loss
from lossary.testing.laws.devices import as_on_an_accelerator


def batch() -> tuple[Tensor, Tensor]:
    x = torch.randn(9, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x, torch.tensor([0, 1, 0, 2, 1, 3, 0, 1, 2])


def gaps(x: Tensor, labels: Tensor) -> dict[int, list[tuple[int, int, Tensor]]]:
    """Of each anchor (positive, negative, d(a, p) - d(a, n))."""
    d = torch.cdist(x, x)
    found: dict[int, list[tuple[int, int, Tensor]]] = {a: [] for a in range(len(x))}
    for a, p, n in itertools.product(range(len(x)), repeat=3):
        if a != p and labels[a] == labels[p] and labels[a] != labels[n]:
            found[a].append((p, n, d[a, p] - d[a, n]))
    return found


def test_a_nan_is_not_hidden() -> None:
    x, labels = batch()
    spoilt = x.clone()
    spoilt[0, 0] = torch.nan
    assert triplet_loss(spoilt, labels).isnan()
    assert triplet_margin_loss(spoilt, x, x + 1).isnan()


@pytest.mark.parametrize("mining", ["hard", "semihard", "all"])
def test_a_nan_is_not_hidden_among_negatives(mining: Any) -> None:
    x, labels = batch()
    x[5, 0] = torch.nan  # the only one of its label: no anchor, and nobody's positive
    losses = triplet_loss(x, labels, mining=mining, margin=20.0, reduction="none")
    assert losses[labels != 3].isnan().all()


@pytest.mark.parametrize("margin", [0.3, None])
def test_batch_hard_takes_the_worst_triplet_of_each_anchor(margin: float | None) -> None:
    x, labels = batch()
    worst = torch.stack([max(g for *_, g in triplets) for triplets in gaps(x, labels).values() if triplets])
    expected = torch.nn.functional.softplus(worst) if margin is None else (worst + margin).relu()
    torch.testing.assert_close(triplet_loss(x, labels, margin=margin), expected.mean())
    assert triplet_loss(x, labels, margin=margin, reduction="none")[5] == 0  # the only one of its label


@pytest.mark.parametrize("average", ["active", "all"])
@pytest.mark.parametrize("few", [0, 64])
def test_batch_all_is_all_triplets(average: Any, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuples, "FEW", few)
    x, labels = batch()
    losses = torch.stack([(g + 0.3).relu() for triplets in gaps(x, labels).values() for *_, g in triplets])
    active = losses[losses > 0]
    assert 0 < len(active) < len(losses)
    expected = (active if average == "active" else losses).mean()
    x.requires_grad_()
    found = triplet_loss(x, labels, margin=0.3, mining="all", average=average)
    torch.testing.assert_close(found, expected)
    triplets = [g for of_anchor in gaps(x, labels).values() for *_, g in of_anchor]
    wanted = torch.stack([(g + 0.3).relu() for g in triplets]).sum() / (
        len(active) if average == "active" else len(losses)
    )
    torch.testing.assert_close(torch.autograd.grad(found, x), torch.autograd.grad(wanted, x))


def test_a_negative_at_a_threshold_is_no_active_triplet(monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = torch.tensor([[0.0], [1.0], [2.0], [3.0]], requires_grad=True), torch.tensor([0, 0, 1, 1])
    found = []
    for few in (0, 64):
        monkeypatch.setattr(tuples, "FEW", few)
        loss = triplet_loss(x, labels, margin=1.0, mining="all", reduction="none")
        found += [loss, *torch.autograd.grad(loss.sum(), x)]
    torch.testing.assert_close(found[0], torch.tensor([0.0, 2.0, 2.0, 0.0]) / 2)
    torch.testing.assert_close(found[:2], found[2:])


def test_soft_batch_all_is_all_triplets() -> None:
    x, labels = batch()
    losses = torch.stack([softplus(g) for triplets in gaps(x, labels).values() for *_, g in triplets])
    torch.testing.assert_close(triplet_loss(x, labels, mining="all"), losses.mean())


def test_semihard_takes_the_nearest_negative_beyond_each_positive() -> None:
    x, labels = batch()
    losses = []
    for triplets in gaps(x, labels).values():
        for p in {p for p, _, _ in triplets}:
            of_pair = torch.stack([g for q, _, g in triplets if q == p])
            beyond = of_pair[of_pair < 0]
            losses.append((beyond.max() if len(beyond) else of_pair.min()) + 0.3)
    expected = torch.stack(losses).relu().mean()
    torch.testing.assert_close(triplet_loss(x, labels, margin=0.3, mining="semihard"), expected)


@pytest.mark.parametrize("mining", ["hard", "semihard", "all"])
@pytest.mark.parametrize("margin", [0.3, None])
def test_blocks_of_anchors_change_nothing(mining: Any, margin: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = batch()
    x.requires_grad_()
    gap = margin if margin is None else torch.tensor(margin, dtype=x.dtype, requires_grad=True)
    learns = (x,) if gap is None else (x, gap)
    weight = torch.rand(x.shape[0], generator=torch.Generator().manual_seed(2), dtype=x.dtype)

    def loss_and_gradients() -> list[Tensor]:
        found = []
        for sample_weight in (None, weight):
            loss = 3 * triplet_loss(x, labels, margin=gap, mining=mining, sample_weight=sample_weight)
            once = [g.clone() for g in torch.autograd.grad(loss, learns, retain_graph=True)]
            twice = torch.autograd.grad(loss, learns, retain_graph=True)
            first = torch.autograd.grad(loss, learns, create_graph=True)
            second = torch.autograd.grad(torch.stack([g.square().sum() for g in first]).sum(), x)
            found += [loss, *once, *twice, *first, *second]
        return found

    whole = loss_and_gradients()
    monkeypatch.setattr(tuples, "CACHED_TRIPLES", 20)  # two anchors at a time, one positive at a time
    for found, wanted in zip(loss_and_gradients(), whole, strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("mining", ["hard", "all"])
@pytest.mark.parametrize("average", ["active", "all"])
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("held", [20, 1 << 20], ids=["blocks", "at once"])
def test_by_masks_triplets_are_the_same(
    mining: Any, average: Any, squared: bool, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an accelerator takes them, which looks at no number of positives: with ties, and items that do not count."""
    x, labels = batch()
    x = torch.cat([x, x[:3]]).requires_grad_()
    labels = torch.cat([labels, labels[:2], labels[:1] + 7])
    mask = torch.arange(len(x)) % 5 > 0
    weight = torch.rand(len(x), generator=torch.Generator().manual_seed(2), dtype=x.dtype)
    ids = torch.arange(len(x)) % (len(x) - 2)

    def found(**extra: Any) -> list[Tensor]:
        options: dict[str, Any] = {"margin": 0.3, "mining": mining, "average": average, "squared": squared}
        loss = triplet_loss(x, labels, **options, **extra)
        first = torch.autograd.grad(loss.sum(), x, retain_graph=True)[0]
        again = torch.autograd.grad(loss.sum(), x, create_graph=True)[0]
        return [loss, first, again, torch.autograd.grad(again.square().sum(), x)[0]]

    calls: list[dict[str, Any]] = [{}, {"mask": mask}, {"sample_weight": weight}, {"ids": ids}, {"reduction": "none"}]
    wanted = [found(**extra) for extra in calls]
    monkeypatch.setattr(tuples, "LARGE_TRIPLES", held)
    monkeypatch.setattr("lossary.kernels.distances.WRITTEN_OUT", 0)
    with as_on_an_accelerator():
        for extra, numbers in zip(calls, wanted, strict=True):
            for got, number in zip(found(**extra), numbers, strict=True):
                torch.testing.assert_close(got, number, rtol=1e-6, atol=1e-9)


def test_a_margin_is_not_lost_beside_huge_distances() -> None:
    x = torch.tensor([[0.0], [1e8], [-1e8]])
    each = triplet_loss(x, torch.tensor([0, 0, 1]), margin=0.2, mining="all", reduction="none")
    torch.testing.assert_close(each, torch.tensor([0.2, 0.0, 0.0]))


def test_many_triplets_of_long_distances_are_summed_exactly() -> None:
    g = torch.Generator().manual_seed(3)
    x = 4000 + torch.randint(-40, 40, (600, 1), generator=g).float()  # squares that float32 holds
    x[:2] = 0
    labels = torch.randint(2, (600,), generator=g)
    each = triplet_loss(x, labels, margin=0.25, mining="all", reduction="none")
    torch.testing.assert_close(
        each.double(),
        triplet_loss(x.double(), labels, margin=0.25, mining="all", reduction="none"),
        rtol=1e-6,
        atol=0,
    )


def test_given_triplets_are_torch_s() -> None:
    g = torch.Generator().manual_seed(1)
    a, p, n = torch.randn(3, 8, 4, generator=g, dtype=torch.float64).unbind()
    each: tuple[dict[str, Any], ...] = (
        {},
        {"margin": 0.2, "p": 1.0},
        {"swap": True},
        {"eps": 1e-2, "reduction": "none"},
    )
    for options in each:
        expected = torch.nn.functional.triplet_margin_loss(a, p, n, **options)
        torch.testing.assert_close(triplet_margin_loss(a, p, n, **options), expected)
    a, p, n = a[0], p[0], n[0]
    torch.testing.assert_close(
        triplet_margin_loss(a, p, n, 2.0), torch.nn.functional.triplet_margin_loss(a, p, n, margin=2.0)
    )


def test_bpr_is_the_logistic_loss_of_two_scores() -> None:
    g = torch.Generator().manual_seed(5)
    a, p, n = (torch.randn(7, 4, generator=g, dtype=torch.float64) for _ in range(3))
    wanted = -((a * p).sum(1) - (a * n).sum(1)).sigmoid().log()
    torch.testing.assert_close(bpr_loss(a, p, n, reduction="none"), wanted)
    lengths = sum(t.square().sum(1) for t in (a, p, n))
    torch.testing.assert_close(bpr_loss(a, p, n, l2_reg=0.1, reduction="none"), wanted + 0.1 * lengths)


def test_bpr_of_far_too_high_a_negative_is_finite() -> None:
    x = torch.full((1, 1), 20.0)
    assert bpr_loss(x, -x, x).item() == pytest.approx(800.0)
