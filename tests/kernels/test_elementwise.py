"""Sums over blocks of elements against the plain formula: every value, gradient and second gradient."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from benchmarks.meter import naive
from benchmarks.meter.counter import count
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

import lossary.functional as L
from lossary.kernels import elementwise
from lossary.kernels.elementwise import block_sum
from lossary.testing.laws.devices import as_on_an_accelerator

SHAPE = (4, 3, 4)  # a row of weights and a column of them have the same length


def draw(*shape: int, seed: int = 0) -> Tensor:
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn.requires_grad_()


def formula(x: Tensor, y: Tensor, by_column: Tensor, by_row: Tensor, scale: Tensor, shift: float, _: None) -> Tensor:
    return ((x - y).square() * by_column.sigmoid() * by_row.exp() * scale + shift * x.sin() * y).sum()


def arguments(flat: bool) -> list:
    """As many shapes as broadcast; or one shape and single numbers, which are cut as one row of elements."""
    x, y = draw(*SHAPE), draw(*SHAPE, seed=1)
    column, row = (draw(*SHAPE, seed=2), draw(*SHAPE, seed=3)) if flat else (draw(4, seed=2), draw(4, 1, 1, seed=3))
    return [x, y, column, row, draw(seed=4), 0.5, None]


@pytest.fixture(autouse=True, params=[1, 5, 25])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elementwise, "CACHED_ELEMENTS", request.param)


def gradients(value: Tensor, given: list, **options: bool) -> tuple[Tensor, ...]:
    return torch.autograd.grad(value, [a for a in given if isinstance(a, Tensor)], **options)


@pytest.mark.parametrize("flat", [True, False])
def test_blocks_are_the_plain_formula(flat: bool) -> None:
    given = arguments(flat)
    plain, blocked = formula(*given), block_sum(formula, *given)
    torch.testing.assert_close(blocked, plain)
    torch.testing.assert_close(gradients(-3 * blocked, given), gradients(-3 * plain, given))


def test_a_second_backward_gives_the_same_again() -> None:
    given = arguments(flat=False)
    value = block_sum(formula, *given)
    first = [g.clone() for g in gradients(2 * value, given, retain_graph=True)]
    torch.testing.assert_close(gradients(2 * value, given), tuple(first))


def test_a_penalty_on_the_gradient_has_its_own_gradient() -> None:
    given = arguments(flat=True)
    found = []
    for run in (formula, lambda *given: block_sum(formula, *given)):
        value = run(*given)
        penalty = sum(g.square().sum() for g in gradients(value, given, create_graph=True))
        found.append(gradients(value + penalty, given))
    torch.testing.assert_close(*found)


def test_one_tensor_as_two_arguments_gets_both_gradients() -> None:
    x = draw(*SHAPE).mT.detach().requires_grad_()  # cut by rows, where no view makes two of it

    def product(a: Tensor, b: Tensor) -> Tensor:
        return (a * a * b).sum()

    for create_graph in (False, True):
        (found,) = torch.autograd.grad(block_sum(product, x, x), x, create_graph=create_graph)
        torch.testing.assert_close(found, 3 * x * x)


def test_a_captured_tensor_that_learns_is_refused() -> None:
    factor = draw()
    for x in (draw(*SHAPE), draw(*SHAPE).detach()):
        with pytest.raises(ValueError, match="formula: wanted every tensor that learns"):
            block_sum(lambda x: (x * factor).sum(), x)


def test_a_known_slope_is_taken_where_the_first_argument_alone_learns() -> None:
    x, factor = draw(*SHAPE), draw()

    def cubes(x: Tensor, factor: Tensor) -> Tensor:
        return (x**3 * factor).sum()

    def doubled(x: Tensor, factor: Tensor, *, out: Tensor) -> Tensor:  # wrong, to be told from the formula
        out.copy_(6 * x**2 * factor)
        return 2 * cubes(x, factor)

    (once,) = torch.autograd.grad(block_sum(cubes, x, factor.detach()), x)
    (twice,) = torch.autograd.grad(block_sum(cubes, x, factor.detach(), slope=doubled), x)
    torch.testing.assert_close(twice, 2 * once)
    both = torch.autograd.grad(block_sum(cubes, x, factor, slope=doubled), (x, factor))
    torch.testing.assert_close(both, torch.autograd.grad(cubes(x, factor), (x, factor)))
    (unknown,) = torch.autograd.grad(block_sum(cubes, x, factor.detach(), slope=lambda *_, out: None), x)
    torch.testing.assert_close(unknown, once)


CALLS: dict[str, Callable[..., Tensor]] = {
    "hard focal": lambda x, y, **rest: L.sigmoid_focal_loss(x, y > 0, gamma=1.5, alpha=0.25, **rest),
    "hard focal, floats": lambda x, y, **rest: L.sigmoid_focal_loss(x, (y > 0).double(), gamma=3.0, **rest),
    "hard focal, gamma 0": lambda x, y, **rest: L.sigmoid_focal_loss(x, y > 0, gamma=0.0, **rest),
    "focal": lambda x, y, **rest: L.sigmoid_focal_loss(x, y.sigmoid(), gamma=1.5, alpha=0.25, **rest),
    "poly": lambda x, y, **rest: L.sigmoid_poly_focal_loss(x, y > 0, **rest),
    "weighted": lambda x, y, **rest: L.binary_cross_entropy_with_logits(
        x, y.sigmoid(), weight=y[0, 0].exp(), pos_weight=y[0, 1].exp(), **rest
    ),
    "balanced": lambda x, y, **rest: L.balanced_bce_loss(x, y.sigmoid(), positive_weight=y[0, 0, 0].exp(), **rest),
    "quantiles": lambda x, y, **rest: L.quantile_loss(x, y[..., 0], quantile=(0.1, 0.2, 0.5, 0.9), **rest),
    "hinge": lambda x, y, **rest: L.squared_hinge_loss(x, y > 0, margin=y[0, 0, 0], **rest),
    "gaussian": lambda x, y, **rest: L.gaussian_nll_loss(x, y, y.exp(), **rest),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("counted", ["all", "some", "weighted"])
def test_losses_over_many_elements_reduce_their_items(name: str, reduction: str, counted: str) -> None:
    """The mean over blocks is that of ``reduction="none"``, which is never cut, with masks, weights and broadcasts."""
    x, y = draw(*SHAPE), draw(*SHAPE, seed=1)
    mask = torch.arange(4) % 3 > 0
    weight = draw(4, seed=5).detach().square().requires_grad_()
    extra = {"all": {}, "some": {"mask": mask}, "weighted": {"sample_weight": weight, "mask": mask}}[counted]
    items = CALLS[name](x, y, reduction="none", **extra)
    share = mask.double() if counted == "some" else weight * mask if counted == "weighted" else torch.ones(4)
    wanted = items.sum() / (share.sum() * 12 if reduction == "mean" else 1)
    value = CALLS[name](x, y, reduction=reduction, **extra)
    torch.testing.assert_close(value, wanted)
    leaves = [x, y, *([weight] if counted == "weighted" else [])]
    ours, theirs = (torch.autograd.grad(v, leaves, allow_unused=True) for v in (value, wanted))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("huge", [100.0, 1e4, float("inf")])
def test_focal_blocks_take_logits_whose_odds_are_no_number(huge: float) -> None:
    x = draw(*SHAPE).detach().flatten()
    x[3], x[4] = huge, -huge
    x.requires_grad_()
    y = (torch.arange(len(x)) % 2 > 0).double()  # the first is right, the second wrong
    y[3:5] = torch.tensor([1.0, 1.0]) if huge < 1e5 else torch.tensor([1.0, 0.0])
    wanted = L.sigmoid_focal_loss(x, y, reduction="none").sum()
    found = L.sigmoid_focal_loss(x, y, reduction="sum")
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(torch.autograd.grad(found, x), torch.autograd.grad(wanted, x))


def test_half_precision_is_summed_in_float32() -> None:
    x = torch.full((1000,), 0.1, dtype=torch.bfloat16, requires_grad=True)
    loss = L.sigmoid_focal_loss(x, torch.ones(1000), reduction="sum")
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, 1000 * L.sigmoid_focal_loss(x[:1], torch.ones(1), reduction="sum"))
    (grad,) = torch.autograd.grad(loss, x)
    assert grad.dtype == torch.bfloat16


def test_memory_is_the_gradient_and_a_few_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elementwise, "CACHED_ELEMENTS", 1 << 14)
    x, y = torch.randn(1 << 19, requires_grad=True), torch.randn(1 << 19) > 0
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as trace:
        torch.autograd.grad(L.sigmoid_focal_loss(x, y), x)
    held = peak = 0
    for event in trace.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    assert peak <= 1.5 * 4 * x.numel()


@pytest.mark.parametrize("targets", ["hard", "soft", "decided floats"])
@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, None), (1.0, 0.25), (3.5, 0.7)])
def test_an_accelerators_focal_slope_is_the_gradient_of_the_formula(
    targets: str, gamma: float, alpha: float | None
) -> None:
    x = (6 * draw(*SHAPE).detach()).requires_grad_()
    x.data[0, 0] = torch.tensor([1e4, -1e4, 40.0, -40.0])
    other = x.detach().roll(1)
    y = {"hard": other > 0, "soft": other.sigmoid(), "decided floats": (other > 0).double()}[targets]
    wanted = L.sigmoid_focal_loss(x, y, gamma=gamma, alpha=alpha, reduction="none").mean()
    with as_on_an_accelerator():
        found = L.sigmoid_focal_loss(x, y, gamma=gamma, alpha=alpha)
    assert "BlockSum" in str(found.grad_fn)
    torch.testing.assert_close(found, wanted)
    ours, theirs = (torch.autograd.grad(v, x, create_graph=True)[0] for v in (found, wanted))
    torch.testing.assert_close(torch.autograd.grad(found, x, retain_graph=True)[0], theirs, rtol=1e-9, atol=1e-15)
    torch.testing.assert_close(ours, theirs)
    second = (torch.autograd.grad(g.square().sum(), x)[0] for g in (ours, theirs))
    torch.testing.assert_close(*second)


@pytest.mark.parametrize("soft", [True, False])
def test_in_bf16_an_accelerators_focal_loss_is_no_worse_than_plain_torch(soft: bool) -> None:
    g = torch.Generator().manual_seed(0)
    x = (4 * torch.randn(1 << 15, generator=g)).bfloat16().requires_grad_()
    y = torch.rand(1 << 15, generator=g)
    y = (y if soft else (y > 0.5).float()).bfloat16()
    exact = x.detach().double().requires_grad_()
    right = L.sigmoid_focal_loss(exact, y.double(), reduction="none").mean()
    slope = torch.autograd.grad(right, exact, retain_graph=True)[0]
    with as_on_an_accelerator():
        found = L.sigmoid_focal_loss(x, y)
    assert found.dtype == torch.float32

    def errors(value: Tensor) -> tuple[float, float]:
        off = torch.autograd.grad(value, x)[0].double() - slope
        return abs(value.item() / right.item() - 1), (off.norm() / slope.norm()).item()

    ours, theirs = errors(found), errors(naive.sigmoid_focal(x, y))
    assert ours[0] <= 1e-3
    assert ours[1] <= theirs[1] <= 0.01


@pytest.mark.parametrize(
    "name", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy_with_logits"]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_torchs_own_losses_cost_an_accelerator_what_they_cost_torch(
    name: str, dtype: torch.dtype, reduction: str
) -> None:
    x, y = (torch.empty(1 << 20, dtype=dtype, device="meta") for _ in range(2))
    ours, theirs = (
        [(c.name, c.bytes) for c in count(partial(getattr(where, name), reduction=reduction), x, y, fixed=(1,)).costs]
        for where in (L, F)
    )
    assert ours == theirs
