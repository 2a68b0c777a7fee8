"""The blocked routes against the plain formula: every value, gradient and second gradient, and what they hold."""
# pyright: basic, reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportOptionalMemberAccess=false, reportOptionalIterable=false, reportReturnType=false
# pyright: reportPossiblyUnboundVariable=false, reportAssignmentType=false

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from lossary.core import device as _device
from lossary.kernels.rows import bands, blocks, symmetric, tiles
from lossary.kernels.rows import formula as rows
from lossary.kernels.rows.formula import row_loss, two_way_statistics
from lossary.kernels.rows.scores import Bilinear, Dense, Given, Rows, Targets, statistics
from lossary.kernels.stable import ABSENT, logaddexp, softplus

N, C, D = 13, 11, 5
F64 = torch.float64


# Formulas like those of the library's families.
def cross_entropy(r: Rows) -> Tensor:
    return softplus(r.rest - r.target)


def margin(r: Rows, scale: Tensor, margin: Tensor) -> Tensor:
    return softplus(r.rest - (r.target - scale * margin))


def focal(r: Rows, gamma: Tensor) -> Tensor:
    return softplus(r.rest - r.target) * torch.exp(gamma * F.logsigmoid(r.rest - r.target))


def smoothing(r: Rows, share: Tensor) -> Tensor:
    return softplus(r.rest - r.target) + share * (r.target - r.mean)


def supcon(r: Rows) -> Tensor:
    return torch.where(r.targets > 0, logaddexp(r.among, r.rest) - r.target, 0.0)


def supcon_mean(r: Rows) -> Tensor:
    return supcon(r) - 0.1 * r.mean


def either_side(r: Rows) -> Tensor:
    return softplus(r.among + 0.1) + softplus(r.rest - 0.2) + 0.3 * r.target - 0.1 * r.mean


def draw(seed: int = 0, dtype: torch.dtype = F64, unit: bool = False, bias: bool = True) -> tuple[Bilinear, Tensor]:
    g = torch.Generator().manual_seed(seed)
    x, w, b = (torch.randn(*shape, generator=g, dtype=F64) for shape in ((N, D), (C, D), (C,)))
    x, w, b = (t.to(dtype).requires_grad_() for t in (x, w, b))
    return Bilinear(x, w, b if bias else None, unit), torch.randint(C, (N,), generator=g)


def centers_of_three(source: Bilinear) -> Bilinear:
    """As many columns."""
    g = torch.Generator().manual_seed(7)
    w, b = (torch.randn(C * 3, *rest, generator=g, dtype=F64, requires_grad=True) for rest in ((D,), ()))
    return replace(source, w=w, b=None if source.b is None else b, centers=3)


def parameter(*values: float) -> list[Tensor]:
    return [torch.tensor(v, dtype=F64, requires_grad=True) for v in values]


def problems(unit: bool, bias: bool) -> list[tuple]:
    source, index = draw(unit=unit, bias=bias)
    x, labels = source.x, index % 4
    one_set = Targets(labels, labels, own=True)
    # Groups that neither contain the labels' nor lie within them.
    groups = torch.tensor([0, 1, 2, 0, 1, 2, 3, 3, 3, 4, 5, 6, 7])
    grouped = Targets(labels, labels, own=True, row_groups=groups, column_groups=groups)
    crossed = Targets(labels, labels.flip(0), own=True, row_groups=groups, column_groups=groups)
    other = Targets(labels, torch.arange(C) % 3, row_groups=groups % 3, column_groups=torch.arange(C) % 4)
    return [
        (cross_entropy, source, Targets(index.int()), []),
        (margin, source, Targets(index), parameter(8.0, 0.3)),
        (focal, source, Targets(index), [torch.rand(N, dtype=F64, requires_grad=True)]),
        (smoothing, source, Targets(index), parameter(0.1)),
        (supcon, source, Targets(labels, torch.arange(C) % 3), []),  # class 3 has no target: a row without any
        (supcon_mean, Bilinear(x, x, None, unit), one_set, []),  # without unit: symmetric
        (supcon_mean, Bilinear(x, x, None, unit), grouped, []),
        (supcon_mean, Bilinear(x, x, None, unit), crossed, []),
        (supcon_mean, source, other, []),
        (supcon, Bilinear(x, x), Targets(labels % 2 * 7, labels % 2 * 7, own=True), []),
        (cross_entropy, Bilinear(x, x.detach().flip(0), None, unit), Targets(torch.arange(N), None, own=True), []),
        (smoothing, centers_of_three(source), Targets(index), parameter(0.1)),
        (either_side, source, Targets(index, scale=-1.5), []),
        (either_side, Bilinear(x, x, None, unit), replace(one_set, scale=-0.3), []),
        (either_side, Bilinear(x, x, None, unit), replace(crossed, scale=2.0), []),
        (either_side, source, replace(other, scale=-2.0), []),
    ]


