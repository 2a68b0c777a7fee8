"""Triton's kernels that have no product: losses of elements, of ready scores and of regions, against float64."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import interpreter
import lossary
from lossary.kernels import elementwise, ready
from lossary.kernels.fused import switch, tiles

pytestmark = pytest.mark.skipif(interpreter.LACKING is not None, reason=str(interpreter.LACKING))

F32, F16, BF16, F64 = torch.float32, torch.float16, torch.bfloat16, torch.float64
ON = interpreter.DEVICE
#: Of the value and of the gradient: the latter is rounded to the input's dtype (and cut, by the interpreter).
TOLERANCE = {F32: (2e-6, 2e-6), F16: (2e-6, 1e-3), BF16: (2e-6, 8e-3)}
dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every tensor is a large one; which kernels were started."""
    from lossary.kernels.fused import elements, gaps, overlap

    names: list[str] = []
    for module in (elements, gaps, overlap):
        launch = module.launch
        monkeypatch.setattr(
            module, "launch", lambda kernel, *a, of=launch, **k: (names.append(kernel.__name__), of(kernel, *a, **k))[1]
        )
    monkeypatch.setattr(switch, "ON", True)
    monkeypatch.setattr(elementwise, "CACHED_ELEMENTS", 64)
    monkeypatch.setattr(elementwise, "LARGE_ELEMENTS", 64)
    monkeypatch.setattr(ready, "FEW_SCORES", 0)
    monkeypatch.setattr(tiles, "ELEMENTS", 32)
    monkeypatch.setattr(tiles, "SCORES", 16)
    monkeypatch.setattr(tiles, "LOGITS", 256)
    monkeypatch.setattr(tiles, "STEPS", 2)
    return names


def both(loss: Callable[..., Tensor], x: Tensor, *others: Any, order: int = 1) -> tuple[list[Tensor], list[Tensor]]:
    """The loss, its gradient, and that of its gradient's square: ours and in float64."""

    def run(x: Tensor, *others: Any) -> list[Tensor]:
        x = x.detach().clone().requires_grad_()
        value = loss(x, *others)
        (first,) = torch.autograd.grad(value.sum(), x, create_graph=order > 1)
        found = [value, first]
        if order > 1:
            found += torch.autograd.grad(first.double().square().sum(), x)
        return [t.detach().cpu().to(F64) for t in found]

    def wide(t: Any) -> Any:
        return t.to(F64) if isinstance(t, Tensor) and t.is_floating_point() else t

    here = [t.to(ON) if isinstance(t, Tensor) else t for t in (x, *others)]
    return run(*here), run(wide(x), *map(wide, others))


def check(got: list[Tensor], want: list[Tensor], dtype: torch.dtype, *, rounded: bool = False) -> None:
    """``rounded``: the value itself is given in half precision, as torch's own is."""
    of_value, of_gradient = TOLERANCE[dtype]
    for a, b, tolerance in zip(got, want, (of_gradient if rounded else of_value, of_gradient), strict=True):
        assert a.shape == b.shape
        assert float((a - b).norm()) <= tolerance * float(b.norm())


def numbers(*shape: int, spread: float = 3.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=F64) * spread


def answers(*shape: int, hard: bool) -> Tensor:
    shares = torch.rand(*shape, generator=torch.Generator().manual_seed(1))
    return (shares > 0.7) if hard else shares


ELEMENTS: dict[str, Callable[..., Tensor]] = {
    "BCE": lossary.binary_cross_entropy_with_logits,
    "BCE, weight": lambda x, y: lossary.binary_cross_entropy_with_logits(x, y, pos_weight=3.0, reduction="sum"),
    "focal": lossary.sigmoid_focal_loss,
    "focal, alpha": lambda x, y: lossary.sigmoid_focal_loss(x, y, gamma=0.5, alpha=0.25),
    "focal, gamma 0": lambda x, y: lossary.sigmoid_focal_loss(x, y, gamma=0.0, reduction="sum"),
    "MSE": lambda x, y: lossary.mse_loss(x, y.to(x.dtype)),
    "MSE, halved": lambda x, y: lossary.mse_loss(x, y.to(x.dtype), halved=True, reduction="sum"),
}


