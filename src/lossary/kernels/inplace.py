"""Work in place on tensors as large as the input: when that is allowed, and in parts that stay in cache."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.core import device as _device
from lossary.core import torch_internals

#: Numbers processed at once: on a CPU they stay in cache; an accelerator needs large operations.
CPU_BLOCK = 1 << 20
#: Adjacent positions in a block, if there are that many: shorter rows cost more than the cache saves.
AT_LEAST = 1 << 12


def last_use() -> bool:
    """In a backward pass: whether its graph is freed afterwards, so that the gradient may overwrite what was saved."""
    return not torch.is_grad_enabled() and not torch_internals.keeps_graph()


def blocks(x: Tensor) -> Iterator[tuple[slice, slice]]:
    """Samples and positions of ``x`` (N, C, L), as many at a time as stay in cache.

    All samples at once, as long as enough adjacent positions fit: each thread then stays with the same samples, as it
    does when torch works on all of ``x``, and cores that do not share a cache need not fetch anything.
    """
    items, classes, places = x.shape
    if not _device.by_cache(x):
        yield slice(0, items), slice(0, places)
        return
    width = max(1, min(places, max(CPU_BLOCK // max(1, items * classes), AT_LEAST)))
    rows = max(1, CPU_BLOCK // max(1, classes * width))
    for row in range(0, items, rows):
        for place in range(0, places, width):
            yield slice(row, row + rows), slice(place, place + width)


def masked_softmax(logits: Tensor, keep: Tensor | None) -> Tensor:
    """The softmax over dim 1 of ``logits`` (N, C, L), 0 where not ``keep`` (N, L); None keeps all."""
    p = F.softmax(logits, 1)
    return p if keep is None else p.masked_fill_(~keep[:, None], 0)


def at_class(p: Tensor, index: Tensor) -> Tensor:
    """The entries (N, L) of ``p`` (N, C, L) at class ``index`` (N, L)."""
    if not _device.by_cache(p):
        return p.gather(1, index[:, None])[:, 0]
    # From one row of numbers per sample: with two threads this takes a third less time than three dimensions.
    places = p.shape[2]
    return p.flatten(1).gather(1, torch.arange(places, device=p.device).add(index, alpha=places))


def class_index(target: Tensor, keep: Tensor | None) -> Tensor:
    """``target`` for use as an index: int64, and 0 where not ``keep``."""
    return target.long() if keep is None else target.long() * keep  # integers cannot be NaN


def short_index(target: Tensor, keep: Tensor | None) -> Tensor:
    """:func:`class_index` in half as many bytes, if a copy is needed and ``gather`` and ``scatter`` take it."""
    if keep is None or not _device.takes_short_indices(target):
        return class_index(target, keep)
    return torch.mul(target, keep, out=torch.empty_like(target, dtype=torch.int32))


def softmax_gradient_(p: Tensor, asked: Callable[[slice, slice, Tensor], Tensor], mean: Tensor) -> None:
    """Turn probabilities into the gradient by their logits: p_k (a_k - sum_j p_j a_j).

    Args:
        p: (N, C, L), changed in place.
        asked: The gradient a by some of the probabilities, given samples, positions and those probabilities.
        mean: (N, L), what the sum contains besides ``asked``; the whole sum in the end.
    """
    for rows, places in blocks(p):
        part = p[rows, :, places]
        a = asked(rows, places, part)
        total = mean[rows, None, places]
        total += (part * a).sum(1, keepdim=True)
        part *= a - total


def class_softmax_gradient_(p: Tensor, asked: Tensor, mean: Tensor) -> None:
    """As :func:`softmax_gradient_`, where ``asked`` (N, C) is the same at all positions; ``mean`` is half the sum."""
    half, total = asked[:, :, None] / 2, mean[:, None]
    # All at once: product by product, one thread would read what two then have to change, and if they do not share
    # a cache, that takes longer than the change itself.
    torch.baddbmm(total, half.mT, p, beta=0.5, out=total)
    if _device.by_cache(p):
        torch_internals.times_twice_difference_(p, half, total)  # without a temporary
    else:  # not every device broadcasts here
        p *= 2 * (half - total)
