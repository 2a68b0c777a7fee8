"""Means of formulas over rows by Triton's kernels, in its interpreter, against plain float64."""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

import interpreter
from lossary.core.reduce import reduce
from lossary.kernels.fused.switch import RowKernel
from lossary.kernels.rows import softmax
from lossary.kernels.rows.by_torch import SoftmaxWith
from lossary.kernels.rows.means import fits, row_mean
from lossary.kernels.rows.scores import Rows
from lossary.kernels.stable import ABSENT
from lossary.losses.classes import softmax as focal
from lossary.losses.identities import angular
from lossary.losses.views import mutual

pytestmark = pytest.mark.skipif(interpreter.LACKING is not None, reason=str(interpreter.LACKING))
F32, F64, ON = torch.float32, torch.float64, interpreter.DEVICE
SCALE = 8.0
Formula = Callable[[Rows], Tensor]


@pytest.fixture(autouse=True)
def several_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    interpreter.small_tiles(monkeypatch)


def angles(beyond: angular.BeyondPi, margin: float) -> tuple[Formula, RowKernel]:
    numbers = angular.arcface_numbers(margin)

    def formula(rows: Rows) -> Tensor:
        target = partial(angular.arcface_target, beyond_pi=beyond, straight_through=False)
        return SoftmaxWith(target)(rows, SCALE, *numbers)

    kernel = angular._arcface_kernel(SCALE, margin, beyond)
    assert kernel is not None
    return formula, kernel


def shifted() -> tuple[Formula, RowKernel]:
    kernel = angular._cosface_kernel(SCALE, 0.3)
    assert kernel is not None
    return lambda rows: angular._cosface(rows, SCALE, 0.3), kernel


#: Formulas of rows with one target, and the only one of several.
SINGLE: dict[str, tuple[Formula, RowKernel]] = {
    "nll": (softmax._right_one, softmax.NLL),
    "a margin": shifted(),
    "angle, linear": angles("linear", 0.5),
    "angle, easy": angles("easy", 0.5),
    "angle, plain": angles("plain", 2.0),
    "focal": (lambda rows: focal._focal(rows.rest - rows.target, 2.5), ("gap focal", 2.5, 0.0, 0.0, 0.0)),
    "pairs": (mutual._pair_and_rest, mutual._PAIR),
}
SEVERAL = softmax._right_ones, softmax.NLL


def rows(n: int, single: bool) -> Rows:
    """Ordinary ones, hopeless and perfect ones, one without the rest, and of several one without a target."""
    g = torch.Generator().manual_seed(0)
    target, among, rest, mean = torch.randn(4, n, generator=g, dtype=F64) * 5
    rest[1::7], rest[2::7], rest[3::7] = 90.0, -90.0, ABSENT
    count = torch.ones(n, dtype=F64) if single else torch.arange(n, dtype=F64) % 3
    among = target if single else torch.where(count > 0, among, ABSENT)
    return Rows(count, target.clamp(-SCALE, SCALE) if single else target, among, rest, mean)


def weights(n: int) -> dict[str, Tensor | None]:
    some = torch.arange(n) % 4 != 1
    return {"none": None, "booleans": some, "numbers": torch.rand(n, dtype=F64) * some, "nothing": some & False}


def derivatives(
    of: tuple[Formula, RowKernel], n: int, single: bool, weight: Tensor | None, dtype: torch.dtype, order: int
) -> list[Tensor]:
    """The mean, its gradients, and those of their squares: of kernels in float32."""
    formula, kernel = of
    at = [s.to(ON, dtype).requires_grad_() for s in rows(n, single)]
    given = Rows(*at)
    weight = None if weight is None else weight.to(ON) if weight.dtype == torch.bool else weight.to(ON, dtype)
    if dtype == F32:
        mean = row_mean(formula, kernel, given, weight, single=single)
    else:
        found = given.targets.detach() > 0
        mean = reduce(formula(given), weight=weight if single else found if weight is None else found * weight)
    leaves = [given.rest, given.target] if single else [given.rest, given.target, given.among]
    first = torch.autograd.grad(mean * 3, leaves, create_graph=order > 1)
    squares = torch.stack([g.square().sum() for g in first]).sum()
    second = torch.autograd.grad(squares, leaves, materialize_grads=True) if order > 1 else ()
    return [t.detach().cpu().to(F64) for t in (mean, *first, *second)]


@pytest.mark.parametrize(("n", "kind"), [(37, "none"), (37, "booleans"), (37, "numbers"), (37, "nothing"), (1, "none"),
                                         (16, "numbers"), (0, "none"), (0, "booleans")])  # fmt: skip
@pytest.mark.parametrize("single", [True, False])
def test_the_mean_likelihood_and_gradients_are_those_of_float64(n: int, kind: str, single: bool) -> None:
    of, weight = SINGLE["nll"] if single else SEVERAL, weights(n)[kind]
    got, want = (derivatives(of, n, single, weight, dtype, 1) for dtype in (F32, F64))
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=3e-6, atol=1e-7)


@pytest.mark.parametrize("name", SINGLE)
def test_every_formula_is_that_of_float64(name: str) -> None:
    weight = weights(37)["numbers"]
    got, want = (derivatives(SINGLE[name], 37, True, weight, dtype, 1) for dtype in (F32, F64))
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("beyond", ["linear", "easy", "plain"])
def test_an_angle_has_no_derivative_at_its_ends(beyond: angular.BeyondPi) -> None:
    target = torch.tensor([SCALE, -SCALE], device=ON, requires_grad=True)
    zeros = torch.zeros(2, device=ON)
    mean = row_mean(*angles(beyond, 0.5), Rows(zeros + 1, target, target, zeros, zeros), None, single=True)
    (slopes,) = torch.autograd.grad(mean, target)
    # The linear continuation, and the easy margin's other side, have one.
    wrong = torch.sigmoid(torch.tensor(SCALE + (0.5 * math.sin(0.5) * SCALE if beyond == "linear" else 0)))
    want = torch.stack([torch.zeros(()), torch.zeros(()) if beyond == "plain" else -wrong / 2])
    torch.testing.assert_close(slopes.cpu(), want, rtol=1e-5, atol=1e-6)


def test_a_nan_stays_one() -> None:
    statistics = Rows(*(torch.tensor([1.0, math.nan], device=ON) for _ in Rows._fields))
    for formula, kernel in SINGLE.values():
        assert row_mean(formula, kernel, statistics, None, single=True).isnan()


@pytest.mark.parametrize("single", [True, False])
def test_gradients_can_be_differentiated_again(single: bool) -> None:
    of, weight = SINGLE["angle, linear"] if single else SEVERAL, weights(37)["numbers"]
    got, want = (derivatives(of, 37, single, weight, dtype, 2) for dtype in (F32, F64))
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=2e-5, atol=1e-6)


def test_too_many_rows_for_one_program_are_left_to_torch() -> None:
    from lossary.kernels.fused import tiles

    assert fits(torch.empty(tiles.ALONE, 0))
    assert not fits(torch.empty(tiles.ALONE + 1, 0))
