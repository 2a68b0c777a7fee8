"""Batches of training items as index tensors. Their sequence depends only on labels, sizes and generator."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor


def shuffled(count: int, size: int, generator: Generator) -> Iterator[Tensor]:
    """Endless batches of ``size`` items, in a new order each epoch; an epoch's incomplete rest is dropped.

    >>> next(shuffled(10, 4, Generator().manual_seed(0))).shape
    torch.Size([4])
    """
    size = min(size, count)
    while True:
        order = torch.randperm(count, generator=generator)
        yield from order[: count - count % size].split(size)


def m_per_class(labels: Tensor, size: int, m: int, generator: Generator) -> Iterator[Tensor]:
    """Endless batches of ``m`` items of each of ``size // m`` different classes, all of a class that has fewer.

    Every item comes about equally often: a class with k items is drawn k // m times per epoch.

    >>> batch = next(m_per_class(torch.arange(30) // 3, 6, 2, Generator().manual_seed(0)))
    >>> len(batch), len((batch // 3).unique())
    (6, 3)
    >>> next(m_per_class(torch.tensor([0] * 9 + [1] * 2), 6, 3, Generator().manual_seed(0))).shape
    torch.Size([5])
    """
    members = [(labels == c).nonzero()[:, 0] for c in labels.unique()]
    at_once = min(size // m, len(members))
    while True:
        # Round r holds the r-th m items of every class that has that many, so a batch never contains a class twice.
        chunks = [items[torch.randperm(len(items), generator=generator)].split(m) for items in members]
        for r in range(max(map(len, chunks))):
            full = [c[r] for c in chunks if len(c) > r and (len(c[r]) == m or r == 0)]
            order = torch.randperm(len(full), generator=generator).tolist()
            for start in range(0, len(full) - at_once + 1, at_once):
                yield torch.cat([full[i] for i in order[start : start + at_once]])
