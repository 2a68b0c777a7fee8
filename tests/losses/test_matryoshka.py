"""Losses of embeddings at several lengths: the sum of the losses of what was cut by hand, weights and all."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

import lossary
from lossary import Matryoshka
from lossary.losses.identities.sphereface import Annealing

F64 = torch.float64


def made(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64).requires_grad_()


LABELS = torch.tensor([0, 1, 0, 2, 1])
DIMS, WEIGHTS = (6, 4, 1), (1.0, 0.5, 2.0)


def test_embeddings_are_cut_and_what_is_compared_with_them() -> None:
    x, y, negatives = made(5, 6), made(5, 6, seed=1), made(3, 6, seed=2)
    ids = torch.tensor([4, 1, 4, 2, 3])
    loss = Matryoshka(lossary.MultipleNegativesRankingLoss(), DIMS, WEIGHTS)
    for extra in ({}, {"negatives": negatives}):
        got = loss(x, y, ids=ids, **extra)
        want = sum(
            w
            * lossary.multiple_negatives_ranking_loss(x[:, :d], y[:, :d], *(n[:, :d] for n in extra.values()), ids=ids)
            for d, w in zip(DIMS, WEIGHTS, strict=True)
        )
        torch.testing.assert_close(got, want)
        for a, b in zip(*(torch.autograd.grad(v, (x, y)) for v in (got, want)), strict=True):
            torch.testing.assert_close(a, b)


def test_targets_and_weights_of_items_stay_whole() -> None:
    """Also where there are as many as dimensions."""
    x, y, target, weight = made(6, 6), made(6, 6, seed=1), torch.arange(6.0).to(F64), torch.linspace(0, 1, 6, dtype=F64)
    got = Matryoshka(lossary.CoSENTLoss(), (3,))(x, y, target, sample_weight=weight)
    torch.testing.assert_close(got, lossary.cosent_loss(x[:, :3], y[:, :3], target, sample_weight=weight))


@pytest.mark.parametrize("sub_centers", [1, 3])
def test_a_heads_weights_serve_every_length(sub_centers: int) -> None:
    head = lossary.CosFaceLoss(num_classes=3, embedding_size=6, scale=8.0, sub_centers=sub_centers).double()
    x, loss = made(5, 6), Matryoshka(head, DIMS, WEIGHTS)
    got = loss(x, LABELS)
    want = sum(
        w * lossary.cosface_loss(x[:, :d], head.weight[..., :d], LABELS, scale=8.0)
        for d, w in zip(DIMS, WEIGHTS, strict=True)
    )
    torch.testing.assert_close(got, want)
    for a, b in zip(*(torch.autograd.grad(v, (x, head.weight)) for v in (got, want)), strict=True):
        torch.testing.assert_close(a, b)
    assert [p is head.weight for p in loss.parameters()] == [True]


def test_a_linear_classifier_too() -> None:
    head = lossary.LinearHead(lossary.FocalLoss(), num_classes=3, embedding_size=6).double()
    x, (w, b) = made(5, 6), head.linear.parameters()
    want = sum(lossary.focal_loss(x[:, :d] @ w[:, :d].T + b, LABELS) for d in (6, 2))
    torch.testing.assert_close(Matryoshka(head, (6, 2))(x, LABELS), want)


def test_what_a_loss_remembers_is_counted_at_every_length() -> None:
    head = lossary.SphereFaceLoss(num_classes=3, embedding_size=6, annealing=Annealing())
    Matryoshka(head.double(), (6, 2))(made(5, 6), LABELS)
    assert head.get_buffer("step") == 2


def test_parts_add_up_and_reductions_reach_through() -> None:
    x, loss = made(5, 6), Matryoshka(lossary.SupConLoss(reduction="none"), (2, 6))
    parts = loss.parts(x, LABELS)
    assert list(parts) == [2, 6]
    assert loss(x, LABELS).shape == (5,)
    torch.testing.assert_close(torch.stack(list(parts.values())).sum(0), loss(x, LABELS))


def test_it_is_saved_copied_shown_and_compiled() -> None:
    loss = Matryoshka(lossary.CosFaceLoss(num_classes=3, embedding_size=6), (6, 2), (1.0, 0.25)).double()
    x = made(5, 6)
    for twin in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss)):
        assert torch.equal(twin(x, LABELS), loss(x, LABELS))
    assert "dims=(6, 2), weights=(1.0, 0.25)" in repr(loss)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, LABELS), loss(x, LABELS))


@pytest.mark.parametrize(
    ("kind", "name", "dims", "weights"),
    [
        (ValueError, "dims", (), None),
        (ValueError, "dims", (4, 2), (1.0,)),
        (ValueError, "dims", (0,), None),
        (TypeError, "dims", ("a",), None),
        (ValueError, "weights", (4,), (-1.0,)),
    ],
)
def test_what_is_wrong_is_refused(kind: type[Exception], name: str, dims, weights) -> None:
    with pytest.raises(kind, match=f"^{name}: wanted"):
        Matryoshka(nn.Identity(), dims, weights)


def test_a_function_and_short_embeddings_are_refused() -> None:
    with pytest.raises(TypeError, match=r"^loss: wanted a loss Module"):
        Matryoshka(lossary.supcon_loss, (2,))
    with pytest.raises(ValueError, match=r"^embeddings: wanted at least 8 dimensions"):
        Matryoshka(lossary.SupConLoss(), (8, 4))(made(5, 6), LABELS)
