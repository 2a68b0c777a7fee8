"""The area under the ROC curve by squares, beside all pairs and beside its authors' saddle point."""

from typing import Any

import pytest
import torch
from torch import Tensor

import lossary

L: Any = lossary.functional


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_below_the_margin_it_is_the_squared_error_of_all_pairs() -> None:
    z, yes = draw(12), torch.arange(12) % 4 == 1
    pairs = 1 - (z[yes][:, None] - z[~yes])
    want = pairs.square().mean()
    assert z[yes].mean() - z[~yes].mean() < 1
    torch.testing.assert_close(L.auc_margin_loss(z, yes), want)
    beyond = z + 3 * yes
    assert L.auc_margin_loss(beyond, yes) < (1 - (beyond[yes][:, None] - beyond[~yes])).square().mean()


@pytest.mark.parametrize("lift", [0.0, 3.0])
def test_it_is_libaucs_at_the_best_of_what_that_follows(lift: float) -> None:
    """LibAUC's formula at the least a and b and the greatest alpha, over the shares of yes and of no."""
    z, yes = draw(10, seed=1), torch.arange(10) % 4 == 0
    z = z + lift * yes
    p, y = yes.double().mean(), yes.double()
    a, b = z[yes].mean(), z[~yes].mean()
    alpha = (1.0 + b - a).clamp_min(0)
    theirs = (1 - p) * ((z - a).square() * y).mean() + p * ((z - b).square() * (1 - y)).mean()
    theirs = theirs + 2 * alpha * (p * (1 - p) + (p * z * (1 - y) - (1 - p) * z * y).mean()) - p * (1 - p) * alpha**2
    torch.testing.assert_close(L.auc_margin_loss(z, yes), theirs / (p * (1 - p)))


def test_more_copies_of_no_change_nothing() -> None:
    """Unlike cross-entropy, it does not see how rare yes is."""
    z, yes = draw(8), torch.arange(8) < 3
    more = torch.cat([z, *[z[~yes]] * 9]), torch.cat([yes, *[yes[~yes]] * 9])
    torch.testing.assert_close(L.auc_margin_loss(*more), L.auc_margin_loss(z, yes))


def test_many_labels_are_the_mean_of_those_that_have_both() -> None:
    z = draw(6, 4)
    yes = torch.tensor([[1, 0, 1, 0], [0, 0, 1, 1], [1, 0, 1, 0], [0, 0, 1, 0], [0, 0, 1, 1], [1, 0, 1, 1]])
    want = torch.stack([L.auc_margin_loss(z[:, c], yes[:, c]) for c in (0, 3)]).mean()
    torch.testing.assert_close(L.auc_margin_loss(z, yes), want)
    assert L.auc_margin_loss(z[:, 1:3], yes[:, 1:3]) == 0
    masked = L.auc_margin_loss(z, yes, mask=(torch.arange(4) != 3).expand(6, 4))
    torch.testing.assert_close(masked, L.auc_margin_loss(z[:, 0], yes[:, 0]))
