"""Prototypes: proxy-anchor against its formula, and what it says of absent classes."""

import torch
import torch.nn.functional as F
from torch import Tensor

import lossary


def proxy_anchor(x: Tensor, proxies: Tensor, labels: Tensor, *, alpha: float, delta: float) -> Tensor:
    """Equation 4, written out."""
    cosines = F.normalize(proxies) @ F.normalize(x).T
    own = torch.arange(len(proxies))[:, None] == labels
    positive = (torch.where(own, (-alpha * (cosines - delta)).exp(), 0).sum(1) + 1).log()
    negative = (torch.where(own, 0, (alpha * (cosines + delta)).exp()).sum(1) + 1).log()
    return positive.sum() / own.any(1).sum() + negative.mean()


def batch() -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    x, proxies = (torch.randn(n, 5, dtype=torch.float64, generator=g).requires_grad_() for n in (7, 4))
    return x, proxies, torch.tensor([0, 1, 1, 3, 0, 1, 3])  # no item of class 2


def test_proxy_anchor_is_its_formula() -> None:
    x, proxies, labels = batch()
    wanted = proxy_anchor(x, proxies, labels, alpha=8.0, delta=0.2)
    found = lossary.proxy_anchor_loss(x, proxies, labels, scale=8.0, margin=0.2)
    torch.testing.assert_close(found, wanted)
    for ours, theirs in zip(*(torch.autograd.grad(loss, (x, proxies)) for loss in (found, wanted)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_an_item_of_weight_two_is_two_items() -> None:
    x, proxies, labels = batch()
    weight = torch.ones(7, dtype=torch.float64).index_fill(0, torch.tensor([2]), 2)
    twice = torch.cat([torch.arange(7), torch.tensor([2])])
    torch.testing.assert_close(
        lossary.proxy_anchor_loss(x, proxies, labels, sample_weight=weight),
        lossary.proxy_anchor_loss(x[twice], proxies, labels[twice]),
    )


def test_the_module_learns_its_proxies() -> None:
    loss = lossary.ProxyAnchorLoss(num_classes=4, embedding_size=5)
    loss(torch.randn(6, 5), torch.tensor([0, 1, 2, 3, 0, 1])).backward()
    assert loss.weight.grad is not None
    assert loss.weight.grad.abs().min() > 0
