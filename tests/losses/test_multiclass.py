"""Multiclass losses: what they must be to each other, layouts, targets, weights, linear scores, worked numbers."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import lossary.functional as L
from lossary.kernels.rows.scores import Bilinear


def batch(items: int = 6, classes: int = 5) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    return 3 * torch.randn(items, classes, generator=g, dtype=torch.float64), torch.randint(
        classes, (items,), generator=g
    )


ROW_LOSSES = {
    "cross_entropy": {},
    "focal_loss": {"gamma": 1.5},
    "poly_loss": {"epsilon": (1.0, -0.5)},
    "poly_focal_loss": {"gamma": 0.5, "epsilon": 2.0},
}
INDEX_LOSSES = {**ROW_LOSSES, "multiclass_hinge_loss": {"power": 2}, "crammer_singer_loss": {}}


def test_worked_numbers() -> None:
    """Scores that all satisfy the SVM's margin of 1, and what the softmax makes of them."""
    z = torch.tensor([[10.0, 7.0, 5.0], [10.0, 9.0, 9.0], [10.0, -10.0, -10.0]], dtype=torch.float64)
    y = torch.zeros(3, dtype=torch.int64)
    found = L.cross_entropy(z, y, reduction="none").tolist()
    assert found == pytest.approx([0.054985, 0.551445, 4.12231e-9], rel=1e-5)
    assert L.multiclass_hinge_loss(z, y).item() == 0


def test_two_classes_are_binary() -> None:
    z, y = batch(classes=2)
    difference = z[:, 1] - z[:, 0]
    torch.testing.assert_close(L.cross_entropy(z, y), L.binary_cross_entropy_with_logits(difference, y))
    torch.testing.assert_close(L.focal_loss(z, y, gamma=0.5), L.sigmoid_focal_loss(difference, y, gamma=0.5))
    torch.testing.assert_close(L.poly_focal_loss(z, y), L.sigmoid_poly_focal_loss(difference, y))


def test_scores_all_alike_cost_log_of_the_classes() -> None:
    assert L.cross_entropy(torch.ones(1, 7), torch.tensor([3])).item() == pytest.approx(math.log(7))


def test_focal_and_poly_meet_cross_entropy() -> None:
    z, y = batch()
    plain = L.cross_entropy(z, y)
    torch.testing.assert_close(L.focal_loss(z, y, gamma=0.0), plain)
    torch.testing.assert_close(L.poly_loss(z, y, epsilon=0.0), plain)
    torch.testing.assert_close(L.poly_focal_loss(z, y, epsilon=0.0, gamma=2.0), L.focal_loss(z, y, gamma=2.0))


def test_poly_changes_the_first_coefficients_of_the_series() -> None:
    """-log p = sum (1 - p)^j / j: taking the first three terms away leaves the rest of the series."""
    z, y = batch()
    miss = 1 - z.softmax(1).gather(1, y[:, None])[:, 0]
    wanted = sum(miss**j / j for j in range(4, 4000))
    found = L.poly_loss(z, y, epsilon=(-1.0, -1 / 2, -1 / 3), reduction="none")
    torch.testing.assert_close(found[miss < 0.99], wanted[miss < 0.99], rtol=1e-9, atol=1e-12)


# ---------------------------------------------------------------- layouts


@pytest.mark.parametrize("name", INDEX_LOSSES)
def test_any_class_dimension(name: str) -> None:
    g = torch.Generator().manual_seed(0)
    z, y = torch.randn(2, 5, 3, 4, generator=g, dtype=torch.float64), torch.randint(5, (2, 3, 4), generator=g)
    loss = getattr(L, name)
    first = loss(z, y, reduction="none", **INDEX_LOSSES[name])
    assert first.shape == y.shape
    last = loss(z.movedim(1, -1).contiguous(), y, dim=-1, reduction="none", **INDEX_LOSSES[name])
    torch.testing.assert_close(last, first)
    rows = loss(z.movedim(1, -1).reshape(-1, 5), y.flatten(), reduction="none", **INDEX_LOSSES[name])
    torch.testing.assert_close(rows.reshape(y.shape), first)
    alone = loss(z[0, :, 0, 0], y[0, 0, 0], **INDEX_LOSSES[name])
    torch.testing.assert_close(alone, first[0, 0, 0])


def test_classes_last_by_mistake_are_named() -> None:
    with pytest.raises(ValueError, match="for classes in the last dimension say dim=-1"):
        L.cross_entropy(torch.zeros(2, 7, 3), torch.zeros(2, 7, dtype=torch.int64))


# ---------------------------------------------------------------- targets


@pytest.mark.parametrize("name", ROW_LOSSES)
def test_one_hot_is_the_index(name: str) -> None:
    z, y = batch()
    loss = getattr(L, name)
    wanted = loss(z, y, reduction="none", **ROW_LOSSES[name])
    for one_hot in (F.one_hot(y, 5).double(), F.one_hot(y, 5).bool()):
        torch.testing.assert_close(loss(z, one_hot, reduction="none", **ROW_LOSSES[name]), wanted)


