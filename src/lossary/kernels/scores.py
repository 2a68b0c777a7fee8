"""What a row of scores is: where its scores come from, which of them are targets, and what a loss sees of it.

The statistics here are plain differentiable torch over all scores at once: the definition that every faster
route must agree with, and what small batches and ``torch.func`` use.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from lossary.kernels.stable import ABSENT, accumulate, inverse_norm


class Rows(NamedTuple):
    """Statistics of N rows, each (N,)."""

    targets: Tensor  # how many there are
    target: Tensor  # mean score of the targets; 0 where there is none
    among: Tensor  # log-sum-exp of the targets' scores
    rest: Tensor  # log-sum-exp of the rest's scores
    mean: Tensor  # mean score of all existing columns, targets included


@dataclass(frozen=True)
class Dense:
    """Ready scores, (N, C)."""

    scores: Tensor


@dataclass(frozen=True)
class Bilinear:
    """Scores z_ij = <x_i, w_j> + b_j, or <x_i, w_j / |w_j|> + b_j with ``unit``: heads, similarities, distances.

    Temperature, scale and the rows' norms enter through ``x`` by ordinary autograd outside; the columns' norms
    are folded into the blocks, because a normalised copy of a large ``w`` would cost as much as ``w``.
    """

    x: Tensor  # (N, D)
    w: Tensor  # (C, D)
    b: Tensor | None = None  # (C,)
    unit: bool = False

    def accumulated(self) -> "Bilinear":
        """The same scores, accumulated in float32 where the input is in half precision."""
        x = accumulate(self.x)
        w = x if self.w is self.x else accumulate(self.w)
        return Bilinear(x, w, None if self.b is None else accumulate(self.b), self.unit)

    def dense(self) -> Tensor:
        """All scores at once, (N, C)."""
        with torch.autocast(self.x.device.type, enabled=False):
            x, w = accumulate(self.x), accumulate(self.w)
            scores = x @ w.T
            if self.unit:
                scores = scores * inverse_norm(w)
            return scores if self.b is None else scores + accumulate(self.b)


Source = Dense | Bilinear


@dataclass(frozen=True)
class Targets:
    """Which columns are a row's targets: those that bear the row's label.

    With ``columns=None`` a column's label is its number, so that ``Targets(labels)`` are class indices. With
    ``own`` row i and column i are the same item, and that column does not exist for the row. With groups, neither
    does a column of the row's group that is no target: what may be the same thing is no negative.
    """

    rows: Tensor  # (N,) integer labels
    columns: Tensor | None = None  # (C,) integer labels
    own: bool = field(default=False, kw_only=True)
    row_groups: Tensor | None = field(default=None, kw_only=True)  # (N,) integers
    column_groups: Tensor | None = field(default=None, kw_only=True)  # (C,) integers, where the rows have groups

    def of(self, rows: slice) -> "Targets":
        """Those of some rows."""
        groups = None if self.row_groups is None else self.row_groups[rows]
        return Targets(self.rows[rows], self.columns, own=self.own, row_groups=groups, column_groups=self.column_groups)

    @property
    def single(self) -> bool:
        """Whether a row has exactly one target, at the index that is its label."""
        return self.columns is None and not self.own and self.row_groups is None


@dataclass(frozen=True)
class Given:
    """Targets that no label tells: for each row which columns are targets and which the rest, O(N C) memory."""

    targets: Tensor  # (N, C) boolean
    rest: Tensor  # (N, C) boolean


def statistics(source: Source, targets: Targets | Given) -> Rows:
    """The statistics of all rows at once, by plain differentiable torch: O(N C) memory."""
    scores = accumulate(source.scores) if isinstance(source, Dense) else source.dense()
    return score_statistics(scores, targets)


def score_statistics(scores: Tensor, targets: Targets | Given, first: int = 0) -> Rows:
    """The statistics of ready scores whose first row is row ``first`` of the batch."""
    if isinstance(targets, Given):
        return _given_statistics(scores, targets.targets, targets.rest)
    if targets.single:
        index = targets.rows.long()[:, None]
        target = scores.gather(1, index)[:, 0]
        rest = scores.scatter(1, index, ABSENT).logsumexp(1)
        return Rows(torch.ones_like(target), target, target, rest, scores.mean(1))
    number = torch.arange(scores.shape[1], device=scores.device)
    is_target = targets.rows[:, None] == (number if targets.columns is None else targets.columns)
    exists = torch.ones_like(is_target)
    if targets.own:
        own = torch.arange(first, first + scores.shape[0], device=scores.device)
        exists = own[:, None] != number
        is_target = is_target & exists
    if targets.row_groups is not None:
        exists = exists & (is_target | (targets.row_groups[:, None] != targets.column_groups))
    return _given_statistics(scores, is_target, exists & ~is_target)


def _given_statistics(scores: Tensor, is_target: Tensor, is_rest: Tensor) -> Rows:
    count = is_target.sum(1).to(scores.dtype)
    target = scores.masked_fill(~is_target, 0).sum(1) / count.clamp_min(1)
    among = scores.masked_fill(~is_target, ABSENT).logsumexp(1)
    rest = scores.masked_fill(~is_rest, ABSENT).logsumexp(1)
    exists = is_target | is_rest
    mean = scores.masked_fill(~exists, 0).sum(1) / exists.sum(1).clamp_min(1)
    return Rows(count, target, among, rest, mean)
