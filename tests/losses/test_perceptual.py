"""A loss of a network's features: which layers, with what weight, and that the network stays as it is."""

import pytest
import torch
from torch import nn

import lossary.functional as L
from lossary.compose.perceptual import PerceptualLoss

X, Y = torch.rand(2, 3, 1, 6, 6, generator=torch.Generator().manual_seed(0))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 2, 3)
    return nn.Sequential(*layers)


def test_it_is_the_weighted_sum_over_the_layers() -> None:
    net = network().eval()
    first, last = (net[0](t).detach() for t in (X, Y)), (net(t).detach() for t in (X, Y))
    wanted = 0.5 * L.l1_loss(*first) + 2 * L.l1_loss(*last)
    torch.testing.assert_close(PerceptualLoss(net, {"0": 0.5, "4": 2.0}, L.l1_loss)(X, Y), wanted)


def test_what_writes_over_a_layer_changes_nothing() -> None:
    """The layer itself is compared, and not what a ReLU in place makes of it."""
    net = network().eval()
    features = PerceptualLoss(net, ["0"]).features(X)["0"]
    assert (features < 0).any()
    torch.testing.assert_close(features, net[0](X))


def test_the_network_is_frozen_and_images_learn() -> None:
    net = network()
    loss = PerceptualLoss(net, ["2", "4"]).train()
    assert not net.training
    assert not any(p.requires_grad for p in net.parameters())
    before = {name: t.clone() for name, t in net.state_dict().items()}
    x, y = X.clone().requires_grad_(), Y.clone().requires_grad_()
    loss(x, y).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert x.grad.count_nonzero() > 0
    assert y.grad is None
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())
    assert not net[2]._forward_hooks


def test_normalised_features_are_directions() -> None:
    dark = torch.zeros_like(X)
    net = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.Conv2d(4, 2, 1, bias=False))
    loss = PerceptualLoss(net, ["0"], normalize=True)
    torch.testing.assert_close(loss(3 * X, X), torch.zeros(()))
    x = dark.requires_grad_()
    value = loss(x, X)
    assert torch.autograd.grad(value, x)[0].isfinite().all()


def test_keywords_and_mistakes() -> None:
    loss = PerceptualLoss(network(), ["4"])
    alone = loss(X, Y, reduction="none", mask=torch.tensor([True, False, True]))
    assert alone.shape == (3, 2, 2, 2)
    assert alone[1].count_nonzero() == 0
    with pytest.raises(ValueError, match="layers: wanted names of the network's submodules; got 'conv'"):
        PerceptualLoss(network(), ["conv"])
    with pytest.raises(ValueError, match="layers: wanted at least one"):
        PerceptualLoss(network(), [])
    with pytest.raises(TypeError, match="network: wanted a Module"):
        PerceptualLoss(len, ["0"])  # pyright: ignore[reportArgumentType]
