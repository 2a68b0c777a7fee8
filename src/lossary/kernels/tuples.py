"""Triplets of N anchors and M items without listing them: N x M work, never N x M x M memory.

A miner looks at the distances of a block of anchors to all items and returns, for each anchor, the sum of its triplets'
losses and how many of them the mean is over. A block's gradient is computed while it exists, or the block is recomputed
for it, so memory stays that of one block, however large the batch.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lossary.core import device as _device
from lossary.core.torch_internals import first_largest, first_smallest
from lossary.kernels.distances import pairwise
from lossary.kernels.graph import distinct, gradients_by
from lossary.kernels.modes import plain_only
from lossary.kernels.rows.scores import Given, Targets
from lossary.kernels.stable import softplus, widened

#: Distances held at once: on a CPU, and elsewhere.
CACHED_TRIPLES = 2**20
LARGE_TRIPLES = 2**24
#: Bytes per triplet when all are visited.
OF_A_TRIPLET = 32
#: Up to this many positives per anchor, comparing with one after the other is faster than searching.
FEW = 64

Margin = float | Tensor | None


class AnchorBlock(NamedTuple):
    """Distances (B, M) of B anchors to all M items; their positives as columns, their negatives as a mask."""

    distances: Tensor
    columns: Tensor  # (B, P), in ascending order
    exists: Tensor  # (B, P): False where an anchor has fewer positives
    negative: Tensor  # (B, M)


class MaskedBlock(NamedTuple):
    """B anchors (B, D), all items (M, D), and which items are an anchor's positives and negatives (B, M)."""

    anchors: Tensor
    items: Tensor
    positive: Tensor
    negative: Tensor
    squared: bool


class Anchors(NamedTuple):
    """The result of each anchor's triplets, (B,) each."""

    loss: Tensor
    divisor: Tensor


Miner = Callable[[AnchorBlock, Margin], Anchors]


