"""Triplets mined in a batch of N embeddings, 16 a class."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

import lossary.functional as LF
from benchmarks.case import DENSE, OURS, Bar, Case, Contender, Growth, Inputs, Maker, by
from benchmarks.cases.heads import PML

FLOOR = "all distances"
MARGIN = 0.2


def draw(n: int, d: int, a_class: int) -> Inputs:
    return Inputs((torch.randn(n, d) * d**-0.5,), (torch.arange(n) // a_class,))


def batch_all(x: Tensor, labels: Tensor) -> Mapping[str, Maker]:
    return {
        FLOOR: by((x,), lambda: torch.cdist(x, x).sum()),
        OURS: by((x,), LF.triplet_loss, x, labels, margin=MARGIN, mining="all"),
        # Half a dozen tensors of N x N x N.
        DENSE: lambda: Contender(lambda: dense(x, labels), (x,), 6 * 4 * len(x) ** 3 / 2**30),
        PML: partial(pml, x, labels),
    }


def dense(x: Tensor, labels: Tensor) -> Tensor:
    squared = x.square().sum(1)
    squares = (squared[:, None] + squared - 2 * x @ x.T).clamp_min(0)
    itself = torch.eye(len(x), dtype=torch.bool, device=x.device)
    distances = squares.masked_fill(itself, 1).sqrt().masked_fill(itself, 0)
    same = labels[:, None] == labels
    triplets = (same & ~itself)[:, :, None] & ~same[:, None, :]
    losses = (distances[:, :, None] - distances[:, None, :] + MARGIN).relu() * triplets
    return losses.sum() / (losses > 0).sum()


def pml(x: Tensor, labels: Tensor) -> Contender:
    from pytorch_metric_learning.distances import LpDistance
    from pytorch_metric_learning.losses import TripletMarginLoss

    loss = TripletMarginLoss(margin=MARGIN, distance=LpDistance(normalize_embeddings=False))
    return Contender(lambda: loss(x, labels), (x,))


def case(n: int, d: int = 128, a_class: int = 16, bars: tuple[Bar, ...] = ()) -> Case:
    name = f"batch-all triplets, N={n} D={d}, {a_class} a class"
    return Case(name, "tuples", partial(draw, n, d, a_class), batch_all, FLOOR, bars)


def cases() -> list[Case]:
    return [case(1024, bars=(Bar("time", 1 / 60, (PML,)), Bar("extra", 1 / 30, (PML,))))]


def growths() -> list[Growth]:
    sizes = (1024, 2048, 4096, 8192)
    name = "batch-all triplets, D=128, 16 a class, in N"
    return [Growth(name, "tuples", {n: case(n) for n in sizes}, {"time": 2.15, "extra": 0.5}, dense_until=0)]


def toys() -> list[Case]:
    return [case(26, 8, 4)]