@pytest.fixture
def blocked(monkeypatch: pytest.MonkeyPatch):
    """Make every problem a large one, in blocks of so many rows."""

    def use(size: int) -> None:
        monkeypatch.setattr(rows, "CPU_PLAIN", -1)
        monkeypatch.setattr(blocks, "block_rows", lambda *_: size)
        monkeypatch.setattr(symmetric, "TILE", size)
        monkeypatch.setattr(bands, "STEP", 3)
        monkeypatch.setattr(tiles, "tile_size", lambda _: size)

    return use


@pytest.fixture
def as_an_accelerator(monkeypatch: pytest.MonkeyPatch):
    """Go the ways of a device on which nobody looks at values, on the CPU."""

    def use() -> None:
        monkeypatch.setattr(_device, "by_cache", lambda _: False)
        monkeypatch.setattr(rows, "ACCELERATOR_PLAIN", -1)

    return use


def assert_near(got: Tensor, want: Tensor, tolerance: float) -> None:
    """Equal to ``tolerance`` of the largest entry."""
    assert got.shape == want.shape
    assert want.isfinite().all()
    assert (got - want).abs().max() <= tolerance * (want.abs().max() + 1e-3)


def derivatives(problem: tuple, order: int, weight: Tensor | None, reduction: str) -> list[Tensor]:
    """The loss, its gradients and those of 10 |gradient|^2 by everything that learns."""
    formula, source, targets, parameters = problem
    found = {id(t): t for t in (source.x, source.w, source.b, *parameters) if t is not None and t.requires_grad}
    leaves = list(found.values())
    loss = row_loss(formula, source, targets, *parameters, weight=weight, reduction=reduction)
    total = (loss * torch.arange(1, loss.numel() + 1).view(loss.shape)).sum()
    first = torch.autograd.grad(total, leaves, create_graph=order > 1)
    found = [loss.detach(), *(g.detach() for g in first)]
    if order > 1:
        found += torch.autograd.grad(total + 10 * sum(g.square().sum() for g in first), leaves)
    return found


def test_centers_that_are_equally_near_share_the_gradient(blocked) -> None:
    x, index = torch.eye(3, dtype=F64), torch.tensor([0, 1, 2])  # small whole numbers: scores tie exactly
    w = torch.tensor([[1, 0, 0], [1, 0, 0], [0, 2, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]], dtype=F64, requires_grad=True)
    both = []
    for use in (lambda: None, lambda: blocked(2)):
        use()
        loss = row_loss(cross_entropy, Bilinear(x, w, centers=2), Targets(index), reduction="sum")
        both.append(torch.autograd.grad(loss, w)[0])
    torch.testing.assert_close(*both)
    torch.testing.assert_close(both[0][0], both[0][1])


@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("size", [1, 4, 50])
def test_an_accelerators_blocks_give_the_plain_formulas_loss_and_gradient(
    blocked, as_an_accelerator, size: int, reduction: str
):
    kinds = ((False, True), (True, False), (True, True))
    cases = [problem for unit, bias in kinds for problem in problems(unit, bias)]
    wanted = [derivatives(problem, 1, None, reduction) for problem in cases]
    blocked(size)
    as_an_accelerator()
    for problem, right in zip(cases, wanted, strict=True):
        for got, want in zip(derivatives(problem, 1, None, reduction), right, strict=True):
            assert_near(got, want, 1e-12)


