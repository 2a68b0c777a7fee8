"""Named maps of scores: their slopes are their derivatives, and blocks of mapped scores give the plain formula's."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from lossary.core import device
from lossary.kernels.rows import bands, blocks, formula
from lossary.kernels.rows.formula import row_loss, row_statistics
from lossary.kernels.rows.maps import MAPS, ScoreMap
from lossary.kernels.rows.scores import Bilinear, Rows, Targets, score_statistics
from lossary.kernels.stable import ABSENT, softplus

N, C, D = 13, 11, 5
F64 = torch.float64
NUMBERS = {"circle": (2.0, 0.3), "circle_held": (2.0, 0.3), "soft_cap": (1.5,), "curricular": (2.0,)}
NUMBERS |= dict.fromkeys(("sphereface2", "sphereface2_straight"), (8.0, 3.0, 0.25, -0.5))


def of(name: str) -> ScoreMap:
    by_row = torch.stack([torch.linspace(-1, 1, N), torch.full((N,), 0.4)], 1).to(F64) if name == "curricular" else None
    return ScoreMap(name, NUMBERS[name], by_row)


def test_every_map_is_tested() -> None:
    assert set(NUMBERS) == set(MAPS)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("side", [0, 1])
def test_a_maps_slope_is_its_derivative(name: str, side: int) -> None:
    z = torch.linspace(-4, 4, 9 * N, dtype=F64).view(9, N).T.clone().requires_grad_()
    numbers, by_row = of(name).arguments
    value, slope, both_, by_numbers_, _ = of(name).sides[side]
    mapped = value(z, numbers, by_row)
    (want,) = torch.autograd.grad(mapped.sum(), z)
    torch.testing.assert_close(slope(z.detach(), numbers, by_row), want)
    if both_ is not None:
        in_place = z.detach().clone()
        torch.testing.assert_close(both_(in_place, numbers, by_row), want)
        torch.testing.assert_close(in_place, mapped.detach())
    if by_numbers_ is not None:
        in_place, memory = z.detach().clone(), (torch.empty_like(z) for _ in range(2))
        torch.testing.assert_close(by_numbers_(in_place, numbers, by_row, *memory), 1 - want)
        torch.testing.assert_close(in_place, mapped.detach())


def problems() -> Iterator[tuple[str, Bilinear, Targets]]:
    g = torch.Generator().manual_seed(0)
    x, w, b = (torch.randn(*shape, generator=g, dtype=F64).requires_grad_() for shape in ((N, D), (C, D), (C,)))
    labels, index = torch.arange(N) % 4, torch.arange(N) * 7 % C
    absent = torch.where(torch.arange(C) == 3, ABSENT, 0.0).to(F64)
    yield "numbers", Bilinear(x, w, b), Targets(index)
    yield "directions", Bilinear(x, w, unit=True), Targets(index, means=False)
    yield "labels", Bilinear(x, w), Targets(labels, torch.arange(C) % 3)
    yield "one set", Bilinear(x, x), Targets(labels, labels, own=True, means=False)
    yield "a scale", Bilinear(x, w), Targets(labels, torch.arange(C) % 3, scale=-1.5)
    yield (
        "absent",
        Bilinear(x, w, absent),
        Targets(labels, torch.arange(C) % 3 + 5 * (torch.arange(C) == 3), means=False),
    )
    yield "centers", Bilinear(x, torch.cat([w, w.detach() * 0.5]), centers=2), Targets(index, means=False)


def either_side(r: Rows) -> Tensor:
    return softplus(r.among + 0.1) + softplus(r.rest - 0.2) + 0.3 * r.target


def derivatives(source: Bilinear, targets: Targets, order: int, reduction: str) -> list[Tensor]:
    leaves = [
        t for t in dict.fromkeys((source.x, source.w, source.b)) if t is not None and t.requires_grad and t.is_leaf
    ]
    with_mean = either_side if not targets.means else lambda r: either_side(r) - 0.1 * r.mean
    loss = row_loss(with_mean, source, targets, reduction=reduction)
    total = (loss * torch.arange(1, loss.numel() + 1).view(loss.shape)).sum()
    first = torch.autograd.grad(total, leaves, create_graph=order > 1)
    found = [loss, *first]
    if order > 1:
        found += torch.autograd.grad(torch.stack([g.square().sum() for g in first]).sum(), leaves)
    return [f.detach() for f in found]


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("accelerator", [False, True])
@pytest.mark.parametrize("name", MAPS)
def test_blocks_of_mapped_scores_give_the_plain_formulas(
    monkeypatch: pytest.MonkeyPatch, name: str, accelerator: bool, reduction: str, order: int
) -> None:
    cases = [(case, source, replace(targets, map=of(name))) for case, source, targets in problems()]
    wanted = [derivatives(source, targets, order, reduction) for _, source, targets in cases]
    monkeypatch.setattr(formula, "CPU_PLAIN", -1)
    monkeypatch.setattr(formula, "ACCELERATOR_PLAIN", -1)
    monkeypatch.setattr(blocks, "block_rows", lambda *_: 4)
    monkeypatch.setattr(bands, "STEP", 3)
    if accelerator:
        monkeypatch.setattr(device, "by_cache", lambda _: False)
    for (case, source, targets), want in zip(cases, wanted, strict=True):
        for a, b in zip(derivatives(source, targets, order, reduction), want, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10, msg=case)


def test_numbers_that_learn_take_the_plain_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formula, "CPU_PLAIN", -1)
    _, source, targets = next(problems())
    cap = torch.tensor(1.5, dtype=F64, requires_grad=True)
    found = row_statistics(source, targets.mapped(ScoreMap("soft_cap", (cap,))))
    assert torch.autograd.grad(found.rest.sum(), cap)[0] != 0
    want = score_statistics(source.dense(), targets.mapped(ScoreMap("soft_cap", (1.5,))))
    torch.testing.assert_close(found.rest, want.rest)