@pytest.mark.sample(5)
@dtypes
@pytest.mark.parametrize("hard", [True, False])
@pytest.mark.parametrize("name", ELEMENTS)
def test_elements(started: list[str], name: str, hard: bool, dtype: torch.dtype) -> None:
    y = answers(7, 33, hard=hard)
    got, want = both(ELEMENTS[name], numbers(7, 33).to(dtype), y)
    # Half targets are given to the squared error alone.
    check(got, want, dtype, rounded=name.startswith("MSE") or (name.startswith("BCE") and hard))
    assert started.count("value_and_slope") == 4
    assert started.count("scale_unless_one") == (ON != "cpu")  # there it is seen to be 1


@pytest.mark.sample(5)
@pytest.mark.parametrize("z", [-90.0, -40.0, 40.0, 90.0])
@pytest.mark.parametrize("name", ["BCE", "focal", "focal, alpha"])
def test_elements_that_are_nearly_right_or_quite_wrong(started: list[str], name: str, z: float) -> None:
    x, y = torch.full((65,), z), answers(65, hard=True)
    got, want = both(ELEMENTS[name], x, y)
    check(got, want, F32)
    right = torch.full((65,), z > 0)
    got, want = both(ELEMENTS[name], x, right)
    if name == "BCE":  # torch's derivative of it is 0 there
        _, want = both(lossary.balanced_bce_loss, x, right)
    assert all((a - b).abs().max() <= 1e-5 * b.abs().max() + 1e-29 for a, b in zip(got, want, strict=True))
    assert started


def test_the_gradient_is_scaled_by_what_comes_from_above(started: list[str]) -> None:
    def loss(x: Tensor, y: Tensor) -> Tensor:
        return 2.5 * lossary.sigmoid_focal_loss(x, y)

    check(*both(loss, numbers(200).float(), answers(200, hard=False)), F32)
    assert "scale_unless_one" in started


def test_second_derivatives_of_elements_are_the_plain_formulas(started: list[str]) -> None:
    got, want = both(lossary.sigmoid_focal_loss, numbers(200).float(), answers(200, hard=False), order=2)
    check(got[:2], want[:2], F32)
    torch.testing.assert_close(got[2], want[2], rtol=1e-5, atol=1e-9)


def test_memory_with_gaps_and_weights_take_the_plain_way(started: list[str]) -> None:
    x, y = numbers(20, 20).float(), answers(20, 20, hard=True)
    check(*both(lossary.sigmoid_focal_loss, x.T[:, ::2], y.T[:, ::2]), F32)
    check(*both(lambda x, y: lossary.sigmoid_focal_loss(x, y, mask=y), x, y), F32)
    assert "value_and_slope" not in started


@pytest.mark.sample(5)
@dtypes
@pytest.mark.parametrize(("n", "c"), [(5, 37), (3, 2), (1, 16), (17, 64)])
def test_ready_scores(started: list[str], n: int, c: int, dtype: torch.dtype) -> None:
    labels = torch.arange(n) * 3 % c
    got, want = both(ready.gaps, numbers(n, c).to(dtype), labels)
    check(got, want, dtype)
    assert started == ["gaps", "gap_slopes"]


def test_ready_scores_that_differ_by_much_or_are_impossible(started: list[str]) -> None:
    x = numbers(6, 40, spread=40.0).float()
    x[:, 7] = -torch.inf
    x[1] += 3e4
    got, want = both(ready.gaps, x, torch.arange(6) * 3 + 2)
    check(got, want, F32)
    assert started


def test_ready_scores_in_rows_that_lie_apart(started: list[str]) -> None:
    x, labels = numbers(6, 40).float(), torch.arange(6)
    check(*both(lambda x, y: ready.gaps(x[:, :20], y), x, labels), F32)
    check(*both(lambda x, y: ready.gaps(x.T[:, :6], y[:4].repeat(10)), x, labels), F32)
    assert len(started) == 4


@dtypes
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_of_ready_scores(started: list[str], weighted: bool, dtype: torch.dtype) -> None:
    def loss(x: Tensor, y: Tensor) -> Tensor:
        weight = torch.arange(1.0, 41.0, device=x.device) if weighted else None
        return lossary.cross_entropy(x, y, weight=weight, ignore_index=2)

    got, want = both(loss, numbers(9, 40).to(dtype), torch.arange(9) % 4)
    check(got, want, dtype, rounded=True)
    assert started == (["gaps", "gap_slopes"] if dtype != F32 or weighted else [])  # torch's own, seen to be exact


@pytest.mark.parametrize("loss", [lossary.cross_entropy, lossary.focal_loss, lossary.poly_loss])
def test_losses_of_ready_scores(started: list[str], monkeypatch: pytest.MonkeyPatch, loss: Callable) -> None:
    monkeypatch.setattr("lossary.losses.classes._by_torch.FEW_SCORES", 0)
    check(*both(lambda x, y: 3 * loss(x, y, ignore_index=2), numbers(9, 40).float(), torch.arange(9) % 4), F32)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("spread", [1.0, 40.0])
