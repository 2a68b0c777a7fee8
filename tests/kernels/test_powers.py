"""The log-sum-exp of the rest's scores at two temperatures, from one making of them."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from lossary.core import device as _device
from lossary.kernels.rows import formula
from lossary.kernels.rows.formula import row_statistics
from lossary.kernels.rows.merged import merge
from lossary.kernels.rows.parts import part_statistics
from lossary.kernels.rows.scores import Bilinear, RowsOf, Targets

N, D = 700, 6  # two tiles of a CPU
ALL = ("target", "among", "rest")


def problems() -> Iterator[tuple[str, Bilinear, Targets]]:
    torch.manual_seed(0)
    x, w = (torch.randn(N, D, dtype=torch.float64).requires_grad_() for _ in range(2))
    labels, groups = torch.randint(N // 3, (N,)), torch.randint(5, (N,))
    yield "one set", Bilinear(x, x), Targets(labels, labels, own=True, means=False)
    yield "far scores", Bilinear(x * 9, x * 9), Targets(labels, labels, own=True, means=False)
    yield "no rest", Bilinear(x, x), Targets(labels * 0, labels * 0, own=True, means=False)
    yield "labels", Bilinear(x, w), Targets(labels, labels.flip(0), means=False)
    b = torch.where(torch.arange(N) % 7 == 0, -1e30, 0.0).double()
    own = Targets(labels, labels, own=True, row_groups=groups, column_groups=groups, means=False)
    yield "groups, absent columns", Bilinear(x, w, b), own


def found_of(rows: RowsOf | tuple[Tensor, ...], source: Bilinear) -> list[Tensor]:
    found = [getattr(rows, name) for name in ALL]
    leaves = list({id(t): t for t in (source.x, source.w)}.values())
    total = sum((f.clamp_min(-1e6).sin() * torch.linspace(1, 2, N)).sum() for f in found)
    assert isinstance(total, Tensor)
    first = torch.autograd.grad(total, leaves, create_graph=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in first), leaves)  # pyright: ignore
    return [*found, *first, *second]


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("name", [name for name, *_ in problems()])
def test_both_sums_and_their_derivatives_are_those_of_the_scores(
    name: str, cached: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, source, targets = next(p for p in problems() if p[0] == name)
    scores = source.w.shape[0] * source.x.shape[0]
    monkeypatch.setattr(formula, "CPU_PLAIN", 1 << 30)
    wanted = found_of(row_statistics(source, targets.in_powers(0.4)), source)  # type: ignore[arg-type]
    rest = row_statistics(source, targets).rest.detach()
    z = source.dense().detach()
    masks = RowsOf(z, targets)
    again = (0.4 * z).masked_fill(~masks.is_rest | (z < -1e29), -1e30).logsumexp(1)
    torch.testing.assert_close(wanted[1].detach().clamp_min(-1e20), again.clamp_min(-1e20))
    torch.testing.assert_close(wanted[2].detach().clamp_min(-1e20), rest.clamp_min(-1e20))
    monkeypatch.setattr(formula, "CPU_PLAIN", 1)
    monkeypatch.setattr(formula, "ACCELERATOR_PLAIN", 1)
    monkeypatch.setattr(_device, "by_cache", lambda x: cached)
    monkeypatch.setattr(_device, "budget", lambda x: scores * 2)
    found = found_of(row_statistics(source, targets.in_powers(0.4)), source)  # type: ignore[arg-type]
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours.clamp_min(-1e20), theirs.clamp_min(-1e20), rtol=1e-7, atol=1e-7)


def test_they_merge() -> None:
    torch.manual_seed(0)
    x, w, labels = torch.randn(20, 4), torch.randn(30, 4), torch.randint(5, (30,))
    targets = Targets(labels[:20], labels, means=False).in_powers(0.5)
    parts = [
        part_statistics(Bilinear(x, w[s]), Targets(labels[:20], labels[s], means=False).in_powers(0.5), s.start)
        for s in (slice(0, 11), slice(11, 30))
    ]
    rows, whole = merge(parts), row_statistics(Bilinear(x, w), targets)
    for name in ALL:
        torch.testing.assert_close(getattr(rows, name), getattr(whole, name))
