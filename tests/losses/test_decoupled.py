"""Contrast with negatives apart, made up for and weighed: the authors' dense code, and what they come to otherwise."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.kernels.rows import formula
from lossary.losses.views.decoupled import dcl_loss, hard_negative_contrastive_loss
from lossary.losses.views.mutual import nt_xent_loss

F64 = torch.float64


def batch(count: int = 7, size: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(count, size, generator=g, dtype=F64)
    z1, z2 = (z + 0.5 * torch.randn(count, size, generator=g, dtype=F64) for _ in range(2))
    return z1.requires_grad_(), z2.requires_grad_()


def dense_dcl(z1: Tensor, z2: Tensor, temperature: float, sigma: float | None) -> Tensor:
    """Both directions of lightly's, which holds its weights."""
    x, y, n = F.normalize(z1), F.normalize(z2), len(z1)
    own = (x * y).sum(1)
    weight = 1.0 if sigma is None else 2 - n * (own.detach() / sigma).softmax(0)
    losses = []
    for a, b in ((x, y), (y, x)):
        others = ~torch.eye(n, dtype=torch.bool).repeat(1, 2)
        scores = torch.cat([a @ a.T, a @ b.T], 1) / temperature
        losses.append(scores.masked_fill(~others, -torch.inf).logsumexp(1) - weight * own / temperature)
    return torch.stack(losses).mean()


def dense_hcl(z1: Tensor, z2: Tensor, t: float, tau_plus: float, beta: float) -> Tensor:
    """The authors' code in exponentials."""
    z, n = F.normalize(torch.cat([z1, z2])), len(z1)
    others = ~torch.eye(n, dtype=torch.bool).repeat(2, 2)
    neg = (z @ z.T / t).exp()[others].view(2 * n, -1)
    pos = ((z[:n] * z[n:]).sum(1) / t).exp().repeat(2)
    imp, count = neg**beta, 2 * n - 2
    g = ((imp * neg).sum(1) / imp.mean(1) - tau_plus * count * pos) / (1 - tau_plus)
    g = g.clamp_min(count * torch.tensor(-1 / t, dtype=F64).exp().item())
    return -(pos / (pos + g)).log().mean()


def assert_alike(got: Tensor, want: Tensor, *leaves: Tensor) -> None:
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)
    for a, b in zip(*(torch.autograd.grad(v, leaves) for v in (got, want)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("temperature", [0.05, 0.5, 2.0])
def test_losses_are_the_authors(monkeypatch: pytest.MonkeyPatch, blocks: bool, temperature: float) -> None:
    """Whether scores are held or made by blocks."""
    if blocks:
        monkeypatch.setattr(formula, "CPU_PLAIN", -1)
    for seed in range(2):
        z1, z2 = batch(seed=seed)
        assert_alike(dcl_loss(z1, z2, temperature=temperature), dense_dcl(z1, z2, temperature, None), z1, z2)
        got = dcl_loss(z1, z2, temperature=temperature, weighting="von_mises_fisher", sigma=0.3)
        assert_alike(got, dense_dcl(z1, z2, temperature, 0.3), z1, z2)
        for tau_plus, beta in ((0.1, 1.0), (0.3, 0.5), (0.05, 0.0), (0.0, 2.0)):
            given = {"tau_plus": tau_plus, "beta": beta}
            got = hard_negative_contrastive_loss(z1, z2, temperature=temperature, **given)
            assert_alike(got, dense_hcl(z1, z2, temperature, **given), z1, z2)


def test_without_a_correction_it_is_nt_xent() -> None:
    z1, z2 = batch()
    got = hard_negative_contrastive_loss(z1, z2, temperature=0.2, tau_plus=0.0, beta=0.0)
    torch.testing.assert_close(got, nt_xent_loss(z1, z2, temperature=0.2))


def test_the_positive_in_the_sum_is_all_that_parts_it_from_nt_xent() -> None:
    z1, z2 = batch()
    apart = dcl_loss(z1, z2, temperature=0.3, reduction="none")
    torch.testing.assert_close(nt_xent_loss(z1, z2, temperature=0.3, reduction="none"), F.softplus(apart))


def test_labels_are_views_too() -> None:
    z1, z2 = batch()
    labels = torch.arange(len(z1)).repeat(2)
    for given in ({}, {"weighting": "von_mises_fisher"}):
        torch.testing.assert_close(dcl_loss(torch.cat([z1, z2]), labels, **given), dcl_loss(z1, z2, **given))


@pytest.mark.parametrize("loss", [dcl_loss, hard_negative_contrastive_loss])
def test_items_that_are_the_same_are_no_negatives_and_masked_ones_nothing(loss) -> None:
    z1, z2 = batch()
    ids, mask = torch.tensor([3, 1, 3, 4, 5, 5, 6]), torch.tensor([True, True, True, True, False, True, True])
    got = loss(z1, z2, ids=ids, mask=mask, reduction="none")
    assert not got[[4, 11]].any()
    torch.testing.assert_close(got[got != 0], loss(z1[mask], z2[mask], ids=ids[mask], reduction="none"))
    there = ids != 3
    alone = torch.tensor([False, False, True, *there[3:].tolist()]) | torch.tensor([False, True, *[False] * 5])
    want = loss(z1[alone], z2[alone], ids=ids[alone], reduction="none")  # as item 2 sees it, without item 0
    torch.testing.assert_close(loss(z1, z2, ids=ids, reduction="none")[2], want[1])


def test_small_temperatures_do_not_overflow() -> None:
    z1, z2 = (z.float() for z in batch())
    for loss in (dcl_loss, hard_negative_contrastive_loss):
        single = loss(z1, z2, temperature=0.005)
        torch.testing.assert_close(
            single.double(), loss(z1.double(), z2.double(), temperature=0.005), rtol=1e-4, atol=0
        )