@pytest.mark.parametrize("name", ROW_LOSSES)
def test_soft_targets_are_the_expected_loss(name: str) -> None:
    z, _ = batch()
    z[0] = torch.tensor([40.0, 0.0, -40.0, 1e4, 2.0])  # one class all but certain
    t = torch.rand(6, 5, dtype=torch.float64).softmax(1)
    loss = getattr(L, name)
    labels = [torch.full((6,), c) for c in range(5)]
    wanted = sum(t[:, c] * loss(z, labels[c], reduction="none", **ROW_LOSSES[name]) for c in range(5))
    found = loss(z.requires_grad_(), t, reduction="none", **ROW_LOSSES[name])
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
    assert torch.autograd.grad(found.sum(), z)[0].isfinite().all()


@pytest.mark.parametrize("name", ROW_LOSSES)
def test_impossible_classes_add_nothing(name: str) -> None:
    """A logit of -inf: as if the class did not exist, for index and for soft targets."""
    z, y = batch(classes=3)
    masked = torch.cat([z, torch.full((6, 2), -torch.inf, dtype=torch.float64)], 1).requires_grad_()
    loss = getattr(L, name)
    soft, wide = F.one_hot(y, 3).double(), F.one_hot(y, 5).double()
    for narrow, target in ((y, y), (soft, wide)):
        found = loss(masked, target, **ROW_LOSSES[name])
        torch.testing.assert_close(found, loss(z, narrow, **ROW_LOSSES[name]))
        (grad,) = torch.autograd.grad(found, masked)
        assert grad.isfinite().all()
        assert not grad[:, 3:].any()


def test_soft_targets_beside_an_ignored_index_are_refused() -> None:
    with pytest.raises(ValueError, match="ignore_index: wanted index targets"):
        L.cross_entropy(torch.zeros(2, 3), torch.ones(2, 3) / 3, ignore_index=0)


# ---------------------------------------------------------------- weights


@pytest.mark.parametrize("name", INDEX_LOSSES)
def test_the_mean_divides_by_the_weights_that_count(name: str) -> None:
    z, y = batch()
    y[2] = -100
    loss, given = getattr(L, name), INDEX_LOSSES[name]
    per_class = torch.tensor([0.5, 2.0, 1.0, 0.25, 3.0], dtype=torch.float64)
    sample = torch.tensor([1.0, 2.0, 3.0, 0.0, 0.5, 1.0], dtype=torch.float64)
    mask = torch.tensor([True, True, True, True, True, False])
    own = "weight" if name == "cross_entropy" else "class_weight"
    plain = loss(z, y, reduction="none", **given)
    assert plain[2] == 0
    weight = torch.where(mask & (y >= 0), per_class[y.clamp_min(0)] * sample, 0)
    options = {own: per_class, "sample_weight": sample, "mask": mask, **given}
    torch.testing.assert_close(loss(z, y, reduction="none", **options), weight * plain)
    torch.testing.assert_close(loss(z, y, reduction="sum", **options), (weight * plain).sum())
    torch.testing.assert_close(loss(z, y, **options), (weight * plain).sum() / weight.sum())


def test_alpha_is_no_part_of_the_divisor() -> None:
    z, y = batch()
    alpha = torch.tensor([0.5, 2.0, 1.0, 0.25, 3.0], dtype=torch.float64)
    wanted = (alpha[y] * L.focal_loss(z, y, reduction="none")).mean()
    torch.testing.assert_close(L.focal_loss(z, y, alpha=alpha), wanted)


@pytest.mark.parametrize("name", INDEX_LOSSES)
def test_nothing_that_counts_is_zero(name: str) -> None:
    z, y = batch()
    z.requires_grad_()
    loss = getattr(L, name)(z, torch.full_like(y, -100), **INDEX_LOSSES[name])
    assert loss.item() == 0
    (grad,) = torch.autograd.grad(loss, z)
    assert not grad.any()


# ---------------------------------------------------------------- linear scores


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("name", ROW_LOSSES)
def test_linear_scores_are_their_logits(name: str, reduction: str, unit: bool) -> None:
    g = torch.Generator().manual_seed(1)
    x, w, b = (torch.randn(*s, generator=g, dtype=torch.float64, requires_grad=True) for s in ((6, 4), (5, 4), (5,)))
    y, sample = torch.tensor([0, 1, -100, 3, 4, 0]), torch.rand(6, generator=g, dtype=torch.float64)
    mask = torch.tensor([True, True, True, False, True, True])
    per_class = torch.tensor([0.5, 2.0, 1.0, 0.25, 3.0], dtype=torch.float64)
    own = {"weight": per_class, "label_smoothing": 0.2} if name == "cross_entropy" else {"class_weight": per_class}
    options = {**ROW_LOSSES[name], **own, "sample_weight": sample, "mask": mask, "reduction": reduction}
    results = []
    for scores in (Bilinear(x, w, b, unit=unit), Bilinear(x, w, b, unit=unit).dense()):
        loss = getattr(L, name)(scores, y, **options)
        results.append((loss, *torch.autograd.grad(loss.sum(), (x, w, b))))
    for got, wanted in zip(*results, strict=True):
        torch.testing.assert_close(got, wanted)


