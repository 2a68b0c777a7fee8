"""Margins that adapt: the dense formulas as the authors write them, what is followed over a training, special cases."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.compose.sampled import SampledClasses
from lossary.kernels.rows import formula
from lossary.losses.identities.adaptive import (
    AdaFaceLoss,
    MagFaceLoss,
    adaface_loss,
    magface_loss,
)
from lossary.losses.identities.angular import arcface_loss, cosface_loss
from lossary.losses.identities.extended import CurricularFaceLoss, curricularface_loss

F64 = torch.float64


def batch(count: int = 12, classes: int = 9, size: int = 5, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    x, w = (torch.randn(n, size, generator=g, dtype=F64) for n in (count, classes))
    labels = torch.randint(classes, (count,), generator=g)
    x = (x + 1.5 * F.normalize(w)[labels]) * torch.linspace(0.5, 4, count, dtype=F64)[:, None]
    return x.requires_grad_(), w.requires_grad_(), labels


def dense_adaface(x: Tensor, w: Tensor, y: Tensor, m: float, h: float, s: float) -> Tensor:
    """The head of the authors' code, without the ends that it cuts off from cosines and lengths."""
    cos, norms = F.normalize(x) @ F.normalize(w).T, x.detach().norm(dim=1, keepdim=True)
    scaler = ((norms - norms.mean()) / (norms.std() + 1e-3) * h).clip(-1, 1)
    own = F.one_hot(y, len(w)).to(x.dtype)
    theta = (cos.acos() - own * m * scaler).clip(0, math.pi)
    return F.cross_entropy(s * (theta.cos() - own * (m + m * scaler)), y)


def dense_magface(x: Tensor, w: Tensor, y: Tensor, scale: float, easy: bool) -> Tensor:
    """The authors' two terms, with their lengths and margins."""
    cos, a = F.normalize(x) @ F.normalize(w).T, x.norm(dim=1, keepdim=True).clamp(1, 5)
    m = 0.2 + (0.8 - 0.2) / (5 - 1) * (a - 1)
    shifted = cos * m.cos() - (1 - cos**2).sqrt() * m.sin()
    shifted = torch.where(cos > 0, shifted, cos) if easy else torch.where(cos > -m.cos(), shifted, cos - m * m.sin())
    own = F.one_hot(y, len(w)).bool()
    return F.cross_entropy(scale * torch.where(own, shifted, cos), y) + 3 * (1 / a + a / 25).mean()


def dense_curricular(x: Tensor, w: Tensor, y: Tensor, m: float, s: float, t: float) -> Tensor:
    cos = F.normalize(x) @ F.normalize(w).T
    target = cos.gather(1, y[:, None])
    shifted = target * math.cos(m) - (1 - target**2).sqrt() * math.sin(m)
    final = torch.where(target > math.cos(math.pi - m), shifted, target - m * math.sin(math.pi - m))
    return F.cross_entropy(s * torch.where(cos > shifted, cos * (t + cos), cos).scatter(1, y[:, None], final), y)


