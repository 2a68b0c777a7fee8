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
    """Distances (B, N) of B anchors to all N items, their positives by column, their negatives by mask."""

    distances: Tensor
    columns: Tensor  # (B, P), in ascending order
    exists: Tensor  # (B, P): an anchor with fewer positives has columns that are none
    negative: Tensor  # (B, N)


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
    columns, exists = _positives(labels)

    def block(embeddings: Tensor, start: int, stop: int) -> Anchors:
        rows = slice(start, stop)
        distances = pairwise(embeddings[rows], embeddings, squared=squared)
        others = labels[rows, None] != labels
        return miner(Block(distances, columns[rows], exists[rows], others if mask is None else others & mask), margin)

    rows = max(1, BLOCK // max(1, items))
    if rows >= items:
        return block(embeddings, 0, items)
    edges = [(start, min(start + rows, items)) for start in range(0, items, rows)]
    blocks = [checkpoint(block, embeddings, *e, use_reentrant=False, preserve_rng_state=False) for e in edges]
    return Anchors(*(torch.cat(parts) for parts in zip(*blocks, strict=True)))


def _positives(labels: Tensor) -> tuple[Tensor, Tensor]:
    """(N, P) each item's class, by column, P being the largest class's size; and which of it are others than itself."""
    items = labels.shape[0]
    order = labels.sort(stable=True).indices
    first = first_of_class(labels)
    count = torch.zeros_like(first).scatter_add(0, first, torch.ones_like(first))
    # In the sorted order a class is one run, which begins where its first item stands.
    run = torch.empty_like(order).scatter(0, order, torch.arange(items, device=labels.device))[first]
    # Its size is data, unknown to a compiler.
    largest = items if torch.compiler.is_compiling() or items == 0 else int(count.max())
    step = torch.arange(largest, device=labels.device)
    columns = order[(run[:, None] + step).clamp_max(max(items - 1, 0))]
    return columns, (step < count[first][:, None]) & (columns != torch.arange(items, device=labels.device)[:, None])


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
    distances, columns, exists, negative = block
    if columns.numel() == 0:
        return _summed(distances[:, :0], exists[:, :0])
    bare = distances.detach()
    # By index: of tied distances the gradient goes to the first, not to a share of each.
    farthest = bare.gather(1, columns).masked_fill(~exists, -torch.inf).argmax(1, keepdim=True)
    nearest = bare.masked_fill(~negative, torch.inf).argmin(1, keepdim=True)
    gap = distances.gather(1, columns.gather(1, farthest)) - distances.gather(1, nearest)
    return _summed(penalty(gap, margin), (exists.any(1) & negative.any(1))[:, None])


def semihard(block: Block, margin: Margin) -> Anchors:
    """Each positive against the nearest negative that is farther than it; against the farthest where none is."""
    positive = block.distances.gather(1, block.columns)
    ascending, order = block.distances.detach().masked_fill(~block.negative, torch.inf).sort(dim=1, stable=True)
    farther = torch.searchsorted(ascending, positive.detach(), right=True)
    last = block.negative.sum(1, keepdim=True) - 1
    negative = order.gather(1, torch.minimum(farther, last).clamp_min(0))
    gap = positive - block.distances.gather(1, negative)
    return _summed(penalty(gap, margin), block.exists & (last >= 0))


def every(block: Block, margin: Margin) -> Anchors:
    """All triplets; the mean is over those whose loss is above 0."""
    if margin is None:
        return every_valid(block, margin)
    # Once it is known in how many active triplets each distance stands, the loss is linear in the distances: the
    # counts come from the place of each negative among the few sorted positives, and nothing of it needs a
    # gradient. Wide, for a margin is lost beside 1e8, and the sum is a small difference of large ones.
    distances = widened(block.distances)
    positive = distances.gather(1, block.columns)
    threshold = (positive + margin).detach().masked_fill(~block.exists, -torch.inf)
    ascending, order = threshold.sort(1)
    negative = distances.detach().masked_fill(~block.negative, torch.inf)
    place = torch.searchsorted(ascending, negative, right=True)
    most = threshold.shape[1]
    # A positive's triplets are active for the negatives at its own place or before.
    at_place = place.new_zeros(place.shape[0], most + 1).scatter_add(1, place, torch.ones_like(place))
    active = torch.empty_like(order).scatter(1, order, at_place.cumsum(1)[:, :most]).to(distances.dtype)
    total = active.sum(1)
    loss = (active * positive).sum(1) - ((most - place) * distances).sum(1) + total * margin
    return Anchors(loss.to(block.distances.dtype), total.to(block.distances.dtype))


def every_valid(block: Block, margin: Margin) -> Anchors:
    """All triplets; the mean is over all of them."""
    valid = (block.exists.sum(1) * block.negative.sum(1)).to(block.distances.dtype)
    loss = _soft(block) if margin is None else every(block, margin).loss
    return Anchors(loss, valid)


def _soft(block: Block) -> Tensor:
    """The soft margin of all triplets: no triplet is inactive, so all are visited, some positives at a time."""

    def visit(distances: Tensor, start: int, stop: int) -> Tensor:
        columns, exists = block.columns[:, start:stop], block.exists[:, start:stop]
        gap = distances.gather(1, columns)[:, :, None] - distances[:, None]
        counted = exists[:, :, None] & block.negative[:, None]
        return torch.where(counted, softplus(gap), torch.zeros_like(gap)).sum((1, 2))

    most = block.columns.shape[1]
    step = max(1, BLOCK // max(1, block.distances.numel()))
    if most <= step:
        return visit(block.distances, 0, most)
    total = block.distances.new_zeros(block.distances.shape[0])
    for start in range(0, most, step):
        stop = min(start + step, most)
        total = total + checkpoint(visit, block.distances, start, stop, use_reentrant=False, preserve_rng_state=False)
    return total


def _summed(loss: Tensor, valid: Tensor) -> Anchors:
    return Anchors(torch.where(valid, loss, torch.zeros_like(loss)).sum(1), valid.sum(1).to(loss.dtype))
