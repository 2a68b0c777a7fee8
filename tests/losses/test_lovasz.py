"""Lovasz losses against the Jaccard losses of sets, one position after the other, and in float32 against float64."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.kernels.order import _growth_upwards, running_sum
from lossary.losses.masks.lovasz import lovasz_hinge_loss, lovasz_softmax_loss, sigmoid_lovasz_loss
from lossary.testing.laws.devices import as_on_an_accelerator


def batch(length: int = 6, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(2, 4, length, generator=g, dtype=torch.float64)
    return logits.to(dtype).requires_grad_(), torch.randint(3, (2, length), generator=g)  # class 3 has no position


def of_sets(errors: Tensor, truth: Tensor, size: Tensor | None = None) -> Tensor:
    """The definition: from the largest error down, each times what the Jaccard loss grows by where it is wrong too."""
    size = torch.ones_like(errors) if size is None else size  # of a position in the sets
    wrong, before, total = torch.zeros_like(truth), 0.0, errors.new_zeros(())
    for i in errors.argsort(descending=True):
        wrong[i] = True
        predicted = truth ^ wrong
        union = size[truth | predicted].sum()
        jaccard = 1 - (size[truth & predicted].sum() / union).item() if union else 0.0
        total = total + errors[i] * (jaccard - before)
        before = jaccard
    return total


def regions(target: Tensor) -> Tensor:
    return F.one_hot(target, 4).movedim(-1, 1).bool()


@pytest.mark.parametrize("per_image", [False, True])
@pytest.mark.parametrize("digits", [False, True])
def test_softmax_is_the_definition_with_its_gradient(
    per_image: bool, digits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lossary.kernels.order.RADIX", 1)
    logits, target = batch(dtype=torch.float32 if digits else torch.float64)
    exact = logits.detach().double().requires_grad_()
    truth = regions(target)
    errors = (truth.double() - exact.softmax(1)).abs()
    rows = (x.flatten(0, 1) if per_image else x.movedim(1, 0).flatten(1) for x in (errors, truth))
    wanted = torch.stack([of_sets(e, t) for e, t in zip(*rows, strict=True)]).view((2, 4) if per_image else (4,))
    found = lovasz_softmax_loss(logits, target, classes="all", per_image=per_image, reduction="none")
    torch.testing.assert_close(found, wanted.to(logits.dtype))
    weight = torch.arange(1.0, 1 + wanted.numel()).view_as(wanted)
    (gradient,) = torch.autograd.grad((found * weight).sum(), logits)
    torch.testing.assert_close(gradient, torch.autograd.grad((wanted * weight).sum(), exact)[0].to(logits.dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("per_image", [False, True])
def test_an_accelerator_finds_the_definition_too(
    per_image: bool, long: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In rows of which float32 has the halves, and in longer ones; of which the last position is ignored."""
    if long:
        monkeypatch.setattr("lossary.kernels.order.HALVES", 0)
    logits, target = batch(7, dtype)
    target[:, -1] = -100
    exact = logits.detach().double().requires_grad_()
    truth = regions(target[:, :-1])
    errors = (truth.double() - exact[..., :-1].softmax(1)).abs()
    rows = (x.flatten(0, 1) if per_image else x.movedim(1, 0).flatten(1) for x in (errors, truth))
    wanted = torch.stack([of_sets(e, t) for e, t in zip(*rows, strict=True)]).view((2, 4) if per_image else (4,))
    weight = torch.arange(1.0, 1 + wanted.numel()).view_as(wanted)
    (slope,) = torch.autograd.grad((wanted * weight).sum(), exact, retain_graph=True)
    with as_on_an_accelerator():
        found = lovasz_softmax_loss(logits, target, classes="all", per_image=per_image, reduction="none")
        (gradient,) = torch.autograd.grad((found * weight).sum(), logits)
        mean = lovasz_softmax_loss(logits, target, per_image=per_image)
    torch.testing.assert_close(found, wanted.to(dtype))
    torch.testing.assert_close(gradient, slope.to(dtype))
    torch.testing.assert_close(mean, wanted[truth.any(2) if per_image else truth.any((0, 2))].mean().to(dtype))


def test_images_whose_positions_are_all_ignored_have_no_gradient_on_an_accelerator() -> None:
    """The class that is true nowhere then has no largest error."""
    logits, target = batch()
    target[1] = -100
    with as_on_an_accelerator():
        found = lovasz_softmax_loss(logits, target, classes="all", per_image=True, reduction="none")
        (gradient,) = torch.autograd.grad(found.sum(), logits)
    assert found[1].count_nonzero() == 0
    assert gradient[1].count_nonzero() == 0
    assert gradient[0].count_nonzero() > 0


