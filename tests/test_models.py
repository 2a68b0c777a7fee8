"""The small networks: shapes, the bias trick, shared weights, and initial weights on which recorded runs depend."""

import pytest
import torch

from lossary import MLP, LinearClassifier, Siamese, SmallCNN, UNet


def test_bias_trick() -> None:
    """W x + b = [W b] [x; 1], for values and gradients."""
    torch.manual_seed(0)
    model, x = LinearClassifier(5, 3).double(), torch.randn(7, 5, dtype=torch.float64)
    ones = LinearClassifier.append_one(x)
    assert model.augmented_weight.shape == (3, 6)
    assert torch.equal(ones[:, -1], torch.ones(7, dtype=torch.float64))
    scores = (model(x), ones @ model.augmented_weight.T)
    torch.testing.assert_close(*scores, rtol=1e-14, atol=1e-14)
    parameters = (model.weight, model.bias)
    gradients = (torch.autograd.grad(s.square().sum(), parameters) for s in scores)
    for got, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(got, wanted)


def test_linear_classifier_is_torchs_linear_layer() -> None:
    torch.manual_seed(0)
    ours = LinearClassifier(5, 3)
    torch.manual_seed(0)
    theirs = torch.nn.Linear(5, 3)
    assert torch.equal(ours.weight, theirs.weight)
    assert ours.state_dict().keys() == theirs.state_dict().keys()


@pytest.mark.parametrize("hidden", [(), (16,), (16, 8)])
def test_mlp_has_the_layers_asked_for(hidden: tuple[int, ...]) -> None:
    model = MLP(6, 2, hidden=hidden)
    widths = [layer.out_features for layer in model if isinstance(layer, torch.nn.Linear)]
    assert widths == [*hidden, 2]
    assert model(torch.zeros(3, 6)).shape == (3, 2)


def test_small_cnn_halves_the_side_thrice() -> None:
    model = SmallCNN(embedding_size=8, size=16, widths=(4, 6, 8))
    assert model(torch.zeros(2, 3, 16, 16)).shape == (2, 8)


@pytest.mark.parametrize("widths", [(4,), (4, 6), (4, 6, 8)])
def test_unet_scores_each_pixel_and_sees_further_with_each_level(widths: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = UNet(5, widths=widths).eval()
    images = torch.rand(1, 3, 32, 24, requires_grad=True)
    scores = model(images)
    assert scores.shape == (1, 5, 32, 24)
    scores[0, :, 16, 12].sum().backward()
    assert images.grad is not None
    seen = images.grad[0].abs().sum(0).nonzero()
    reach = int((seen - torch.tensor([16, 12])).abs().max())
    assert reach == {1: 1, 2: 5, 3: 11}[len(widths)]


def test_initial_weights_stay_what_they_were() -> None:
    """A recorded comparison can be repeated only if a seed gives the same weights."""
    torch.manual_seed(0)
    sums = [
        sum(p.double().abs().sum().item() for p in model.parameters()) for model in (MLP(64, 10), SmallCNN(), UNet(3))
    ]
    assert sums == pytest.approx([296.97307229042053, 4089.929829121035, 1770.509339011291], rel=1e-9)


@pytest.mark.parametrize("count", [2, 3])
def test_siamese_encodes_each_input_with_the_same_weights(count: int) -> None:
    torch.manual_seed(0)
    encoder = MLP(6, 4)
    inputs = [torch.randn(5, 6) for _ in range(count)]
    embeddings = Siamese(encoder)(*inputs)
    assert len(embeddings) == count
    for found, x in zip(embeddings, inputs, strict=True):
        assert torch.equal(found, encoder(x))
    assert len(list(Siamese(encoder).parameters())) == len(list(encoder.parameters()))
