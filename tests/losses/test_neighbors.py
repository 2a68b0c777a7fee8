"""Neighbours within a batch: dense references, places that are none, blocks of anchors and of positives."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.kernels import tuples
from lossary.losses.identities.neighbors import nca_loss, smooth_ap_loss
from lossary.losses.views.mutual import nt_xent_loss

F64 = torch.float64


def batch(count: int = 11, classes: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 5, generator=g, dtype=F64).requires_grad_()
    return x, torch.randint(classes, (count,), generator=g)


def dense_smooth_ap(x: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """All N x N x N differences, as the authors hold them, for classes of any size and order."""
    c, n = F.normalize(x) @ F.normalize(x).T, len(x)
    closer = ((c[:, None] - c[:, :, None]) / temperature).sigmoid()  # [i, p, j]: whether j is nearer to i than p
    other = ~torch.eye(n, dtype=torch.bool)
    same = (labels[:, None] == labels) & other
    counted = other[:, None] & other  # j is neither the anchor nor p
    place = 1 + (closer * counted).sum(2)
    place_among = 1 + (closer * (counted & same[:, None])).sum(2)
    count = same.sum(1)
    precision = (place_among / place * same).sum(1) / count.clamp_min(1)
    return (1 - precision)[count > 0].mean()


def dense_nca(x: Tensor, labels: Tensor, scale: float) -> Tensor:
    n = len(x)
    z = F.normalize(x)
    scores = -scale * (z[:, None] - z).square().sum(2)
    other = ~torch.eye(n, dtype=torch.bool)
    same = (labels[:, None] == labels) & other
    share = (scores.exp() * same).sum(1) / (scores.exp() * other).sum(1)
    return -share[same.any(1)].log().mean()


def assert_alike(got: Tensor, want: Tensor, leaf: Tensor) -> None:
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)
    for a, b in zip(*(torch.autograd.grad(v, leaf) for v in (got, want)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("held", [1 << 20, 50, 1])
@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
def test_average_precision_is_the_dense_one(monkeypatch: pytest.MonkeyPatch, held: int, temperature: float) -> None:
    """In one block, or in blocks of anchors and of their positives."""
    monkeypatch.setattr(tuples, "CACHED_TRIPLES", held)
    for seed in range(2):
        x, labels = batch(seed=seed)
        assert_alike(smooth_ap_loss(x, labels, temperature=temperature), dense_smooth_ap(x, labels, temperature), x)


@pytest.mark.parametrize("scale", [1.0, 9.0])
def test_nca_is_the_dense_one(scale: float) -> None:
    x, labels = batch()
    assert_alike(nca_loss(x, labels, scale=scale), dense_nca(x, labels, scale), x)


def test_one_positive_is_nt_xent() -> None:
    x, _ = batch(10)
    labels = torch.arange(5).repeat(2)
    torch.testing.assert_close(nca_loss(x, labels, scale=2.5), nt_xent_loss(x, labels, temperature=0.2))


@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (8, 2), (1, 5)])
def test_perfect_embeddings_lack_nothing(shape: tuple[int, int]) -> None:
    """However many classes there are of however many items, in any order: where a published version is at 0.3."""
    classes, items = shape
    labels = torch.arange(classes).repeat(items)
    assert smooth_ap_loss(torch.eye(classes, dtype=F64)[labels], labels) < 1e-12


def test_a_small_lack_keeps_its_digits() -> None:
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.8, 0.6]])
    labels = torch.tensor([0, 0, 1])
    single, double = (smooth_ap_loss(t, labels, reduction="none")[0] for t in (x, x.double()))
    assert 0 < double.item() < 1e-8
    assert single.item() == pytest.approx(double.item(), rel=1e-4)


def test_anchors_without_a_positive_count_nowhere() -> None:
    x, _ = batch(6)
    labels = torch.tensor([0, 0, 1, 1, 2, 3])
    for loss in (nca_loss, smooth_ap_loss):
        none = loss(x, labels, reduction="none")
        assert not none[4:].any()
        torch.testing.assert_close(loss(x, labels), none[:4].mean())
        weight = torch.arange(6.0, dtype=F64)
        torch.testing.assert_close(loss(x, labels, sample_weight=weight), (none * weight).sum() / weight[:4].sum())


def test_references_are_looked_among() -> None:
    x, labels = batch(5)
    y, theirs = batch(8, seed=3)
    for loss in (nca_loss, smooth_ap_loss):
        got = loss(x, labels, ref_embeddings=y, ref_labels=theirs, reduction="none")
        given = loss(x, None, ref_embeddings=y, positives=labels[:, None] == theirs, reduction="none")
        torch.testing.assert_close(got, given)
        alone = loss(torch.cat([x[:1], y]), torch.cat([labels[:1], theirs]), reduction="none")
        torch.testing.assert_close(got[0], alone[0])
