"""Losses over features beside the bare products that they cannot do without, on one thread of this CPU.

``python -m benchmarks.floors`` prints it: medians of turns, and of the ratios the quartiles too. Time is the process's
own, in turns: a busy machine disturbs ratios little.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import lossary
import lossary.functional as LF

WIDTHS = (128, 256)
ITEMS, CLASSES, PROTOTYPES = 2048, 10_000, 65_536

Run = Callable[[], object]


def products(both: Sequence[tuple[Tensor, ...]], forward: Sequence[tuple[Tensor, ...]]) -> Run:
    """A product each, and for ``both`` the gradients by either side."""
    scores = [x.new_empty(len(x), len(w)) for x, w in (*both, *forward)]

    def run() -> None:
        for (x, w), s in zip((*both, *forward), scores, strict=True):
            torch.mm(x, w.T, out=s)
        for (x, w), s in zip(both, scores, strict=False):
            torch.mm(s, w)
            torch.mm(s.T, x)

    return run


def cases() -> Iterator[tuple[str, Run, Run]]:
    """What it is, its bare products, and the loss with its gradient."""
    for width in WIDTHS:
        x, w = torch.randn(ITEMS, width), torch.randn(CLASSES, width) / 10
        y, head = torch.randint(CLASSES, (ITEMS,)), products([(x, w)], [])
        heads = {"ArcFace": LF.arcface_loss, "MagFace": LF.magface_loss, "CurricularFace": LF.curricularface_loss}
        for name, loss in heads.items():
            yield f"{name} {width}", head, backward(loss, x, w, y)
        again = products([(x, w)], [(x, w)])  # a number per row, whose gradient comes later: scores are computed twice

        def logps(x: Tensor, w: Tensor, y: Tensor = y) -> Tensor:
            return lossary.linear_logps(x, w, y).sum()

        def readings(x: Tensor, w: Tensor, y: Tensor = y) -> Tensor:
            logps, entropy, _, log_sum = lossary.linear_readings(x, w, y)
            return 0.1 * entropy.mean() + lossary.z_loss(log_sum) - logps.mean()

        yield f"linear_logps {width}", again, backward(logps, x, w)
        yield f"linear_readings {width}", again, backward(readings, x, w)
        z1, z2 = torch.randn(2, ITEMS, width).unbind()
        one_set = products([(torch.cat([z1, z2]),) * 2], [])
        yield f"DCL {width}", one_set, backward(LF.dcl_loss, z1, z2)
        yield f"hard negatives {width}", one_set, backward(LF.hard_negative_contrastive_loss, z1, z2)
        g1, g2 = torch.randn(2, ITEMS, width).unbind()
        ours, guides = [(z1, z2), (z1, z1), (z2, z2)], [(g1, g2), (g1, g1), (g2, g2)]
        yield f"GIST {width}", products(ours, []), backward(LF.gist_embed_loss, z1, z2)

        def guided(z1: Tensor, z2: Tensor, g1: Tensor = g1, g2: Tensor = g2) -> Tensor:
            return LF.gist_embed_loss(z1, z2, guide_anchor=g1, guide_positive=g2)

        yield f"GIST with a guide {width}", products(ours, guides), backward(guided, z1, z2)
    student, teacher = torch.randn(32, 8, 256), torch.randn(32, 2, 256)
    w, tw = torch.randn(2, PROTOTYPES, 256).unbind()
    bare = products([(student.flatten(0, 1), w)], [(teacher.flatten(0, 1), tw)])
    yield "DINO over features 256", bare, backward(lambda s, w: lossary.linear_dino_loss(s, w, teacher, tw), student, w)


def backward(loss: Callable[..., Tensor], *given: Tensor) -> Run:
    given = tuple(t.clone().requires_grad_() if t.is_floating_point() else t for t in given)
    learning = [t for t in given if t.requires_grad]
    return lambda: torch.autograd.grad(loss(*given), learning)


def seconds(run: Run) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floors", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="losses whose name contains this")
    parser.add_argument("--turns", type=int, default=5, help="how often each is measured, after one for warmth")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    table = Table("loss, width", "products, ms", "loss, ms", "ratio")
    for name, bare, ours in cases():
        if given.only.lower() not in name.lower():
            continue
        turns = [(seconds(bare), seconds(ours)) for _ in range(given.turns + 1)][1:]
        times = [1e3 * statistics.median(of) for of in zip(*turns, strict=True)]
        low, ratio, high = statistics.quantiles(loss / products for products, loss in turns)
        table.add_row(name, *(f"{t:.0f}" for t in times), f"{ratio:.2f} ({low:.2f} to {high:.2f})")
    Console().print(table)


if __name__ == "__main__":
    main()