@pytest.mark.sample(3)
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("size", [1, 4, 50])
def test_blocks_give_the_plain_formulas_loss_and_derivatives(blocked, size: int, reduction: str, order: int):
    weight = torch.rand(N, dtype=F64)
    kinds = ((False, True, None), (True, False, weight), (True, True, weight))
    cases = [(problem, weight) for unit, bias, weight in kinds for problem in problems(unit, bias)]
    wanted = [derivatives(problem, order, weight, reduction) for problem, weight in cases]
    blocked(size)
    for (problem, weight), right in zip(cases, wanted, strict=True):
        for got, want in zip(derivatives(problem, order, weight, reduction), right, strict=True):
            assert_near(got, want, 1e-12)


@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_gradcheck_and_gradgradcheck(blocked, reduction: str):
    blocked(2)
    x = torch.randn(3, 2, dtype=F64, requires_grad=True)
    w = torch.randn(4, 2, dtype=F64, requires_grad=True)
    scale, gap = parameter(2.0, 0.3)
    labels = torch.tensor([0, 1, 0])

    def one_target(x: Tensor, w: Tensor, *p: Tensor) -> Tensor:
        return row_loss(margin, Bilinear(x, w, unit=True), Targets(labels), *p, reduction=reduction)

    def one_set(x: Tensor) -> Tensor:
        return row_loss(supcon_mean, Bilinear(x, x), Targets(labels, labels, own=True), reduction=reduction)

    for loss, inputs in ((one_target, (x, w, scale, gap)), (one_set, (x,))):
        # The second backward makes the scores again and so rounds differently.
        assert torch.autograd.gradcheck(loss, inputs, nondet_tol=1e-12)
        assert torch.autograd.gradgradcheck(loss, inputs, nondet_tol=1e-12)


def test_third_derivatives(blocked):
    source, index = draw()

    def third(x: Tensor) -> Tensor:
        value = row_loss(cross_entropy, Bilinear(x, source.w), Targets(index))
        for _ in range(3):
            (g,) = torch.autograd.grad(value, x, create_graph=True)
            value = g.pow(3).sum()
        return g.detach()

    want = third(source.x)
    blocked(4)
    torch.testing.assert_close(third(source.x), want)


