"""Rows against columns that are spread over the ranks of a group, each of which has its own batch of rows.

The columns stay where they are. Each rank computes the statistics of all ranks' rows with its own columns. These parts,
(N,) numbers, go to the ranks that have the rows and are merged there, so a loss's formula runs on the rank's own rows
without knowing about shards. Backward is the same in reverse: the slopes of the parts go out, and the shards'
contributions to a row's gradient come back as a sum.

The average of the ranks' losses is that of all their rows. Data-parallel training averages the ranks' gradients of a
network's weights. The gradient of a shard is computed only on its own rank, from the rows of all: it is already the
average.
"""

from collections.abc import Callable

from torch import Tensor

from lossary.distributed.gather import Ranks, with_gradient
from lossary.distributed.shards import Shards
from lossary.kernels.rows.maps import ScoreMap
from lossary.kernels.rows.merged import merged, part_of, told
from lossary.kernels.rows.scores import Bilinear, Given, Rows, RowsOf, Targets


def sharded_statistics(
    source: Bilinear, targets: Targets | Given, of_a_part: Callable[[Bilinear, Targets], Rows | RowsOf]
) -> Rows:
    """The statistics of this rank's rows, whose labels are column numbers, with the columns of all ranks."""
    assert isinstance(targets, Targets)  # heads have labels
    shards = _shards(source)
    ranks = Ranks.of(shards.group, embeddings=source.x, labels=targets.rows)
    by = targets.map
    if by is not None and by.by_row is not None:
        by = ScoreMap(by.name, by.numbers, ranks.in_order(by.by_row))
    labels = ranks.in_order(targets.rows)
    first = shards.own.start
    everyones = Targets(labels, scale=targets.scale, sums=targets.sums, means=targets.means, first=first, map=by)
    here = _of_all_rows(source, ranks)
    part = part_of(of_a_part(here, everyones), here, everyones)
    return merged(_to_their_rows(told(part, everyones), ranks), everyones)


def summed_over_shards(source: Bilinear, shares: Tensor, of: Callable[[Bilinear, Tensor], Tensor]) -> Tensor:
    """``of(source, shares)`` over all columns, (N,), if it is a sum over them; shares are (C,) or (N, C)."""
    shards = _shards(source)
    ranks = Ranks.of(shards.group, embeddings=source.x)
    here = shares[shards.own] if shares.dim() == 1 else ranks.columns(shares, tuple(shards.sizes))
    return _to_their_rows(of(_of_all_rows(source, ranks), here), ranks).sum(0)


def owned(
    shards: Shards, of: Callable[[Tensor, Tensor, Tensor], Tensor], x: Tensor, weight: Tensor, labels: Tensor
) -> Tensor:
    """``of(x, weight, labels)`` for rows and their own columns, (N,), whichever rank has these; no gradient."""
    ranks = Ranks.of(shards.group, embeddings=x, labels=labels)
    places = ranks.in_order(labels) - shards.own.start
    here = (places >= 0) & (places < len(weight))
    found = x.new_zeros(len(here))
    found[here] = of(ranks.in_order(x.detach())[here], weight, places[here]).to(found.dtype)
    return ranks.deal(found).sum(0)


def _shards(source: Bilinear) -> Shards:
    assert source.shards is not None
    return source.shards


def _of_all_rows(source: Bilinear, ranks: Ranks) -> Bilinear:
    """The rows of all ranks, and this rank's columns.

    The ranks' losses add up to W times the mean. So do the gradients of rows, which are averaged later; those of
    columns are divided here, where all gradients of first and second order pass.
    """
    r, each = source.row_factor, 1 / len(ranks.sizes)
    w, b, c = (None if t is None else with_gradient(t, each) for t in (source.w, source.b, source.column_factor))
    assert w is not None
    x = ranks.in_order(source.x, source.half)
    r = None if r is None else ranks.in_order(r)
    return Bilinear(x, w, b, source.unit, source.centers, r, c, source.half, source.bound)


def _to_their_rows(found: Tensor, ranks: Ranks) -> Tensor:
    """What the shards have computed for this rank's rows, (W, N, ...)."""
    return ranks.deal(found)
