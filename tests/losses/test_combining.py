"""Sums of losses and deep supervision: values, gradients, what is saved, what is refused."""

import copy
import io
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lossary
from lossary import DeepSupervision, Sum
from lossary.compose.sums import _nearest


def batch() -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 6, 4, generator=g, requires_grad=True), torch.randint(3, (2, 6, 4), generator=g)


def test_sum_is_the_weighted_sum_and_its_parts_add_up() -> None:
    logits, target = batch()
    loss = Sum(dice=lossary.DiceLoss(), cross_entropy=(lossary.CrossEntropyLoss(), 0.5))
    wanted = lossary.dice_loss(logits, target) + 0.5 * lossary.cross_entropy(logits, target)
    torch.testing.assert_close(loss(logits, target), wanted)
    parts = loss.parts(logits, target)
    assert list(parts) == ["dice", "cross_entropy"]
    torch.testing.assert_close(parts["dice"] + parts["cross_entropy"], wanted)
    for got, expected in zip(*(torch.autograd.grad(v, logits) for v in (loss(logits, target), wanted)), strict=True):
        torch.testing.assert_close(got, expected)


def test_weights_that_learn_get_a_gradient_and_tensors_are_saved() -> None:
    logits, target = batch()
    learns, fixed = nn.Parameter(torch.tensor(0.5)), torch.tensor(2.0)
    loss = Sum(dice=(lossary.DiceLoss(), learns), cross_entropy=(lossary.CrossEntropyLoss(), fixed))
    assert [p is learns for p in loss.parameters()] == [True]
    loss(logits, target).backward()
    torch.testing.assert_close(learns.grad, lossary.dice_loss(logits, target).detach())
    other = Sum(
        dice=(lossary.DiceLoss(), nn.Parameter(torch.tensor(0.0))),
        cross_entropy=(lossary.CrossEntropyLoss(), torch.tensor(0.0)),
    )
    file = io.BytesIO()
    torch.save(loss.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file))
    assert torch.equal(other(logits, target), loss(logits, target))
    for twin in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss)):
        assert torch.equal(twin(logits, target), loss(logits, target))


def test_sum_tells_what_it_is_made_of() -> None:
    shown = repr(Sum(dice=lossary.DiceLoss(smooth=0.25), focal=(lossary.FocalLoss(), 0.75)))
    for wanted in ("dice", "smooth=0.25", "focal", "weight=0.75"):
        assert wanted in shown


def test_keywords_reach_every_loss() -> None:
    logits, target = torch.randn(6, 5), torch.arange(6) % 5
    mask = torch.arange(6) < 4
    loss = Sum(cross_entropy=lossary.CrossEntropyLoss(), focal=lossary.FocalLoss())
    torch.testing.assert_close(loss(logits, target, mask=mask), loss(logits[:4], target[:4]))


def test_bad_sums_are_refused() -> None:
    with pytest.raises(ValueError, match="terms"):
        Sum()
    with pytest.raises(TypeError, match=r"dice: .*Module"):
        Sum(dice=lossary.dice_loss)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="dice"):
        Sum(dice=(lossary.DiceLoss(), float("nan")))
    shapes = Sum(dice=lossary.DiceLoss(reduction="none"), cross_entropy=lossary.CrossEntropyLoss())
    with pytest.raises(ValueError, match=r"'dice': \(2, 3\), 'cross_entropy': \(\)"):
        shapes(*batch())


def test_deep_supervision_is_the_weighted_sum_over_resolutions() -> None:
    logits, target = batch()
    coarse = torch.randn(2, 3, 3, 2)
    loss = DeepSupervision(lossary.DiceCrossEntropyLoss(), weights=(1.0, 0.25))
    small = target[:, 1::2, 1::2]
    wanted = lossary.dice_cross_entropy_loss(logits, target) + 0.25 * lossary.dice_cross_entropy_loss(coarse, small)
    torch.testing.assert_close(loss([logits, coarse], target), wanted)


def test_deep_supervision_of_regions_and_volumes() -> None:
    outputs = [torch.randn(2, 3, 4, 4, 4), torch.randn(2, 3, 2, 2, 2)]
    regions = torch.rand(2, 3, 4, 4, 4) > 0.5
    loss = DeepSupervision(lossary.SigmoidDiceLoss(), weights=(0.5, 0.5))
    parts = [
        lossary.sigmoid_dice_loss(outputs[0], regions),
        lossary.sigmoid_dice_loss(outputs[1], regions[..., 1::2, 1::2, 1::2]),
    ]
    torch.testing.assert_close(loss(outputs, regions), (parts[0] + parts[1]) / 2)


@pytest.mark.parametrize("size", [(3, 2), (5, 7), (1, 1), (12, 8), (6, 4)])
def test_nearest_neighbour_is_torchs_exact_one_and_keeps_the_dtype(size: tuple[int, int]) -> None:
    target = torch.arange(2 * 6 * 4).reshape(2, 6, 4)
    wanted = F.interpolate(target[:, None].double(), size=size, mode="nearest-exact")[:, 0].long()
    assert torch.equal(_nearest(target, torch.Size(size)), wanted)
    assert _nearest(target.to(torch.uint8), torch.Size(size)).dtype == torch.uint8


def test_ignored_positions_stay_ignored_at_every_resolution() -> None:
    logits = torch.randn(1, 2, 4, 4, requires_grad=True)
    target = torch.zeros(1, 4, 4, dtype=torch.int64)
    target[:, :2] = -100
    loss = DeepSupervision(lossary.DiceCrossEntropyLoss(), weights=(1.0,))
    (grad,) = torch.autograd.grad(loss([logits[..., ::2, ::2]], target), logits)
    assert grad[:, :, 0].count_nonzero() == 0
    assert grad[:, :, 2].count_nonzero() > 0


def test_deep_supervision_counts_its_outputs() -> None:
    logits, target = batch()
    loss = DeepSupervision(lossary.DiceLoss(), weights=(1.0, 0.5))
    with pytest.raises(ValueError, match=r"outputs: wanted 2.*got 1"):
        loss([logits], target)
    with pytest.raises(ValueError, match="target"):
        loss([logits, logits], target[0])
