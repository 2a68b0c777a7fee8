"""Divergences: the identity that ties them together, kinds of input, zeros."""

from typing import Any

import pytest
import torch
from torch import Tensor

import lossary.functional as L
from lossary import cross_entropy_of, entropy


def distributions() -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    z = torch.randn(2, 6, 5, generator=g, dtype=torch.float64)
    return z[0].softmax(1), z[1].softmax(1)


def test_cross_entropy_is_entropy_plus_divergence() -> None:
    p, q = distributions()
    divergence = L.kl_divergence_loss(q, p, input_kind="probabilities", reduction="none")
    found = cross_entropy_of(p, q, reduction="none")
    torch.testing.assert_close(found, divergence + entropy(p, reduction="none"))
    torch.testing.assert_close(L.cross_entropy(q.log(), p, reduction="none"), found)


def test_divergence_and_cross_entropy_pull_alike() -> None:
    p, q = distributions()
    z = q.log().requires_grad_()
    losses = (L.kl_divergence_loss(z, p), L.cross_entropy(z, p))
    torch.testing.assert_close(*(torch.autograd.grad(loss, z)[0] for loss in losses))


def test_kinds_agree() -> None:
    p, q = distributions()
    forms: dict[Any, Any] = {
        "probabilities": lambda x: x,
        "log_probabilities": torch.log,
        "logits": lambda x: x.log() + 3,
    }
    wanted = (p * (p / q).log()).sum(1).mean()
    for input_kind, of_input in forms.items():
        for target_kind, of_target in forms.items():
            found = L.kl_divergence_loss(of_input(q), of_target(p), input_kind=input_kind, target_kind=target_kind)
            torch.testing.assert_close(found, wanted)
    for kind, form in forms.items():
        torch.testing.assert_close(entropy(form(p), kind=kind), entropy(p))


def test_kl_div_is_the_divergence_only_by_batchmean() -> None:
    p, q = distributions()
    divergence = L.kl_divergence_loss(q.log(), p)
    torch.testing.assert_close(L.kl_div(q.log(), p, reduction="batchmean"), divergence)
    torch.testing.assert_close(L.kl_div(q.log(), p), divergence / 5)


def test_nothing_times_the_log_of_nothing_is_nothing() -> None:
    p = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    q = p.clone().requires_grad_()
    loss = L.kl_divergence_loss(q, p, input_kind="probabilities")
    loss.backward()
    assert loss.item() == 0
    assert q.grad is not None
    assert q.grad.tolist() == [[-1.0, 0.0]]
    assert entropy(p).item() == 0
    assert L.kl_div(p.log(), p, reduction="sum").item() == 0


def test_impossible_where_it_happens_is_infinite() -> None:
    p, q = torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]])
    assert L.kl_divergence_loss(q, p, input_kind="probabilities").item() == torch.inf
    assert cross_entropy_of(p, q).item() == torch.inf


def test_entropy_of_the_undecided_is_log_of_the_classes() -> None:
    torch.testing.assert_close(entropy(torch.zeros(2, 7), kind="logits"), torch.tensor(7.0).log())


def test_class_dimension_may_be_anywhere() -> None:
    p, q = (x.reshape(2, 3, 5) for x in distributions())
    last = L.kl_divergence_loss(q.log(), p, dim=-1, reduction="none")
    torch.testing.assert_close(L.kl_divergence_loss(q.log().mT, p.mT, reduction="none"), last)
    assert last.shape == (2, 3)


def test_negative_probabilities_are_refused() -> None:
    with pytest.raises(ValueError, match="target: wanted probabilities, none below 0"):
        L.kl_div(torch.zeros(1, 2), torch.tensor([[1.5, -0.5]]))
    with pytest.raises(ValueError, match="p: wanted probabilities, none below 0"):
        entropy(torch.tensor([[1.5, -0.5]]))


def test_masked_probabilities_may_be_anything() -> None:
    p, mask = torch.tensor([[0.5, 0.5], [-torch.inf, 3.0]]), torch.tensor([True, False])
    kwargs: dict[str, Any] = {"input_kind": "probabilities", "target_kind": "probabilities"}
    assert L.kl_divergence_loss(p, torch.full((2, 2), 0.5), mask=mask, **kwargs) == 0
    each: tuple[dict[str, Any], ...] = ({"mask": mask}, {"sample_weight": mask.float()})
    for counts in each:
        assert L.kl_div(torch.full((2, 2), 0.5).log(), p, **counts) == 0


def test_a_probability_that_is_nan_is_not_0() -> None:
    p, t = torch.tensor([[0.5, torch.nan]]), torch.tensor([[0.5, 0.5]])
    assert L.kl_divergence_loss(p, t, input_kind="probabilities").isnan()
