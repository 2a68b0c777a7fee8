"""Class heads: scores of N embeddings against C class vectors of D numbers."""

import math
from collections.abc import Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lossary.functional as LF
from benchmarks.case import DENSE, OURS, Bar, Case, Contender, Growth, Inputs, Maker, by
from benchmarks.measure import run
from lossary import linear_loss

SIZES = ((8192, 10_000, 256), (1024, 50_000, 128), (512, 100_000, 512))
FLOOR = "three bare products"
PML, LCE, LIGER, CCE = "pytorch-metric-learning", "torch linear_cross_entropy", "Liger", "CCE"
LCE_CHUNKS = (256, 512)
MARGIN, ANGLE, SCALE = 0.35, 0.5, 64.0


def draw(n: int, c: int, d: int, *centers: int) -> Inputs:
    return Inputs((torch.randn(n, d), torch.randn(c, *centers, d) * 0.1), (torch.randint(c, (n,)),))


def products(x: Tensor, w: Tensor, *, both_ways: bool = False) -> Contender:
    """As many products as the gradient of N x C scores takes; both ways, one more to make the scores again."""
    x, w = x.detach(), w.detach().flatten(0, -2)
    scores = x.new_empty(len(x), len(w))

    def run() -> None:
        for _ in range(1 + both_ways):
            torch.mm(x, w.T, out=scores)
        scores @ w
        scores.T @ x

    return Contender(run)


# ---------------------------------------------------------------- contenders


def cross_entropy(x: Tensor, w: Tensor, labels: Tensor) -> Mapping[str, Maker]:
    def chunked(**options: int | None) -> Tensor:
        return F.linear_cross_entropy(x, w, labels, options=nn.LinearCrossEntropyOptions(**options))  # pyright: ignore

    both = (x, w)
    chunks = {f"{LCE}, {r} rows": by(both, chunked, batch_chunk_size=r, chunking_method=None) for r in LCE_CHUNKS}
    return {
        FLOOR: partial(products, x, w),
        OURS: by(both, linear_loss, LF.cross_entropy, x, w, labels),
        f"{OURS}, reduction none": by(
            both, lambda: linear_loss(LF.cross_entropy, x, w, labels, reduction="none").mean()
        ),
        DENSE: by(both, lambda: F.cross_entropy(x @ w.T, labels)),
        f"{LCE}, default": by(both, chunked),
        **chunks,
        LIGER: partial(liger, x, w, labels),
        CCE: partial(cce, x, w, labels, "cce"),
        f"{CCE}, compiled": partial(cce, x, w, labels, "torch_compile"),
    }


def smoothed(x: Tensor, w: Tensor, labels: Tensor) -> Mapping[str, Maker]:
    both = (x, w)
    return {
        FLOOR: partial(products, x, w),
        OURS: by(both, linear_loss, LF.cross_entropy, x, w, labels, label_smoothing=0.1),
        DENSE: by(both, lambda: F.cross_entropy(x @ w.T, labels, label_smoothing=0.1)),
        "timm": partial(timm, x, w, labels),
    }


def focal(x: Tensor, w: Tensor, labels: Tensor) -> Mapping[str, Maker]:
    def dense() -> Tensor:
        logp = -F.cross_entropy(x @ w.T, labels, reduction="none")
        return ((1 - logp.exp()).square() * -logp).mean()

    both = (x, w)
    ours = by(both, linear_loss, LF.focal_loss, x, w, labels)
    return {FLOOR: partial(products, x, w), OURS: ours, DENSE: by(both, dense)}


def cosface(x: Tensor, w: Tensor, labels: Tensor) -> Mapping[str, Maker]:
    both = (x, w)
    return {
        FLOOR: partial(products, x, w),
        OURS: by(both, LF.cosface_loss, x, w, labels, margin=MARGIN, scale=SCALE),
        DENSE: by(both, dense_margin, x, w, labels, lambda cosine: cosine - MARGIN),
        PML: partial(pml, "CosFaceLoss", MARGIN, x, w, labels),
    }


def turned(cosine: Tensor) -> Tensor:
    """The cosine of an angle larger by ANGLE."""
    cosine = cosine.clamp(-1 + 1e-7, 1 - 1e-7)
    return cosine * math.cos(ANGLE) - (1 - cosine.square()).sqrt() * math.sin(ANGLE)


def arcface(x: Tensor, w: Tensor, labels: Tensor) -> Mapping[str, Maker]:
    both = (x, w)
    return {
        FLOOR: partial(products, x, w),
        OURS: by(both, LF.arcface_loss, x, w, labels, margin=ANGLE, scale=SCALE),
        DENSE: by(both, dense_margin, x, w, labels, turned),
        PML: partial(pml, "ArcFaceLoss", math.degrees(ANGLE), x, w, labels),
    }


