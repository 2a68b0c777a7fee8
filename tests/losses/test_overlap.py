"""Overlap losses against the written-out one-hot form, and what they keep for the backward pass."""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.losses.masks.overlap import dice_loss, jaccard_loss, sigmoid_dice_loss, sigmoid_jaccard_loss
from lossary.losses.masks.tversky import sigmoid_tversky_loss, tversky_loss
from lossary.testing.laws.devices import as_on_an_accelerator


def batch() -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 3, 5, generator=g, dtype=torch.float64, requires_grad=True)
    return logits, torch.randint(4, (2, 3, 5), generator=g)


def one_hot_dice(logits: Tensor, target: Tensor) -> Tensor:
    p, true = logits.softmax(1), F.one_hot(target, 4).movedim(-1, 1)
    return 1 - (2 * (p * true).sum((2, 3)) + 1) / (p.sum((2, 3)) + true.sum((2, 3)) + 1)


def test_dice_is_the_one_hot_form_with_its_gradient() -> None:
    logits, target = batch()
    found, wanted = dice_loss(logits, target), one_hot_dice(logits, target).mean()
    torch.testing.assert_close(found, wanted)
    for got, expected in zip(torch.autograd.grad(found, logits), torch.autograd.grad(wanted, logits), strict=True):
        torch.testing.assert_close(got, expected)


def test_any_number_of_spatial_dimensions() -> None:
    logits, target = batch()
    flat = dice_loss(logits.flatten(2), target.flatten(1), reduction="none")
    volume = dice_loss(logits.unsqueeze(2), target.unsqueeze(1), reduction="none")
    torch.testing.assert_close(flat, dice_loss(logits, target, reduction="none"))
    torch.testing.assert_close(flat, volume)
    assert dice_loss(logits[:, :, 0, 0], target[:, 0, 0]).shape == ()


def test_ignored_positions_are_as_if_cropped() -> None:
    logits, target = batch()
    target = target.clone()
    target[:, :, -1] = -100
    torch.testing.assert_close(dice_loss(logits, target), dice_loss(logits[..., :-1], target[..., :-1]))
    (grad,) = torch.autograd.grad(dice_loss(logits, target), logits)
    assert grad[..., -1].count_nonzero() == 0


def test_one_channel_of_softmax_is_an_error_not_a_silent_constant() -> None:
    with pytest.raises(ValueError, match="sigmoid form"):
        dice_loss(torch.zeros(2, 1, 8), torch.zeros(2, 8, dtype=torch.int64))


def test_skipping_absent_classes_leaves_the_present_ones() -> None:
    logits, target = batch()
    target = target.clamp_max(2)  # class 3 has no position
    each = dice_loss(logits, target, reduction="none")
    torch.testing.assert_close(dice_loss(logits, target, absent="skip"), each[:, :3].mean())


@pytest.mark.parametrize(
    "loss",
    [
        sigmoid_dice_loss,
        partial(sigmoid_dice_loss, squared=True),
        sigmoid_jaccard_loss,
        partial(sigmoid_tversky_loss, alpha=0.2, beta=0.9),
    ],
)
def test_a_soft_region_is_its_own_best_answer(loss: Callable[..., Tensor]) -> None:
    """With the product of p and g beside plain sums it is not: p = 1 then beats p = g."""
    logits, _ = batch()
    soft = logits.detach().sigmoid()
    assert loss(logits, soft, smooth=0.0).item() == pytest.approx(0, abs=1e-12)
    assert all(loss(logits + move, soft, smooth=0.0) > 1e-4 for move in (-5.0, -0.1, 0.1, 5.0))


