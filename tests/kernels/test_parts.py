"""Rows in parts of their columns: any cut of these gives the same statistics, gradients and second gradients."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from lossary.core import device
from lossary.kernels.rows import blocks, formula
from lossary.kernels.rows.merged import merge
from lossary.kernels.rows.parts import part_statistics
from lossary.kernels.rows.scores import Bilinear, Rows, Targets, score_statistics

N, C, D = 9, 12, 4
F64 = torch.float64
#: Where parts begin; the last one has no columns.
CUTS = ([0], [0, 5], [0, 1, 7, 11], [0, 12])


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = F64) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=g, dtype=F64).to(dtype).requires_grad_()


def problems() -> Iterator[tuple[str, Bilinear, Targets]]:
    x, w, b = draw(N, D), draw(C, D, seed=1), draw(C, seed=2)
    few, of_columns, index = torch.arange(N) % 4, torch.arange(C) % 3, torch.arange(N) * 5 % C
    groups, of_groups = torch.arange(N) % 5, torch.arange(C) // 2 % 5
    yield "numbers", Bilinear(x, w, b), Targets(index)
    yield "directions", Bilinear(x, w, unit=True), Targets(index.int())
    yield "large scores", Bilinear(x * 300, w), Targets(index)
    yield "labels", Bilinear(x, w, b), Targets(few, of_columns)
    yield "a scale", Bilinear(x, w), Targets(few, of_columns, scale=-1.5)
    yield "own", Bilinear(x, w), Targets(few, of_columns, own=True)
    yield "own numbers", Bilinear(x, w), Targets(index, own=True)
    yield (
        "groups",
        Bilinear(x, w),
        Targets(few, of_columns, own=True, row_groups=groups, column_groups=of_groups, means=False),
    )
    yield "softplus", Bilinear(x, w, b), Targets(index, sums="softplus", means=False)
    yield "softplus of labels", Bilinear(x, w, b), Targets(few, of_columns, sums="softplus", means=False)


NAMES = [name for name, *_ in problems()]


def in_parts(source: Bilinear, targets: Targets, starts: list[int]) -> Rows:
    stops, found = [*starts[1:], len(source.w)], []
    for start, stop in zip(starts, stops, strict=True):
        columns = slice(start, stop)
        b = None if source.b is None else source.b[columns]
        labels, groups = (None if t is None else t[columns] for t in (targets.columns, targets.column_groups))
        some = Targets(
            targets.rows, labels, own=targets.own, row_groups=targets.row_groups, column_groups=groups,
            scale=targets.scale, sums=targets.sums, means=targets.means,
        )  # fmt: skip
        found.append(part_statistics(Bilinear(source.x, source.w[columns], b, source.unit), some, start))
    return merge(found)


def derivatives(source: Bilinear, rows: Rows, *, order: int, means: bool) -> list[Tensor]:
    """Of numbers that every statistic has a part in; the mean score, if it was asked for."""
    leaves = [t for t in (source.x, source.w, source.b) if t is not None]
    some = rows[1:] if means else rows[1:4]
    total = sum((torch.cos(s) * torch.linspace(1, 2, N, dtype=F64)).sum() for s in some)
    assert isinstance(total, Tensor)
    first = torch.autograd.grad(total, leaves, create_graph=order > 1)
    found = [rows.targets, *some, *first]
    if order > 1:
        found += torch.autograd.grad(torch.stack([g.square().sum() for g in first]).sum(), leaves)
    return [f.detach() for f in found]


def by_blocks(monkeypatch: pytest.MonkeyPatch, *, accelerator: bool) -> None:
    monkeypatch.setattr(formula, "CPU_PLAIN", 0)
    monkeypatch.setattr(formula, "ACCELERATOR_PLAIN", 0)
    monkeypatch.setattr(blocks, "block_rows", lambda *_: 4)
    if accelerator:
        monkeypatch.setattr(device, "by_cache", lambda _: False)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("way", ["plain", "blocks", "accelerator"])
@pytest.mark.parametrize("which", range(len(NAMES)), ids=NAMES)
def test_any_cut_of_the_columns_merges_to_the_same(
    monkeypatch: pytest.MonkeyPatch, which: int, way: str, order: int
) -> None:
    _, source, targets = list(problems())[which]
    means = targets.means
    want = derivatives(source, score_statistics(source.dense(), targets), order=order, means=means)
    if way != "plain":
        by_blocks(monkeypatch, accelerator=way == "accelerator")
    for starts in CUTS:
        got = derivatives(source, in_parts(source, targets, starts), order=order, means=means)
        for a, b in zip(got, want, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_a_part_holds_no_more_than_its_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator that all columns take: its backward keeps a few numbers a row."""
    by_blocks(monkeypatch, accelerator=False)
    x, w = draw(64, 8, dtype=torch.float32), draw(512, 8, seed=1, dtype=torch.float32)
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        merge([part_statistics(Bilinear(x, w[s]), Targets(torch.arange(64)), s.start) for s in
               (slice(0, 256), slice(256, 512))])  # fmt: skip
    assert max(kept) <= 256 * 8


def test_means_do_not_merge_beside_groups() -> None:
    _, source, targets = list(problems())[NAMES.index("groups")]
    asked = Targets(targets.rows, targets.columns, row_groups=targets.row_groups, column_groups=targets.column_groups)
    with pytest.raises(ValueError, match=r"targets: wanted means=False beside groups.*; got means=True"):
        part_statistics(source, asked, 0)
