"""Triton's rows kernels, in its interpreter where there is no accelerator, against plain float64."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import interpreter
from lossary.kernels.fused import tiles
from lossary.kernels.rows.scores import Bilinear, ItemSets, RowGradients, Rows, Targets, score_statistics
from lossary.kernels.stable import unit

pytestmark = pytest.mark.skipif(interpreter.LACKING is not None, reason=str(interpreter.LACKING))
if interpreter.LACKING is None:
    from lossary.kernels.fused import rows as fused
    from lossary.kernels.fused import sides

F32, F16, BF16, F64 = torch.float32, torch.float16, torch.bfloat16, torch.float64
ON = interpreter.DEVICE
#: Largest error of the statistics and of the gradients, relative to the largest entry: sums are float32's, slopes are
#: rounded to the inputs' dtype (the interpreter cuts bfloat16's digits instead of rounding them).
TOLERANCE = {F32: (5e-6, 5e-6), F16: (5e-6, 1.5e-3), BF16: (5e-6, 1.5e-2)}
ALL = RowGradients(*(True,) * 4)  # pyright: ignore
#: Of x, w and b, not of factors.
NEEDS = (True, True, True, False, False)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than one in each direction, and several strips."""
    interpreter.small_tiles(monkeypatch)


def draw(n: int, c: int, d: int, dtype: torch.dtype, spread: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    x, w, b = (torch.randn(*shape, generator=g, dtype=F64) for shape in ((n, d), (c, d), (c,)))
    return (x * spread).to(dtype), w.to(dtype), b.to(dtype)


def problems(n: int, c: int, d: int, dtype: torch.dtype) -> Iterator[tuple[str, Bilinear, Targets]]:
    x, w, b = draw(n, c, d, dtype)
    few, of_columns = torch.arange(n) % 4, torch.arange(c) % 3  # label 3 has no column: a row without a target
    index = torch.arange(n) * 7 % c
    groups, of_groups = torch.arange(n) % 5, torch.arange(c) // 2 % 5
    yield "one target", Bilinear(x, w), Targets(index.int())
    yield "bias, directions", Bilinear(x, w, b, unit=True), Targets(index)
    yield "a zero vector", Bilinear(x, w * (torch.arange(c) != c // 2)[:, None], None, unit=True), Targets(index)
    yield "labels", Bilinear(x, w, b), Targets(few, of_columns)
    yield "a scale", Bilinear(x, w, None, unit=True), Targets(few, of_columns, scale=-1.5)
    yield "own column", Bilinear(x, w), Targets(few, of_columns, own=True)
    yield "own, one target", Bilinear(x, w), Targets(index, own=True)
    yield "groups", Bilinear(x, w, b), Targets(few, of_columns, row_groups=groups, column_groups=of_groups, scale=2.0)
    yield "own, groups", Bilinear(x, w), Targets(few, of_columns, own=True, row_groups=groups, column_groups=of_groups)
    factors = {"row_factor": torch.arange(n) % 5 - 1.5, "column_factor": 1.0 / (1 + torch.arange(c) % 3)}
    yield "factors", Bilinear(x, w, b, **factors), Targets(few, of_columns)
    yield "a factor, directions", Bilinear(x, w, unit=True, row_factor=factors["row_factor"]), Targets(index)
    far = x * (torch.arange(n) != n // 2)[:, None] * 10  # and one zero vector
    yield "rows' directions", Bilinear(far, w, b, radius=3.0), Targets(index)
    yield "all directions", Bilinear(far, w, unit=True, radius=3.0), Targets(few, of_columns, scale=2.0)
    yield "directions, factors", Bilinear(far, w, unit=True, radius=0.5, **factors), Targets(few, of_columns)
    yield "absent columns", Bilinear(x, w, torch.where(of_columns == 1, -1e30, 0.0)), Targets(few, of_columns)


def truth(source: Bilinear, targets: Targets, by: RowGradients) -> tuple[Rows, list[Tensor | None]]:
    """Statistics and gradients in float64."""
    x, w, b, r, c = leaves = [None if t is None else t.to(F64).requires_grad_() for t in source.tensors]
    assert x is not None
    assert w is not None
    scores = (x if source.radius is None else source.radius * unit(x)) @ (unit(w) if source.unit else w).T
    scores = scores if c is None else scores * c
    scores = scores if r is None else scores * r[:, None]
    rows = score_statistics(scores if b is None else scores + b, targets)
    total = sum((s * g.to(F64)).sum() for s, g in zip(rows[1:], by, strict=True) if g is not None)
    total.backward()
    return Rows(*(s.detach() for s in rows)), [None if t is None else t.grad for t in leaves]


def error(got: Tensor, want: Tensor) -> float:
    assert got.shape == want.shape
    got, want = got.detach().cpu().to(F64), want.detach()
    absent = want < -1e29  # as far away as it may be
    assert torch.equal(got < -1e29, absent)
    got, want = got.masked_fill(absent, 0), want.masked_fill(absent, 0)
    return 0.0 if want.numel() == 0 else float((got - want).abs().max() / want.abs().max().clamp_min(1e-3))


def placed(source: Bilinear, targets: Targets) -> tuple[Bilinear, Targets]:
    def put(t: Tensor | None) -> Any:
        return None if t is None else t.to(ON)

    x, w, b, r, c = map(put, source.tensors)
    half = None if source.x.dtype == F32 else source.x.dtype
    to = Targets(
        put(targets.rows),
        put(targets.columns),
        own=targets.own,
        row_groups=put(targets.row_groups),
        column_groups=put(targets.column_groups),
        scale=targets.scale,
        first=targets.first,
        paired=targets.paired,
        sums=targets.sums,
        means=targets.means,
    )
    return Bilinear(x, w, b, source.unit, row_factor=r, column_factor=c, half=half, radius=source.radius), to


def slopes(n: int, which: RowGradients = ALL) -> RowGradients:
    g = torch.Generator().manual_seed(1)
    drawn = [torch.randn(n, generator=g) for _ in which]
    return RowGradients(*(d if given else None for d, given in zip(drawn, which, strict=True)))


def check(source: Bilinear, targets: Targets, by: RowGradients, needs: tuple[bool, ...] = (True,) * 5) -> None:
    at_statistics, at_gradients = TOLERANCE[source.x.dtype]
    want, gradients = truth(source, targets, by)
    here, to = placed(source, targets)
    got = fused.row_statistics(here, to)
    for name, a, b in zip(Rows._fields, got, want, strict=True):
        assert a.dtype == F32
        assert (name == "mean" and not targets.means) or error(a, b) < at_statistics, name
    by = RowGradients(*(None if g is None else g.to(ON) for g in by))
    needs = tuple(need and t is not None for need, t in zip(needs, here.tensors, strict=True))
    found = fused.row_gradients(here, to, got, by, needs)  # pyright: ignore[reportArgumentType]
    for name, like, needed, a, b in zip("xwbrc", here.tensors, needs, found, gradients, strict=True):
        assert (a is None) == (like is None or not needed)
        if a is not None and like is not None and b is not None:
            assert a.dtype in (like.dtype, F32)
            assert error(a, b) < at_gradients, name


NAMES = [name for name, *_ in problems(8, 8, 3, F32)]


@pytest.mark.sample(5)
@pytest.mark.parametrize("dtype", [F32, F16, BF16], ids=str)
@pytest.mark.parametrize("which", range(len(NAMES)), ids=NAMES)
def test_statistics_and_gradients_are_those_of_float64(which: int, dtype: torch.dtype) -> None:
    _, source, targets = list(problems(21, 37, 17, dtype))[which]
    check(source, targets, slopes(21))


@pytest.mark.sample(3)
@pytest.mark.parametrize("dtype", [F32, BF16], ids=str)
@pytest.mark.parametrize("which", [0, 1, 3, 8])
def test_long_vectors_are_multiplied_by_torch(monkeypatch: pytest.MonkeyPatch, which: int, dtype: torch.dtype) -> None:
    monkeypatch.setattr(tiles, "DEEP", 16)
    _, source, targets = list(problems(21, 37, 17, dtype))[which]
    assert fused.problem(*placed(source, targets)).deep
    check(source, targets, slopes(21))


@pytest.mark.sample(6)
@pytest.mark.parametrize(("n", "c", "d"), [(1, 1, 1), (1, 40, 3), (40, 1, 16), (5, 17, 33)])
@pytest.mark.parametrize("which", [0, 1, 3, 7])
def test_every_size_is_right(n: int, c: int, d: int, which: int) -> None:
    _, source, targets = list(problems(n, c, d, F32))[which]
    check(source, targets, slopes(n))


@pytest.mark.parametrize(("n", "c", "d"), [(0, 5, 3), (5, 0, 3), (5, 4, 0), (0, 0, 0)])
def test_nothing_to_multiply(n: int, c: int, d: int) -> None:
    x, w, b = (t.to(ON) for t in draw(n, c, d, F32))
    labels = torch.zeros(n, dtype=torch.long, device=ON), torch.arange(c, device=ON)
    rows = fused.row_statistics(Bilinear(x, w, b), Targets(*labels))
    assert all(s.shape == (n,) and s.isfinite().all() for s in rows)
    found = fused.row_gradients(Bilinear(x, w, b), Targets(*labels), rows, RowGradients(*rows[1:]), NEEDS)
    for like, g in zip((x, w, b), found, strict=False):
        assert g is not None
        assert g.shape == like.shape
        assert g.isfinite().all()


@pytest.mark.sample(3)
@pytest.mark.parametrize("given", [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)])
@pytest.mark.parametrize("which", [0, 8])
def test_a_statistic_that_the_loss_has_no_use_for(which: int, given: tuple[int, ...]) -> None:
    _, source, targets = list(problems(9, 20, 4, F32))[which]
    check(source, targets, slopes(9, RowGradients(*given)))  # pyright: ignore


@pytest.mark.parametrize(("which", "needed"), [(1, 0), (1, 1), (1, 2), (13, 3), (13, 4)])
def test_only_what_learns_gets_a_gradient(which: int, needed: int) -> None:
    _, source, targets = list(problems(9, 20, 4, F32))[which]
    needs = tuple(i == needed or i == needed - 3 for i in range(5))  # a factor's comes with its vectors'
    check(source, targets, slopes(9), needs)


@pytest.mark.parametrize(("spread", "tolerance"), [(1e-3, 5e-6), (8.0, 1e-5), (100.0, 1e-4)])
def test_scores_of_any_spread(monkeypatch: pytest.MonkeyPatch, spread: float, tolerance: float) -> None:
    x, w, b = draw(20, 33, 16, F32, spread)
    # A score's last digit, relative to the score, is an error of its exponential, relative to 1.
    monkeypatch.setitem(TOLERANCE, F32, (5e-6, tolerance))
    check(Bilinear(x, w, b), Targets(torch.arange(20)), slopes(20))


def test_no_slope_is_subnormal_and_two_runs_agree() -> None:
    x, w, _ = draw(20, 33, 16, F32, 30.0)
    source, targets = placed(Bilinear(x, w), Targets(torch.arange(20)))
    rows = fused.row_statistics(source, targets)
    of = fused.problem(source, targets)
    by = RowGradients(None, None, torch.ones(20, device=ON), None)
    factors = fused._row_factors(rows, by, 33, 1.0)
    made, _ = fused._slopes(of, factors, slice(0, 33))
    assert ((made == 0) | (made.abs() >= 2.0**-100)).all()
    again = fused.row_statistics(source, targets)
    assert all(torch.equal(a, b) for a, b in zip(rows, again, strict=True))


def of_both_sets(z: Tensor, labels: Tensor | None, split: int, scale: float) -> Rows:
    """The statistics of a set with itself, or of each with the other."""
    if split == 0:
        assert labels is not None
        return score_statistics(z @ z.T, Targets(labels, labels, own=True, scale=scale))
    one, other = (torch.arange(split),) * 2 if labels is None else (labels[:split], labels[split:])
    scores = z[:split] @ z[split:].T
    both = (score_statistics(scores, Targets(one, other, scale=scale)),
            score_statistics(scores.T, Targets(other, one, scale=scale)))  # fmt: skip
    return Rows(*map(torch.cat, zip(*both, strict=True)))  # pyright: ignore


@pytest.mark.sample(5)
@pytest.mark.parametrize("dtype", [F32, F16, BF16], ids=str)
@pytest.mark.parametrize("radius", [None, 2.0])
@pytest.mark.parametrize(("split", "scale"), [(0, 1.0), (0, -0.5), (13, 1.0), (13, 2.0), (15, 1.0)])
def test_one_set_and_both_directions(split: int, scale: float, radius: float | None, dtype: torch.dtype) -> None:
    at_statistics, at_gradients = TOLERANCE[dtype]
    items, by = draw(30, 1, 9, dtype)[0], slopes(30)
    items[4] *= radius is None  # a vector without a direction
    labels = None if split == 15 else torch.arange(30) % 7  # half of 30: pairs
    leaf, factor = items.to(F64).requires_grad_(), (torch.arange(30) % 3 + 0.5).requires_grad_()
    z = (leaf if radius is None else radius * unit(leaf)) * factor[:, None]
    want = of_both_sets(z, labels, split, scale)
    sum((s * g.to(F64)).sum() for s, g in zip(want[1:], by, strict=True)).backward()  # pyright: ignore
    half = None if dtype == F32 else dtype
    placed = (items.to(ON), factor.detach().to(ON), None if labels is None else labels.to(ON))
    sets = ItemSets(*placed, split, scale, half, None, False, radius)
    got = fused.set_statistics(sets)
    for name, a, b in zip(Rows._fields, got, want, strict=True):
        assert error(a, b) < at_statistics, name
    by = RowGradients(*(g.to(ON) for g in by))  # pyright: ignore
    by_items, by_factor = fused.set_gradients(sets, got, by)
    assert leaf.grad is not None
    assert factor.grad is not None
    assert by_factor is not None
    assert error(by_items, leaf.grad) < at_gradients
    assert error(by_factor, factor.grad) < at_gradients


@pytest.mark.sample(5)
@pytest.mark.parametrize("dtype", [F32, F16, BF16], ids=str)
@pytest.mark.parametrize("shift", [-10.0, 0.0, 40.0])
@pytest.mark.parametrize("kind", ["pairs", "numbers", "labels"])
def test_the_sum_of_softplus(kind: str, shift: float, dtype: torch.dtype) -> None:
    x, w, b = draw(19, 33, 9, dtype)
    source = Bilinear(x, w, (b * 0 + shift).to(dtype), unit=kind == "pairs", radius=2.0 if kind == "pairs" else None)
    labels, by = torch.arange(19), slopes(19)._replace(mean=None)  # which is not asked for
    if kind == "labels":
        check(source, Targets(labels % 4, torch.arange(33) % 3, scale=-0.5, sums="softplus", means=False), by)
    else:
        check(source, Targets(labels, paired=kind == "pairs", sums="softplus", means=False), by)


@pytest.mark.parametrize("dtype", [F16, BF16], ids=str)
def test_the_slopes_of_pairs_are_not_rounded(dtype: torch.dtype) -> None:
    """Of integers and a slope that half precision has to round, every digit comes through."""
    x, w = torch.ones(3, 4, dtype=dtype, device=ON), torch.ones(5, 4, dtype=dtype, device=ON)
    source = Bilinear(x, w, half=dtype, row_factor=torch.ones(3, device=ON))
    by = RowGradients(torch.full((3,), 1 + 2.0**-14, device=ON), None, None, None)
    for paired, error in ((True, 0.0), (False, 2.0**-14)):
        targets = Targets(torch.arange(3, device=ON), paired=paired)
        rows = fused.row_statistics(source, targets)
        by_factor = fused.row_gradients(source, targets, rows, by, (True, True, False, True, False)).row_factor
        assert by_factor is not None
        assert float((by_factor - 4 * (1 + 2.0**-14)).abs().max()) == 4 * error


def test_norms_of_any_length_have_a_reciprocal() -> None:
    w = torch.tensor([[3.0, 4.0], [0.0, 0.0], [3e-30, 4e-30], [3e30, 4e30]], device=ON)
    wanted = torch.tensor([0.2, 0.0, 2e29, 2e-31])
    each = sides.side(w, None, 1.0, None).each
    both = [side.each for side in sides.sides(Bilinear(w[1:], w, unit=True, radius=2.0))]
    for found, expected in zip([each, *both], (wanted, 2 * wanted[1:], wanted), strict=True):
        assert found is not None
        torch.testing.assert_close(found.cpu(), expected)


def test_tiles_of_every_dtype_are_stored() -> None:
    for dtype in (F32, F16, BF16):
        assert tiles.slopes(torch.empty(0, dtype=dtype)).depth <= tiles.statistics(torch.empty(0, dtype=dtype)).columns


@pytest.mark.sample(5)
@pytest.mark.parametrize("starts", [(0, 16), (0, 5, 33)])
@pytest.mark.parametrize("which", [0, 3, 5, 6, 8])
def test_parts_of_the_columns(which: int, starts: tuple[int, ...]) -> None:
    _, source, targets = list(problems(21, 37, 17, F32))[which]
    for start, stop in zip(starts, (*starts[1:], 37), strict=True):
        columns = slice(start, stop)
        labels, groups = (None if t is None else t[columns] for t in (targets.columns, targets.column_groups))
        some = Targets(targets.rows, labels, own=targets.own, row_groups=targets.row_groups, column_groups=groups)
        b = None if source.b is None else source.b[columns]
        check(Bilinear(source.x, source.w[columns], b, source.unit), some.part(start), slopes(21))