@pytest.mark.parametrize("value", [-1, 99, 255])
def test_a_target_that_is_no_region_is_refused_unless_ignored(value: int) -> None:
    logits, _ = batch()
    target = torch.zeros(logits.shape, dtype=torch.int64).index_fill(-1, torch.tensor([0]), value)
    with pytest.raises(ValueError, match=rf"target: wanted numbers in \[0, 1\]; got {value}"):
        sigmoid_dice_loss(logits, target)
    found = sigmoid_dice_loss(logits, target, ignore_index=value)
    torch.testing.assert_close(found, sigmoid_dice_loss(logits[..., 1:], target[..., 1:]))


def test_an_image_without_a_position_has_no_score() -> None:
    """Not a perfect one, which would make the mean of the others look better than they are."""
    logits, target = batch()
    mask = torch.ones_like(target, dtype=torch.bool)
    mask[0] = False
    regions = F.one_hot(target, 4).movedim(-1, 1)
    torch.testing.assert_close(dice_loss(logits, target, mask=mask), dice_loss(logits[1:], target[1:]))
    kept = sigmoid_dice_loss(logits[1:], regions[1:])
    torch.testing.assert_close(sigmoid_dice_loss(logits, regions, mask=mask[:, None]), kept)
    channel = torch.tensor([True, True, False, True]).expand(2, 4)
    kept = sigmoid_dice_loss(logits, regions, reduction="none")[:, [0, 1, 3]].mean()
    torch.testing.assert_close(sigmoid_dice_loss(logits, regions, mask=channel), kept)


def test_weights_of_images_and_of_classes_multiply() -> None:
    logits, target = batch()
    each = dice_loss(logits, target, reduction="none")
    images, classes = torch.tensor([0.5, 2.0]).double(), torch.tensor([1.0, 0.0, 3.0, 1.0]).double()
    weight = images[:, None] * classes
    found = dice_loss(logits, target, sample_weight=images, class_weight=classes)
    torch.testing.assert_close(found, (weight * each).sum() / weight.sum())
    torch.testing.assert_close(dice_loss(logits, target, sample_weight=weight), found)


def test_sigmoid_channels_are_scored_one_by_one() -> None:
    logits, target = batch()
    regions = F.one_hot(target, 4).movedim(-1, 1).bool()
    whole = sigmoid_dice_loss(logits, regions, reduction="none")
    alone = sigmoid_dice_loss(logits[:, 1:2], regions[:, 1:2], reduction="none")
    torch.testing.assert_close(whole[:, 1:2], alone)


@pytest.mark.parametrize("loss", [dice_loss, tversky_loss, jaccard_loss])
@pytest.mark.parametrize("mask", [None, torch.arange(16) < 11])
def test_one_tensor_as_large_as_the_input_is_kept_for_the_gradient(
    loss: Callable[..., Tensor], mask: Tensor | None
) -> None:
    logits = torch.randn(2, 19, 16, 16, requires_grad=True)
    kept: dict[int, int] = {}
    hooks = torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.setdefault(t.data_ptr(), t.untyped_storage().nbytes()) and t, lambda t: t
    )
    with hooks:
        loss(logits, torch.randint(19, (2, 16, 16)), mask=None if mask is None else mask.expand(2, 16, 16))
    assert sum(kept.values()) <= 1.2 * logits.nbytes


