"""Penalties: worked numbers, which weights count, and a loss with them added."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

import lossary
from lossary import Regularized, elastic_net_penalty, l1_penalty, l2_penalty, weights_of

SPARSE, EVEN = torch.tensor([1.0, 0.0, 0.0, 0.0]), torch.full((4,), 0.25)


def test_squares_prefer_even_weights_and_sizes_do_not_care() -> None:
    assert (l2_penalty(SPARSE).item(), l2_penalty(EVEN).item()) == (1.0, 0.25)
    assert (l1_penalty(SPARSE).item(), l1_penalty(EVEN).item()) == (1.0, 1.0)


def test_biases_are_left_out() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.LSTM(4, 2))
    counted = {id(w) for w in weights_of(model)}
    assert {name for name, p in model.named_parameters() if id(p) not in counted} == {
        "0.bias",
        "1.bias",
        "2.bias_ih_l0",
        "2.bias_hh_l0",
    }
    assert len(weights_of(model, biases=True)) == len(list(model.parameters()))
    torch.testing.assert_close(l2_penalty(model), sum(w.square().sum() for w in weights_of(model)))


def test_weights_by_any_other_name_count() -> None:
    model = nn.Linear(3, 2)
    model.register_parameter("centers", nn.Parameter(torch.ones(2, 3)))
    assert {id(w) for w in weights_of(model)} == {id(model.weight), id(model.centers)}


def test_weight_decay_is_twice_the_strength() -> None:
    """With plain SGD; the docstring says so."""
    start = torch.tensor([1.0, -2.0, 0.5])
    by_penalty, by_decay = (nn.Parameter(start.clone()) for _ in range(2))
    l2_penalty(by_penalty, strength=0.3).backward()
    by_decay.grad = torch.zeros(3)
    torch.optim.SGD([by_penalty], lr=0.1).step()
    torch.optim.SGD([by_decay], lr=0.1, weight_decay=0.6).step()
    torch.testing.assert_close(by_penalty, by_decay)


def test_regularized_is_the_sum() -> None:
    model = nn.Linear(3, 2)
    loss = Regularized(lossary.MSELoss(), model, l1=0.1, l2=0.2)
    x, y = torch.randn(5, 3), torch.randn(5, 2)
    wanted = lossary.mse_loss(model(x), y) + elastic_net_penalty(model.weight, l1=0.1, l2=0.2)
    torch.testing.assert_close(loss(model(x), y), wanted)
    with_biases = Regularized(lossary.MSELoss(), model, l2=0.2, biases=True)
    wanted = lossary.mse_loss(model(x), y) + l2_penalty(model.parameters(), strength=0.2)
    torch.testing.assert_close(with_biases(model(x), y), wanted)


def test_regularized_does_not_own_the_model() -> None:
    model = nn.Linear(3, 2)
    loss = Regularized(lossary.MSELoss(), model, l2=0.2)
    assert list(loss.parameters()) == []
    assert loss.state_dict() == {}
    pair = copy.deepcopy(nn.ModuleDict({"model": model, "loss": loss}))
    assert pair["loss"]._model[0] is pair["model"]
    assert "l2=0.2" in repr(loss)


def test_nothing_to_penalise_is_zero() -> None:
    assert l2_penalty([]).item() == 0
    assert l1_penalty(nn.ReLU()).item() == 0


def test_negative_strengths_are_refused() -> None:
    with pytest.raises(ValueError, match="strength: wanted a finite number"):
        l2_penalty(SPARSE, strength=-1.0)
    with pytest.raises(ValueError, match="l1: wanted a finite number"):
        Regularized(lossary.MSELoss(), nn.Linear(1, 1), l1=-1.0)


@pytest.mark.parametrize("penalty", [l1_penalty, l2_penalty])
def test_a_strength_of_one_entry_leaves_a_scalar(penalty: Callable[..., torch.Tensor]) -> None:
    assert penalty(EVEN, strength=torch.tensor([2.0])).shape == ()


def test_weights_that_are_no_tensors_are_named() -> None:
    with pytest.raises(TypeError, match="weights: wanted a tensor; got float"):
        l1_penalty([1.0, 2.0])  # pyright: ignore[reportArgumentType]
