"""Cross-entropy of the hardest items, and with classes that fade, beside plain references."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import lossary

L: Any = lossary.functional
G = torch.Generator().manual_seed(0)
Z = 3 * torch.randn(30, 6, dtype=torch.float64, generator=G)
Y = torch.randint(6, (30,), generator=G)
P = Z.softmax(1)


def true(x: Tensor) -> Tensor:
    return x.gather(1, Y[:, None])[:, 0]


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("threshold", [None, 0.3])
def test_the_hardest_items_alone(fraction: float, threshold: float | None) -> None:
    losses = F.cross_entropy(Z, Y, reduction="none")
    kept = torch.zeros(30, dtype=torch.bool)
    kept[losses.argsort(descending=True)[: round(fraction * 30)]] = True
    if threshold is not None:
        kept |= true(P) < threshold
    given = {"fraction": fraction, "threshold": threshold}
    torch.testing.assert_close(L.ohem_cross_entropy_loss(Z, Y, reduction="none", **given), losses * kept)
    want = losses[kept].mean() if kept.any() else losses.new_zeros(())
    torch.testing.assert_close(L.ohem_cross_entropy_loss(Z, Y, **given), want)


def test_items_that_do_not_count_are_not_among_those_of_which_a_share_is_kept() -> None:
    y = torch.where(torch.arange(30) < 10, -100, Y)
    got = L.ohem_cross_entropy_loss(Z, y, fraction=0.25)
    torch.testing.assert_close(got, L.ohem_cross_entropy_loss(Z[10:], Y[10:], fraction=0.25))


def test_of_equal_items_the_first_are_kept() -> None:
    z = torch.zeros(8, 3)
    kept = L.ohem_cross_entropy_loss(z, torch.zeros(8, dtype=torch.int64), fraction=0.3, reduction="none") > 0
    assert kept.tolist() == [True] * 3 + [False] * 5


def by_timm(z: Tensor, y: Tensor, yes: float, no: float, smoothing: float) -> Tensor:
    """As its AsymmetricLossSingleLabel has it."""
    hot, logp = F.one_hot(y, z.shape[1]).double(), z.log_softmax(1)
    p = logp.exp()
    away = 1 - p * hot - (1 - p) * (1 - hot)
    share = hot * (1 - smoothing) + smoothing / z.shape[1]
    return -(share * logp * away ** (yes * hot + no * (1 - hot))).sum(1)


@pytest.mark.parametrize(
    ("yes", "no", "smoothing"), [(1.0, 4.0, 0.1), (0.0, 2.0, 0.4), (2.0, 0.0, 0.1), (0.0, 0.0, 0.2)]
)
def test_asymmetric_softmax_is_timm_s(yes: float, no: float, smoothing: float) -> None:
    given = {"gamma_positive": yes, "gamma_negative": no, "label_smoothing": smoothing}
    z = Z.clone().requires_grad_()
    got, want = L.asymmetric_softmax_loss(z, Y, reduction="none", **given), by_timm(z, Y, yes, no, smoothing)
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-14)
    (g,), (h,) = (torch.autograd.grad(loss.sum(), z) for loss in (got, want))
    torch.testing.assert_close(g, h, rtol=1e-8, atol=1e-12)


def test_without_powers_it_is_smoothed_cross_entropy_and_without_smoothing_focal_loss() -> None:
    plain = L.asymmetric_softmax_loss(Z, Y, gamma_positive=0.0, gamma_negative=0.0, label_smoothing=0.3)
    torch.testing.assert_close(plain, F.cross_entropy(Z, Y, label_smoothing=0.3))
    focal = L.asymmetric_softmax_loss(Z, Y, gamma_positive=2.0, label_smoothing=0.0)
    torch.testing.assert_close(focal, L.focal_loss(Z, Y, gamma=2.0))


@pytest.mark.parametrize("name", ["symmetric_cross_entropy_loss", "ohem_cross_entropy_loss"])
def test_over_a_linear_head(name: str) -> None:
    x, w = torch.randn(30, 4, generator=G, dtype=torch.float64), torch.randn(6, 4, generator=G, dtype=torch.float64)
    loss = getattr(L, name)
    torch.testing.assert_close(lossary.linear_loss(loss, x, w, Y), loss(x @ w.T, Y))
