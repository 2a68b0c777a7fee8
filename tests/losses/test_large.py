"""Large batches and many classes on little memory: the same numbers, and what is held."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lossary import ArcFaceLoss, Cached, HingeLoss, NormalizedSoftmaxLoss, SampledClasses, supcon_loss
from lossary.losses.identities.angular import arcface_loss

DOUBLE = torch.float64


def encoder(dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 64), nn.GELU(), nn.Dropout(dropout), nn.Linear(64, 4)).double()


def batch(count: int = 30) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(1)
    return torch.randn(count, 6, generator=g, dtype=DOUBLE), torch.randint(0, 5, (count,), generator=g)


def grads(net: nn.Module, encode: Callable[[Tensor], Tensor], x: Tensor, labels: Tensor) -> list[Tensor]:
    torch.manual_seed(2)
    loss = supcon_loss(encode(x), labels)
    return [loss.detach(), *torch.autograd.grad(loss, [*net.parameters(), *([x] if x.requires_grad else [])])]


@pytest.mark.parametrize("micro_batch", [1, 7, 30, 100])
def test_value_and_gradients_are_those_of_the_whole_batch(micro_batch: int) -> None:
    net, (x, labels) = encoder(), batch()
    x.requires_grad_()
    torch.testing.assert_close(
        grads(net, Cached(net, micro_batch), x, labels), grads(net, net, x, labels), rtol=1e-12, atol=1e-14
    )


def test_dropout_is_drawn_again_as_it_was() -> None:
    net, (x, labels) = encoder(dropout=0.5), batch()
    parts = grads(net, lambda whole: torch.cat([net(part) for part in whole.split(8)]), x, labels)
    torch.testing.assert_close(grads(net, Cached(net, 8), x, labels), parts, rtol=1e-12, atol=1e-14)
    whole = encoder()
    assert not torch.allclose(parts[1], grads(whole, whole, x, labels)[1])


def test_activations_of_one_part_are_held() -> None:
    """Numbers that autograd keeps beyond what the encoder is given and gives."""

    def kept(encode: nn.Module, x: Tensor) -> int:
        numbers = 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal numbers
            numbers += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            encode(x)
        return numbers

    net = encoder()
    assert kept(net, batch(500)[0]) > 500 * 64
    assert kept(Cached(net, 10), batch(500)[0]) <= 500 * (6 + 4)


def test_inputs_in_mappings_and_second_derivatives() -> None:
    net, (x, labels) = encoder(), batch()

    def encode(tokens: dict[str, Tensor], scale: float, *, shift: Tensor) -> Tensor:
        return scale * net(tokens["ids"]) + shift

    x.requires_grad_()
    seconds = []
    for z in (Cached(encode, 4)({"ids": x}, 2.0, shift=x[:, :1]), encode({"ids": x}, 2.0, shift=x[:, :1])):
        (first,) = torch.autograd.grad(supcon_loss(z, labels), x, create_graph=True)
        seconds += torch.autograd.grad(first.square().sum(), x)
    torch.testing.assert_close(*seconds, rtol=1e-10, atol=1e-12)


def test_inputs_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match="micro_batch: wanted a whole number from 1 up"):
        Cached(encoder(), 0)
    with pytest.raises(ValueError, match=r"same number of items; got \[2, 3\]"):
        Cached(encoder(), 4)(torch.zeros(2, 6), torch.zeros(3, 6))
    with pytest.raises(ValueError, match="got none"):
        Cached(encoder(), 4)("no tensor")
    assert Cached(encoder(), 4)(torch.zeros(0, 6, dtype=DOUBLE)).shape == (0, 4)


def head(classes: int = 40) -> ArcFaceLoss:
    torch.manual_seed(3)
    return ArcFaceLoss(num_classes=classes, embedding_size=6).double()


def test_a_rate_of_one_is_the_head() -> None:
    x, labels = batch()
    torch.testing.assert_close(SampledClasses(head(), 1.0)(x, labels), head()(x, labels))
    assert not torch.isclose(SampledClasses(head(), 0.3)(x, labels), head()(x, labels))
    assert torch.equal(SampledClasses(head(), 0.3).eval()(x, labels), head()(x, labels))


@pytest.mark.parametrize("sparse", [False, True])
def test_the_loss_is_the_heads_over_the_classes_that_were_drawn(sparse: bool) -> None:
    x, labels = batch()
    sampled = SampledClasses(head(), 0.25, sparse=sparse)
    torch.manual_seed(4)
    chosen = sampled.chosen(labels)
    assert len(chosen.unique()) == max(10, len(x))
    assert set(labels.tolist()) <= set(chosen.tolist())
    torch.manual_seed(4)
    loss = sampled(x, labels, sample_weight=torch.arange(30, dtype=DOUBLE))
    place = torch.tensor([chosen.tolist().index(label) for label in labels.tolist()])
    weight = sampled.head.weight.detach().clone().requires_grad_()
    wanted = arcface_loss(x, weight[chosen], place, sample_weight=torch.arange(30, dtype=DOUBLE))
    torch.testing.assert_close(loss, wanted)
    loss.backward()
    wanted.backward()
    assert sampled.head.weight.grad is not None
    assert sampled.head.weight.grad.is_sparse == sparse
    torch.testing.assert_close(sampled.head.weight.grad.to_dense(), weight.grad)


def test_each_step_draws_others_and_few_where_few_are_wanted() -> None:
    labels = torch.tensor([7, 7, 99_999])
    sampled = SampledClasses(NormalizedSoftmaxLoss(num_classes=100_000, embedding_size=2), 0.001)
    first, second = sampled.chosen(labels), sampled.chosen(labels)
    assert len(first) == len(second) == 100
    assert len(set(first.tolist()) & set(second.tolist())) < 10


def test_what_is_no_head_is_refused() -> None:
    with pytest.raises(TypeError, match="head: wanted a loss with a weight"):
        SampledClasses(HingeLoss())  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="rate: wanted"):
        SampledClasses(head(), 0.0)
    with pytest.raises(IndexError, match=r"labels: wanted class indices in \[0, 40\)"):
        SampledClasses(head())(batch()[0], torch.full((30,), 40))


@pytest.mark.parametrize(("sparse", "stays"), [(True, True), (False, False)])
def test_a_class_that_is_not_drawn_keeps_its_weight_and_its_moments(sparse: bool, stays: bool) -> None:
    """Under Adam of sparse gradients; a dense zero is a gradient too, by which moments fade and still move weights."""
    torch.manual_seed(0)
    head = NormalizedSoftmaxLoss(num_classes=50, embedding_size=3)
    sampled = SampledClasses(head, 0.1, sparse=sparse)
    optimizer = torch.optim.SparseAdam([head.weight]) if sparse else torch.optim.Adam([head.weight])
    states: list[tuple[torch.Tensor, torch.Tensor]] = []
    for first in (0, 10):
        sampled(torch.randn(4, 3), torch.arange(first, first + 4)).backward()
        optimizer.step()
        optimizer.zero_grad()
        states.append((head.weight.detach().clone(), optimizer.state[head.weight]["exp_avg"].clone()))
    (before, moments), (after, later) = states
    assert (moments[:4] != 0).all()  # drawn in the first step: of the first labels
    kept = [torch.equal(x[:4], y[:4]) for x, y in ((before, after), (moments, later))]
    assert kept == [stays, stays]
