"""Triplets of a batch without ever listing them: N x N work, never N x N x N memory.

A miner looks at the distances of a block of anchors to all items and gives, for each anchor, the sum of its
triplets' losses and how many of them the mean is over. Blocks are made again for the gradient, so that memory stays
that of one block however large the batch.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lossary.kernels.distances import pairwise
from lossary.kernels.stable import softplus, widened

#: Distances held at once.
BLOCK = 2**20

Margin = float | Tensor | None


class Block(NamedTuple):
    """Distances (B, N) of B anchors to all N items, and which of those are their positives and negatives."""

    distances: Tensor
    positive: Tensor  # never the anchor itself
    negative: Tensor


class Anchors(NamedTuple):
    """What the triplets of each anchor come to, (B,) each."""

    loss: Tensor
    divisor: Tensor


Miner = Callable[[Block, Margin], Anchors]


def mined(
    embeddings: Tensor, labels: Tensor, miner: Miner, margin: Margin, *, squared: bool, mask: Tensor | None = None
) -> Anchors:
    """Every anchor's triplets, (N,) each; ``mask`` is False for items that are in none."""
    if mask is not None:
        labels = apart(labels, mask)
    items = embeddings.shape[0]

    def block(embeddings: Tensor, start: int, stop: int) -> Anchors:
        anchors = torch.arange(start, stop, device=labels.device)
        same = labels[start:stop, None] == labels
        distances = pairwise(embeddings[start:stop], embeddings, squared=squared)
        own = anchors[:, None] == torch.arange(items, device=labels.device)
        return miner(Block(distances, same & ~own, ~same if mask is None else ~same & mask), margin)

    rows = max(1, BLOCK // max(1, items))
    if rows >= items:
        return block(embeddings, 0, items)
    edges = [(start, min(start + rows, items)) for start in range(0, items, rows)]
    blocks = [checkpoint(block, embeddings, *e, use_reentrant=False, preserve_rng_state=False) for e in edges]
    return Anchors(*(torch.cat(parts) for parts in zip(*blocks, strict=True)))


def first_of_class(labels: Tensor) -> Tensor:
    """(N,) the index of the first item with the same label: class numbers without counting the classes."""
    ordered, order = labels.sort(stable=True)
    places = torch.arange(labels.shape[0], device=labels.device)
    begins = torch.cat([places[:1] == 0, ordered[1:] != ordered[:-1]])
    start = torch.where(begins, places, torch.zeros_like(places)).cummax(0).values
    return torch.empty_like(order).scatter(0, order, order[start])


def apart(labels: Tensor, mask: Tensor) -> Tensor:
    """(N,) class numbers where ``mask`` is False for items that get one each to themselves: nobody's positives."""
    alone = labels.shape[0] + torch.arange(labels.shape[0], device=labels.device)
    return torch.where(mask, first_of_class(labels), alone)


def has_positive(labels: Tensor) -> Tensor:
    """(N,) whether another item bears the same label; N log N, without an N x N mask."""
    first = first_of_class(labels)
    return torch.zeros_like(first).scatter_add(0, first, torch.ones_like(first))[first] > 1


def penalty(gap: Tensor, margin: Margin) -> Tensor:
    """The loss of triplets with ``d(anchor, positive) - d(anchor, negative) = gap``; None is the soft margin."""
    return softplus(gap) if margin is None else (gap + margin).relu()


# ---------------------------------------------------------------- miners


def hard(block: Block, margin: Margin) -> Anchors:
    """The farthest positive against the nearest negative; of tied ones the first."""
    farthest = _select(block.distances, block.positive, largest=True)
    nearest = _select(block.distances, block.negative, largest=False)
    valid = block.positive.any(1) & block.negative.any(1)
    return _summed(penalty(farthest - nearest, margin)[:, None], valid[:, None])


def semihard(block: Block, margin: Margin) -> Anchors:
    """Each positive against the nearest negative that is farther than it; against the farthest where none is."""
    distances = block.distances
    bare = distances.detach()
    ascending, order = bare.masked_fill(~block.negative, torch.inf).sort(dim=1, stable=True)
    farther = torch.searchsorted(ascending, bare, right=True)
    last = block.negative.sum(1, keepdim=True) - 1
    negative = order.gather(1, torch.minimum(farther, last).clamp_min(0))
    gap = distances - distances.gather(1, negative)
    return _summed(penalty(gap, margin), block.positive & (last >= 0))


def every(block: Block, margin: Margin) -> Anchors:
    """All triplets; the mean is over those whose loss is above 0."""
    if margin is None:
        return every_valid(block, margin)
    # Once it is known in how many active triplets each distance stands, the loss is linear in the distances:
    # sorting finds the counts, and nothing of it needs a gradient. Wide, for a margin is lost beside 1e8, and the
    # sum is a small difference of large ones.
    distances = widened(block.distances)
    bare = distances.detach()
    threshold = (bare + margin).detach().masked_fill(~block.positive, -torch.inf)
    negative = bare.masked_fill(~block.negative, torch.inf)
    as_positive = torch.searchsorted(negative.sort(1).values, threshold)
    as_negative = negative.shape[1] - torch.searchsorted(threshold.sort(1).values, negative, right=True)
    active = as_positive.sum(1).to(distances.dtype)
    loss = ((as_positive - as_negative) * distances).sum(1) + active * margin
    return Anchors(loss.to(block.distances.dtype), active.to(block.distances.dtype))


def every_valid(block: Block, margin: Margin) -> Anchors:
    """All triplets; the mean is over all of them."""
    valid = (block.positive.sum(1) * block.negative.sum(1)).to(block.distances.dtype)
    loss = _soft(block) if margin is None else every(block, margin).loss
    return Anchors(loss, valid)


def _soft(block: Block) -> Tensor:
    """The soft margin of all triplets: no triplet is inactive, so all are visited, some positives at a time."""
    distances, positive, negative = block
    batch, items = distances.shape
    # Positives first, so that the visit can stop after the largest class; its size is data, unknown to a compiler.
    order = positive.to(torch.int8).argsort(dim=1, descending=True, stable=True)
    most = items if torch.compiler.is_compiling() else int(positive.sum(1).max()) if batch else 0

    def visit(distances: Tensor, start: int, stop: int) -> Tensor:
        columns = order[:, start:stop]
        gap = distances.gather(1, columns)[:, :, None] - distances[:, None]
        exists = positive.gather(1, columns)[:, :, None] & negative[:, None]
        return torch.where(exists, softplus(gap), torch.zeros_like(gap)).sum((1, 2))

    step = max(1, BLOCK // max(1, distances.numel()))
    starts = range(0, most, step)
    total = distances[:, :0].sum(1)
    for start in starts:
        stop = min(start + step, most)
        part = (
            visit(distances, start, stop)
            if len(starts) == 1
            else checkpoint(visit, distances, start, stop, use_reentrant=False, preserve_rng_state=False)
        )
        total = total + part
    return total


def _select(distances: Tensor, among: Tensor, *, largest: bool) -> Tensor:
    """The largest or smallest distance of each row ``among`` some columns."""
    if distances.shape[1] == 0:
        return distances.sum(1)
    # By index: of tied distances the gradient goes to the first, not to a share of each.
    barred = distances.detach().masked_fill(~among, -torch.inf if largest else torch.inf)
    index = barred.argmax(1) if largest else barred.argmin(1)
    return distances.gather(1, index[:, None])[:, 0]


def _summed(loss: Tensor, valid: Tensor) -> Anchors:
    return Anchors(torch.where(valid, loss, torch.zeros_like(loss)).sum(1), valid.sum(1).to(loss.dtype))
