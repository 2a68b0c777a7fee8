"""Identities between the heads, and ArcFace's far side."""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.losses.identities.angular import ArcFaceLoss, arcface_loss, cosface_loss, normalized_softmax_loss
from lossary.losses.identities.sphereface import sphereface_loss


def batch() -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    x, w = (torch.randn(n, 5, generator=g, dtype=torch.float64) for n in (6, 7))
    return x, w, torch.randint(7, (6,), generator=g)


def at_angle(theta: float) -> tuple[Tensor, Tensor, Tensor]:
    """One embedding at ``theta`` from its class, a second class at a right angle to both."""
    x = torch.tensor([[math.cos(theta), math.sin(theta), 0.0]], dtype=torch.float64, requires_grad=True)
    return x, torch.eye(3, dtype=torch.float64)[[0, 2]], torch.tensor([0])


@pytest.mark.parametrize("loss", [cosface_loss, arcface_loss])
def test_without_a_margin_it_is_the_normalized_softmax(loss) -> None:
    torch.testing.assert_close(loss(*batch(), margin=0.0, scale=9.0), normalized_softmax_loss(*batch(), scale=9.0))


@pytest.mark.parametrize("loss", [cosface_loss, arcface_loss])
@pytest.mark.parametrize("plain", [-1, 1 << 18])
def test_scale_and_margin_may_differ_from_row_to_row(loss, plain: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossary.kernels.rows.formula.CPU_PLAIN", plain)
    x, w, labels = batch()
    margin = torch.linspace(0.1, 0.4, len(x), dtype=x.dtype, requires_grad=True)
    scale = torch.linspace(4.0, 9.0, len(x), dtype=x.dtype, requires_grad=True)
    together = loss(x, w, labels, margin=margin, scale=scale)
    rows = zip(x, labels, margin, scale, strict=True)
    alone = torch.stack([loss(a[None], w, y[None], margin=m, scale=s) for a, y, m, s in rows]).mean()
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(
        torch.autograd.grad(together, (margin, scale)), torch.autograd.grad(alone, (margin, scale))
    )
    with pytest.raises(ValueError, match=r"margin: .*\(6,\); got \(5,\)"):
        loss(x, w, labels, margin=margin[:5])


@pytest.mark.parametrize("loss", [cosface_loss, arcface_loss, sphereface_loss])
@pytest.mark.parametrize("plain", [-1, 1 << 18])
def test_a_masked_row_may_hold_anything(loss, plain: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Padding of a batch: no embedding, no class, no scale of its own."""
    monkeypatch.setattr("lossary.kernels.rows.formula.CPU_PLAIN", plain)
    x, w, labels = batch()
    mask = torch.tensor([True, False, True, True, False, True])
    scale = torch.linspace(4.0, 9.0, len(x), dtype=x.dtype)
    kept = [t.clone().requires_grad_() for t in (x[mask], w, scale[mask])]
    padded = [torch.where(m, t, torch.nan).requires_grad_() for t, m in ((x, mask[:, None]), (scale, mask))]
    wanted = loss(*kept[:2], labels[mask], scale=kept[2])
    weight = w.clone().requires_grad_()
    found = loss(padded[0], weight, torch.where(mask, labels, -1), scale=padded[1], mask=mask)
    torch.testing.assert_close(found, wanted)
    by_x, by_w, by_scale = torch.autograd.grad(found, (padded[0], weight, padded[1]))
    assert not by_x[~mask].any()
    assert not by_scale[~mask].any()
    torch.testing.assert_close((by_x[mask], by_w, by_scale[mask]), torch.autograd.grad(wanted, kept))


def test_normalized_softmax_is_cross_entropy_of_cosines() -> None:
    x, w, labels = batch()
    cosines = torch.nn.functional.cosine_similarity(x[:, None], w, dim=-1)
    expected = torch.nn.functional.cross_entropy(5 * cosines, labels)
    torch.testing.assert_close(normalized_softmax_loss(x, w, labels, scale=5.0), expected)


@pytest.mark.parametrize(
    ("theta", "beyond_pi", "target"),
    [
        (1.0, "linear", math.cos(1.5)),
        (3.0, "linear", math.cos(3.0) - 0.5 * math.sin(0.5)),
        (3.0, "plain", math.cos(3.5)),
        (1.0, "easy", math.cos(1.5)),
        (2.0, "easy", math.cos(2.0)),
    ],
)
def test_arcface_target_on_both_sides_of_pi(theta: float, beyond_pi, target: float) -> None:
    loss = arcface_loss(*at_angle(theta), margin=0.5, scale=1.0, beyond_pi=beyond_pi)
    assert loss.item() == pytest.approx(math.log1p(math.exp(0.0 - target)), rel=1e-12)


def test_linear_arcface_falls_with_the_angle_on_both_sides_of_pi() -> None:
    thetas = torch.linspace(0.1, 3.1, 40)
    losses = [arcface_loss(*at_angle(theta), scale=4.0).item() for theta in thetas.tolist()]
    assert losses == sorted(losses)
    plain = [arcface_loss(*at_angle(theta), scale=4.0, beyond_pi="plain").item() for theta in thetas.tolist()]
    assert plain != sorted(plain)


def test_straight_through_drops_the_factor_of_the_angle() -> None:
    theta, margin, scale = 1.0, 0.5, 4.0
    grads = {}
    for gradient in ("exact", "straight_through"):
        x, w, labels = at_angle(theta)
        loss = arcface_loss(x, w, labels, margin=margin, scale=scale, gradient=gradient)
        (grads[gradient],) = torch.autograd.grad(loss, x)
    ratio = grads["exact"][0, :2] / grads["straight_through"][0, :2]
    factor = math.sin(theta + margin) / math.sin(theta)
    torch.testing.assert_close(ratio, torch.full_like(ratio, factor))


def test_head_serves_cosines() -> None:
    head = ArcFaceLoss(num_classes=3, embedding_size=4)
    x = torch.randn(5, 4)
    expected = torch.nn.functional.cosine_similarity(x[:, None], head.weight, dim=-1)
    torch.testing.assert_close(head.get_logits(x), expected)


def test_a_weight_of_another_dtype_is_refused() -> None:
    with pytest.raises(TypeError, match="weight: wanted the dtype of embeddings"):
        arcface_loss(torch.randn(2, 3, dtype=torch.float64), torch.randn(4, 3), torch.tensor([0, 1]))


@pytest.mark.parametrize("loss", [cosface_loss, arcface_loss, normalized_softmax_loss])
@pytest.mark.parametrize("plain", [-1, 1 << 18])
def test_of_several_centers_the_nearest_one_is_the_class(loss, plain: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every row's own nearest centers as the weights of its classes the loss is that of one center a class."""
    monkeypatch.setattr("lossary.kernels.rows.formula.CPU_PLAIN", plain)
    x, _, labels = batch()
    w = torch.randn(7, 3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    nearest = torch.einsum("nd,ckd->nck", x, torch.nn.functional.normalize(w, dim=-1)).argmax(2)
    alone = [
        loss(a[None], w[torch.arange(7), k], y[None], scale=9.0) for a, y, k in zip(x, labels, nearest, strict=True)
    ]
    together = loss(x, w, labels, scale=9.0)
    torch.testing.assert_close(together, torch.stack(alone).mean())
    torch.testing.assert_close(torch.autograd.grad(together, w), torch.autograd.grad(torch.stack(alone).mean(), w))


def test_a_head_with_sub_centers_owns_and_shows_them() -> None:
    head = ArcFaceLoss(7, 5, sub_centers=3).double()
    assert head.weight.shape == (7, 3, 5)
    assert "sub_centers=3" in repr(head)
    x, _, labels = batch()
    cosines = torch.nn.functional.cosine_similarity(x[:, None, None], head.weight, dim=-1).amax(2)
    torch.testing.assert_close(head.get_logits(x), cosines)
    torch.testing.assert_close(head(x, labels), arcface_loss(x, head.weight, labels))
    with pytest.raises(ValueError, match=r"sub_centers: wanted a whole number from 1 up; got 0\.5"):
        ArcFaceLoss(7, 5, 0.5)


@pytest.mark.parametrize("sign", [1, -1])
def test_float32_of_parallel_vectors_is_no_worse_than_the_dense_formula(sign: int) -> None:
    """Their cosine is +-1 but for rounding, and an infinite derivative makes much of that."""

    def true(cos: Tensor) -> Tensor:
        return torch.full_like(cos, sign * math.cos(0.5))

    def dense(cos: Tensor) -> Tensor:
        return (cos.clamp(-1 + 1e-7, 1 - 1e-7).acos() + 0.5).cos()

    worst, naive = 0.0, 0.0
    for seed in range(20):
        g = torch.Generator().manual_seed(seed)
        w, labels = torch.randn(4, 3, generator=g), torch.randint(4, (5,), generator=g)
        x = sign * 2.5 * w[labels]
        wanted = gradients(partial(by_target, labels=labels, change=true), x.double(), w.double())
        ours = gradients(partial(arcface_loss, labels=labels, scale=8.0, beyond_pi="plain"), x, w)
        theirs = gradients(partial(by_target, labels=labels, change=dense), x, w)
        worst = max(worst, *((a - b).abs().max().item() for a, b in zip(ours, wanted, strict=True)))
        naive = max(naive, *((a - b).abs().max().item() for a, b in zip(theirs, wanted, strict=True)))
    assert worst <= naive


def by_target(x: Tensor, w: Tensor, *, labels: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Softmax of cosines, the target's changed."""
    cosines, index = F.normalize(x) @ F.normalize(w).T, labels[:, None]
    return F.cross_entropy(8 * cosines.scatter(1, index, change(cosines.gather(1, index))), labels)


def gradients(loss: Callable[..., Tensor], *leaves: Tensor) -> list[Tensor]:
    leaves = tuple(leaf.clone().requires_grad_() for leaf in leaves)
    return [g.double() for g in torch.autograd.grad(loss(*leaves), leaves)]
