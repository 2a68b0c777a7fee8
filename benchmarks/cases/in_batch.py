"""Losses of a batch against itself: N embeddings of D numbers, N x N scores."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lossary.functional as LF
from benchmarks.case import DENSE, OURS, Bar, Case, Contender, Growth, Inputs, Maker, by
from benchmarks.cases.heads import FLOOR, PML, products

FOUR = "four bare products"
MNRL, CACHED, LIGHTLY = "sentence-transformers", "sentence-transformers, cached", "lightly"
TEMPERATURE, SCALE = 0.1, 20.0
SIZE = (4096, 256)
A_CLASS = 8


def draw_pairs(n: int, d: int) -> Inputs:
    return Inputs((torch.randn(n, d), torch.randn(n, d)), (torch.arange(n),))


def draw_classes(n: int, d: int) -> Inputs:
    return Inputs((torch.randn(n, d),), (torch.randint(max(n // A_CLASS, 2), (n,)),))


# ---------------------------------------------------------------- contenders


def info_nce(x: Tensor, z: Tensor, pairs: Tensor) -> Mapping[str, Maker]:
    both = (x, z)
    return {
        FLOOR: partial(products, x, z),
        OURS: by(both, LF.info_nce_loss, x, z, temperature=TEMPERATURE),
        DENSE: by(both, lambda: F.cross_entropy((F.normalize(x) / TEMPERATURE) @ F.normalize(z).T, pairs)),
    }


def ranking(x: Tensor, z: Tensor, pairs: Tensor) -> Mapping[str, Maker]:
    both = (x, z)
    return {
        FLOOR: partial(products, x, z),
        OURS: by(both, LF.multiple_negatives_ranking_loss, x, z, scale=SCALE),
        DENSE: by(both, lambda: F.cross_entropy((SCALE * F.normalize(x)) @ F.normalize(z).T, pairs)),
        MNRL: partial(ranking_peer, x, z),
    }


def ranking_cached(x: Tensor, z: Tensor, pairs: Tensor) -> Mapping[str, Maker]:
    """Apart from dense torch, to which it would leave a heap of 3 GiB in pieces, to be had without page faults."""
    everybody = ranking(x, z, pairs)
    return {name: everybody[name] for name in (FLOOR, OURS)} | {CACHED: partial(cached_peer, x, z)}


def clip(x: Tensor, z: Tensor, pairs: Tensor) -> Mapping[str, Maker]:
    def dense() -> Tensor:
        scores = (SCALE * F.normalize(x)) @ F.normalize(z).T
        return (F.cross_entropy(scores, pairs) + F.cross_entropy(scores.T, pairs)) / 2

    both = (x, z)
    return {
        FOUR: partial(products, x, z, both_ways=True),
        OURS: by(both, LF.multiple_negatives_ranking_loss, x, z, scale=SCALE, symmetric=True),
        DENSE: by(both, dense),
        MNRL: partial(ranking_peer, x, z, directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction"),
    }


def supcon(x: Tensor, labels: Tensor) -> Mapping[str, Maker]:
    return {
        FLOOR: partial(products, x, x),
        OURS: by((x,), LF.supcon_loss, x, labels, temperature=TEMPERATURE),
        DENSE: by((x,), dense_supcon, x, labels),
        PML: partial(pml, "SupConLoss", x, labels, temperature=TEMPERATURE),
    }


def multi_similarity(x: Tensor, labels: Tensor) -> Mapping[str, Maker]:
    scores = 4 * len(x) ** 2 / 2**30
    return {
        FLOOR: partial(products, x, x),
        OURS: by((x,), LF.multi_similarity_loss, x, labels),
        DENSE: lambda: Contender(partial(dense_multi_similarity, x, labels), (x,), 7 * scores),
        PML: partial(pml, "MultiSimilarityLoss", x, labels, gib=14 * scores),
    }


def nt_xent(x: Tensor, z: Tensor, pairs: Tensor) -> Mapping[str, Maker]:
    """Two views of N / 2 items each: scores are N x N."""
    both, views = (x, z), pairs.repeat(2)
    return {
        FLOOR: partial(products, torch.cat(both), torch.cat(both)),
        OURS: by(both, LF.nt_xent_loss, x, z, temperature=TEMPERATURE),
        DENSE: by(both, lambda: dense_supcon(torch.cat(both), views)),
        LIGHTLY: partial(lightly, x, z),
    }


def nt_xent_cubed(x: Tensor, z: Tensor, pairs: Tensor) -> Mapping[str, Maker]:
    """As NT-Xent, beside a form that compares every positive pair with every negative pair."""
    views = torch.cat([x, z]).detach().requires_grad_()
    theirs = partial(pml, "NTXentLoss", views, pairs.repeat(2), gib=19.0, temperature=TEMPERATURE)
    return {**nt_xent(x, z, pairs), PML: theirs}


def dense_supcon(x: Tensor, labels: Tensor) -> Tensor:
    x = F.normalize(x)
    itself = torch.eye(len(x), dtype=torch.bool, device=x.device)
    logp = (x @ x.T / TEMPERATURE).masked_fill(itself, -1e30).log_softmax(1).masked_fill(itself, 0)
    positive = (labels[:, None] == labels) & ~itself
    count = positive.sum(1)
    return -((positive * logp).sum(1) / count.clamp_min(1)).sum() / (count > 0).sum().clamp_min(1)


def dense_multi_similarity(x: Tensor, labels: Tensor) -> Tensor:
    x = F.normalize(x)
    cosines, same = x @ x.T - 0.5, labels[:, None] == labels
    itself = torch.eye(len(x), dtype=torch.bool, device=x.device)
    positive = (-2 * cosines).masked_fill(~same | itself, -1e30).logsumexp(1)
    negative = (50 * cosines).masked_fill(same, -1e30).logsumexp(1)
    return (F.softplus(positive) / 2 + F.softplus(negative) / 50).mean()


def pml(name: str, x: Tensor, labels: Tensor, gib: float = 0.0, **options: float) -> Contender:
    from pytorch_metric_learning import losses

    loss = getattr(losses, name)(**options)
    return Contender(lambda: loss(x, labels), (x,), gib)


def lightly(x: Tensor, z: Tensor) -> Contender:
    from lightly.loss import NTXentLoss

    loss = NTXentLoss(temperature=TEMPERATURE)
    return Contender(lambda: loss(x, z), (x, z))


def ranking_peer(x: Tensor, z: Tensor, **options: Any) -> Contender:
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    loss = MultipleNegativesRankingLoss(None, scale=SCALE, **options)  # the model, which is not measured
    return Contender(lambda: loss.compute_loss_from_embeddings([x, z], None), (x, z))


def cached_peer(x: Tensor, z: Tensor) -> Contender:
    from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss

    loss = CachedMultipleNegativesRankingLoss(nn.Sequential(nn.Identity()), scale=SCALE)  # it looks into the model

    def run() -> None:  # it goes backward by itself, some rows at a time
        x.grad = z.grad = None
        loss.calculate_loss([[x], [z]], with_backward=True)

    return Contender(run, (x, z))


# ---------------------------------------------------------------- cases

PAIRED = {"InfoNCE": info_nce, "MNR": ranking, "MNR beside the cached form": ranking_cached, "CLIP": clip}
ONE_SET = {"SupCon": supcon, "Multi-similarity": multi_similarity}


def cases() -> list[Case]:
    rows = (Bar("time", 1.15, (FLOOR,)), Bar("time", 0.65, (DENSE,)), Bar("extra", 64))
    two_way = (Bar("time", 1.2, (FOUR,)), Bar("time", 0.55, (DENSE,)), Bar("extra", 64))
    one_set = (Bar("time", 0.9, (FLOOR,)), Bar("time", 0.35, (DENSE,)), Bar("extra", 64))
    cubed = (Bar("time", 1e-3, (PML,)), Bar("extra", 1e-3, (PML,)))
    n, d = SIZE
    return [
        paired("InfoNCE", SIZE, rows),
        paired("MNR", SIZE, rows),
        paired("MNR beside the cached form", SIZE),
        paired("CLIP", SIZE, two_way),
        one("SupCon", SIZE, one_set),
        one("Multi-similarity", SIZE, one_set),
        one("Multi-similarity", (32_768, d), (Bar("extra", 192),)),
        views("NT-Xent", (n // 2, d), nt_xent, one_set),
        views("NT-Xent", (512, 128), nt_xent_cubed, cubed),
    ]


def paired(loss: str, size: tuple[int, int], bars: tuple[Bar, ...] = ()) -> Case:
    n, d = size
    floor = FOUR if loss == "CLIP" else FLOOR
    return Case(f"{loss}, N={n} D={d}", "rows", partial(draw_pairs, n, d), PAIRED[loss], floor, bars, processes=3)


def one(loss: str, size: tuple[int, int], bars: tuple[Bar, ...] = ()) -> Case:
    n, d = size
    return Case(
        f"{loss}, one set, N={n} D={d}", "rows", partial(draw_classes, n, d), ONE_SET[loss], FLOOR, bars, processes=3
    )


def views(loss: str, size: tuple[int, int], contenders, bars: tuple[Bar, ...] = ()) -> Case:
    n, d = size
    return Case(f"{loss}, {n} pairs, D={d}", "rows", partial(draw_pairs, n, d), contenders, FLOOR, bars)


def growths() -> list[Growth]:
    sizes = (4096, 8192, 16_384, 32_768, 65_536)
    return [
        Growth(
            "SupCon, one set, D=256, in N",
            "rows",
            {n: one("SupCon", (n, 256)) for n in sizes},
            {"time": 2.1},
            extra_mib=256,
            since=8192,
            dense_until=8192,
        )
    ]


def toys() -> list[Case]:
    return [
        *(paired(loss, (23, 8)) for loss in ("InfoNCE", "MNR", "CLIP")),
        *(one(loss, (31, 8)) for loss in ONE_SET),
        views("NT-Xent", (19, 8), nt_xent),
    ]
