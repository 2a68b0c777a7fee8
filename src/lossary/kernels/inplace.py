"""Work in place on what is as large as the input: when that is allowed, and so much at a time as stays in cache."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary._check import values_visible

#: Numbers that are worked on at once: on CPU they stay in cache, an accelerator wants large operations.
CPU_BLOCK = 1 << 20


def last_use() -> bool:
    """In a backward pass: whether its graph is freed after it, so that what was saved may become the gradient."""
    return not torch.is_grad_enabled() and not torch._C._autograd._get_current_graph_task_keep_graph()  # pyright: ignore


def blocks(x: Tensor) -> Iterator[tuple[slice, slice]]:
    """Samples and positions of ``x`` (N, C, L), so many at a time as stay in cache."""
    items, classes, places = x.shape
    if x.device.type != "cpu":
        yield slice(0, items), slice(0, places)
        return
    parts = max(1, -(-classes * places // CPU_BLOCK))
    width = max(1, -(-places // parts))  # all of one length
    rows = max(1, CPU_BLOCK // max(1, classes * places))
    for row in range(0, items, rows):
        for place in range(0, places, width):
            yield slice(row, row + rows), slice(place, place + width)


def masked_softmax(logits: Tensor, keep: Tensor) -> Tensor:
    """The softmax over dim 1 of ``logits`` (N, C, L) where ``keep`` (N, L), 0 elsewhere."""
    p = F.softmax(logits, 1)
    # Looked at on CPU alone: elsewhere a look waits for the device.
    return p if p.device.type == "cpu" and keep.all() else p.masked_fill_(~keep[:, None], 0)


def at_class(p: Tensor, index: Tensor) -> Tensor:
    """(N, L) the entries of ``p`` (N, C, L) at class ``index`` (N, L)."""
    # Selected from one row of numbers, in less than half the time of gather(); by short numbers where they suffice.
    samples, places = (torch.arange(p.shape[i], dtype=_short(p), device=p.device) for i in (0, 2))
    place = (samples[:, None] * p.shape[1] + index.to(_short(p))).mul_(p.shape[2]).add_(places)
    return p.reshape(-1).index_select(0, place.view(-1)).view(index.shape)


def _short(x: Tensor) -> torch.dtype:
    return torch.int32 if x.numel() < 2**31 else torch.int64


def class_index(target: Tensor, keep: Tensor) -> Tensor:
    """``target`` for use as an index: int64, and 0 where not ``keep``."""
    if values_visible(keep) and keep.all():
        return target.long()
    return torch.where(keep, target, torch.zeros_like(target)).long()


def softmax_gradient_(p: Tensor, asked: Callable[[slice, slice, Tensor], Tensor], mean: Tensor) -> None:
    """Turn probabilities into the gradient by their logits: p_k (a_k - sum_j p_j a_j).

    Args:
        p: (N, C, L), changed in place.
        asked: The gradient a by some of the probabilities, given samples, positions and those probabilities; one
            that is the same at all positions may have one.
        mean: (N, L), what the sum has beside ``asked``; the sum in the end.
    """
    for rows, places in blocks(p):
        part = p[rows, :, places]
        a = asked(rows, places, part)
        mean[rows, places] += (a.mT @ part)[:, 0] if a.shape[2] == 1 else (part * a).sum(1)
        part *= a - mean[rows, None, places]
