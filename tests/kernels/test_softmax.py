"""Softmax cross-entropy of few scores: torch's own function and the exact statistics are one loss."""

import math

import pytest
import torch
from torch import Tensor

from lossary.kernels.rows import blocks, by_torch, routes
from lossary.kernels.rows import formula as rows
from lossary.kernels.rows.by_torch import SoftmaxWith
from lossary.kernels.rows.scores import Bilinear, Dense, Given, Targets
from lossary.kernels.rows.softmax import softmax_loss

LABELS = torch.tensor([0, 1, 0, 2, 1, 3])
TARGETS = {
    "one a row": Targets(LABELS),
    "one a row, groups": Targets(torch.arange(6), row_groups=LABELS, column_groups=LABELS),
    "a set against itself": Targets(LABELS, LABELS, own=True),  # classes 2 and 3 have no second item
    "given": Given(LABELS[:, None] == LABELS, LABELS[:, None] < LABELS),
}


def with_gradient(scores: Tensor, targets: Targets | Given) -> tuple[Tensor, Tensor]:
    loss = softmax_loss(Dense(scores), targets)
    return loss, torch.autograd.grad(loss, scores)[0]


@pytest.mark.parametrize("targets", TARGETS.values(), ids=TARGETS)
def test_both_ways_give_one_loss_and_gradient(targets: Targets | Given, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = torch.randn(6, 6, dtype=torch.float64, requires_grad=True)
    found = with_gradient(scores, targets)
    monkeypatch.setattr(by_torch, "EXACT", math.inf)
    torch.testing.assert_close(found, with_gradient(scores, targets))


@pytest.mark.parametrize("targets", [Targets(torch.arange(4)), Targets(torch.arange(4), torch.arange(4))])
def test_rows_that_are_nearly_right_keep_their_digits(targets: Targets) -> None:
    scores = (20 * torch.eye(4)).requires_grad_()
    loss, _ = with_gradient(scores, targets)
    torch.testing.assert_close(loss.item(), math.log1p(3 * math.exp(-20)), rtol=1e-5, atol=0)


def with_margin(scores: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    formula = SoftmaxWith(lambda rows: rows.target - margin)
    loss = rows.row_loss(formula, Dense(scores), Targets(torch.arange(4)))
    return loss, torch.autograd.grad(loss, scores)[0]


def test_with_another_score_in_the_targets_place_both_ways_give_one_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = torch.randn(4, 4, dtype=torch.float64, requires_grad=True)
    found = with_margin(scores, 0.5)
    monkeypatch.setattr(by_torch, "EXACT", math.inf)
    torch.testing.assert_close(found, with_margin(scores, 0.5))


def test_with_a_margin_rows_that_are_nearly_right_keep_their_digits() -> None:
    scores = (20 * torch.eye(4)).requires_grad_()
    loss, _ = with_margin(scores, 0.5)
    torch.testing.assert_close(loss.item(), math.log1p(3 * math.exp(-19.5)), rtol=1e-5, atol=0)


def test_no_row_with_a_target_is_zero() -> None:
    loss, gradient = with_gradient(torch.randn(3, 3, requires_grad=True), Targets(torch.arange(3), LABELS[:3] + 7))
    assert loss == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("classes", [1, 2, 7])
@pytest.mark.parametrize("weighted", [False, True])
def test_blocks_take_the_losses_closed_form(classes: int, weighted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one pass, whose derivatives no autograd takes; and to the same digits as by the scores at once."""
    x, w = (torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for n in (6, classes))
    labels = LABELS % classes
    rest = {"weight": torch.rand(6, dtype=torch.float64) if weighted else None, "reduction": "sum"}
    wanted = softmax_loss(Dense(x @ w.T), Targets(labels), **rest)
    monkeypatch.setattr(rows, "CPU_PLAIN", 0)
    monkeypatch.setattr(blocks, "block_rows", lambda *_: 4)
    monkeypatch.setattr(routes, "differentiate", lambda *_: pytest.fail("differentiated by autograd"))
    found = softmax_loss(Bilinear(x, w), Targets(labels), **rest)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(torch.autograd.grad(found, (x, w)), torch.autograd.grad(wanted, (x, w)))
