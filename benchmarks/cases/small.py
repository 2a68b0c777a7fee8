"""What a small batch pays for the generality: beside the formula written out in torch."""

from collections.abc import Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

import lossary.functional as LF
from benchmarks.case import DENSE, OURS, Bar, Case, Inputs, by
from benchmarks.cases import heads, in_batch
from benchmarks.meter import naive

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


# ---------------------------------------------------------------- a survey, without promises


def numbers(*shape: int) -> Inputs:
    return Inputs((torch.randn(shape),), (torch.randn(shape),))


def answers(*shape: int) -> Inputs:
    return Inputs((torch.randn(shape),), (torch.randint(2, shape).float(),))


def sides(*shape: int) -> Inputs:
    return Inputs((torch.randn(shape),), (2.0 * torch.randint(2, shape) - 1,))


def shares(*shape: int) -> Inputs:
    return Inputs((torch.randn(shape),), (torch.randn(shape).softmax(1),))


def pairs(n: int, d: int) -> Inputs:
    return Inputs((torch.randn(n, d), torch.randn(n, d)), (torch.randint(2, (n,)) == 1,))


def vectors(count: int, *shape: int) -> Inputs:
    return Inputs(tuple(torch.randn(shape) for _ in range(count)))


def regions(n: int, c: int, h: int, w: int) -> Inputs:
    return Inputs((torch.randn(n, c, h, w),), (torch.randint(c, (n, h, w)),))


N = 64
#: Losses by what they take, each beside the function that the meter calls naive, or else torch's own.
SURVEYED: Mapping[partial[Inputs], tuple[str, ...]] = {
    partial(numbers, N, 8): ("mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss", "log_cosh_loss", "quantile_loss"),
    partial(answers, N, 8): ("binary_cross_entropy_with_logits", "sigmoid_focal_loss"),
    partial(sides, N, 8): ("hinge_loss",),
    partial(draw, N, 10): ("cross_entropy", "focal_loss", "poly_loss", "multiclass_hinge_loss"),
    partial(shares, N, 10): ("kl_divergence_loss",),
    partial(heads.draw, N, 10, 32): ("normalized_softmax_loss", "cosface_loss", "arcface_loss"),
    partial(vectors, 2, N, 32): ("info_nce_loss", "clip_loss", "siglip_loss", "nt_xent_loss"),
    partial(in_batch.draw_classes, N, 32): ("supcon_loss",),
    partial(pairs, N, 32): ("cosine_embedding_loss",),
    partial(vectors, 3, N, 32): ("triplet_margin_loss",),
    partial(regions, 4, 3, 16, 16): ("dice_loss", "jaccard_loss", "dice_cross_entropy_loss", "lovasz_softmax_loss"),
    partial(numbers, N, 10): ("listnet_loss", "ranknet_loss"),
}


def surveyed(name: str, inputs: partial[Inputs]) -> Case:
    """A loss at its defaults."""
    form = naive.naive(name)
    assert form is not None

    def contenders(*tensors: Tensor):
        learns = tuple(t for t in tensors if t.requires_grad)
        return {OURS: by(learns, getattr(LF, name), *tensors), DENSE: by(learns, form, *tensors)}

    return Case(f"{name}, {' x '.join(map(str, inputs.args))}", "none", inputs, contenders, DENSE, calls=CALLS)


def survey() -> list[Case]:
    return [surveyed(name, inputs) for inputs, names in SURVEYED.items() for name in names]