@pytest.mark.parametrize(
    ("loss", "error"),
    [
        (sigmoid_lovasz_loss, lambda z, y: (y - z.sigmoid()).abs()),
        (lovasz_hinge_loss, lambda z, y: (1 - z * (2 * y - 1)).relu()),
    ],
)
@pytest.mark.parametrize("digits", [False, True])
def test_channels_are_the_definition(
    loss: Callable[..., Tensor],
    error: Callable[[Tensor, Tensor], Tensor],
    digits: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lossary.kernels.order.RADIX", 1)
    logits, target = batch(dtype=torch.float32 if digits else torch.float64)
    logits = 3 * logits.detach()  # hinges of less than 2 and of more, whose bits begin otherwise
    found = loss(logits, regions(target), per_image=True, reduction="none")
    errors = error(logits.double(), regions(target).double())
    for n in range(2):
        for c in range(4):
            wanted = of_sets(errors[n, c], regions(target)[n, c])
            torch.testing.assert_close(found[n, c], wanted.to(found.dtype))


@pytest.mark.parametrize("weight", [(0.25, 1.5), (0.0, 2.0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_images_weight_is_the_size_of_its_positions(weight: tuple[float, float], dtype: torch.dtype) -> None:
    logits, target = batch(dtype=dtype)
    exact = logits.detach().double().requires_grad_()
    truth = regions(target)
    errors = (truth.double() - exact.softmax(1)).abs()
    each = torch.tensor(weight, dtype=torch.float64)[:, None, None].expand_as(errors)
    rows = (x.movedim(1, 0).flatten(1) for x in (errors, truth, each))
    wanted = torch.stack([of_sets(*row) for row in zip(*rows, strict=True)])
    found = lovasz_softmax_loss(
        logits, target, classes="all", per_image=False, sample_weight=torch.tensor(weight), reduction="none"
    )
    torch.testing.assert_close(found, wanted.to(dtype))
    (gradient,) = torch.autograd.grad(found.sum(), logits)
    torch.testing.assert_close(gradient, torch.autograd.grad(wanted.sum(), exact)[0].to(dtype))


@pytest.mark.parametrize("where", [nullcontext, as_on_an_accelerator])
def test_the_gradient_keeps_its_digits_in_float32(where: Callable[[], AbstractContextManager[None]]) -> None:
    """As differences of fractions close to each other it is wrong in the third digit here."""
    logits, target = batch(1 << 16, torch.float32)
    exact = logits.detach().double().requires_grad_()
    with where():
        value = lovasz_softmax_loss(logits, target)
        (found,) = torch.autograd.grad(value, logits)
    right = lovasz_softmax_loss(exact, target)
    (wanted,) = torch.autograd.grad(right, exact)
    assert value.item() == pytest.approx(right.item(), rel=3e-7)
    assert (found - wanted).norm() < 1e-5 * wanted.norm()


def test_the_growth_has_all_its_digits_on_an_accelerator() -> None:
    """Position by position: of a class that is true in three of half a million, all but a millionth is missed there."""
    length, true = 1 << 19, torch.tensor([5, 1 << 12, (1 << 19) - 9])
    key = torch.zeros(1, length, dtype=torch.int32).index_fill(1, true, 1)
    growth, count = _growth_upwards(key, torch.float32, 1.0)
    missed, rest = key.double().cumsum(1), torch.arange(length, 0, -1).double()
    union = missed + rest - key
    wanted = torch.where(key == 1, 1 / union, missed / (union * (union - 1)))
    torch.testing.assert_close(growth.double(), wanted, rtol=2e-7, atol=0)
    assert count.item() == 3


def test_tiny_errors_keep_their_digits_in_float32() -> None:
    """1 - p of a logit of 20 is 0 in float32, which is not what it costs."""
    logits = torch.tensor([[[20.0], [0.0]]])
    for found in (
        lovasz_softmax_loss(logits, torch.tensor([[0]])),
        sigmoid_lovasz_loss(logits[:, :1], torch.tensor([[[1]]])),
    ):
        assert found.item() == pytest.approx(2.0611536e-9, rel=1e-6)


def test_correct_masks_cost_nothing_and_wrong_ones_all() -> None:
    target = batch()[1].clamp_max(1)
    sure = 1e4 * regions(target)[:, :2].float()
    assert lovasz_softmax_loss(sure, target) == 0
    assert lovasz_softmax_loss(-sure, target) == 1


def test_ignored_positions_are_as_if_cropped() -> None:
    logits, target = batch()
    target[:, -1] = 255
    found = lovasz_softmax_loss(logits, target, ignore_index=255)
    torch.testing.assert_close(found, lovasz_softmax_loss(logits[..., :-1], target[:, :-1]))
    (gradient,) = torch.autograd.grad(found, logits)
    assert gradient[..., -1].count_nonzero() == 0
    truth = regions(target.clamp_max(2)).long()
    truth[..., -1] = 255
    for loss in (sigmoid_lovasz_loss, lovasz_hinge_loss):
        cropped = loss(logits[..., :-1], truth[..., :-1])
        torch.testing.assert_close(loss(logits, truth, ignore_index=255), cropped)


def test_absent_classes_are_left_out_or_cost_their_largest_error() -> None:
    logits, target = batch()
    each = lovasz_softmax_loss(logits, target, classes="all", reduction="none")
    torch.testing.assert_close(lovasz_softmax_loss(logits, target), each[:3].mean())
    torch.testing.assert_close(each[3], logits.softmax(1)[:, 3].max())


def test_one_position_has_the_hinge_loss() -> None:
    for score, true, wanted in ((0.25, 1, 0.75), (0.25, 0, 1.25), (3.0, 1, 0.0)):
        assert lovasz_hinge_loss(torch.tensor([[[score]]]), torch.tensor([[[true]]])).item() == wanted


def test_regions_are_0_or_1() -> None:
    with pytest.raises(ValueError, match="target: wanted one of 0, 1"):
        sigmoid_lovasz_loss(torch.zeros(1, 1, 2), torch.tensor([[[0.5, 1.0]]]))


@pytest.mark.parametrize("length", [1, 3, 256, 257, 70_000])
def test_running_sums_where_determinism_is_asked_for_are_cumsum(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.rand(2, length, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    wanted = x.cumsum(-1)
    monkeypatch.setattr("torch.are_deterministic_algorithms_enabled", lambda: True)
    monkeypatch.setattr("lossary.core.device.by_cache", lambda _: False)
    monkeypatch.setattr(torch.Tensor, "cumsum", None)
    found = running_sum(x)
    torch.testing.assert_close(found, wanted)
    along = torch.linspace(-1, 1, length, dtype=torch.float64).expand(2, -1)
    torch.testing.assert_close(torch.autograd.grad(found, x, along), torch.autograd.grad(wanted, x, along))