def assert_alike(got: Tensor, want: Tensor, *leaves: Tensor) -> None:
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)
    for a, b in zip(*(torch.autograd.grad(v, leaves) for v in (got, want)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("scale", [4.0, 64.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_losses_are_the_authors(monkeypatch: pytest.MonkeyPatch, blocks: bool, scale: float, seed: int) -> None:
    """Whether scores are held or made by blocks."""
    if blocks:
        monkeypatch.setattr(formula, "CPU_PLAIN", -1)
    x, w, y = batch(seed=seed)
    for m in (0.1, 0.4):
        for h in (0.333, 2.0):
            assert_alike(adaface_loss(x, w, y, margin=m, h=h, scale=scale), dense_adaface(x, w, y, m, h, scale), x, w)
        for t in (0.0, 0.4):
            got = curricularface_loss(x, w, y, margin=3 * m, scale=scale, t=t)
            assert_alike(got, dense_curricular(x, w, y, 3 * m, scale, t), x, w)
    for mode in ("easy", "linear"):
        given = {"l_a": 1.0, "u_a": 5.0, "l_margin": 0.2, "u_margin": 0.8, "lambda_g": 3.0}
        got = magface_loss(x, w, y, **given, scale=scale, beyond_pi=mode)
        assert_alike(got, dense_magface(x, w, y, scale, mode == "easy"), x, w)


def test_equal_lengths_are_of_equal_quality() -> None:
    """Halfway between ArcFace and CosFace: to the last digits of lengths that are rounded differently."""
    x, w, y = batch()
    x = F.normalize(x.detach().float()) * 7
    torch.testing.assert_close(
        adaface_loss(x, w.float(), y, scale=16.0),
        cosface_loss(x, w.float(), y, margin=0.4, scale=16.0),
        rtol=2e-3,
        atol=0,
    )


def test_the_worst_are_arcfaces_and_the_best_have_twice_the_margin_in_the_cosine() -> None:
    x, w, y = batch()
    given = {"margin": 0.3, "scale": 9.0, "norm_std": 0.001}
    worst = adaface_loss(x, w, y, norm_mean=100.0, **given)
    torch.testing.assert_close(worst, arcface_loss(x, w, y, margin=0.3, scale=9.0))
    best = adaface_loss(x, w, y, norm_mean=-100.0, **given)
    assert best > cosface_loss(x, w, y, margin=0.3, scale=9.0)


def test_lengths_get_a_gradient_where_it_is_asked_for() -> None:
    x, w, y = batch()
    along = {}
    for mode in ("held_margin", "exact"):
        (grad,) = torch.autograd.grad(adaface_loss(x, w, y, scale=8.0, gradient=mode), x)
        along[mode] = (grad * x).sum(1).abs().max().item()
    assert along["held_margin"] < 1e-14
    assert along["exact"] > 1e-4


def test_no_margin_and_no_hard_negative_is_arcface() -> None:
    x, w, y = batch()
    own, g = F.normalize(w)[y], torch.Generator().manual_seed(1)
    near = own + 0.05 * torch.randn(own.shape, generator=g, dtype=F64)
    torch.testing.assert_close(
        curricularface_loss(near, w, y, margin=0.1, scale=8.0, t=0.7), arcface_loss(near, w, y, margin=0.1, scale=8.0)
    )
    given = {"l_margin": 0.4, "u_margin": 0.4, "lambda_g": 0.0, "scale": 8.0, "beyond_pi": "linear"}
    torch.testing.assert_close(magface_loss(x, w, y, **given), arcface_loss(x, w, y, margin=0.4, scale=8.0))


def test_adaface_follows_the_batches_and_goes_on_where_it_stopped() -> None:
    made = AdaFaceLoss(num_classes=9, embedding_size=5, scale=8.0, momentum=0.25).double()
    mean = std = None
    for seed in range(4):
        x, _, y = batch(seed=seed, count=8 + seed)
        lengths = x.detach().norm(dim=1)
        mean = lengths.mean() if mean is None else 0.75 * mean + 0.25 * lengths.mean()
        std = lengths.std() if std is None else 0.75 * std + 0.25 * lengths.std()
        want = adaface_loss(x, made.weight, y, scale=8.0, norm_mean=mean, norm_std=std)
        torch.testing.assert_close(made(x, y), want)
    made(x[:0], y[:0])  # nothing is followed
    made(x, y, mask=torch.zeros(len(y), dtype=torch.bool))
    torch.testing.assert_close(made.get_buffer("lengths"), torch.stack([mean, std]))
    resumed = AdaFaceLoss(num_classes=9, embedding_size=5, scale=8.0).double().eval()
    resumed.load_state_dict(made.state_dict())
    torch.testing.assert_close(resumed(x, y), want)
    given = copy.deepcopy(made)
    given.norm_mean = 1.0
    torch.testing.assert_close(
        given.eval()(x, y), adaface_loss(x, made.weight, y, scale=8.0, norm_mean=1.0, norm_std=std)
    )


def test_a_curriculum_follows_the_cosines_of_those_that_count() -> None:
    made = CurricularFaceLoss(num_classes=9, embedding_size=5, scale=8.0, t=0.5, momentum=0.2).double()
    t = torch.tensor(0.5, dtype=F64)
    for seed in range(3):
        x, _, y = batch(seed=seed)
        mask = torch.arange(len(y)) % 3 > 0
        with torch.no_grad():
            x[~mask] = torch.nan
            cosines = (F.normalize(x[mask]) * F.normalize(made.weight)[y[mask]]).sum(1)
        t = 0.8 * t + 0.2 * cosines.mean()
        want = curricularface_loss(x[mask], made.weight, y[mask], scale=8.0, t=t.item())
        torch.testing.assert_close(made(x, y, mask=mask), want)
    torch.testing.assert_close(made.get_buffer("progress"), t)
    assert CurricularFaceLoss(num_classes=3, embedding_size=5).get_buffer("progress") == 0


@pytest.mark.parametrize("kind", [AdaFaceLoss, CurricularFaceLoss])
def test_a_share_is_one(kind) -> None:
    for momentum in (-0.1, 1.5, math.nan):
        with pytest.raises(ValueError, match=r"^momentum: wanted"):
            kind(num_classes=3, embedding_size=5, momentum=momentum)


def test_lengths_in_no_order_are_refused() -> None:
    for made in (lambda: magface_loss(*batch(), l_a=5.0, u_a=5.0), lambda: MagFaceLoss(9, 5, l_a=5.0, u_a=5.0)):
        with pytest.raises(ValueError, match=r"^u_a: wanted a number above l_a, 5.0; got 5.0"):
            made()


@pytest.mark.parametrize("kind", [AdaFaceLoss, CurricularFaceLoss])
def test_heads_of_sampled_classes_follow_their_batches_too(kind) -> None:
    x, _, y = batch(classes=40)
    whole = kind(num_classes=40, embedding_size=5, scale=8.0).double()
    part, all_of_it = copy.deepcopy(whole), copy.deepcopy(whole)
    torch.testing.assert_close(SampledClasses(all_of_it, rate=1.0)(x, y), whole(x, y))
    assert SampledClasses(part, rate=0.3)(x, y) < whole(x, y)
    for (name, want), other in zip(all_of_it.named_buffers(), part.buffers(), strict=True):
        torch.testing.assert_close(other, want, msg=name)
        assert want.isfinite().all()
        assert want.any()
