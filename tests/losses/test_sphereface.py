"""SphereFace's psi, its annealing in the state, the margins in one, and SphereFace2 beside the authors' code."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.kernels.rows import formula
from lossary.losses.identities.angular import arcface_loss, cosface_loss, normalized_softmax_loss
from lossary.losses.identities.extended import combined_margin_loss
from lossary.losses.identities.sphereface import Annealing, SphereFaceLoss, sphereface2_loss, sphereface_loss


def batch() -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    x, w = (torch.randn(n, 5, generator=g, dtype=torch.float64) for n in (6, 7))
    return x, w, torch.randint(7, (6,), generator=g)


def target_score(theta: float, margin: int) -> float:
    """What the loss makes of an embedding of length 1 at ``theta`` from its class, beside a class at a right angle."""
    x = torch.tensor([[math.cos(theta), math.sin(theta), 0.0]], dtype=torch.float64)
    w = torch.eye(3, dtype=torch.float64)[[0, 2]]
    loss = sphereface_loss(x, w, torch.tensor([0]), margin=margin, annealing=0.0)
    return -math.log(math.expm1(loss.item()))


@pytest.mark.parametrize("margin", [1, 2, 3, 4])
@pytest.mark.parametrize("theta", [0.2, 1.0, 1.7, 2.6, 3.1])
def test_psi_is_the_paper_s(margin: int, theta: float) -> None:
    k = math.floor(theta * margin / math.pi)
    assert target_score(theta, margin) == pytest.approx((-1) ** k * math.cos(margin * theta) - 2 * k, rel=1e-9)


def test_a_margin_may_be_a_whole_float() -> None:
    """As an optimiser of hyperparameters or a YAML file gives it."""
    torch.testing.assert_close(sphereface_loss(*batch(), margin=2.0), sphereface_loss(*batch(), margin=2))


def test_margin_one_is_the_modified_softmax() -> None:
    expected = normalized_softmax_loss(*batch(), scale=1.0, normalize_embeddings=False)
    torch.testing.assert_close(sphereface_loss(*batch(), margin=1, annealing=0.0), expected)


def test_much_annealing_is_the_plain_softmax() -> None:
    expected = normalized_softmax_loss(*batch(), scale=8.0)
    torch.testing.assert_close(sphereface_loss(*batch(), scale=8.0, annealing=1e12), expected)


def test_annealing_goes_on_where_a_saved_training_stopped() -> None:
    x, _, labels = batch()

    def made() -> SphereFaceLoss:
        torch.manual_seed(0)
        return SphereFaceLoss(num_classes=7, embedding_size=5, annealing=Annealing(base=100.0)).double()

    first, resumed = made(), made()
    losses = [first(x, labels).item() for _ in range(4)]
    assert losses == sorted(losses)  # the margin comes in
    resumed.load_state_dict(first.state_dict())
    assert resumed(x, labels).item() > losses[-1]
    first.eval()
    assert first(x, labels).item() == first(x, labels).item()


def test_annealing_ends_at_its_minimum() -> None:
    assert Annealing()(torch.tensor(0.0)) == 1000
    assert Annealing()(torch.tensor(1e6)) == 5


@pytest.mark.parametrize("beyond_pi", ["psi", "plain"])
def test_combined_margin_has_the_others_as_special_cases(beyond_pi) -> None:
    options = {"scale": 9.0, "beyond_pi": beyond_pi}
    cosface = combined_margin_loss(*batch(), m1=1.0, m2=0.0, m3=0.2, **options)
    torch.testing.assert_close(cosface, cosface_loss(*batch(), margin=0.2, scale=9.0))
    plain = combined_margin_loss(*batch(), m1=1.0, m2=0.4, m3=0.0, scale=9.0, beyond_pi="plain")
    torch.testing.assert_close(plain, arcface_loss(*batch(), margin=0.4, scale=9.0, beyond_pi="plain"))
    sphere = combined_margin_loss(*batch(), m1=4.0, m2=0.0, m3=0.0, scale=9.0)
    torch.testing.assert_close(sphere, sphereface_loss(*batch(), margin=4, scale=9.0, annealing=0.0))


def authors(x: Tensor, w: Tensor, y: Tensor, share: float, r: float, m: float, t: float, b: float, lw: float) -> Tensor:
    """The forward of the authors' SphereFace2."""
    cos = F.normalize(x) @ F.normalize(w).T
    own = F.one_hot(y, len(w)).to(x.dtype)
    with torch.no_grad():
        shift = 2 * ((cos + 1) / 2).pow(t) - 1 - m * (2 * own - 1) - cos
    weight = lw * len(w) / r * (share * own + (1 - share) * (1 - own))
    return F.binary_cross_entropy_with_logits(r * (cos + shift) + b, own, weight=weight)


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize(("share", "r", "m", "t", "b"), [(0.7, 40.0, 0.4, 3.0, -5.0), (0.4, 8.0, 0.1, 2.0, 1.0)])
def test_sphereface2_is_the_authors(
    monkeypatch: pytest.MonkeyPatch, blocks: bool, share: float, r: float, m: float, t: float, b: float
) -> None:
    if blocks:
        monkeypatch.setattr(formula, "CPU_PLAIN", -1)
    x, w, labels = (part.requires_grad_() if part.is_floating_point() else part for part in batch())
    given: dict[str, Any] = {"balance": share, "scale": r, "margin": m, "t": t, "bias": b}
    got = 50 * sphereface2_loss(x, w, labels, **given, gradient="straight_through")
    want = authors(x, w, labels, share, r, m, t, b, 50.0)
    torch.testing.assert_close(got, want)
    for a, e in zip(*(torch.autograd.grad(v, (x, w)) for v in (got, want)), strict=True):
        torch.testing.assert_close(a, e)
    torch.testing.assert_close(50 * sphereface2_loss(x, w, labels, **given), want)


@pytest.mark.parametrize("classes", [2, 5, 1000])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
def test_sphereface2_begins_with_the_bias_that_right_angles_do_not_move(classes: int, share: float) -> None:
    x, w = torch.zeros(1, 3, dtype=torch.float64), torch.ones(classes, 3, dtype=torch.float64)
    start = sphereface2_loss(x, w, torch.tensor([0]), balance=share)
    for shift in (-1e-3, 1e-3):
        moved = sphereface2_loss(x, w, torch.tensor([0]), balance=share, bias=bias_of(classes, share) + shift)
        assert moved > start


def bias_of(classes: int, share: float, r: float = 40.0, m: float = 0.4, t: float = 3.0) -> float:
    """Where the derivative by the bias changes its sign, halved down to."""
    at_rest, low, high = 2 * 0.5**t - 1, -200.0, 200.0
    for _ in range(200):
        b = (low + high) / 2
        yes, no = (1 / (1 + math.exp(e)) for e in (r * (at_rest - m) + b, -r * (at_rest + m) - b))
        low, high = (b, high) if share * yes > (1 - share) * (classes - 1) * no else (low, b)
    return low