@pytest.mark.parametrize("squared", [False, True])
def test_blocks_change_nothing(squared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether one block or many, and whether the gradient is made in place or the graph is kept."""
    logits, target = batch()
    target[:, 0, :2] = -100

    def gradient(*, keep: bool) -> Tensor:
        loss = dice_loss(logits, target, squared=squared)
        return torch.autograd.grad(loss, logits, retain_graph=keep)[0]

    wanted = gradient(keep=True)
    for size, row in itertools.product((1, 28, 150), (1, 3, 1000)):  # from a position of a sample to whole samples
        monkeypatch.setattr("lossary.kernels.inplace.CPU_BLOCK", size)
        monkeypatch.setattr("lossary.kernels.inplace.AT_LEAST", row)
        for keep in (False, True):
            torch.testing.assert_close(gradient(keep=keep), wanted)


def test_sums_over_millions_of_positions_keep_their_digits_in_float32() -> None:
    # one class nearly everywhere: its running sum is large beside each of its terms
    logits = torch.tensor([[[1.0], [-1.0]]]).repeat(1, 1, 2**22)
    target = torch.zeros(1, 2**22, dtype=torch.int64)
    torch.testing.assert_close(
        dice_loss(logits, target).double(), dice_loss(logits.double(), target), rtol=1e-6, atol=0
    )


@pytest.mark.parametrize("length", [1, 255, 256, 257, 2**22 + 1])
@pytest.mark.parametrize("short", [False, True])
def test_an_accelerator_sums_runs_of_positions(length: int, short: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not short:
        monkeypatch.setattr("lossary.core.device.takes_short_indices", lambda _: False)
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 3, length, generator=g).requires_grad_()
    target = torch.randint(3, (1, length), generator=g).masked_fill(torch.rand(1, length, generator=g) < 0.1, -100)
    exact = logits.detach().double().requires_grad_()
    with as_on_an_accelerator():
        found = dice_loss(logits, target, reduction="none")
        (gradient,) = torch.autograd.grad(found.sum(), logits)
    wanted = dice_loss(exact, target, reduction="none")
    torch.testing.assert_close(found.double(), wanted, rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient, torch.autograd.grad(wanted.sum(), exact)[0].float())


def test_a_thousand_classes_alike_are_summed_to_the_sixth_digit() -> None:
    logits, target = torch.zeros(3, 1031, 3), torch.tensor([[321, 616, 631], [598, 761, 664], [632, 822, 139]])
    found = dice_loss(logits, target, reduction="sum")
    torch.testing.assert_close(found.double(), dice_loss(logits.double(), target, reduction="sum"), rtol=2e-6, atol=0)
    assert found.dtype == torch.float32


def test_tversky_at_one_half_is_dice_and_at_one_is_jaccard() -> None:
    logits, target = batch()
    options: dict[str, Any] = {"smooth": 0.0, "reduction": "none"}
    torch.testing.assert_close(
        tversky_loss(logits, target, alpha=0.5, beta=0.5, **options), dice_loss(logits, target, **options)
    )
    torch.testing.assert_close(
        tversky_loss(logits, target, alpha=1.0, beta=1.0, **options), jaccard_loss(logits, target, **options)
    )


def test_alpha_weighs_false_positives() -> None:
    logits = torch.tensor([[[20.0, 20.0, -20.0]]])  # predicted: the first two
    target = torch.tensor([[[1, 0, 0]]])
    assert sigmoid_tversky_loss(logits, target, alpha=0.9, beta=0.1, smooth=0.0).item() == pytest.approx(1 - 1 / 1.9)
    assert sigmoid_tversky_loss(logits, target, alpha=0.1, beta=0.9, smooth=0.0).item() == pytest.approx(1 - 1 / 1.1)


def test_jaccard_from_dice() -> None:
    logits, target = batch()
    dice = 1 - dice_loss(logits, target, smooth=0.0, reduction="none")
    jaccard = 1 - jaccard_loss(logits, target, smooth=0.0, reduction="none")
    torch.testing.assert_close(jaccard, dice / (2 - dice))


def test_weights_in_half_are_multiplied_in_float32() -> None:
    x, y = torch.randn(2, 3, 4).bfloat16(), torch.tensor([[0, 1, 2, 0], [2, 2, 1, 0]])
    half: dict[str, Any] = {
        "class_weight": torch.tensor([0.1, 0.7, 3.0]).bfloat16(),
        "sample_weight": torch.tensor([0.3, 1.1]).bfloat16(),
    }
    exact: dict[str, Any] = {name: weight.double() for name, weight in half.items()}
    got = dice_loss(x, y, **half, reduction="none")
    torch.testing.assert_close(got.double(), dice_loss(x.double(), y, **exact, reduction="none"), rtol=1e-5, atol=0)
