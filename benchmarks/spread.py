"""What widely spread scores cost: the time of a loss and its gradient at a spread of 32 over that at 1, on this CPU.

``python -m benchmarks.spread`` prints it. Time is the process's own, so that a busy machine disturbs the ratio little.
"""

import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

import lossary
import lossary.functional as LF

SPREADS, ROUNDS = (1, 32), 9
ROWS, CLASSES, WIDTH = 2048, 10_000, 128

#: A loss of what learns and of labels, and their draw at a spread.
Loss = Callable[..., Tensor]
Draw = Callable[[float], tuple[Tensor, ...]]


def head(spread: float) -> tuple[Tensor, ...]:
    x, w = torch.randn(ROWS, WIDTH), torch.randn(CLASSES, WIDTH)
    return x * (spread / WIDTH**0.5), w, torch.randint(CLASSES, (ROWS,))


def half_head(spread: float) -> tuple[Tensor, ...]:
    x, w, y = head(spread)
    return x.bfloat16(), w.bfloat16(), y


def elements(spread: float) -> tuple[Tensor, ...]:
    return spread * torch.randn(256, CLASSES), torch.rand(256, CLASSES) < 0.1


def places(spread: float) -> tuple[Tensor, ...]:
    return spread * torch.randn(4, 19, 256, 256), torch.randint(19, (4, 256, 256))


def views(spread: float) -> tuple[Tensor, ...]:
    return torch.randn(ROWS, WIDTH), torch.randn(ROWS, WIDTH), torch.tensor(spread * WIDTH**0.5)


def classes(spread: float) -> tuple[Tensor, ...]:
    return torch.randn(ROWS, WIDTH), torch.randint(ROWS // 8, (ROWS,)), torch.tensor(spread * WIDTH**0.5)


#: The cosines of random vectors spread by 1 / sqrt(WIDTH).
CASES: dict[str, tuple[Loss, Draw]] = {
    "cross-entropy of a head": (lambda x, w, y: lossary.linear_loss(LF.cross_entropy, x, w, y), head),
    "the same in bfloat16": (lambda x, w, y: lossary.linear_loss(LF.cross_entropy, x, w, y), half_head),
    "dense torch in bfloat16": (lambda x, w, y: F.cross_entropy((x @ w.T).float(), y), half_head),
    "focal loss of a head": (lambda x, w, y: lossary.linear_loss(LF.focal_loss, x, w, y), head),
    "InfoNCE": (lambda x, z, scale: LF.info_nce_loss(x, z, temperature=1 / scale.item()), views),
    "CLIP": (lambda x, z, scale: LF.clip_loss(x, z, temperature=1 / scale.item()), views),
    "SigLIP": (lambda x, z, scale: LF.siglip_loss(x, z, scale=scale.item()), views),
    "SupCon": (lambda x, y, scale: LF.supcon_loss(x, y, temperature=1 / scale.item()), classes),
    "sigmoid focal": (LF.sigmoid_focal_loss, elements),
    "binary cross-entropy": (LF.binary_cross_entropy_with_logits, elements),
    "Dice": (LF.dice_loss, places),
}


def seconds(loss: Loss, given: tuple[Tensor, ...]) -> float:
    start = time.process_time()
    loss(*given).backward()
    return time.process_time() - start


def main() -> None:
    torch.set_num_threads(1)
    table = Table("loss", *(f"ms at {spread}" for spread in SPREADS), "ratio")
    for name, (loss, draw) in CASES.items():
        torch.manual_seed(0)
        given = [draw(spread) for spread in SPREADS]
        given = [tuple(t.requires_grad_() if t.is_floating_point() and t.dim() else t for t in one) for one in given]
        rounds = [[seconds(loss, one) for one in given] for _ in range(ROUNDS)]  # in turns
        one, other = (statistics.median(times[1:]) for times in zip(*rounds, strict=True))
        table.add_row(name, f"{1e3 * one:.1f}", f"{1e3 * other:.1f}", f"{other / one:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
