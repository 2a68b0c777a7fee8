"""Items whose scores serve both rows and columns, and the statistics that are linear in them."""

import functools

import torch
from torch import Tensor

from lossary.core import device as _device
from lossary.kernels.rows.exponentials import ABSENT_2
from lossary.kernels.rows.vectors import Vectors
from lossary.kernels.stable import LOG2_E, accumulate


class Items:
    """Two sets as one list, cut at ``split``; 0 for a single set, whose items are compared with each other.

    Without labels, items at the same place in the two sets are each other's only targets.
    """

    def __init__(
        self,
        given: Tensor,
        factor: Tensor | None,
        labels: Tensor | None,
        split: int,
        scale: float,
        half: torch.dtype | None,
        bound: float | None,
        powers: bool = False,
    ) -> None:
        self.powers = powers  # whether the scale applies to the rest's scores instead of the targets'
        self.vectors = Vectors(given, factor, half)
        self.labels, self.split, self.scale, self.half, self.bound = labels, split, scale, half, bound

    @functools.cached_property
    def scaled(self) -> Tensor:
        """The vectors in full precision times their factors, for linear statistics."""
        if self.half is None:
            return self.vectors.multiplied
        wide, factor = accumulate(self.vectors.given), self.vectors.factor
        return wide if factor is None else wide * factor[:, None]

    @property
    def by_cache(self) -> bool:
        return self.half is None and _device.by_cache(self.scaled)

    @property
    def sets(self) -> tuple[slice, slice]:
        n = len(self.scaled)
        return (slice(0, self.split), slice(self.split, n)) if self.split else (slice(0, n), slice(0, n))

    def numbered(self) -> Tensor:
        """The labels, or each item's number in its set."""
        if self.labels is not None:
            return self.labels
        return torch.arange(self.split, device=self.vectors.given.device).repeat(2)

    def counts(self) -> Tensor:
        """How many targets each item has, (N,)."""
        if self.labels is None:
            return torch.ones_like(self.scaled[:, 0])
        count = torch.empty_like(self.scaled[:, 0])
        for ours, theirs in self._ways():
            ordered = self.labels[theirs].sort().values
            first, last = (torch.searchsorted(ordered, self.labels[ours], right=right) for right in (False, True))
            count[ours] = (last - first).to(count.dtype)
        return count if self.split else count - 1

    def target_sums(self, each: Tensor) -> Tensor:
        """The sum of ``each`` (N, D) over each item's targets, (N, D)."""
        if self.labels is None:
            return each.roll(self.split, 0)
        sums = torch.empty_like(each)
        for ours, theirs in self._ways():
            values, labels = each[theirs], self.labels[theirs]
            ordered = labels.sort().values
            of_class = torch.zeros_like(values).index_add_(0, torch.searchsorted(ordered, labels), values)
            first = torch.searchsorted(ordered, self.labels[ours])
            known = first.clamp_max(max(len(labels) - 1, 0))
            sums[ours] = of_class[known] * (ordered[known] == self.labels[ours])[:, None]
        return sums if self.split else sums - each

    def pull_pairs(self, by_target: Tensor, gradient: Tensor) -> None:
        """Without labels, add the gradient through pairs' scores to that by what is multiplied, in two products."""
        x, after, cut = self.vectors.multiplied, self.vectors.after, self.split
        each = by_target[:cut] + by_target[cut:]
        each = (each if after is None else each.mul_(after[:cut]).mul_(after[cut:]))[:, None]
        gradient[:cut].addcmul_(x[cut:], each)
        gradient[cut:].addcmul_(x[:cut], each)

    def _ways(self) -> tuple[tuple[slice, slice], ...]:
        first, second = self.sets
        return ((first, second), (second, first)) if self.split else ((first, second),)

    def add(self, gradient: Tensor, by_scaled: Tensor) -> None:
        """Add to the gradient by what is multiplied, given that by the vectors with their factors."""
        after = self.vectors.after
        gradient.add_(by_scaled if after is None else by_scaled * after[:, None])


def means(items: Items) -> Tensor:
    """Mean scores, which are linear: no score is computed for them."""
    x, split = items.scaled, items.split
    if split == 0:
        return (x @ x.sum(0) - x.square().sum(1)) / max(len(x) - 1, 1)
    x, z = x[:split], x[split:]
    return torch.cat([x @ z.mean(0), z @ x.mean(0)])


def pull_means(items: Items, by_mean: Tensor | None, gradient: Tensor) -> None:
    """Add the gradient through mean scores to the items' gradient."""
    if by_mean is None:
        return
    x, split = items.scaled, items.split
    if split == 0:
        share = by_mean / max(len(x) - 1, 1)
        items.add(gradient, share[:, None] * (x.sum(0) - 2 * x) + share @ x)
        return
    x, z = x[:split], x[split:]
    by_x, by_z = by_mean[:split, None] / len(z), by_mean[split:, None] / len(x)
    items.add(gradient, torch.cat([by_x * z.sum(0) + (by_z * z).sum(0), by_z * x.sum(0) + (by_x * x).sum(0)]))


def exponent(lse: Tensor) -> Tensor:
    """The log-sum-exp in units of log 2; if there is none, so large that every exp2(score - it) is 0."""
    return torch.where(lse > ABSENT_2 / 4, lse * LOG2_E, -ABSENT_2)
