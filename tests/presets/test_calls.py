"""What a script types that was written for the original: its arguments at their defaults, and its calls."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lossary
from lossary import presets


def views(count: int, items: int, phase: float) -> list[Tensor]:
    k = torch.arange(count * items * 5, dtype=torch.float64)
    return list((0.5 * torch.sin(12.9898 * (k + 1) ** 1.1 + phase)).reshape(count, items, 5))


@pytest.mark.parametrize(
    ("given", "temperature"),
    [
        ({}, 0.07),
        ({"epoch": 0}, 0.02),
        ({"epoch": 1}, 0.045),
        ({"epoch": 2}, 0.07),
        ({"epoch": 7}, 0.07),
        ({"teacher_temp": 0.5}, 0.5),
        ({"teacher_temp": 0.5, "epoch": 0}, 0.5),
    ],
)
def test_dino_of_lightly_warms_up_by_epochs(given: dict[str, float], temperature: float) -> None:
    warmed = presets.lightly.dino(5, warmup_teacher_temp=0.02, teacher_temp=0.07, warmup_teacher_temp_epochs=3)
    fixed = presets.lightly.dino(5, teacher_temp=temperature)
    teacher, student = views(2, 4, 0.0), views(3, 4, 1.0)
    for _ in range(2):  # the second time with a center
        torch.testing.assert_close(warmed.double()(teacher, student, **given), fixed.double()(teacher, student))


def test_a_warm_up_of_one_epoch_or_none() -> None:
    teacher, student = views(2, 4, 0.0), views(3, 4, 1.0)

    def loss(epochs: int, epoch: int) -> float:
        made = presets.lightly.dino(5, 0.02, 0.07, epochs)
        return made.double()(teacher, student, epoch=epoch).item()

    assert loss(1, 0) == presets.lightly.dino(5, teacher_temp=0.02).double()(teacher, student).item()
    assert loss(1, 1) == loss(0, 0) == presets.lightly.dino(5, teacher_temp=0.07).double()(teacher, student).item()


def test_swav_of_lightly_assigns_a_queue_too() -> None:
    """By the paper's algorithm: the queue's items take part in the assignments, and have no loss."""
    large, small, queue = views(2, 4, 0.0), views(1, 4, 1.0), views(2, 6, 2.0)

    def assigned(scores: Tensor) -> Tensor:
        q = (scores / 0.05).exp()
        for _ in range(3):
            q = q / q.sum(0)
            q = q / q.sum(1, keepdim=True)
        return q

    codes = [assigned(torch.cat(both))[:4] for both in zip(large, queue, strict=True)]
    pairs = [(u, v) for u in range(2) for v in range(3) if u != v]
    terms = [-(codes[u] * ([*large, *small][v] / 0.1).log_softmax(1)).sum(1).mean() for u, v in pairs]
    loss = presets.lightly.swav()
    torch.testing.assert_close(loss(large, small, queue), torch.stack(terms).mean())
    assert not torch.allclose(loss(large, small, queue), loss(large, small))


def test_the_second_view_of_vicreg_has_a_name() -> None:
    first, second = views(2, 4, 0.0)
    loss = presets.pytorch_metric_learning.vicreg()
    assert torch.equal(loss(first, ref_emb=second), lossary.vicreg_loss(first, second))


smp = presets.segmentation_models_pytorch
lightly = presets.lightly


@pytest.mark.parametrize("name", smp.__all__)
def test_from_logits_is_true(name: str) -> None:
    make = getattr(smp, name)
    scores, labels = torch.linspace(-2, 2, 24).sin().reshape(2, 3, 4), torch.tensor([[0, 1, 2, 0], [1, 1, 2, 2]])
    assert torch.equal(make("multiclass", from_logits=True)(scores, labels), make("multiclass")(scores, labels))
    with pytest.raises(ValueError, match="from_logits: wanted True: these losses take logits; got False"):
        make("multiclass", from_logits=False)


@pytest.mark.parametrize("make", [lightly.nt_xent, lightly.dcl, lightly.dclw, lightly.barlow_twins, lightly.vicreg])
def test_gathering_is_asked_of_the_call(make: Callable[..., nn.Module]) -> None:
    assert repr(make(gather_distributed=False)) == repr(make())
    with pytest.raises(ValueError, match=r"gather_distributed: wanted False, and the process group in the call"):
        make(gather_distributed=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: lightly.swav(sinkhorn_gather_distributed=True), "gather_distributed: wanted False"),
        (lambda: lightly.nt_xent(memory_bank_size=4096), "memory_bank_size: wanted 0; got 4096"),  # type: ignore[arg-type]
        (lambda: lightly.dcl(weight_fn=torch.mul), "weight_fn: wanted None"),  # type: ignore[arg-type]
    ],
)
def test_what_lightly_has_beside_is_refused_with_what_to_do(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("background", [True, False])
def test_unreduced_losses_of_monai_have_its_shapes(batch: bool, background: bool) -> None:
    """And their sum and mean are what the other reductions give."""
    scores, labels = torch.linspace(-2, 2, 72).sin().reshape(2, 3, 4, 3), torch.arange(24).reshape(2, 1, 4, 3) % 3
    items, classes = () if batch else (2,), 3 if background else 2
    shared: dict[str, Any] = {"to_onehot_y": True, "include_background": background}
    of_overlap: dict[str, Any] = {**shared, "softmax": True, "batch": batch}
    cases: tuple[tuple[Callable[..., nn.Module], dict[str, Any], tuple[int, ...]], ...] = (
        (presets.monai.dice, of_overlap, (*items, classes, 1, 1)),
        (presets.monai.tversky, of_overlap, (*items, classes)),
        (presets.monai.generalized_dice, of_overlap, (*items, 1, 1, 1)),
        (presets.monai.dice_focal, of_overlap, (2, classes, 4, 3)),
        (presets.monai.focal, shared, (2, classes, 4, 3)),
        (presets.monai.focal, {**shared, "use_softmax": True}, (2, classes, 4, 3)),
    )
    for make, arguments, shape in cases:
        each = make(**arguments, reduction="none")(scores, labels)
        assert each.shape == shape
        torch.testing.assert_close(each.mean(), make(**arguments)(scores, labels))
