"""Rows of scores: what a loss needs to know of a row is a few numbers, and they merge.

A row's columns are its *targets*, the *rest*, and those that do not exist for it (a row's own column when a
batch is scored against itself). A loss is a formula over a row's statistics (:class:`Rows`); it never sees the
scores, so it does not know whether they were ready (:class:`Dense`) or made block by block
(:class:`Bilinear`).

The targets are kept out of the log-sum-exp of the rest: with p near 1 a margin added to an ordinary logsumexp
is lost in float32 (-22.40 where -20.55 is right).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from lossary._reduce import reduce
from lossary.kernels.stable import ABSENT, accumulate, inverse_norm


class Rows(NamedTuple):
    """Statistics of N rows, each (N,)."""

    targets: Tensor  # how many there are
    target: Tensor  # mean score of the targets; 0 where there is none
    among: Tensor  # log-sum-exp of the targets' scores
    rest: Tensor  # log-sum-exp of the rest's scores
    mean: Tensor  # mean score of all existing columns, targets included


#: A loss as a formula: (rows, *parameters) -> one loss a row, (N,). Pure, row by row, without data-dependent branches.
Formula = Callable[..., Tensor]


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
    ``own`` row i and column i are the same item, and that column does not exist for the row.
    """

    rows: Tensor  # (N,) integer labels
    columns: Tensor | None = None  # (C,) integer labels
    own: bool = field(default=False, kw_only=True)


def row_loss(
    formula: Formula,
    source: Source,
    targets: Targets,
    *parameters: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    group: torch.distributed.ProcessGroup | None = None,
) -> Tensor:
    """The loss that ``formula`` makes of the rows' statistics.

    Args:
        formula: ``formula(rows, *parameters)``, one loss a row.
        source: Where the scores come from.
        targets: Which columns are targets.
        parameters: Tensors the formula needs, each 0-d or (N,); gradients flow to them.
        weight: One weight a row, (N,): mean is ``sum(w l) / sum(w)``. No gradient flows to it.
        reduction: ``"none"``, ``"sum"`` or ``"mean"``.
        group: Process group over which the mean's divisor is summed.
    """
    losses = formula(statistics(source, targets), *parameters)
    return reduce(losses, weight=weight, reduction=reduction, group=group)


def statistics(source: Source, targets: Targets) -> Rows:
    """The statistics of all rows at once, by plain differentiable torch: O(N C) memory."""
    scores = accumulate(source.scores) if isinstance(source, Dense) else source.dense()
    if targets.columns is None and not targets.own:
        index = targets.rows.long()[:, None]
        target = scores.gather(1, index)[:, 0]
        rest = scores.scatter(1, index, ABSENT).logsumexp(1)
        return Rows(torch.ones_like(target), target, target, rest, scores.mean(1))
    columns = torch.arange(scores.shape[1], device=scores.device) if targets.columns is None else targets.columns
    is_target = targets.rows[:, None] == columns
    exists = torch.ones_like(is_target)
    if targets.own:
        exists.fill_diagonal_(False)
        is_target = is_target & exists
    count = is_target.sum(1).to(scores.dtype)
    target = scores.masked_fill(~is_target, 0).sum(1) / count.clamp_min(1)
    among = scores.masked_fill(~is_target, ABSENT).logsumexp(1)
    rest = scores.masked_fill(is_target | ~exists, ABSENT).logsumexp(1)
    mean = scores.masked_fill(~exists, 0).sum(1) / exists.sum(1).clamp_min(1)
    return Rows(count, target, among, rest, mean)