def test_focal_loss_of_ready_scores_is_summed_with_its_slope(
    started: list[str], monkeypatch: pytest.MonkeyPatch, gamma: float, spread: float
) -> None:
    monkeypatch.setattr("lossary.losses.classes._by_torch.FEW_SCORES", 0)
    x, labels = numbers(70, 40, spread=spread).float(), torch.arange(70) % 9

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return 3 * lossary.focal_loss(x, y, gamma=gamma, ignore_index=2)

    got, want = both(loss, x, labels, order=2)
    check(got[:2], want[:2], F32)
    torch.testing.assert_close(got[2], want[2], rtol=1e-4, atol=1e-7)
    assert started == ["gaps", "value_and_slope", "gap_slopes"][: len(started)]
    started.clear()
    check(*both(loss, x, labels), F32)
    assert started == ["gaps", "value_and_slope", "gap_slopes"]


def test_second_derivatives_of_ready_scores(started: list[str]) -> None:
    got, want = both(ready.gaps, numbers(5, 30).float(), torch.arange(5), order=2)
    torch.testing.assert_close(got[2], want[2], rtol=1e-5, atol=1e-9)
    assert started


@pytest.mark.sample(5)
@dtypes
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize(("n", "c", "side"), [(2, 3, 9), (1, 19, 5), (3, 1, 4)])
def test_regions(started: list[str], n: int, c: int, side: int, squared: bool, dtype: torch.dtype) -> None:
    from lossary.kernels.overlap import softmax_sums

    target = torch.arange(n * side * side).view(n, -1) * 5 % c
    keep = answers(n, side * side, hard=True)

    def loss(x: Tensor, target: Tensor, keep: Tensor | None = None) -> Tensor:
        sums = torch.stack(softmax_sums(x, target, keep, squared=squared)).double()[:2]
        return (sums / x.shape[2]).sin()  # means: the sine of a large number would magnify its rounding

    x = numbers(n, c, side * side).to(dtype)
    check(*both(loss, x, target), dtype)
    check(*both(loss, x, target, keep), dtype)
    assert started == ["overlap_sums", "overlap_slopes"] * 2


def test_true_positions_are_counted(started: list[str]) -> None:
    from lossary.kernels.overlap import softmax_sums

    target, keep = torch.arange(2 * 50).view(2, 50) % 5, answers(2, 50, hard=True)
    for kept in (None, keep):
        counted = (torch.ones(2, 50, dtype=torch.bool) if kept is None else kept)[:, None]
        want = ((target[:, None] == torch.arange(5)[:, None]) & counted).sum(2)
        truth = softmax_sums(
            numbers(2, 5, 50).float().to(ON), target.to(ON), None if kept is None else kept.to(ON)
        ).truth
        assert torch.equal(truth.cpu(), want.float())


@pytest.mark.parametrize("loss", [lossary.dice_loss, lossary.tversky_loss, lossary.jaccard_loss])
def test_losses_of_regions(started: list[str], loss: Callable[..., Tensor]) -> None:
    target = torch.arange(2 * 36).view(2, 6, 6) % 4
    check(*both(loss, numbers(2, 5, 6, 6).float(), target), F32)
    got, want = both(lambda x, y: loss(x, y, ignore_index=2), numbers(2, 5, 6, 6).float(), target, order=2)
    check(got[:2], want[:2], F32)
    torch.testing.assert_close(got[2], want[2], rtol=1e-4, atol=1e-9)
    assert "overlap_slopes" in started


@pytest.mark.parametrize(
    "loss",
    [
        ready.gaps,
        lambda x, y: lossary.mse_loss(x, torch.zeros_like(x)),
        lambda x, y: lossary.sigmoid_focal_loss(x, torch.zeros_like(x)),
        lambda x, y: lossary.dice_loss(x[..., None], y[:, None]),
    ],
)
def test_a_nan_stays_one(started: list[str], loss: Callable[..., Tensor]) -> None:
    x = numbers(8, 20).float().to(ON)
    x[3, 4] = torch.nan
    x.requires_grad_()
    value = loss(x, torch.arange(8, device=ON)).sum()
    assert value.isnan()
    value.backward()
    assert x.grad is not None
    assert x.grad[3, 4].isnan()
    assert started
