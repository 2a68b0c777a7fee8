"""What the losses of preferences are to each other, and to the code that people know them from."""

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import lossary
from lossary import functional

KINDS = ("sigmoid", "robust", "hinge", "exo", "nca", "bco", "sppo", "apo_zero", "apo_down")
Pair = tuple[Tensor, Tensor]


def logps(seed: int = 0, scale: float = 20.0) -> list[Tensor]:
    """Of the chosen and the rejected answers, and the reference's of both."""
    g = torch.Generator().manual_seed(seed)
    return [-scale * torch.rand(64, generator=g, dtype=torch.float64) for _ in range(4)]


def as_trl(w: Tensor, l: Tensor, beta: float, e: float, kind: str) -> Tensor:
    """TRL's formulas, of the two log-ratios, as its trainer writes them."""
    h = beta * (w - l)
    one, other = F.logsigmoid(h), F.logsigmoid(-h)
    return {
        "sigmoid": lambda: -(1 - e) * one - e * other,
        "robust": lambda: (-(1 - e) * one + e * other) / (1 - 2 * e),
        "hinge": lambda: torch.relu(1 - h),
        "exo": lambda: (
            h.sigmoid() * (one - torch.log1p(torch.tensor(-e).double()))
            + (-h).sigmoid() * (other - torch.tensor(e).double().log())
        ),
        "nca": lambda: -F.logsigmoid(beta * w) - 0.5 * F.logsigmoid(-beta * w) - 0.5 * F.logsigmoid(-beta * l),
        "bco": lambda: -F.logsigmoid(beta * w) - F.logsigmoid(-beta * l),
        "sppo": lambda: (w - 0.5 / beta) ** 2 + (l + 0.5 / beta) ** 2,
        "apo_zero": lambda: 1 - torch.sigmoid(beta * w) + torch.sigmoid(beta * l),
        "apo_down": lambda: torch.sigmoid(beta * w) + 1 - torch.sigmoid(h),
    }[kind]()


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_are_those_of_trl(kind: Any) -> None:
    smoothings = {"exo": (1e-3, 0.2), "robust": (0.0, 0.3), "sigmoid": (0.0, 0.3)}.get(kind, (0.0,))
    for beta, e in itertools.product((0.05, 0.1, 1.0), smoothings):
        w, l, of_w, of_l = logps()
        got = functional.dpo_loss(w, l, of_w, of_l, beta=beta, label_smoothing=e, kind=kind, reduction="none")
        torch.testing.assert_close(got, as_trl(w - of_w, l - of_l, beta, e, kind))


def test_a_smoothing_that_a_kind_does_not_know_is_refused() -> None:
    for kind, e in (("hinge", 0.1), ("apo_zero", 0.1), ("robust", 0.5), ("exo", 0.0)):
        with pytest.raises(ValueError, match="label_smoothing: wanted"):
            functional.dpo_loss(*logps(), kind=kind, label_smoothing=e)  # pyright: ignore[reportArgumentType]


def test_robust_dpo_is_free_of_the_bias_of_flipped_labels() -> None:
    """Over labels of which a share e is flipped its mean is the loss of the true ones."""
    w, l, of_w, of_l = logps()
    e, kind = 0.2, {"kind": "robust", "label_smoothing": 0.2}
    right, flipped = lossary.dpo_loss(w, l, of_w, of_l, **kind), lossary.dpo_loss(l, w, of_l, of_w, **kind)  # pyright: ignore[reportArgumentType]
    torch.testing.assert_close((1 - e) * right + e * flipped, lossary.dpo_loss(w, l, of_w, of_l))


def test_only_gains_on_the_reference_count() -> None:
    w, l, of_w, of_l = logps()
    for kind in ("sigmoid", "bco"):
        moved = lossary.dpo_loss(w - 7, l + 3, of_w - 7, of_l + 3, kind=kind)
        torch.testing.assert_close(moved, lossary.dpo_loss(w, l, of_w, of_l, kind=kind))


def test_ipo_is_at_rest_where_the_lead_is_as_large_as_asked() -> None:
    w, l, of_w, of_l = logps(scale=1.0)
    asked = l - of_l + of_w + 1 / (2 * 0.25)
    leaf = asked.clone().requires_grad_()
    loss = lossary.ipo_loss(leaf, l, of_w, of_l, beta=0.25)
    assert loss < 1e-25
    assert torch.autograd.grad(loss, leaf)[0].abs().max() < 1e-12
    more, less = (lossary.ipo_loss(asked + d, l, of_w, of_l, beta=0.25) for d in (0.5, -0.5))
    torch.testing.assert_close(more, less)  # a longer lead is as wrong as a shorter one
    torch.testing.assert_close(more.item(), 0.25)
    assert w.shape == l.shape