def test_backward_twice_gives_the_same_gradient_again(blocked):
    blocked(4)
    source, index = draw(unit=True)
    loss = 3 * row_loss(cross_entropy, source, Targets(index))
    first = [g.clone() for g in torch.autograd.grad(loss, (source.x, source.w, source.b), retain_graph=True)]
    for again in range(2):
        second = torch.autograd.grad(loss, (source.x, source.w, source.b), retain_graph=again == 0)
        for a, b in zip(first, second, strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("which", [(True, False, False), (False, True, False), (False, False, True)])
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_only_what_learns_gets_a_gradient(blocked, which: tuple[bool, ...], reduction: str):
    source, index = draw()
    x, w, b = (t.detach().requires_grad_(need) for t, need in zip((source.x, source.w, source.b), which, strict=True))
    learns = next(t for t in (x, w, b) if t.requires_grad)

    def gradient() -> Tensor:
        return torch.autograd.grad(
            row_loss(cross_entropy, Bilinear(x, w, b), Targets(index), reduction=reduction).sum(), learns
        )[0]

    want = gradient()
    blocked(4)
    torch.testing.assert_close(gradient(), want)


@pytest.mark.filterwarnings("ignore:.*torch.jit")  # torch's own forward mode uses it
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_torch_func_and_forward_mode(blocked, reduction: str):
    source, index = draw()
    x, w = source.x.detach(), source.w.detach()

    def loss(w: Tensor) -> Tensor:
        return row_loss(cross_entropy, Bilinear(x, w), Targets(index), reduction=reduction).sum()

    def all_of_them() -> list[Tensor]:
        with torch.autograd.forward_ad.dual_level():
            tangent = torch.autograd.forward_ad.unpack_dual(
                loss(torch.autograd.forward_ad.make_dual(w, w.cos()))
            ).tangent
        return [
            torch.func.grad(loss)(w),
            torch.func.grad(lambda v: torch.func.grad(loss)(v).square().sum())(w),
            torch.func.vmap(torch.func.grad(loss))(torch.stack([w, w + 1])),
            torch.func.jvp(loss, (w,), (w.sin(),))[1],
            tangent,
        ]

    want = all_of_them()
    blocked(4)
    for a, b in zip(all_of_them(), want, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("autocast", [False, True])
def test_low_precision_accumulates_in_float32(blocked, dtype: torch.dtype, reduction: str, autocast: bool):
    blocked(4)
    source, index = draw(dtype=dtype, unit=True)
    exact = Bilinear(*(t.detach().double().requires_grad_() for t in (source.x, source.w, source.b)), unit=True)
    want = row_loss(cross_entropy, exact, Targets(index), reduction=reduction)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = row_loss(cross_entropy, source, Targets(index), reduction=reduction)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), want, rtol=1e-6, atol=1e-6)
    loss.sum().backward()
    want.sum().backward()
    tolerance = 4 * torch.finfo(dtype).eps
    for name in ("x", "w", "b"):
        got, right = getattr(source, name).grad, getattr(exact, name).grad
        assert got.dtype == dtype
        assert (got - right).abs().max() <= tolerance * right.abs().max()


