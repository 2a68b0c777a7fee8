"""Generalised Dice and focal Tversky: fifty digits over a grid, what they are at their ends, and what others cancel."""

from typing import Any

import mpmath
import pytest
import torch
from torch import Tensor

from lossary.losses.masks.tversky import (
    focal_tversky_loss,
    sigmoid_focal_tversky_loss,
    sigmoid_tversky_loss,
    tversky_loss,
)
from lossary.losses.masks.weighted import Weighting, generalized_dice_loss, sigmoid_generalized_dice_loss

mpmath.mp.dps = 50

Z = 2 * torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
#: Classes of 5, 2 and 1 positions; and without class 2.
Y = torch.tensor([[0, 0, 1, 0, 2, 0, 1, 0], [1, 0, 0, 1, 0, 0, 1, 1]])


def sums(place: int) -> list[tuple[Any, Any, Any]]:
    """Of each class: overlap, predicted and true positions, with fifty digits."""
    rows = [[mpmath.exp(mpmath.mpf(v)) for v in row] for row in Z[place].T.tolist()]
    shares = [[v / sum(row) for v in row] for row in rows]
    labels = Y[place].tolist()
    return [
        (
            sum(p[c] for p, y in zip(shares, labels, strict=True) if y == c),
            sum(p[c] for p in shares),
            mpmath.mpf(labels.count(c)),
        )
        for c in range(3)
    ]


@pytest.mark.parametrize(("weighting", "power"), [("square", 2), ("simple", 1), ("uniform", 0)])
def test_generalized_dice_has_fifty_digits(weighting: Weighting, power: int) -> None:
    found = generalized_dice_loss(Z, Y, weighting=weighting, smooth=0.0, reduction="none").tolist()
    for place in range(2):
        weighed = [(1 / max(t, 1) ** power, o, p, t) for o, p, t in sums(place)]
        rarest = max(w for w, *_, t in weighed if t)
        weighed = [(w if t else rarest, o, p, t) for w, o, p, t in weighed]  # an absent class weighs as the rarest
        exact = 1 - 2 * sum(w * o for w, o, *_ in weighed) / sum(w * (p + t) for w, _, p, t in weighed)
        assert found[place] == pytest.approx(float(exact), rel=1e-13)


@pytest.mark.parametrize("gamma", [0.75, 1.0, 4 / 3, 3.0])
def test_focal_tversky_has_fifty_digits(gamma: float) -> None:
    found = focal_tversky_loss(Z, Y, gamma=gamma, reduction="none").tolist()
    a, b, one = mpmath.mpf(0.3), mpmath.mpf(0.7), mpmath.mpf(1)
    for place in range(2):
        for c, (overlap, predicted, truth) in enumerate(sums(place)):
            index = (overlap + one) / (overlap + a * (predicted - overlap) + b * (truth - overlap) + one)
            assert found[place][c] == pytest.approx(float((1 - index) ** (1 / mpmath.mpf(gamma))), rel=1e-13)


def test_focal_tversky_at_one_is_tversky() -> None:
    regions = torch.nn.functional.one_hot(Y, 3).movedim(-1, 1)
    torch.testing.assert_close(focal_tversky_loss(Z, Y, gamma=1.0), tversky_loss(Z, Y))
    torch.testing.assert_close(sigmoid_focal_tversky_loss(Z, regions, gamma=1.0), sigmoid_tversky_loss(Z, regions))
    classes = tversky_loss(Z, Y, reduction="none")
    assert focal_tversky_loss(Z, Y) == pytest.approx((classes**0.75).mean().item()), "class by class"
    assert focal_tversky_loss(Z, Y) != pytest.approx((classes.mean() ** 0.75).item()), "not of their mean"


def test_a_small_class_counts_as_much_as_a_large_one() -> None:
    """Of 1000 positions one is class 1, and the prediction misses it."""
    y = torch.zeros(1, 1000, dtype=torch.int64)
    y[0, 0] = 1
    z = torch.zeros(1, 2, 1000)
    z[:, 0] = 20.0
    missed = generalized_dice_loss(z, y, smooth=0.0)
    assert missed > 0.99, "the weights are one over squared sizes"
    assert generalized_dice_loss(z, y, weighting="uniform", smooth=0.0) < 0.01


def test_weights_do_not_cancel() -> None:
    """Class by class a weight is above and below the line: then it changes nothing, as in a release of MONAI's."""
    found = [generalized_dice_loss(Z, Y, weighting=w, smooth=0.0).item() for w in ("square", "simple", "uniform")]
    assert len({round(loss, 6) for loss in found}) == 3


def test_an_absent_class_costs_what_is_predicted_of_it() -> None:
    nowhere = Y.clamp_max(1)
    z = Z.clone().requires_grad_()
    (grad,) = torch.autograd.grad(generalized_dice_loss(z, nowhere), z)
    assert grad.isfinite().all()
    assert (grad[:, 2] > 0).all(), "less of it would be better"
    empty = torch.zeros(1, 2, 6, dtype=torch.int64)
    w = torch.zeros(1, 2, 6, requires_grad=True)
    (grad,) = torch.autograd.grad(sigmoid_generalized_dice_loss(w, empty), w)
    assert (grad > 0).all(), "nothing is true at all"


def sure(labels: Tensor) -> Tensor:
    return 60.0 * torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()


def test_what_is_right_is_nothing_with_a_finite_gradient() -> None:
    """The power 3/4 has no slope at 0."""
    for loss in (focal_tversky_loss, generalized_dice_loss):
        z = sure(Y).requires_grad_()
        value = loss(z, Y)
        assert value.item() == pytest.approx(0, abs=1e-12)
        assert torch.autograd.grad(value, z)[0].isfinite().all()
        assert loss(sure(Y[:1]).double(), Y[:1], smooth=0.0).item() == pytest.approx(0, abs=1e-12)


def test_classes_of_an_image_have_no_weights_of_their_own() -> None:
    with pytest.raises(ValueError, match=r"sample_weight: wanted shape \(2,\)"):
        generalized_dice_loss(Z, Y, sample_weight=torch.ones(2, 3))