def mined(
    anchors: Tensor,
    items: Tensor,
    targets: Targets | Given,
    miner: Miner,
    margin: Margin,
    *,
    squared: bool,
    counted: Tensor | None = None,
    by_mask: Callable[..., Anchors] | None = None,
    measure: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Anchors:
    """The triplets of each anchor, (N,) each.

    Args:
        anchors: (N, D).
        items: (M, D), among which are the anchors' positives and negatives.
        targets: Which items are positives (its targets) and which negatives (the rest).
        miner: Which triplets.
        margin: None means the soft margin.
        squared: Whether distances are squared.
        counted: (M,) boolean, False for items that are nobody's negatives; they must be nobody's targets either.
        by_mask: A miner that needs no number of positives, if there is one: for devices where reading it waits.
        measure: Distances of anchors and all items instead of Euclidean ones; it excludes ``by_mask``.
    """
    on_cpu = _device.by_cache(anchors)
    if on_cpu or plain_only() or not _device.has_float64(anchors) or measure is not None:
        by_mask = None
    columns, exists = _positives(targets) if by_mask is None else (None, None)

    def block(start: int, stop: int, anchors: Tensor, items: Tensor, margin: Margin) -> Anchors:
        rows = slice(start, stop)
        negative = _negatives(targets, rows)
        negative = negative if counted is None else negative & counted
        if by_mask is not None:
            return by_mask(MaskedBlock(anchors[rows], items, _targets(targets, rows), negative, squared), margin)
        assert columns is not None
        assert exists is not None
        apart = partial(pairwise, squared=squared) if measure is None else measure
        distances = apart(anchors[rows], items)
        return miner(AnchorBlock(distances, columns[rows], exists[rows], negative), margin)

    held = CACHED_TRIPLES if on_cpu else LARGE_TRIPLES
    count, rows = anchors.shape[0], max(1, held // max(1, items.shape[0]))
    if rows >= count:
        return block(0, count, anchors, items, margin)
    edges = [(start, min(start + rows, count)) for start in range(0, count, rows)]
    # Compilers and torch.func's transforms do not see a gradient that is computed in forward.
    if plain_only() or not torch.is_grad_enabled() or not _device.has_values(anchors):
        return _made_again(block, edges, anchors, items, margin)
    return Anchors(*_GradientInForward.apply(block, edges, anchors, items, margin))


Make = Callable[..., Anchors]
Edges = list[tuple[int, int]]


def _made_again(block: Make, edges: Edges, *inputs: Any) -> Anchors:
    """All blocks; backward recomputes them for the gradient."""
    parts = [checkpoint(block, *e, *inputs, use_reentrant=False, preserve_rng_state=False) for e in edges]
    return Anchors(*(torch.cat(of) for of in zip(*parts, strict=True)))


class _GradientInForward(torch.autograd.Function):
    """The anchors' losses, and the gradient of their sum, computed while a block exists.

    A sum or a mean scales that gradient. For different weights of anchors, second backward passes and second
    derivatives, blocks are recomputed.
    """

    @staticmethod
    def forward(ctx: Any, block: Make, edges: Edges, *inputs: Any) -> tuple[Tensor, Tensor]:
        needs = ctx.needs_input_grad[2:]
        sums = [torch.zeros_like(t) if need else None for t, need in zip(inputs, needs, strict=True)]
        found: list[Anchors] = []
        for edge in edges:
            with torch.enable_grad():
                leaves = [t.detach().requires_grad_() if need else t for t, need in zip(inputs, needs, strict=True)]
                part = block(*edge, *leaves)
                loss = part.loss.sum()
            if loss.requires_grad:
                for total, g in zip(sums, gradients_by(loss, leaves), strict=True):
                    if total is not None and g is not None:
                        total.add_(g)
            found.append(Anchors(part.loss.detach(), part.divisor.detach()))
        ctx.block, ctx.edges, ctx.sums = block, edges, sums
        ctx.numbers = [None if isinstance(t, Tensor) else t for t in inputs]
        ctx.save_for_backward(*(t if isinstance(t, Tensor) else None for t in inputs))
        loss, divisor = (torch.cat(of) for of in zip(*found, strict=True))
        ctx.mark_non_differentiable(divisor)
        return loss, divisor

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (by_loss, _) = grads
        if not torch.is_grad_enabled() and ctx.sums is not None and _alike(by_loss):
            # Returned once and scaled in place: a product would be a second copy of every gradient.
            sums, ctx.sums = ctx.sums, None
            return None, None, *(None if g is None else g.mul_(by_loss[0]) for g in sums)
        with torch.enable_grad():
            saved = zip(ctx.saved_tensors, ctx.numbers, strict=True)
            inputs = distinct(number if t is None else t for t, number in saved)
            loss = _made_again(ctx.block, ctx.edges, *inputs).loss
        return None, None, *gradients_by(loss, inputs, by_loss)


def _alike(by_loss: Tensor) -> bool:
    """Whether all have the same gradient: by its strides, as for a sum, or by its values, if they may be read."""
    expanded = by_loss.stride() == (0,)
    return expanded or (_device.values_visible(by_loss) and bool((by_loss == by_loss[0]).all()))


def _positives(targets: Targets | Given) -> tuple[Tensor, Tensor]:
    """The positives as columns (N, P), where P is the largest number of them; and which of these exist."""
    if isinstance(targets, Given):
        count = targets.targets.sum(1)
        columns = (~targets.targets).sort(dim=1, stable=True).indices[:, : _largest(count, targets.targets.shape[1])]
        return columns, torch.arange(columns.shape[1], device=columns.device) < count[:, None]
    assert targets.columns is not None
    order, start, count = _runs(targets.rows, targets.columns)
    step = torch.arange(_largest(count, order.shape[0]), device=order.device)
    columns = order[(start[:, None] + step).clamp_max(max(order.shape[0] - 1, 0))]
    exists = step < count[:, None]
    if targets.own:
        exists &= columns != torch.arange(count.shape[0], device=order.device)[:, None]
    return columns, exists


def _largest(count: Tensor, most: int) -> int:
    # It depends on the data, which a compiler does not know.
    return most if _device.traced() or not _device.has_values(count) or count.numel() == 0 else int(count.max())


def _runs(labels: Tensor, others: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The order that sorts ``others``; where in it those of each label begin, and how many there are."""
    ordered, order = others.sort(stable=True)
    labels = labels.contiguous()  # torch warns about strides
    start = torch.searchsorted(ordered, labels)
    return order, start, torch.searchsorted(ordered, labels, right=True) - start


def _targets(targets: Targets | Given, rows: slice) -> Tensor:
    if isinstance(targets, Given):
        return targets.targets[rows]
    assert targets.columns is not None
    alike = targets.rows[rows, None] == targets.columns
    if targets.own:
        alike.diagonal(rows.start).fill_(False)
    return alike


def _negatives(targets: Targets | Given, rows: slice) -> Tensor:
    if isinstance(targets, Given):
        return targets.rest[rows]
    # A row's own column does not count, although it has the row's label.
    negative = targets.rows[rows, None] != targets.columns
    if targets.row_groups is None:
        return negative
    return negative & (targets.row_groups[rows, None] != targets.column_groups)


def has_targets(targets: Targets | Given) -> Tensor:
    """Whether a row has any target, (N,); N log N for labels, without an N x M mask."""
    if isinstance(targets, Given):
        return targets.targets.any(1)
    assert targets.columns is not None
    return _runs(targets.rows, targets.columns)[2] > int(targets.own)


def first_of_class(labels: Tensor) -> Tensor:
    """The index of the first item with the same label, (N,): class numbers without counting the classes."""
    ordered, order = labels.sort(stable=True)
    places = torch.arange(labels.shape[0], device=labels.device)
    begins = torch.cat([places[:1] == 0, ordered[1:] != ordered[:-1]])
    start = torch.where(begins, places, torch.zeros_like(places)).cummax(0).values
    return torch.empty_like(order).scatter(0, order, order[start])


def apart(labels: Tensor, mask: Tensor) -> Tensor:
    """Class numbers (N,); items where ``mask`` is False get one of their own, so they are nobody's positives."""
    alone = labels.shape[0] + torch.arange(labels.shape[0], device=labels.device)
    return torch.where(mask, first_of_class(labels), alone)


def penalty(gap: Tensor, margin: Margin) -> Tensor:
    """The loss of triplets with ``d(anchor, positive) - d(anchor, negative) = gap``; None means the soft margin."""
    return softplus(gap) if margin is None else (gap + margin).relu()


# ---------------------------------------------------------------- miners


def hard(block: AnchorBlock, margin: Margin) -> Anchors:
    """The farthest positive against the nearest negative; among ties, the first."""
    distances, columns, exists, negative = block
    if columns.numel() == 0:
        return summed(distances[:, :0], exists[:, :0])
    bare = distances.detach()
    # By index: for tied distances the gradient goes to the first, not a share to each.
    farthest = bare.gather(1, columns).masked_fill(~exists, -torch.inf)
    nearest = bare.masked_fill(~negative, torch.inf)
    farthest = columns.gather(1, first_largest(farthest))
    gap = distances.gather(1, farthest) - distances.gather(1, first_smallest(nearest))
    return summed(penalty(gap, margin), (exists.any(1) & negative.any(1))[:, None])


def semihard(block: AnchorBlock, margin: Margin) -> Anchors:
    """Each positive against the nearest negative farther than it; if there is none, against the farthest."""
    positive = block.distances.gather(1, block.columns)
    ascending, order = block.distances.detach().masked_fill(~block.negative, torch.inf).sort(dim=1, stable=True)
    farther = torch.searchsorted(ascending, positive.detach(), right=True)
    last = block.negative.sum(1, keepdim=True) - 1
    negative = order.gather(1, torch.minimum(farther, last).clamp_min(0))
    gap = positive - block.distances.gather(1, negative)
    # When sorted, a NaN comes after items that are not negatives, where nothing would find it.
    gap = gap.masked_fill(ascending[:, -1:].isnan(), torch.nan)
    return summed(penalty(gap, margin), block.exists & (last >= 0))


def every(block: AnchorBlock, margin: Margin) -> Anchors:
    """All triplets; the mean is over those whose loss is above 0."""
    if margin is None:
        return every_valid(block, margin)
    if block.columns.numel() == 0:
        return summed(block.distances[:, :0], block.exists[:, :0])
    # Given the number of active triplets with each distance, the loss is linear in the distances. These counts come
    # from the position of each negative among the few sorted positives, and need no gradient.
    distances, bare = block.distances, block.distances.detach()
    positive = bare.gather(1, block.columns)
    threshold = _rounded_up(widened(positive) + margin, positive).masked_fill(~block.exists, -torch.inf)
    ascending, order = threshold.sort(1)
    negative = bare.masked_fill(~block.negative, torch.inf)
    below, above = _crossings(ascending, negative)
    # In the positives' own order; a positive's triplets are active for the negatives below its threshold.
    active = torch.empty_like(below).scatter(1, order, below)
    total = active.sum(1)
    # The sum is a small difference of large sums. As many distances are added as subtracted, so any number may be
    # subtracted from all of them: with the middle threshold, the rest is of the size of the losses themselves.
    exist, most = block.exists.sum(1, keepdim=True), threshold.shape[1]
    middle = ascending.gather(1, (most - (exist + 1) // 2).clamp_max(most - 1)).clamp_min(0)
    times = (-above).scatter_add(1, block.columns, active)  # positives are infinite here, so below no threshold
    loss = (times * (distances - middle)).sum(1) + total * margin
    return Anchors(loss, total)


def _crossings(ascending: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """For each threshold (B, P), how many values (B, M) are below it; for each value, how many thresholds are above."""
    most = ascending.shape[1]
    if most > FEW or plain_only():
        place = torch.searchsorted(ascending, values, right=True)
        one = torch.ones_like(place[:1, :1]).expand_as(place)
        at_place = place.new_zeros(place.shape[0], most + 1).scatter_add(1, place, one)
        return at_place.cumsum(1)[:, :most].to(values.dtype), (most - place).to(values.dtype)
    below, above, one = torch.empty_like(ascending), torch.zeros_like(values), torch.empty_like(values)
    for k in range(most):
        above += torch.gt(ascending[:, k : k + 1], values, out=one)
        below[:, k] = one.sum(1)
    return below, above


def _rounded_up(wide: Tensor, like: Tensor) -> Tensor:
    """Thresholds rounded up to the values' dtype, as if compared in their own: at 1e8 float32 would lose a margin."""
    near = wide.detach().to(like.dtype)
    return torch.where(near < wide, torch.nextafter(near, torch.full_like(near, torch.inf)), near)


def every_valid(block: AnchorBlock, margin: Margin) -> Anchors:
    """All triplets; the mean is over all of them."""
    valid = (block.exists.sum(1) * block.negative.sum(1)).to(block.distances.dtype)
    loss = _soft(block) if margin is None else every(block, margin).loss
    return Anchors(loss, valid)


def _soft(block: AnchorBlock) -> Tensor:
    """The soft margin of all triplets: no triplet is inactive, so all are visited."""

    def visit(distances: Tensor, start: int, stop: int) -> Tensor:
        columns, exists = block.columns[:, start:stop], block.exists[:, start:stop]
        gap = distances.gather(1, columns)[:, :, None] - distances[:, None]
        counted = exists[:, :, None] & block.negative[:, None]
        return torch.where(counted, softplus(gap), torch.zeros_like(gap)).sum((1, 2))

    return over_positives(block, visit)


def over_positives(block: AnchorBlock, visit: Callable[[Tensor, int, int], Tensor]) -> Tensor:
    """The sum of ``visit(distances, start, stop)`` over some positives at a time, with one number per triplet."""
    most = block.columns.shape[1]
    held = CACHED_TRIPLES
    if not _device.by_cache(block.distances):
        held = max(held, _device.budget(block.distances) // OF_A_TRIPLET)
    step = max(1, held // max(1, block.distances.numel()))
    if most <= step:
        return visit(block.distances, 0, most)
    total = block.distances.new_zeros(block.distances.shape[0])
    for start in range(0, most, step):
        stop = min(start + step, most)
        total = total + checkpoint(visit, block.distances, start, stop, use_reentrant=False, preserve_rng_state=False)
    return total


def summed(loss: Tensor, valid: Tensor) -> Anchors:
    return Anchors(torch.where(valid, loss, torch.zeros_like(loss)).sum(1), valid.sum(1).to(loss.dtype))
