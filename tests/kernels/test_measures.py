"""Distances by name against their definitions; what they are of equal, of constant and of zero vectors."""

import pytest
import torch
from torch import Tensor

import lossary.functional as L
from lossary import Lp
from lossary.kernels import measures
from lossary.kernels.measures import MEASURES, Measure

DEFINITIONS = {
    "euclidean": lambda x, y: (x - y).norm(dim=-1),
    "squared_euclidean": lambda x, y: (x - y).square().sum(-1),
    "manhattan": lambda x, y: (x - y).abs().sum(-1),
    "cosine": lambda x, y: 1 - torch.cosine_similarity(x, y, -1),
    "dot": lambda x, y: -(x * y).sum(-1),
    "snr": lambda x, y: (x - y).var(-1) / x.var(-1),
}
OTHERS = {Lp(3.0): lambda x, y: (x - y).norm(3, -1), Lp(1.5, 2.0): lambda x, y: (x - y).norm(1.5, -1) ** 2}
ALL = {
    **{name: (MEASURES[name], of) for name, of in DEFINITIONS.items()},
    **{lp: (lp, of) for lp, of in OTHERS.items()},
}


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


@pytest.mark.parametrize("name", ALL)
def test_measures_are_what_they_are_called(name: str | Lp, monkeypatch: pytest.MonkeyPatch) -> None:
    measure, definition = ALL[name]
    x, y = drawn(7, 4).requires_grad_(), drawn(5, 4).requires_grad_()
    wanted = definition(x[:, None], y)
    by_wanted = torch.autograd.grad(wanted.square().sum(), (x, y))
    for held in (measures.CACHED_DISTANCES, 1):  # whole, and row by row
        monkeypatch.setattr(measures, "CACHED_DISTANCES", held)
        for found in (measure.between(x[:, None], y), measure.pairwise(x, y)):
            torch.testing.assert_close(found, wanted)
            torch.testing.assert_close(torch.autograd.grad(found.square().sum(), (x, y)), by_wanted)


def test_every_name_is_tested() -> None:
    assert set(DEFINITIONS) == set(MEASURES)


@pytest.mark.parametrize("name", ALL)
def test_gradients_are_finite_where_nothing_differs(name: str | Lp) -> None:
    measure: Measure = ALL[name][0]
    for rows in (torch.zeros(3, 4), torch.ones(3, 4), drawn(1, 4).float().expand(3, 4)):
        x = rows.clone().requires_grad_()
        found = measure.pairwise(x, x)
        assert found.isfinite().all()
        assert torch.autograd.grad(found.sum(), x)[0].isfinite().all()


def test_cosines_of_nearly_the_same_direction_keep_their_digits() -> None:
    x = torch.tensor([[1.0, 0.0]])
    y = torch.tensor([[1.0, 1e-5]])
    exact = 1 - torch.cosine_similarity(x.double(), y.double())
    assert 1 - torch.cosine_similarity(x, y) == 0  # as it is usually written
    torch.testing.assert_close(MEASURES["cosine"].pairwise(x, y)[0].double(), exact, rtol=1e-6, atol=0.0)


def test_a_constant_anchor_has_no_signal_and_a_zero_vector_no_direction() -> None:
    x, y = torch.full((1, 3), 2.0), torch.tensor([[1.0, 2.0, 4.0]])
    assert MEASURES["snr"].pairwise(x, y) == 0
    assert MEASURES["cosine"].pairwise(torch.zeros(1, 3), y) == 1


@pytest.mark.parametrize("name", ALL)
def test_losses_take_them_mined_and_given(name: str | Lp) -> None:
    x, labels = drawn(6, 4), torch.tensor([0, 0, 1, 1, 2, 2])
    d = ALL[name][1](x[:, None], x)
    triplets = [(a, a ^ 1, n) for a in range(6) for n in range(6) if n // 2 != a // 2]
    gaps = torch.stack([d[a, p] - d[a, n] for a, p, n in triplets])
    wanted = (gaps + 0.5).relu()
    index: tuple[Tensor, Tensor, Tensor] = tuple(torch.tensor(triplets).unbind(1))  # pyright: ignore[reportAssignmentType]
    given = L.triplet_loss(x, None, margin=0.5, distance=name, triplets=index, reduction="none")
    torch.testing.assert_close(given, wanted)
    mined = L.triplet_loss(x, labels, margin=0.5, distance=name, mining="all", average="all")
    torch.testing.assert_close(mined, wanted.mean())


def test_pairs_take_what_is_a_distance_from_either_side() -> None:
    x, labels = drawn(4, 3), torch.tensor([0, 0, 1, 1])
    d = 1 - torch.cosine_similarity(x[:, None], x, -1)
    i, j = torch.triu_indices(4, 4, 1)
    wanted = torch.where(labels[i] == labels[j], d[i, j].square(), (0.7 - d[i, j]).relu().square()) / 2
    torch.testing.assert_close(L.contrastive_loss(x, labels, margin=0.7, distance="cosine", reduction="none"), wanted)
    halves = L.contrastive_loss(
        x[i], x[j], (labels[i] == labels[j]).long(), margin=0.7, distance="cosine", reduction="none"
    )
    torch.testing.assert_close(halves, wanted)
    for name in ("dot", "snr"):
        with pytest.raises(ValueError, match="distance: wanted one of 'euclidean', 'manhattan', 'cosine' or an Lp"):
            L.contrastive_loss(x, labels, distance=name)  # pyright: ignore[reportArgumentType]


def test_what_is_no_distance_is_refused() -> None:
    x, labels = drawn(4, 3), torch.tensor([0, 0, 1, 1])
    with pytest.raises(ValueError, match=r"distance: wanted one of .* or an Lp; got 'cosinus'"):
        L.triplet_loss(x, labels, distance="cosinus")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="squared: wanted False with distance='cosine'"):
        L.triplet_loss(x, labels, distance="cosine", squared=True)
    with pytest.raises(ValueError, match="p: wanted"):
        Lp(0.0)
    torch.testing.assert_close(
        L.triplet_loss(x, labels, squared=True), L.triplet_loss(x, labels, distance="squared_euclidean")
    )