def test_autocast_leaves_a_set_against_itself_in_float32(blocked):
    blocked(4)
    x, labels = torch.randn(N, D, requires_grad=True), torch.arange(N) % 4
    problem = (supcon_mean, Bilinear(x, x), Targets(labels, labels, own=True))
    (want,) = torch.autograd.grad(row_loss(*problem), x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (got,) = torch.autograd.grad(row_loss(*problem), x)
        loss = row_loss(*problem)
    assert torch.equal(loss, row_loss(*problem))
    assert torch.equal(got, want)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_extreme_scores_stay_finite(blocked, dtype: torch.dtype, reduction: str):
    blocked(4)
    source, index = draw(dtype=dtype)
    x = (source.x.detach() * 1e4).requires_grad_()
    loss = row_loss(cross_entropy, Bilinear(x, source.w, source.b), Targets(index), reduction=reduction)
    for g in torch.autograd.grad(loss, (x, source.w, source.b), create_graph=True):
        assert g.isfinite().all()
    exact = row_loss(
        cross_entropy,
        Bilinear(x.detach().double(), source.w.double(), source.b.double()),
        Targets(index),
        reduction=reduction,
    )
    torch.testing.assert_close(loss.double(), exact, rtol=1e-6, atol=0)


def test_a_class_vector_of_length_zero(blocked):
    source, index = draw(unit=True)
    w = source.w.detach().clone()
    w[3] = 0
    w.requires_grad_()
    problem = (cross_entropy, Bilinear(source.x, w, None, True), Targets(index), [])
    want = derivatives(problem, 1, None, "mean")
    blocked(4)
    got = derivatives(problem, 1, None, "mean")
    assert not got[2][3].any()
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize(("n", "c"), [(0, 3), (1, 1), (4, 1), (1, 5)])
def test_smallest_batches(blocked, n: int, c: int, reduction: str):
    """No row, one class (no rest): the loss and the gradients are 0, as in the plain formula."""
    x, w = torch.randn(n, 2, dtype=F64, requires_grad=True), torch.randn(c, 2, dtype=F64, requires_grad=True)
    problem = (cross_entropy, Bilinear(x, w), Targets(torch.zeros(n, dtype=torch.int64)), [])
    want = derivatives(problem, 1, None, reduction)
    blocked(2)
    for a, b in zip(derivatives(problem, 1, None, reduction), want, strict=True):
        torch.testing.assert_close(a, b)


def test_rows_without_a_rest_give_it_no_gradient(blocked):
    """DCL's formula passes a gradient to the rest whatever it is."""
    blocked(2)
    x, w = torch.randn(3, 2, dtype=F64, requires_grad=True), torch.randn(1, 2, dtype=F64, requires_grad=True)
    row_loss(
        lambda r: r.rest - r.target, Bilinear(x, w), Targets(torch.zeros(3, dtype=torch.int64)), reduction="sum"
    ).backward()
    torch.testing.assert_close(x.grad, -w.detach().expand(3, 2))
    labels = torch.zeros(3, dtype=torch.int64)
    found = statistics(Bilinear(x, x), Targets(labels, labels, own=True))
    assert (found.rest == ABSENT).all()
    for reduction, w in itertools.product(("none", "sum"), (x, x.detach().clone())):
        loss = row_loss(lambda r: r.rest, Bilinear(x, w), Targets(labels, labels, own=True), reduction=reduction)
        assert not torch.autograd.grad(loss.sum(), x)[0].any()


@pytest.mark.parametrize("targets", [Targets(torch.arange(N) % C), Targets(torch.arange(N) % 4, torch.arange(C) % 3)])
@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize("length", [1, 1000])
def test_rows_however_large_their_scores(blocked, length: float, unit: bool, targets: Targets):
    """Scores near 0 need no maximum for their exponentials; those of 1000 overflow without."""
    x, w = ((k * torch.randn(n, D, dtype=F64)).requires_grad_() for k, n in ((length, N), (1, C)))
    problem = (supcon_mean, Bilinear(x, w, unit=unit), targets, [])
    want = derivatives(problem, 1, None, "mean")
    blocked(4)
    for a, b in zip(derivatives(problem, 1, None, "mean"), want, strict=True):
        assert_near(a, b, 1e-12)


@pytest.mark.sample(2)
@pytest.mark.parametrize("size", [1, 4, 50])
@pytest.mark.parametrize("accelerator", [False, True])
@pytest.mark.parametrize(("length", "scale"), [(1, 1.0), (6, 1.0), (1, -0.3), (1, -300.0)])
def test_a_set_against_itself_however_long_its_vectors(
    blocked, as_an_accelerator, length: float, scale: float, accelerator: bool, size: int
):
    """Scores that are far from 0 take another way to their exponentials."""
    x, labels = (length * torch.randn(N, D, dtype=F64)).requires_grad_(), torch.arange(N) % 4
    bound = (x @ x.T).detach().abs().max().item()
    problem = (either_side, Bilinear(x, x, bound=bound), Targets(labels, labels, own=True, scale=scale), [])
    want = derivatives(problem, 1, None, "none")
    blocked(size)
    if accelerator:
        as_an_accelerator()
    for a, b in zip(derivatives(problem, 1, None, "none"), want, strict=True):
        assert_near(a, b, 1e-12)


@pytest.mark.sample(3)
@pytest.mark.parametrize("accelerator", [False, True])
@pytest.mark.parametrize("size", [1, 4, 50])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("targets", ["one each", "the same place", "of labels"])
@pytest.mark.parametrize("length", [1, 30])
def test_both_directions_at_once(
    blocked, as_an_accelerator, length: float, targets: str, order: int, size: int, accelerator: bool
):
    x, w = (length * torch.randn(N, D, dtype=F64)).requires_grad_(), torch.randn(C, D, dtype=F64, requires_grad=True)
    x = x if targets == "of labels" else x[:C].detach().requires_grad_()
    targets = {
        "one each": Targets(torch.randperm(C)),
        "the same place": Targets(torch.arange(C), paired=True),
        "of labels": Targets(torch.arange(N) % 4, torch.arange(C) % 3),
    }[targets]

    def all_of_them() -> list[Tensor]:
        losses = [supcon_mean(r) for r in two_way_statistics(Bilinear(x, w), targets)]
        total = sum(((1 + torch.arange(len(each))) * each).sum() for each in losses)
        first = torch.autograd.grad(total, (x, w), create_graph=order > 1)
        found = [*losses, *first]
        if order > 1:
            found += torch.autograd.grad(total + 10 * sum(g.square().sum() for g in first), (x, w))
        return [f.detach() for f in found]

    want = all_of_them()
    blocked(size)
    if accelerator:
        as_an_accelerator()
    for a, b in zip(all_of_them(), want, strict=True):
        assert_near(a, b, 1e-12)


def test_a_captured_tensor_that_learns_is_refused(blocked):
    blocked(4)
    source, index = draw()
    scale = torch.tensor(2.0, dtype=F64, requires_grad=True)
    with pytest.raises(ValueError, match=r"formula: .*captured"):
        row_loss(lambda r: scale * cross_entropy(r), source, Targets(index))


def test_dense_scores_equal_bilinear_ones():
    source, index = draw()
    torch.testing.assert_close(
        row_loss(cross_entropy, Dense(source.dense()), Targets(index)), F.cross_entropy(source.dense(), index)
    )


def test_one_number_may_come_in_a_dimension_of_its_own(blocked):
    source, index = draw()
    numbers = [torch.tensor(v, dtype=F64, requires_grad=True) for v in (8.0, 0.3)]
    want = derivatives((margin, source, Targets(index), numbers), 1, None, "mean")
    numbers = [n.detach()[None].requires_grad_() for n in numbers]
    for size in (None, 4):
        if size is not None:
            blocked(size)
        found = derivatives((margin, source, Targets(index), numbers), 1, None, "mean")
        for got, right in zip(found, want, strict=True):
            assert_near(got.reshape(right.shape), right, 1e-12)


def test_targets_count_times_their_scale():
    source, index = draw()
    is_target, plain = index[:, None] == torch.arange(C), statistics(source, Targets(index))
    for targets in (Targets(index, scale=-1.5), Given(is_target, ~is_target, -1.5)):
        found = statistics(source, targets)
        for scaled in (found.target, found.among):
            torch.testing.assert_close(scaled, -1.5 * plain.target)
        torch.testing.assert_close(found.rest, plain.rest)
        torch.testing.assert_close(found.mean, plain.mean)


def test_a_mask_is_never_as_wide_as_the_scores():
    """Several targets a row, and entries that do not exist: only the few concerned are looked at."""
    n, d = 4096, 8
    x, w = torch.randn(n, d, requires_grad=True), torch.randn(n, d, requires_grad=True)
    labels = torch.randint(n // 4, (n,))
    problem = (supcon, Bilinear(x, w), Targets(labels, labels, row_groups=labels // 2, column_groups=labels // 2))
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as trace:
        torch.autograd.grad(row_loss(*problem), (x, w))
    masks = ("aten::eq", "aten::ne", "aten::where", "aten::masked_fill_")
    compared = [shape for e in trace.events() if e.name in masks for shape in e.input_shapes if len(shape) == 2]
    assert compared
    assert max(width for _, width in compared) < n / 8


def large(kind: str) -> tuple[Callable[[str], Tensor], tuple[Tensor, ...], int]:
    """A loss by reduction, what learns, and the bytes of all its scores."""
    n, c, d = 2048, 4096, 16
    x, w = torch.randn(n, d, requires_grad=True), torch.randn(c, d, requires_grad=True)
    if kind == "one set":
        labels = torch.arange(n) // 4
        problem = (supcon, Bilinear(x, x), Targets(labels, labels, own=True))
        return lambda r: row_loss(*problem, reduction=r).sum(), (x,), 4 * n * n
    problem = (cross_entropy, Bilinear(x, w, unit=True), Targets(torch.arange(n)))
    return lambda r: row_loss(*problem, reduction=r).sum(), (x, w), 4 * n * c


@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("kind", ["head", "one set"])
def test_the_scores_are_never_held_whole(kind: str, reduction: str, monkeypatch):
    monkeypatch.setattr(_device, "budget", lambda _: 1 << 19)
    monkeypatch.setattr(blocks, "CPU_LARGEST_BLOCK", 1 << 19)  # 32 rows of 4096
    monkeypatch.setattr(symmetric, "TILE", 128)
    loss, learns, all_scores = large(kind)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as trace:
        torch.autograd.grad(loss(reduction), learns)
    held = peak = 0
    for event in trace.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    gradients = sum(4 * t.numel() for t in learns)
    assert peak < all_scores / 8 + 3 * gradients


@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("kind", ["head", "one set"])
def test_backward_keeps_a_few_numbers_a_row(kind: str, reduction: str):
    loss, learns, _ = large(kind)
    kept: dict[int, int] = {}

    def pack(t: Tensor) -> Tensor:
        kept[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        value = loss(reduction)
    inputs = sum(kept.pop(t.untyped_storage().data_ptr(), 0) for t in learns)
    assert inputs > 0
    assert sum(kept.values()) <= 2048 * 4 * 16
    value.backward()


def test_a_penalty_on_the_gradient_is_felt():
    """Where the gradient leads nowhere, |dW| of such a loss is too small and nothing says so."""
    x, w = torch.randn(600, 8, dtype=F64), torch.randn(500, 8, dtype=F64, requires_grad=True)
    index = torch.randint(500, (600,))

    def gradient(loss: Tensor) -> Tensor:
        (g,) = torch.autograd.grad(loss, w, create_graph=True)
        return torch.autograd.grad(loss + 10 * g.square().sum(), w)[0]

    got = gradient(row_loss(cross_entropy, Bilinear(x, w), Targets(index)))
    torch.testing.assert_close(got, gradient(F.cross_entropy(x @ w.T, index)))


COMPILED = [
    ("aot_eager", "none", False),
    ("aot_eager", "mean", False),
    ("aot_eager", "mean", True),
    pytest.param("inductor", "mean", True, marks=pytest.mark.slow),
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own
@pytest.mark.parametrize(("backend", "reduction", "unit"), COMPILED)
def test_compiles_without_a_graph_break(blocked, backend: str, reduction: str, unit: bool):
    blocked(4)
    chosen = problems(unit, bias=not unit)
    for formula, source, targets, parameters in chosen[1:2] + chosen[6:7] if backend == "inductor" else chosen:
        inputs = [t for t in (source.x, source.w, *parameters) if t.requires_grad]

        def loss(x, w, *p, formula=formula, source=source, targets=targets):
            again = Bilinear(x, x if source.w is source.x else w, source.b, source.unit)
            return row_loss(formula, again, targets, *p, reduction=reduction).sum()

        torch._dynamo.reset()
        compiled = torch.compile(loss, fullgraph=True, backend=backend)
        got = torch.autograd.grad(compiled(source.x, source.w, *parameters), inputs)
        want = torch.autograd.grad(loss(source.x, source.w, *parameters), inputs)
        for a, b in zip(got, want, strict=True):
            assert_near(a, b, 1e-12)


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # said by the check itself, in torch 2.14
def test_the_operators_keep_torchs_rules(blocked):
    blocked(4)
    source, index = draw()
    labels = index % 4
    operators = torch.ops.lossary
    three, by_row = centers_of_three(source), torch.rand(N, dtype=F64, requires_grad=True)
    marks = ("exponentials", True, None, "", [], False)
    of_scores = ("softplus", True, 3, "soft_cap", [2.0], False)
    no_labels = (None, None, None, None)
    one_set = (source.x, source.x, None, by_row, by_row, labels, labels, None, None, None)
    for given in (
        (source.x, source.w, source.b, None, None, index, *no_labels, False, 1.0, *marks, False, 1, None, None, None),
        (*one_set, True, -0.5, *of_scores, True, 1, None, None, None),
        (source.x, three.w, three.b, by_row, None, index, *no_labels, False, 1.0, *marks, True, 3, None, None, None),
    ):
        torch.library.opcheck(operators.row_statistics.default, given)
    set_given = (source.x, by_row, labels, 0, -0.5, None, None, False, None)
    torch.library.opcheck(operators.set_statistics.default, set_given)
