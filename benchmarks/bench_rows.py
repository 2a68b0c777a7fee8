"""Losses over rows of scores: class heads and in-batch losses, beside dense torch and three bare products.

python benchmarks/bench_rows.py [--threads 2] [--repeats 5] [--only TEXT]
"""

import argparse
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from race import Case, race
from torch import Tensor

from lossary.functional import arcface_loss, cosface_loss
from lossary.kernels.rows import Bilinear, Rows, Targets, row_loss, two_way_statistics
from lossary.kernels.stable import softplus

MARGIN = 0.35
HEADS = ((8192, 10_000, 256), (1024, 50_000, 128), (512, 100_000, 512))


def cross_entropy(rows: Rows) -> Tensor:
    return softplus(rows.rest - rows.target)


def smoothed(rows: Rows) -> Tensor:
    return softplus(rows.rest - rows.target) + 0.1 * (rows.target - rows.mean)


def focal(rows: Rows) -> Tensor:
    return softplus(rows.rest - rows.target) * torch.exp(2 * F.logsigmoid(rows.rest - rows.target))


def supcon(rows: Rows) -> Tensor:
    loss = softplus(rows.rest - rows.among) + (rows.among - rows.target)
    return torch.where(rows.targets > 0, loss, torch.zeros_like(loss))


def products(x: Tensor, w: Tensor) -> Case:
    """Three bare products, as many as gradients of dense scores take."""
    x, w = x.detach(), w.detach()
    scores = x.new_empty(len(x), len(w))

    def run() -> None:
        torch.mm(x, w.T, out=scores)
        scores @ w
        scores.T @ x

    return Case("floor: three bare products", run)


def heads(n: int, c: int, d: int) -> list[Case]:
    x, w = torch.randn(n, d, requires_grad=True), torch.randn(c, d).mul_(0.1).requires_grad_()
    labels = torch.randint(c, (n,))
    index = labels[:, None]

    def ours(formula) -> Tensor:
        return row_loss(formula, Bilinear(x, w), Targets(labels))

    def dense_focal() -> Tensor:
        logp = (x @ w.T).log_softmax(1).gather(1, index)[:, 0]
        return ((1 - logp.exp()).square() * -logp).mean()

    def dense_margin(margin) -> Tensor:
        cosines = F.normalize(x) @ F.normalize(w).T
        return F.cross_entropy(64 * cosines.scatter(1, index, margin(cosines.gather(1, index))), labels)

    def arc(cosine: Tensor) -> Tensor:
        cosine = cosine.clamp(-1 + 1e-7, 1 - 1e-7)
        return cosine * 0.8775825619 - (1 - cosine.square()).sqrt() * 0.4794255386  # cos(theta + 0.5)

    learns = (x, w)
    return [
        products(x, w),
        Case("cross-entropy, dense torch", lambda: F.cross_entropy(x @ w.T, labels), learns),
        Case("cross-entropy", lambda: ours(cross_entropy), learns),
        Case("cross-entropy, none + sum", lambda: _none(Bilinear(x, w), Targets(labels)), learns),
        Case("smoothed, dense torch", lambda: F.cross_entropy(x @ w.T, labels, label_smoothing=0.1), learns),
        Case("smoothed", lambda: ours(smoothed), learns),
        Case("focal, dense torch", dense_focal, learns),
        Case("focal", lambda: ours(focal), learns),
        Case("CosFace, dense torch", lambda: dense_margin(lambda cosine: cosine - MARGIN), learns),
        Case("CosFace", lambda: cosface_loss(x, w, labels), learns),
        Case("ArcFace, dense torch", lambda: dense_margin(arc), learns),
        Case("ArcFace", lambda: arcface_loss(x, w, labels), learns),
    ]


def _none(source: Bilinear, targets: Targets) -> Tensor:
    return row_loss(cross_entropy, source, targets, reduction="none").sum()


def in_batch(n: int, d: int) -> list[Case]:
    x, z = (F.normalize(torch.randn(n, d)).mul_(20**0.5).requires_grad_() for _ in range(2))
    pairs, labels = torch.arange(n), torch.randint(n // 8, (n,))

    def dense_supcon() -> Tensor:
        itself = torch.eye(n, dtype=torch.bool)
        logp = (x @ x.T).masked_fill(itself, -1e30).log_softmax(1).masked_fill(itself, 0)
        positive = (labels[:, None] == labels) & ~itself
        return -((positive * logp).sum(1) / positive.sum(1).clamp_min(1)).mean()

    def one_set(formula) -> Tensor:
        return row_loss(formula, Bilinear(x, x), Targets(labels, labels, own=True))

    def dense_clip() -> Tensor:
        scores = x @ z.T
        return (F.cross_entropy(scores, pairs) + F.cross_entropy(scores.T, pairs)) / 2

    def clip() -> Tensor:
        there, back = two_way_statistics(Bilinear(x, z), Targets(pairs))
        return (cross_entropy(there).mean() + cross_entropy(back).mean()) / 2

    return [
        products(x, z),
        Case("InfoNCE, dense torch", lambda: F.cross_entropy(x @ z.T, pairs), (x, z)),
        Case("InfoNCE", lambda: row_loss(cross_entropy, Bilinear(x, z), Targets(pairs)), (x, z)),
        Case("CLIP, dense torch", dense_clip, (x, z)),
        Case("CLIP", clip, (x, z)),
        Case("SupCon, dense torch", dense_supcon, (x,)),
        Case("SupCon, one set", lambda: one_set(supcon), (x,)),
        Case("SupCon, two sets", lambda: row_loss(supcon, Bilinear(x, z), Targets(labels, labels)), (x, z)),
    ]


def small() -> list[Case]:
    """What a small user pays for the generality: 32 x 10, beside the formula written out."""
    x, w, labels = (
        torch.randn(32, 16, requires_grad=True),
        torch.randn(10, 16, requires_grad=True),
        torch.arange(32) % 10,
    )
    index = labels[:, None]

    def written_out() -> Tensor:
        scores = x @ w.T
        target = scores.gather(1, index)[:, 0]
        return softplus(scores.scatter(1, index, -1e30).logsumexp(1) - target).mean()

    ours = Case("cross-entropy", lambda: row_loss(cross_entropy, Bilinear(x, w), Targets(labels)), (x, w))
    return [Case("the same formula, written out", written_out, (x, w)), ours]


def groups() -> Iterator[tuple[str, list[Case], int]]:
    """Title, cases and how many times more often than asked they are run."""
    for n, c, d in HEADS:
        yield f"heads, N={n} C={c} D={d}", heads(n, c, d), 1
    yield "in-batch, N=4096 D=256", in_batch(4096, 256), 1
    yield "small, N=32 C=10 D=16", small(), 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="run the groups whose title contains this")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    for title, cases, factor in groups():
        if arguments.only in title:
            race(title, cases, repeats=factor * arguments.repeats)


if __name__ == "__main__":
    main()