def test_one_loss_at_the_ends_of_another() -> None:
    w, l, of_w, of_l = logps(scale=2.0)
    nothing = torch.zeros_like(w)
    dpo = lossary.dpo_loss(w, l, nothing, nothing, beta=0.7)
    torch.testing.assert_close(lossary.cpo_loss(w, l, beta=0.7, nll_weight=0.0), dpo)
    torch.testing.assert_close(lossary.simpo_loss(w, l, beta=0.7, gamma=0.0), dpo)
    torch.testing.assert_close(lossary.bradley_terry_loss(0.7 * w, 0.7 * l), dpo)
    torch.testing.assert_close(lossary.soft_margin_loss(0.7 * (w - l), torch.ones_like(w)), dpo)
    gamma = torch.full_like(w, 1.3)
    torch.testing.assert_close(
        lossary.simpo_loss(w, l, beta=2.0, gamma=1.3), lossary.bradley_terry_loss(2 * w, 2 * l, margins=gamma)
    )
    torch.testing.assert_close(lossary.orpo_loss(w, l, beta=0.0), -w.mean())
    torch.testing.assert_close(lossary.cpo_loss(w, l) - lossary.cpo_loss(w, l, nll_weight=0.0), -w.mean())
    apo = lossary.dpo_loss(w, l, of_w, of_l, kind="apo_zero", beta=0.3)
    liked, disliked = (
        lossary.kto_loss(p, q, torch.full((64,), y), beta=0.3) for p, q, y in ((w, of_w, 1), (l, of_l, 0))
    )
    torch.testing.assert_close(liked + disliked, apo)


def test_odds_stay_exact_where_an_answer_is_nearly_certain() -> None:
    """log(1 - exp(x)), computed directly, is -inf in float32 from -3e-8 on."""
    w, l = torch.tensor([-1e-8, -1e-12, -3.0]), torch.tensor([-2.0, -1e-8, -1e-8])
    naive = -w.double() - 0.1 * F.logsigmoid(
        (w.double() - torch.log(-torch.expm1(w.double()))) - (l.double() - torch.log(-torch.expm1(l.double())))
    )
    assert torch.log1p(-w.exp()).isinf()[0]
    torch.testing.assert_close(lossary.orpo_loss(w, l, reduction="none").double(), naive, rtol=1e-6, atol=0)


def test_kto_weights_its_two_kinds_outside_of_the_divisor() -> None:
    p, q, *_ = logps()
    target = torch.arange(64) % 3 == 0
    found = lossary.kto_loss(p, q, target, desirable_weight=2.0, undesirable_weight=0.5, kl=1.0)
    gain = 0.1 * (p - q - 1)
    wanted = torch.where(target, 2 * (1 - gain.sigmoid()), 0.5 * (1 - (-gain).sigmoid()))
    torch.testing.assert_close(found, wanted.mean())
    assert lossary.kto_loss(p, q, target, kl=-3.0) == lossary.kto_loss(p, q, target)


def test_the_center_is_all_that_pulls_rewards_to_zero() -> None:
    w, l, *_ = logps()
    torch.testing.assert_close(lossary.bradley_terry_loss(w + 5, l + 5), lossary.bradley_terry_loss(w, l))
    centered = lossary.bradley_terry_loss(w, l, center=0.01)
    torch.testing.assert_close(centered, lossary.bradley_terry_loss(w, l) + 0.01 * (w + l).square().mean())


def test_what_must_not_learn_and_what_is_no_number_an_answer_is_refused() -> None:
    w, l, of_w, of_l = logps()
    for name, call in (
        ("ref_chosen_logps", lambda: lossary.dpo_loss(w, l, of_w.requires_grad_(), of_l)),
        ("ref_logps", lambda: lossary.kto_loss(w, of_w, torch.ones(64))),
        ("kl", lambda: lossary.kto_loss(w, of_l, torch.ones(64), kl=torch.ones((), requires_grad=True))),
        ("margins", lambda: lossary.bradley_terry_loss(w, l, margins=of_w)),
    ):
        with pytest.raises(ValueError, match=f"^{name}: wanted a tensor without requires_grad"):
            call()
    with torch.no_grad():
        assert lossary.dpo_loss(w, l, of_w, of_l).isfinite()
    tokens = torch.zeros(4, 16)
    with pytest.raises(ValueError, match=r"chosen_logps: wanted .*\(N,\), a number per answer: see sequence_logps"):
        lossary.simpo_loss(tokens, tokens)


@pytest.mark.parametrize("kind", ["exo", "apo_zero"])
def test_slopes_keep_their_digits_where_an_answer_is_far_ahead(kind: Any) -> None:
    """torch's sigmoid has the slope y (1 - y), which float32 leaves nothing of beside a y of 1."""
    smoothing = 0.01 if kind == "exo" else 0.0
    found = []
    for dtype in (torch.float32, torch.float64):
        w = torch.tensor([-300.0, -20.0], dtype=dtype).requires_grad_()
        l = torch.tensor([-20.0, -180.0], dtype=dtype).requires_grad_()
        ref = torch.full((2,), -150.0, dtype=dtype)
        loss = functional.dpo_loss(w, l, ref, ref, kind=kind, label_smoothing=smoothing)
        loss = loss + lossary.kto_loss(w, ref, torch.tensor([1, 0]))
        found.append(torch.autograd.grad(loss, (w, l)))
    for single, double in zip(*found, strict=True):
        torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=0)


def test_rewards_of_any_size_have_a_loss() -> None:
    w = torch.tensor([1e20, -1e20], requires_grad=True)
    loss = lossary.bradley_terry_loss(w, -w)
    torch.testing.assert_close(loss, torch.tensor(1e20))
    assert torch.autograd.grad(loss, w)[0].isfinite().all()
