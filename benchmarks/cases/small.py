"""What a small batch pays for the generality: beside the formula written out in torch."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

import lossary.functional as LF
from benchmarks.case import DENSE, OURS, Bar, Case, Inputs, by
from benchmarks.cases import heads, in_batch

BAR = (Bar("time", 1.2, (DENSE,)),)
CALLS = 100


def small(case: Case) -> Case:
    """The case without its peers and its floor, which take no time here."""

    def contenders(*tensors: Tensor):
        return {name: maker for name, maker in case.contenders(*tensors).items() if name in (OURS, DENSE)}

    return Case(case.name, case.kernel, case.inputs, contenders, DENSE, BAR, CALLS)


def cross_entropy(scores: Tensor, labels: Tensor):
    return {
        OURS: by((scores,), LF.cross_entropy, scores, labels),
        DENSE: by((scores,), F.cross_entropy, scores, labels),
    }


def draw(n: int, c: int) -> Inputs:
    return Inputs((torch.randn(n, c),), (torch.randint(c, (n,)),))


def cases() -> list[Case]:
    ready = Case("cross-entropy of ready scores, N=32 C=10", "none", partial(draw, 32, 10), cross_entropy)
    return [
        small(ready),
        *(small(heads.head(loss, (32, 10, 16))) for loss in heads.LOSSES),
        *(small(in_batch.paired(loss, (64, 32))) for loss in ("InfoNCE", "CLIP")),
        small(in_batch.one("SupCon", (64, 32))),
    ]