def test_linear_scores_want_indices_but_for_cross_entropy() -> None:
    with pytest.raises(TypeError, match="target: wanted integer class indices with linear scores"):
        L.focal_loss(Bilinear(torch.zeros(2, 4), torch.zeros(3, 4)), torch.ones(2, 3) / 3)


# ---------------------------------------------------------------- precision


@pytest.mark.parametrize("name", ROW_LOSSES)
def test_a_large_common_part_is_harmless(name: str) -> None:
    """Adding 4096 to all scores changes nothing, in float32: they keep 3 decimals there."""
    z, y = batch()
    z = (z * 1024).round() / 1024
    single = getattr(L, name)(z.float() + 4096, y, **ROW_LOSSES[name])
    torch.testing.assert_close(single.double(), getattr(L, name)(z, y, **ROW_LOSSES[name]), rtol=2e-6, atol=0)


@pytest.mark.parametrize(
    ("name", "sigmoid_form"),
    [
        ("cross_entropy", "binary_cross_entropy_with_logits"),
        ("focal_loss", "sigmoid_focal_loss"),
        ("poly_loss", "sigmoid_poly_focal_loss"),
        ("poly_focal_loss", "sigmoid_poly_focal_loss"),
    ],
)
def test_softmax_over_one_class_is_an_error_that_names_the_sigmoid_form(name: str, sigmoid_form: str) -> None:
    for scores, target in (
        (torch.zeros(4, 1), torch.zeros(4, dtype=torch.int64)),
        (torch.zeros(4, 1, 8), torch.zeros(4, 8, dtype=torch.int64)),
        (torch.zeros(4, 1), torch.zeros(4, 1)),  # yes-or-no answers as floats, which are soft targets here
    ):
        with pytest.raises(ValueError, match=rf"input: .*\b{sigmoid_form}\b"):
            getattr(L, name)(scores, target)


@pytest.mark.parametrize("order", [(0, 2, 3, 1), (0, 1, 3, 2), (3, 2, 1, 0)])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_images_stored_in_any_order_have_a_gradient(order: tuple[int, ...], reduction: str) -> None:
    """torch's own nll_loss refuses to go backward through them."""
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64).log_softmax(1)
    labels = torch.randint(3, (2, 4, 5))
    back = [order.index(i) for i in range(4)]
    grads = []
    for stored in (x, x.permute(order).contiguous().permute(back)):
        leaf = stored.detach().requires_grad_()
        loss = L.nll_loss(leaf, labels, reduction=reduction)
        grads.append(torch.autograd.grad(loss.sum(), leaf)[0])
    assert torch.equal(grads[0], grads[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_in_half_are_multiplied_in_float32(dtype: torch.dtype) -> None:
    x, labels = torch.randn(5, 3).to(dtype), torch.tensor([0, 1, 2, 0, 1])
    weights = {"class_weight": torch.tensor([0.1, 0.7, 3.0]), "sample_weight": torch.tensor([0.1, 0.3, 0.7, 3.0, 1.1])}
    half = {name: weight.to(dtype) for name, weight in weights.items()}
    exact = {name: weight.double() for name, weight in half.items()}
    got = L.focal_loss(x, labels, **half, reduction="none")
    torch.testing.assert_close(
        got.double(), L.focal_loss(x.double(), labels, **exact, reduction="none"), rtol=1e-5, atol=0
    )


class Described(Tensor):
    """As MONAI's MetaTensor in a batch: a slice looks for the metadata of its items, which not every view has."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.__getitem__:
            raise ValueError("Inconsistent batched metadata dicts")
        return super().__torch_function__(func, types, args, kwargs or {})

    def as_tensor(self) -> Tensor:
        return self.as_subclass(Tensor)


@pytest.mark.parametrize("name", [*INDEX_LOSSES, "ohem_cross_entropy_loss", "logit_adjusted_loss"])
def test_tensors_that_carry_metadata_are_taken_as_plain_ones(name: str) -> None:
    plain, labels = torch.randn(2, 3, 4, 5).double().requires_grad_(), torch.randint(3, (2, 4, 5))
    given = {"class_counts": torch.ones(3)} if name == "logit_adjusted_loss" else {}
    loss, described = getattr(L, name), plain.detach().as_subclass(Described).requires_grad_()
    found = loss(described, labels.as_subclass(Described), mask=(labels > 0).as_subclass(Described), **given)
    found.backward()
    loss(plain, labels, mask=labels > 0, **given).backward()
    assert described.grad is not None
    assert plain.grad is not None
    assert torch.equal(described.grad.as_subclass(Tensor), plain.grad)
