"""Blocks that are worked on piece by piece: whatever the pieces, statistics and gradients are the plain formula's."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lossary.kernels.rows import formula, swept
from lossary.kernels.rows.exponentials import PieceSums, TameSums
from lossary.kernels.rows.formula import row_loss, row_statistics
from lossary.kernels.rows.maps import ScoreMap
from lossary.kernels.rows.scores import Bilinear, Rows, Targets
from lossary.kernels.stable import ABSENT, LOG2_E, softplus

N, C, D = 13, 29, 5
F64 = torch.float64
LABELS = torch.arange(N) * 7 % C


def curricular(t: float) -> ScoreMap:
    return ScoreMap("curricular", (4.0,), torch.stack([torch.linspace(-2, 2, N), torch.full((N,), t)], 1).to(F64))


#: What is asked of the source, of the targets, and how far apart the scores lie.
CASES: dict[str, tuple[Callable[[Tensor, Tensor, Tensor], Bilinear], dict[str, Any], float]] = {
    "plain": (lambda x, w, b: Bilinear(x, w), {}, 1.0),
    "directions": (lambda x, w, b: Bilinear(x, w, unit=True), {}, 1.0),
    "a bias": (Bilinear, {}, 1.0),
    "far apart": (lambda x, w, b: Bilinear(x, w), {}, 100.0),
    "columns ruled out": (lambda x, w, b: Bilinear(x, w, torch.where(torch.arange(C) < 12, -torch.inf, b)), {}, 1.0),
    "a part": (lambda x, w, b: Bilinear(x, w, unit=True), {"first": 9, "means": False}, 1.0),
    "soft cap": (lambda x, w, b: Bilinear(x, w), {"map": ScoreMap("soft_cap", (3.0,)), "means": False}, 3.0),
    "soft cap, a bias": (Bilinear, {"map": ScoreMap("soft_cap", (3.0,)), "means": False}, 3.0),
    "curricular": (lambda x, w, b: Bilinear(x, w, unit=True), {"map": curricular(0.4), "means": False}, 1.0),
    "curricular, tame": (
        lambda x, w, b: Bilinear(torch.nn.functional.normalize(x) * 4, w, unit=True, bound=4.0),
        {"map": curricular(0.1), "means": False},
        1.0,
    ),
}


def found(make: Callable[[Tensor, Tensor, Tensor], Bilinear], options: dict[str, Any], spread: float) -> list[Tensor]:
    torch.manual_seed(0)
    x, w, b = (torch.randn(*shape, dtype=F64, requires_grad=True) for shape in ((N, D), (C, D), (C,)))
    labels = torch.where(LABELS < 12, 20, LABELS) if spread == 1 else LABELS

    def lost(rows: Rows) -> Tensor:
        loss = softplus(rows.rest - rows.target + 0.2) + 0.1 * rows.rest + 0.3 * rows.among.clamp_min(-50)
        return loss if not options.get("means", True) else loss + 0.2 * rows.mean.clamp_min(-50)

    source, targets = make(x * spread, w, b), Targets(labels, **options)
    rows = row_statistics(source, targets)
    total = row_loss(lost, source, targets, reduction="sum")
    each = (row_loss(lost, source, targets, reduction="none") * torch.arange(1, N + 1)).sum()
    statistics = rows if isinstance(rows, Rows) else rows.all()
    statistics = statistics[: None if targets.means else 4]
    return [*statistics, total, each, *torch.autograd.grad(total + each, (x, w))]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("size", [1, 40, 10**6])
def test_pieces_give_what_all_scores_give(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    make, options, spread = CASES[name]
    wanted = found(make, options, spread)
    monkeypatch.setattr(formula, "CPU_PLAIN", 1)
    monkeypatch.setattr("lossary.kernels.rows.blocks.block_rows", lambda *_: 6)
    monkeypatch.setattr(swept, "piece_size", lambda: size)
    for ours, theirs in zip(found(make, options, spread), wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("kind", [PieceSums, TameSums])
def test_sums_of_pieces_merge(kind: type[PieceSums]) -> None:
    torch.manual_seed(0)
    scores = torch.randn(N, C, dtype=F64) * 3
    scores[2], scores[3, :10] = ABSENT, ABSENT
    sums, parts = kind(), [part.clone() * LOG2_E for part in scores.split(10, 1)]
    for part in parts:
        sums.add(part)
    rest, shares = sums.end()
    there = torch.arange(N) != 2
    torch.testing.assert_close(rest[there], scores.logsumexp(1)[there])
    assert rest[2] <= ABSENT / 2
    softmax = torch.cat(
        [part * share for part, share in zip(parts, swept.of_pieces(shares, len(parts)), strict=True)], 1
    )
    torch.testing.assert_close(softmax, scores.softmax(1) * there[:, None])
