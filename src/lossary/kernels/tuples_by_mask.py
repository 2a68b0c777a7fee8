"""Triplets without reading any value: an anchor's positives are a mask, however many there are.

Off the CPU, reading their number would wait for the device. Hard triplets need only two distances per anchor, which are
computed from the differences themselves; the counts of all triplets come from one sort of positives and negatives.
"""

import torch
from torch import Tensor

from lossary.kernels.distances import lengths, pairwise, rough
from lossary.kernels.tuples import Anchors, Margin, MaskedBlock, every, every_valid, hard, penalty, summed


def hard_by_mask(block: MaskedBlock, margin: Margin) -> Anchors:
    """:func:`hard`; among distances that are equal up to rounding, one of them."""
    if block.positive.numel() == 0:
        return summed(block.anchors[:, :0], block.positive[:, :0])
    with torch.no_grad():
        order = rough(block.anchors, block.items)
        farthest = order.masked_fill(~block.positive, -torch.inf).argmax(1)
        nearest = order.masked_fill(~block.negative, torch.inf).argmin(1)
        counted = block.positive.any(1) & block.negative.any(1)
    chosen = block.items[torch.stack([farthest, nearest], 1)]
    far, near = lengths(block.anchors[:, None] - chosen, squared=block.squared).unbind(1)
    return summed(penalty(far - near, margin)[:, None], counted[:, None])


def every_by_mask(block: MaskedBlock, margin: float | Tensor) -> Anchors:
    """:func:`every`: in ascending order, a positive's triplets are active for the negatives before it."""
    distances = pairwise(block.anchors, block.items, squared=block.squared)
    bare, positive, negative = distances.detach(), block.positive, block.negative
    with torch.no_grad():
        wide = bare.double()
        # A negative exactly at a positive plus its margin is not active, so the next smaller number is sorted.
        threshold = torch.nextafter(wide + margin, wide.new_full((), -torch.inf))
        order = torch.where(positive, threshold, wide.masked_fill(~negative, torch.inf)).sort(1).indices
        is_positive, is_negative = positive.gather(1, order), negative.gather(1, order)
        count = positive.sum(1, keepdim=True)
        below = is_negative.cumsum(1, dtype=torch.int32) * is_positive
        above = (count - is_positive.cumsum(1, dtype=torch.int32)) * is_negative
        times = torch.empty_like(bare).scatter_(1, order, (below - above).to(bare.dtype))
        total = below.sum(1).to(bare.dtype)
        # As many distances are added as subtracted, so any number may be subtracted from all of them: with the
        # positives' mean, the rest is of the size of the losses.
        middle = bare.masked_fill(~positive, 0).sum(1, keepdim=True) / count.clamp_min(1)
    return Anchors((times * (distances - middle)).sum(1) + total * margin, total)


def every_valid_by_mask(block: MaskedBlock, margin: float | Tensor) -> Anchors:
    """:func:`every_valid`."""
    valid = (block.positive.sum(1) * block.negative.sum(1)).to(block.anchors.dtype)
    return Anchors(every_by_mask(block, margin).loss, valid)


#: Miner -> the same without the number of positives. With a soft margin, all triplets are visited one by one.
BY_MASK = {hard: hard_by_mask, every: every_by_mask, every_valid: every_valid_by_mask}
