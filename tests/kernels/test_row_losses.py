"""Losses of rows whose gradient is taken while their scores are there, beside plain torch over all of them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import lossary
import lossary.functional as LF
from lossary.core import device
from lossary.kernels.rows import formula, swept
from lossary.kernels.rows.blocks import Blocks

N = 40


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def gist(**options: Any) -> tuple[Callable[[], Tensor], list[Tensor]]:
    a, p, further = (draw(n, 8).requires_grad_() for n in (N, N, 13))
    guides: dict[str, Any] = {"guide_anchor": draw(N, 5), "guide_positive": draw(N, 5)}
    learning = [a, p]
    if options.pop("further", False):
        guides |= {"negatives": further, "guide_negatives": draw(13, 5)}
        learning.append(further)
    temperature = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    return lambda: LF.gist_embed_loss(a, p, **guides, temperature=temperature, **options), [*learning, temperature]


def dino(views: int, seen: int, **options: Any) -> tuple[Callable[[], Tensor], list[Tensor]]:
    student, weight = draw(7, views, 8).requires_grad_(), draw(300, 8).requires_grad_()
    teacher, its_weight = draw(7, seen, 8), draw(300, 8)
    return lambda: lossary.linear_dino_loss(student, weight, teacher, its_weight, **options), [student, weight]


CASES: dict[str, Callable[[], tuple[Callable[[], Tensor], list[Tensor]]]] = {
    "gist": gist,
    "gist, further ones": lambda: gist(further=True, reduction="sum"),
    "gist, ids": lambda: gist(ids=torch.arange(N) % 9, margin=0.1, margin_strategy="relative"),
    "gist, a mask": lambda: gist(mask=torch.arange(N) % 5 > 0, contrast_positives=False),
    "gist, weights": lambda: gist(sample_weight=draw(N).abs(), contrast_anchors=False),
    "gist, each": lambda: gist(further=True, reduction="none"),
    "dino": lambda: dino(6, 2),
    "dino, a mask": lambda: dino(2, 3, mask=torch.arange(7) != 3),
    "dino, weights": lambda: dino(3, 1, sample_weight=draw(7).abs(), reduction="sum"),
    "dino, far apart": lambda: dino(5, 2, student_temperature=0.01),
    "dino, one view": lambda: dino(3, 1, mask=torch.arange(7) != 3),
    "dino, each": lambda: dino(2, 2, center=draw(300), reduction="none"),
}


@pytest.mark.parametrize("way", ["blocks", "pieces", "accelerator"])
@pytest.mark.parametrize("name", CASES)
def test_blocks_agree_with_all_scores_to_second_derivatives(
    name: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    call, learning = CASES[name]()

    def derivatives() -> list[Tensor]:
        loss = call().square().sum()
        first = torch.autograd.grad(loss, learning, retain_graph=True)
        again = torch.autograd.grad(loss, learning, retain_graph=True)  # what was handed out is made again
        twice = torch.autograd.grad(loss, learning, create_graph=True)
        total = torch.stack([g.square().sum() for g in twice]).sum()
        return [loss, *first, *again, *torch.autograd.grad(total, learning)]

    wanted = derivatives()
    monkeypatch.setattr(formula, "CPU_PLAIN", 1)
    monkeypatch.setattr("lossary.kernels.rows.readings.block_rows", lambda *_: 9)
    if way == "pieces":
        monkeypatch.setattr(swept, "piece_size", lambda: 50)
    elif way == "accelerator":
        monkeypatch.setattr(formula, "ACCELERATOR_PLAIN", 0)
        monkeypatch.setattr(device, "by_cache", lambda _: False)
    for ours, theirs in zip(derivatives(), wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_gradient_takes_no_second_making_of_the_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formula, "CPU_PLAIN", 1)
    made: list[int] = []
    whole = Blocks.__init__
    monkeypatch.setattr(Blocks, "__init__", lambda self, *given: made.append(1) or whole(self, *given))
    call, learning = dino(4, 2)
    torch.autograd.grad(call(), learning)
    assert len(made) == 2  # of the student's and of the teacher's