def sub_centers(x: Tensor, w: Tensor, labels: Tensor) -> Mapping[str, Maker]:
    """ArcFace whose classes have three centers each: ``w`` (C, 3, D)."""

    def dense() -> Tensor:
        every = F.normalize(x) @ F.normalize(w, dim=-1).flatten(0, 1).T
        cosines = every.unflatten(1, w.shape[:2]).amax(2)
        own = cosines.gather(1, labels[:, None])
        margin = SCALE * (turned(own) - own)
        return F.cross_entropy((SCALE * cosines).scatter_add(1, labels[:, None], margin), labels)

    both = (x, w)
    return {
        FLOOR: partial(products, x, w),
        OURS: by(both, LF.arcface_loss, x, w, labels, margin=ANGLE, scale=SCALE),
        DENSE: by(both, dense),
        PML: partial(pml, "SubCenterArcFaceLoss", math.degrees(ANGLE), x, w, labels),
    }


def dense_margin(x: Tensor, w: Tensor, labels: Tensor, margin) -> Tensor:
    """As good as the dense form gets: the own cosines come from N products of vectors, the margin is added in place."""
    x, w = F.normalize(x), F.normalize(w)
    own = (x * w[labels]).sum(1, keepdim=True)
    scores = (SCALE * x) @ w.T
    return F.cross_entropy(scores.scatter_add_(1, labels[:, None], SCALE * (margin(own) - own)), labels)


def pml(name: str, margin: float, x: Tensor, w: Tensor, labels: Tensor) -> Contender:
    from pytorch_metric_learning import losses

    several = {} if w.dim() == 2 else {"sub_centers": w.shape[1]}
    size = {"num_classes": len(w), "embedding_size": w.shape[-1]}
    loss = getattr(losses, name)(**size, margin=margin, scale=SCALE, **several)
    loss.W = nn.Parameter(w.detach().flatten(0, -2).T.contiguous())  # it keeps a class in a column
    return Contender(lambda: loss(x, labels), (x, loss.W))


def timm(x: Tensor, w: Tensor, labels: Tensor) -> Contender:
    from timm.loss import LabelSmoothingCrossEntropy

    loss = LabelSmoothingCrossEntropy(smoothing=0.1)
    return Contender(lambda: loss(x @ w.T, labels), (x, w))


def liger(x: Tensor, w: Tensor, labels: Tensor) -> Contender:
    from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

    loss = LigerFusedLinearCrossEntropyLoss()
    return Contender(lambda: loss(w, x, labels), (x, w))


def cce(x: Tensor, w: Tensor, labels: Tensor, implementation: str) -> Contender:
    from cut_cross_entropy import linear_cross_entropy

    contender = Contender(lambda: linear_cross_entropy(x, w, labels, impl=implementation), (x, w))
    run(contender)  # compiles, which is not measured
    return contender


# ---------------------------------------------------------------- cases

LOSSES = {
    "cross-entropy": cross_entropy,
    "smoothed cross-entropy": smoothed,
    "focal": focal,
    "CosFace": cosface,
    "ArcFace": arcface,
}


def cases() -> list[Case]:
    """The five losses at three sizes, and one with several centers a class."""
    several = head("sub-center ArcFace", (2048, 10_000, 128, 3), (Bar("extra", 64),))
    promises = zip(SIZES, (1.2, 1.35, 1.2), (32, 64, 128), (0.75, 0.65, 0.92), (0.45, 0.33, 0.53), strict=True)
    return [
        *(
            head(loss, size, bars(loss, floor, mib, dense, pml))
            for size, floor, mib, dense, pml in promises
            for loss in LOSSES
        ),
        several,
    ]


def bars(loss: str, floor: float, mib: float, dense: float, pml: float) -> tuple[Bar, ...]:
    """What is promised of one loss at one size."""
    common = (Bar("time", floor, (FLOOR,)), Bar("extra", mib))
    match loss:
        case "cross-entropy":
            theirs = (f"{LCE}, default", *(f"{LCE}, {rows} rows" for rows in LCE_CHUNKS))
            return (*common, Bar("time", dense, (DENSE,)), Bar("time", 1.05, theirs))
        case "CosFace":
            return (*common, Bar("time", 0.6, (DENSE,)), Bar("time", pml, (PML,)))
        case "ArcFace":
            return (*common, Bar("time", 0.6, (DENSE,)))
        case _:
            return common


def head(loss: str, size: tuple[int, ...], bars: tuple[Bar, ...] = ()) -> Case:
    """At (N, C, D), or (N, C, D, K) with K centers a class."""
    name = f"{loss} head, " + " ".join(f"{letter}={n}" for letter, n in zip("NCDK", size, strict=False))
    contenders = sub_centers if len(size) > 3 else LOSSES[loss]
    return Case(name, "rows", partial(draw, *size), contenders, FLOOR, bars, processes=2)


def growths() -> list[Growth]:
    """CosFace while one of N, C and D doubles and the others stay."""
    axes = {
        "N": {n: (n, 10_000, 128) for n in (1024, 2048, 4096, 8192)},
        "C": {c: (1024, c, 128) for c in (10_000, 20_000, 40_000, 80_000)},
        "D": {d: (2048, 10_000, d) for d in (64, 128, 256, 512)},
    }
    return [
        Growth(f"CosFace head in {axis}", "rows", {at: head("CosFace", size) for at, size in sizes.items()})
        for axis, sizes in axes.items()
    ]


def toys() -> list[Case]:
    return [*(head(loss, (37, 29, 16)) for loss in LOSSES), head("sub-center ArcFace", (37, 29, 16, 3))]
