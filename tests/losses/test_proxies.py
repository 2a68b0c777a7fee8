"""Learned points: dense references, what proxies and centers come to in special cases, blocks of rows."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.kernels import again
from lossary.kernels.rows import formula
from lossary.losses.identities.angular import cosface_loss, normalized_softmax_loss
from lossary.losses.identities.proxies import SoftTripleLoss, proxy_nca_loss, soft_triple_loss

F64 = torch.float64


def batch(centers: int = 0, count: int = 9, classes: int = 6, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 5, generator=g, dtype=F64).requires_grad_()
    shape = (classes, centers, 5) if centers else (classes, 5)
    w = torch.randn(*shape, generator=g, dtype=F64).requires_grad_()
    return x, w, torch.randint(classes, (count,), generator=g)


def assert_alike(got: Tensor, want: Tensor, *leaves: Tensor) -> None:
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)
    for a, b in zip(*(torch.autograd.grad(v, leaves) for v in (got, want)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("own_in_sum", [False, True])
@pytest.mark.parametrize("scale", [1.0, 9.0])
def test_proxies_are_the_papers(monkeypatch: pytest.MonkeyPatch, blocks: bool, own_in_sum: bool, scale: float) -> None:
    if blocks:
        monkeypatch.setattr(formula, "CPU_PLAIN", -1)
    x, w, y = batch()
    distance = (F.normalize(x)[:, None] - F.normalize(w)).square().sum(2)
    own = F.one_hot(y, len(w)).bool()
    total = (-scale * distance).exp()
    share = total[own] / (total if own_in_sum else total.masked_fill(own, 0)).sum(1)
    assert_alike(proxy_nca_loss(x, w, y, scale=scale, own_in_sum=own_in_sum), -share.log().mean(), x, w)


def test_with_the_own_proxy_in_the_sum_it_is_the_normalised_softmax() -> None:
    got = proxy_nca_loss(*batch(), scale=9.0, own_in_sum=True)
    torch.testing.assert_close(got, normalized_softmax_loss(*batch(), scale=18.0))


def dense_soft_triple(x: Tensor, w: Tensor, y: Tensor, la: float, gamma: float, margin: float, tau: float) -> Tensor:
    """The authors' code, without the 1e-5 that it has under the root."""
    centers = F.normalize(w, dim=2)
    sim = torch.einsum("nd,ckd->nck", F.normalize(x), centers)
    classes = ((sim / gamma).softmax(2) * sim).sum(2)
    loss = F.cross_entropy(la * (classes - margin * F.one_hot(y, len(w)).to(x.dtype)), y)
    c, k, _ = w.shape
    pairs = torch.ones(k, k).triu(1).bool()
    apart = torch.stack([(2 - 2 * of @ of.T)[pairs].sqrt().sum() for of in centers]).sum()
    return loss + tau * apart / (c * k * (k - 1))


@pytest.mark.parametrize("held", [1 << 20, 1])
@pytest.mark.parametrize("numbers", [(20.0, 0.1, 0.01, 0.2), (4.0, 1.0, 0.3, 0.0)])
def test_soft_triple_is_the_authors(monkeypatch: pytest.MonkeyPatch, held: int, numbers: tuple[float, ...]) -> None:
    """In one block, or row by row."""
    monkeypatch.setattr(again, "CACHED", held)
    x, w, y = batch(centers=3)
    la, gamma, margin, tau = numbers
    got = soft_triple_loss(x, w, y, scale=la, gamma=gamma, margin=margin, tau=tau)
    assert_alike(got, dense_soft_triple(x, w, y, *numbers), x, w)


def test_one_center_is_cosface_and_a_hard_choice_its_sub_centers() -> None:
    x, w, y = batch()
    one = soft_triple_loss(x, w, y, scale=8.0, margin=0.2)
    torch.testing.assert_close(one, cosface_loss(x, w, y, scale=8.0, margin=0.2))
    x, w, y = batch(centers=3)
    hard = soft_triple_loss(x, w, y, scale=8.0, margin=0.2, gamma=1e-5, tau=0.0)
    torch.testing.assert_close(hard, cosface_loss(x, w, y, scale=8.0, margin=0.2))


def test_centers_that_are_the_same_cost_nothing() -> None:
    x, w, y = batch()
    w = w.detach()[:, None].repeat(1, 3, 1).requires_grad_()
    loss = soft_triple_loss(x, w, y, tau=5.0)
    torch.testing.assert_close(loss, soft_triple_loss(x, w[:, 0], y))
    (grad,) = torch.autograd.grad(loss, w)
    assert grad.isfinite().all()


def test_logits_are_what_the_loss_compares() -> None:
    x, _, y = batch()
    made = SoftTripleLoss(num_classes=6, embedding_size=5, margin=0.0, tau=0.0).double()
    assert made.weight.shape == (6, 10, 5)
    torch.testing.assert_close(made(x, y), F.cross_entropy(20 * made.get_logits(x), y))
