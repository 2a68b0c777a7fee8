"""Dice beside another loss: the parts, what is ignored in both, the background, overlapping regions, volumes."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import lossary.functional as L

SOFTMAX = ("dice_cross_entropy_loss", "dice_focal_loss")
SIGMOID = ("sigmoid_dice_cross_entropy_loss", "sigmoid_dice_focal_loss")
OTHER = {
    "dice_cross_entropy_loss": L.cross_entropy,
    "dice_focal_loss": L.focal_loss,
    "sigmoid_dice_cross_entropy_loss": L.binary_cross_entropy_with_logits,
    "sigmoid_dice_focal_loss": L.sigmoid_focal_loss,
}


def batch(name: str) -> tuple[Tensor, Tensor]:
    """Volumes: (2, 3, 2, 4, 5) logits."""
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 2, 4, 5, generator=g, dtype=torch.float64, requires_grad=True)
    shape, count = ((2, 2, 4, 5), 3) if name in SOFTMAX else (logits.shape, 2)
    return logits, torch.randint(count, shape, generator=g)


def weight_of_the_other(name: str) -> str:
    return "focal_weight" if "focal" in name else "cross_entropy_weight"


@pytest.mark.parametrize("name", SOFTMAX + SIGMOID)
def test_it_is_the_sum_of_both_at_their_weights(name: str) -> None:
    logits, target = batch(name)
    dice = L.dice_loss if name in SOFTMAX else L.sigmoid_dice_loss
    found = getattr(L, name)(logits, target, dice_weight=0.25, **{weight_of_the_other(name): 3.0}, aggregate="batch")
    wanted = 0.25 * dice(logits, target, aggregate="batch") + 3 * OTHER[name](logits, target)
    torch.testing.assert_close(found, wanted)
    for got, expected in zip(*(torch.autograd.grad(v, logits) for v in (found, wanted)), strict=True):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("name", SOFTMAX + SIGMOID)
def test_both_parts_know_the_images_weights_and_the_mask(name: str) -> None:
    logits, target = batch(name)
    mask = torch.rand(target.shape, generator=torch.Generator().manual_seed(1)) < 0.7
    counting = {"sample_weight": torch.tensor([0.5, 2.0]).double(), "mask": mask}
    dice = L.dice_loss if name in SOFTMAX else L.sigmoid_dice_loss
    found = getattr(L, name)(logits, target, **counting)
    torch.testing.assert_close(found, dice(logits, target, **counting) + OTHER[name](logits, target, **counting))
    with pytest.raises(ValueError, match=r"sample_weight: wanted shape \(2,\); got \(2, 3\)"):
        getattr(L, name)(logits, target, sample_weight=torch.ones(2, 3))


@pytest.mark.parametrize("name", SOFTMAX + SIGMOID)
@pytest.mark.parametrize("ignored", [255, -100])
def test_ignored_positions_are_as_if_cropped_in_both_parts(name: str, ignored: int) -> None:
    logits, target = batch(name)
    target = target.clone()
    target[..., -1] = ignored
    found = getattr(L, name)(logits, target, ignore_index=ignored)
    torch.testing.assert_close(found, getattr(L, name)(logits[..., :-1], target[..., :-1]))
    (grad,) = torch.autograd.grad(found, logits)
    assert grad[..., -1].count_nonzero() == 0


@pytest.mark.parametrize("name", SOFTMAX)
def test_without_background_dice_scores_the_other_classes_alone(name: str) -> None:
    logits, target = batch(name)
    each = L.dice_loss(logits, target, reduction="none")
    found = getattr(L, name)(logits, target, include_background=False)
    torch.testing.assert_close(found, each[:, 1:].mean() + OTHER[name](logits, target))
    weights = torch.tensor([5.0, 1.0, 3.0], dtype=torch.float64)
    found = getattr(L, name)(logits, target, include_background=False, class_weight=weights)
    dice = (each[:, 1:] * weights[1:]).sum() / (2 * weights[1:].sum())
    cross_entropy = F.cross_entropy(logits, target, weights)
    other = cross_entropy if "focal" not in name else L.focal_loss(logits, target, class_weight=weights)
    torch.testing.assert_close(found, dice + other)


@pytest.mark.parametrize("name", SIGMOID)
def test_a_channel_of_weight_0_counts_nowhere(name: str) -> None:
    logits, regions = batch(name)
    found = getattr(L, name)(logits, regions, class_weight=torch.tensor([0.0, 1.0, 1.0]).double())
    torch.testing.assert_close(found, getattr(L, name)(logits[:, 1:], regions[:, 1:]))


@pytest.mark.parametrize("name", SIGMOID)
def test_regions_may_overlap_and_one_is_enough(name: str) -> None:
    logits, regions = batch(name)
    everywhere = torch.ones_like(regions)
    right, wrong = (getattr(L, name)(torch.full_like(logits, z), everywhere) for z in (20.0, -20.0))
    assert right < 1e-6
    assert wrong > 0.9
    assert getattr(L, name)(logits[:, :1], regions[:, :1]).isfinite()


@pytest.mark.parametrize("name", SOFTMAX)
def test_one_channel_of_softmax_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match="sigmoid"):
        getattr(L, name)(torch.zeros(2, 1, 8), torch.zeros(2, 8, dtype=torch.int64))


@pytest.mark.parametrize("name", SOFTMAX + SIGMOID)
def test_class_weights_of_wrong_length_are_named(name: str) -> None:
    logits, target = batch(name)
    with pytest.raises(ValueError, match="class_weight"):
        getattr(L, name)(logits, target, class_weight=torch.ones(2))


def test_a_region_of_neither_0_nor_1_is_named() -> None:
    logits, regions = batch("sigmoid_dice_cross_entropy_loss")
    with pytest.raises(ValueError, match="target"):
        L.sigmoid_dice_cross_entropy_loss(logits, regions + 254)


@pytest.mark.parametrize("name", SOFTMAX)
def test_half_precision_is_widened_before_the_logarithm(name: str) -> None:
    logits, target = batch(name)
    half = logits.detach().half()
    found = getattr(L, name)(half, target)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), getattr(L, name)(half.double(), target), rtol=1e-5, atol=0)


def test_weights_in_half_are_multiplied_in_float32() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 3, 4, generator=generator).bfloat16(), torch.tensor([[[1.0], [0.0], [1.0]]]).expand(2, 3, 4)
    half = {
        "class_weight": torch.tensor([0.1, 0.7, 3.0]).bfloat16(),
        "sample_weight": torch.tensor([0.3, 1.1]).bfloat16(),
    }
    exact = {name: weight.double() for name, weight in half.items()}
    got = L.sigmoid_dice_focal_loss(x, y, **half)
    torch.testing.assert_close(got.double(), L.sigmoid_dice_focal_loss(x.double(), y, **exact), rtol=1e-6, atol=0)
