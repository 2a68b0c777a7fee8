"""Rows against columns that are passed around: each rank holds the columns of one rank at a time.

Each rank's columns give (N,) statistics, which are merged. In backward the columns are passed around once more,
together with their gradients so far, which thereby return to their rank. Memory is that of two ranks' columns and two
gradients, however many ranks there are, and one set of the rows' numbers per rank. The next columns are already
travelling while a rank works on the current ones.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lossary.distributed.exchange import passing
from lossary.distributed.gather import Ranks
from lossary.kernels.modes import full_precision
from lossary.kernels.rows.merged import merged, part_of, told
from lossary.kernels.rows.scores import Bilinear, Given, Rows, RowsOf, Targets
from lossary.kernels.stable import accumulator

#: The columns of a rank: their vectors and their factors.
Columns = tuple[Tensor, Tensor | None]


def ring_statistics(
    source: Bilinear, targets: Targets | Given, of_a_part: Callable[[Bilinear, Targets], Rows | RowsOf]
) -> Rows:
    """The statistics of this rank's rows with the columns of all ranks, beginning with its own.

    ``w`` and its factors are this rank's columns; ``b`` and the targets' labels are those of all ranks.
    """
    assert source.ring is not None
    assert isinstance(targets, Targets)  # with given targets all scores are stored
    ring = _Ring(source.ring, source, targets, of_a_part)
    found = _Passing.apply(ring, source.x, source.w, source.row_factor, source.column_factor)
    return merged(found, targets)


class _Ring(NamedTuple):
    ranks: Ranks
    source: Bilinear
    targets: Targets
    of_a_part: Callable[[Bilinear, Targets], Rows | RowsOf]

    def size(self, step: int) -> int:
        """The number of columns in each step: first this rank's own, then those of the next rank."""
        ranks = self.ranks
        return ranks.sizes[(ranks.rank + step) % len(ranks.sizes)]

    def passing(self, columns: Any) -> Iterator[tuple[int, Columns]]:
        """Each step's columns, while the next ones are travelling."""
        steps = len(self.ranks.sizes)
        for step in range(steps):
            coming = passing(columns, self.size(step + 1), self.ranks.group) if step + 1 < steps else None
            yield step, columns
            if coming is not None:
                columns = coming()

    def part(self, step: int, x: Tensor, r: Tensor | None, columns: Columns) -> Tensor:
        """The statistics with a step's columns, (N, K)."""
        s, (w, c) = self.source, columns
        first = sum(self.size(before) for before in range(step))
        here = slice(first, first + self.size(step))
        t = self.targets
        labels, groups = (None if of is None else of[here] for of in (t.columns, t.column_groups))
        targets = Targets(
            t.rows, labels, own=t.own, row_groups=t.row_groups, column_groups=groups,
            scale=t.scale, sums=t.sums, means=t.means, first=first, map=t.map,
        )  # fmt: skip
        b = None if s.b is None else s.b[here]
        source = Bilinear(x, w.to(x.dtype), b, s.unit, s.centers, r, c, s.half, s.bound)
        return told(part_of(self.of_a_part(source, targets), source, targets), targets)


class _Passing(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, ring: _Ring, x: Tensor, w: Tensor, row_factor: Tensor | None, column_factor: Tensor | None
    ) -> Tensor:
        ctx.ring = ring
        ctx.save_for_backward(x, w, row_factor, column_factor)
        sent = w if ring.source.half is None else w.to(ring.source.half)
        with full_precision(x):
            return torch.stack([ring.part(k, x, row_factor, each) for k, each in ring.passing((sent, column_factor))])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError("exchange_by: second derivatives want all ranks' embeddings at once: 'gather'")
        ring, (x, w, r, c), (by_found,) = ctx.ring, ctx.saved_tensors, grads
        sent = w if ring.source.half is None else w.to(ring.source.half)
        by_rows = [None if t is None else torch.zeros_like(t, dtype=accumulator(x)) for t in (x, r)]
        by_columns: Any = tuple(None if t is None else torch.zeros_like(t, dtype=accumulator(x)) for t in (w, c))
        with full_precision(x):
            for step, columns in ring.passing((sent, c)):
                found = _gradients(ring, step, (x, r, *columns), by_found[step])
                for so_far, more in zip((*by_rows, *by_columns), found, strict=True):
                    if so_far is not None and more is not None:
                        so_far.add_(more)
                # To the rank that has these columns next; after the last step they are back at their own rank.
                by_columns = passing(by_columns, ring.size(step + 1), ring.ranks.group)()
        found = (by_rows[0], by_columns[0], by_rows[1], by_columns[1])
        return None, *(None if g is None else g.to(t.dtype) for g, t in zip(found, (x, w, r, c), strict=True))


def _gradients(ring: _Ring, step: int, given: tuple[Tensor | None, ...], by_found: Tensor) -> list[Tensor | None]:
    """Gradients by rows and their factors, and by columns and theirs."""
    leaves: Any = [None if t is None else t.detach().requires_grad_() for t in given]
    x, r, w, c = leaves
    with torch.enable_grad():
        found = ring.part(step, x, r, (w, c))
    some = [t for t in leaves if t is not None]
    gradients = iter(torch.autograd.grad(found, some, by_found, allow_unused=True))
    return [None if t is None else next(gradients) for t in leaves]
