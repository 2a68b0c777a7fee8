"""What the losses of lists share: scores and relevance with their padding, orders and gains."""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from lossary.core.card import Card
from lossary.core.check import check_dim, check_float, check_same_shape, values_visible
from lossary.core.reduce import align, reduce
from lossary.kernels.stable import ABSENT, accumulator, common, divided, scales
from lossary.losses._pointwise import hide


class Lists(NamedTuple):
    """Scores and relevance (N, L), 0 where there is no candidate, and which candidates exist."""

    scores: Tensor
    relevance: Tensor
    there: Tensor

    def pairs(self, x: Tensor) -> Tensor:
        """(N, L, L): the first candidate's value minus the second one's."""
        return x.unsqueeze(2) - x.unsqueeze(1)

    def leads(self) -> Tensor:
        """By how much the first score exceeds the second; 0 where both are the same infinity."""
        leads = self.pairs(self.scores)
        return hide(leads, ~leads.isnan())

    def ordered(self) -> Tensor:
        """(N, L, L): whether the first candidate is more relevant than the second; False where either is padding."""
        first, second = (torch.where(self.there, self.relevance, other) for other in (-torch.inf, torch.inf))
        return first.unsqueeze(2) > second.unsqueeze(1)


def lists_of(input: Tensor, target: Tensor, mask: Tensor | None, sample_weight: Tensor | None) -> Lists:
    check_float("input", input)
    check_dim("input", input, 2, "(N, L)")
    check_same_shape("target", target, "input", input)
    align(sample_weight, None, input.shape[:1])  # one per list
    _, there = align(sample_weight, mask, input.shape)
    scores = input.to(common(accumulator(input), target.dtype))
    relevance = target.to(scores.dtype)
    if there is None:
        return Lists(scores, relevance, torch.ones_like(input, dtype=torch.bool))
    there = there.expand(input.shape)
    return Lists(hide(scores, there), hide(relevance, there), there)


def gains_of(input: Tensor, target: Tensor, mask: Tensor | None, sample_weight: Tensor | None) -> Lists:
    """The same with gains as relevance; they are summed, so none may be below 0."""
    lists = lists_of(input, target, mask, sample_weight)
    gains = lists.relevance
    if values_visible(gains) and (gains < 0).any():
        raise ValueError(f"target: wanted gains, none below 0; got {gains[gains < 0].flatten()[0].item()}")
    return Lists(lists.scores, divided(gains, scales(gains)), lists.there) if gains.numel() else lists


def reduce_lists(losses: Tensor, lists: Lists, sample_weight: Tensor | None, reduction: str) -> Tensor:
    """One loss per list; a list without candidates does not count, one with a NaN is NaN even if no pair sees it."""
    sample_weight, _ = align(sample_weight, None, losses.shape)
    losses = torch.where((lists.scores.isnan() | lists.relevance.isnan()).any(1), torch.nan, losses)
    return reduce(losses, weight=sample_weight, mask=lists.there.any(1), reduction=reduction)


def finite(scores: Tensor) -> Tensor:
    """Infinite scores become finite ones that no other score comes near."""
    return scores.clamp(ABSENT, -ABSENT)


def order_of(x: Tensor, there: Tensor) -> Tensor:
    """The indices of each row in descending order; equal values keep their order, and padding comes last."""
    least = torch.finfo(x.dtype).min  # for scores of -inf, which still come before padding
    return torch.where(there, x.clamp_min(least), -torch.inf).argsort(dim=1, descending=True, stable=True)


def places_of(order: Tensor, like: Tensor) -> Tensor:
    """Each candidate's place in an order, from 1."""
    return (1 + order.argsort(dim=1)).to(like.dtype)


def best_dcg(lists: Lists) -> Tensor:
    """(N, 1): the discounted gains of the best order; 1 where there are no gains."""
    discounts = 1 / torch.log2(1 + places_of(order_of(lists.relevance, lists.there), lists.relevance))
    best = (lists.relevance * discounts).sum(1, keepdim=True)
    return torch.where(best > 0, best, torch.ones_like(best))


list_card = partial(
    Card,
    data="lists",
    takes=("list",),
    input="scores",
    kernel="none",
    item="row",
    at_call=frozenset({"sample_weight", "mask"}),
)
