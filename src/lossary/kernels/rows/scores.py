"""What a row of scores is: where its scores come from, which of them are targets, and what a loss sees of it.

The statistics here are plain differentiable torch over all scores at once: the definition with which every faster route
must agree, and which small batches and ``torch.func`` use.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from lossary.distributed.gather import Ranks
from lossary.distributed.shards import Shards
from lossary.kernels.products import product
from lossary.kernels.rows.maps import ScoreMap
from lossary.kernels.stable import ABSENT, accumulate, in_range, softplus, sphere_apart


class Rows(NamedTuple):
    """Statistics of N rows, each (N,)."""

    targets: Tensor  # how many there are
    target: Tensor  # mean score of the targets, times their scale; 0 if there is none
    among: Tensor  # log-sum-exp of the targets' scores, times their scale
    rest: Tensor  # log-sum-exp of the rest's scores
    mean: Tensor  # mean score of all existing columns, targets included, without a scale


class RowGradients(NamedTuple):
    """Derivatives of the loss by the statistics of :class:`Rows`, each (N,); None where not used."""

    target: Tensor | None
    among: Tensor | None
    rest: Tensor | None
    mean: Tensor | None

    def of(self, rows: slice | Tensor) -> "RowGradients":
        return RowGradients(*(None if g is None else g[rows] for g in self))


# Not frozen: that takes as long as an operation on a small batch for each of them.


@dataclass(eq=False)
class Dense:
    """Ready scores, (N, C)."""

    scores: Tensor


class Form(NamedTuple):
    """The parts of linear scores that are not tensors."""

    unit: bool = False
    centers: int = 1
    half: torch.dtype | None = None
    bound: float | None = None
    radius: float | None = None


class ItemSets(NamedTuple):
    """Two sets of items as one list, cut at ``split``, or a single one (0): the arguments of :class:`Items`.

    With a ``radius`` items count by their direction, as in :class:`Bilinear`.
    """

    items: Tensor
    factor: Tensor | None
    labels: Tensor | None
    split: int
    scale: float
    half: torch.dtype | None
    bound: float | None
    powers: bool
    radius: float | None = None


@dataclass(eq=False)
class Bilinear:
    """Scores z_ij = r_i <x_i, w_j> c_j + b_j; with ``unit``, w_j / |w_j| replaces w_j.

    With a ``radius``, radius x_i / |x_i| stands for x_i: only if Triton kernels compute the norms, by
    :func:`lossary.kernels.rows.directions.rows_of_length`. Everything else gets :meth:`explicit` scores.

    For heads, similarities and distances. Temperature, scale and the rows' norms are in ``row_factor``, so
    half-precision x is multiplied as it is. The norms of a head's columns are applied in the blocks, because a
    normalised copy of a large ``w`` would cost as much as ``w``.

    With several ``centers`` a column's score is the largest of that many, whose vectors are adjacent in ``w``; then
    each row has one target.
    """

    x: Tensor  # (N, D)
    w: Tensor  # (C, D), or (C * centers, D)
    b: Tensor | None = None  # (C,), or (C * centers,)
    unit: bool = False
    centers: int = 1
    row_factor: Tensor | None = None  # (N,) r
    column_factor: Tensor | None = None  # (C,) c; without unit
    half: torch.dtype | None = None  # from multiplied_in: the dtype of x and w in products
    bound: float | None = None  # bound on the scores' size without b, if known without reading them
    shards: Shards | None = None  # w and b are this rank's columns only
    ring: Ranks | None = None  # w is this rank's columns; b and labels are those of all ranks, beginning with its own
    radius: float | None = None  # the rows' length, if only their direction counts

    @property
    def columns(self) -> int:
        return self.w.shape[0] // self.centers if self.shards is None else self.shards.classes

    @property
    def is_spread(self) -> bool:
        """Whether most columns are on other ranks."""
        return self.shards is not None or self.ring is not None

    def check_whole(self) -> None:
        """For operations that need all columns at once."""
        if self.ring is not None:
            raise TypeError(
                "exchange_by: wanted 'gather' for this loss, which wants all embeddings at once; got a ring"
            )
        if self.shards is not None:
            raise TypeError("weight: wanted a whole one here; got one whose classes are spread over ranks")

    @property
    def form(self) -> Form:
        self.check_whole()
        return Form(self.unit, self.centers, self.half, self.bound, self.radius)

    @property
    def tensors(self) -> "Learning":
        return Learning(self.x, self.w, self.b, self.row_factor, self.column_factor)

    def explicit(self, *, columns: bool = False) -> "Bilinear":
        """The same with the rows, and if asked for the columns, normalised by torch's operations."""
        if self.radius is None and not columns:
            return self
        x, r, w, c, unit = self.x, self.row_factor, self.w, self.column_factor, self.unit
        if self.radius is not None:
            x, inverse = sphere_apart(accumulate(x), self.radius, self.half)
            r = inverse if r is None else r if inverse is None else r * inverse
        if columns and unit:
            w, inverse = sphere_apart(accumulate(w), 1.0, self.half)
            c = inverse if c is None else c if inverse is None else c * inverse
        unit = unit and not columns
        return Bilinear(x, w, self.b, unit, self.centers, r, c, self.half, self.bound, self.shards, self.ring)

    def dense(self) -> Tensor:
        """All scores at once, (N, C)."""
        self.check_whole()
        if self.radius is not None:
            return self.explicit(columns=True).dense()
        x, w = accumulate(self.x), accumulate(self.w)
        b = None if self.b is None else self.b.to(x.dtype)
        by_row, by_column = self.row_factor, self.column_factor
        if self.half is None:  # factors of thin matrices are cheaper before the product
            x = x if by_row is None else x * by_row[:, None]
            w = w if by_column is None else (x if self._one_set(by_row) else w * by_column[:, None])
            by_row = by_column = None
        if self.unit:
            w, inverse = in_range(w)
            by_column = inverse.squeeze(1)  # backward of an index takes four operations more
        if by_row is None and by_column is None:
            scores = product(x, w, b, self.half)
        else:
            scores = product(x, w, None, self.half)
            scores = scores if by_column is None else scores * by_column
            scores = scores if by_row is None else scores * by_row[:, None]
            scores = scores if b is None else scores + b
        return scores if self.centers == 1 else scores.unflatten(1, (self.columns, self.centers)).amax(2)

    def among(self, columns: Tensor, b: Tensor | None) -> "Bilinear":
        """The same with these columns, the first of which are its own, and with b."""
        r, c = self.row_factor, self.column_factor
        radius = self.radius
        return Bilinear(self.x, columns, b, self.unit, self.centers, r, c, self.half, self.bound, radius=radius)

    def paired(self) -> Tensor:
        """The score (N,) of each row i with column i."""
        if self.radius is not None:
            return self.explicit(columns=True).paired()
        own = (accumulate(self.x) * accumulate(self.w)).sum(-1)
        for factor in (self.row_factor, self.column_factor):
            own = own if factor is None else own * factor
        return own

    def _one_set(self, by_row: Tensor | None) -> bool:
        return self.w is self.x and self.column_factor is by_row


class Learning(NamedTuple):
    """The tensors of :class:`Bilinear` through which gradients flow, or these gradients."""

    x: Tensor | None
    w: Tensor | None
    b: Tensor | None
    row_factor: Tensor | None = None
    column_factor: Tensor | None = None

    def with_form(self, form: Form) -> Bilinear:
        x, w, b, r, c = self
        assert x is not None
        assert w is not None
        unit, centers, half, bound, radius = form
        return Bilinear(x, w, b, unit, centers, r, c, half, bound, radius=radius)


Source = Dense | Bilinear
#: How the scores of the targets, and those of the rest, are summed.
Sums = Literal["exponentials", "softplus", "powers"]


@dataclass(eq=False)
class Targets:
    """Which columns are a row's targets: those with the row's label.

    With ``columns=None`` a column's label is its number, so ``Targets(labels)`` are class indices. If ``first`` is
    given, the columns are a part of all columns that begins with that number. With ``own``, row i and column i are the
    same item, and that column does not exist for the row. With groups, neither does a column of the row's group that is
    not a target: what may be the same thing is not a negative. The targets' scores are multiplied by ``scale``, for
    losses that are steeper in the negatives than in the positives. With ``sums="softplus"`` the sum of the scores'
    softplus replaces their log-sum-exp. With ``sums="powers"`` the sum of the targets is that of the rest at another
    temperature: the log-sum-exp of ``scale`` times its scores. A map changes each score before anything else; ``scale``
    comes after it.
    """

    rows: Tensor  # (N,) integer labels
    columns: Tensor | None = None  # (C,) integer labels
    own: bool = field(default=False, kw_only=True)
    paired: bool = field(default=False, kw_only=True)  # the rows' labels are their numbers
    row_groups: Tensor | None = field(default=None, kw_only=True)  # (N,) integers
    column_groups: Tensor | None = field(default=None, kw_only=True)  # (C,) integers, if the rows have groups
    scale: float = field(default=1.0, kw_only=True)
    sums: Sums = field(default="exponentials", kw_only=True)
    means: bool = field(default=True, kw_only=True)  # False if no formula needs the mean scores
    first: int | None = field(default=None, kw_only=True)  # None: these are all columns
    map: ScoreMap | None = field(default=None, kw_only=True)

    def of(self, rows: slice) -> "Targets":
        """The targets of some rows."""
        groups = None if self.row_groups is None else self.row_groups[rows]
        by = None if self.map is None else self.map.of(rows)
        return self._made((self.rows[rows], self.columns), (groups, self.column_groups), map=by)

    def scaled(self, scale: float) -> "Targets":
        """The same, with their scores multiplied by ``scale``."""
        return self._made((self.rows, self.columns), (self.row_groups, self.column_groups), scale=scale, map=self.map)

    def in_powers(self, scale: float) -> "Targets":
        """The same, where ``among`` is the log-sum-exp of ``scale`` times the rest's scores."""
        labels, groups = (self.rows, self.columns), (self.row_groups, self.column_groups)
        return self._made(labels, groups, scale=scale, map=self.map, sums="powers")

    def mapped(self, by: ScoreMap) -> "Targets":
        """The same for mapped scores."""
        return self._made((self.rows, self.columns), (self.row_groups, self.column_groups), map=by)

    def part(self, first: int) -> "Targets":
        """The same for a part of the columns, with these labels and groups, beginning with column ``first``."""
        labels, groups = (self.rows, self.columns), (self.row_groups, self.column_groups)
        return self._made(labels, groups, first=first, map=self.map)

    def _made(
        self,
        labels: tuple[Tensor, Tensor | None],
        groups: tuple[Tensor | None, Tensor | None],
        *,
        map: ScoreMap | None,
        scale: float | None = None,
        first: int | None = None,
        sums: Sums | None = None,
    ) -> "Targets":
        # Not by replace() of dataclasses, which torch 2.6 does not compile.
        (rows, columns), (row_groups, column_groups) = labels, groups
        own, sums, means = self.own, sums or self.sums, self.means
        scale, first = self.scale if scale is None else scale, self.first if first is None else first
        return Targets(
            rows,
            columns,
            own=own,
            row_groups=row_groups,
            column_groups=column_groups,
            scale=scale,
            sums=sums,
            means=means,
            first=first,
            map=map,
        )

    @property
    def start(self) -> int:
        """The number of the first column."""
        return self.first or 0

    def labels(self, columns: int) -> Tensor:
        """The labels of that many columns."""
        if self.columns is not None:
            return self.columns
        return torch.arange(self.start, self.start + columns, device=self.rows.device)

    @property
    def numbered(self) -> bool:
        """Whether a row's only target, with its score unchanged, is the column of its label, if that is here."""
        return self.columns is None and not self.own and self.row_groups is None and self.scale == 1

    @property
    def single(self) -> bool:
        """Whether that column is here for every row."""
        return self.numbered and self.first is None


@dataclass(eq=False)
class Given:
    """Targets not given by labels: for each row, which columns are targets and which the rest; O(N C) memory."""

    targets: Tensor  # (N, C) boolean
    rest: Tensor  # (N, C) boolean
    scale: float = 1.0  # of the targets' scores
    map: ScoreMap | None = None

    def scaled(self, scale: float) -> "Given":
        return Given(self.targets, self.rest, scale, self.map)

    def mapped(self, by: ScoreMap) -> "Given":
        return Given(self.targets, self.rest, self.scale, by)


class _once:
    """A property computed at first use, and kept. That of functools takes a lock, which compilers cannot trace."""

    def __init__(self, make: Callable[[Any], Tensor]) -> None:
        self.make = make

    def __get__(self, owner: Any, _: type) -> Tensor:
        value = self.make(owner)
        setattr(owner, self.make.__name__, value)
        return value


class RowsOf:
    """The statistics (:class:`Rows`) of ready scores, and their columns, computed at first use.

    Plain differentiable torch over all scores at once. The first row is row ``first`` of the batch; some scores may be
    absent.
    """

    def __init__(self, scores: Tensor, targets: Targets | Given, first: int = 0, *, some_absent: bool = True) -> None:
        self._given, self._targets, self._first, self._some_absent = scores, targets, first, some_absent
        # The rows' only targets, (N,), if every row has exactly one.
        self.single = targets.rows.long() if isinstance(targets, Targets) and targets.single else None
        self._index = None if self.single is None else self.single[:, None]

    @_once
    def _scores(self) -> Tensor:
        by = self._targets.map
        return self._given if by is None else by.value(self._given, self.is_target, some_absent=self._some_absent)

    @_once
    def is_target(self) -> Tensor:
        if isinstance(self._targets, Given):
            return self._targets.targets
        return self._without_own(self._targets.rows[:, None] == self._targets.labels(self._given.shape[1]))

    @_once
    def is_rest(self) -> Tensor:
        if isinstance(self._targets, Given):
            return self._targets.rest
        rest, groups = ~self.is_target, self._targets.row_groups
        return self._without_own(rest if groups is None else rest & (groups[:, None] != self._targets.column_groups))

    def _without_own(self, columns: Tensor) -> Tensor:
        if isinstance(self._targets, Targets) and self._targets.own:
            columns.diagonal(self._first - self._targets.start).fill_(False)
        return columns

    @_once
    def _hits(self) -> Tensor:
        return self._scores if self._targets.scale == 1 else self._scores * self._targets.scale

    @_once
    def targets(self) -> Tensor:
        if self._index is not None:
            return torch.ones_like(self.target)
        return self.is_target.sum(1).to(self._scores.dtype)

    @_once
    def target(self) -> Tensor:
        if self._index is not None:
            return self._scores.gather(1, self._index).squeeze(1)
        return self._hits.masked_fill(~self.is_target, 0).sum(1) / self.targets.clamp_min(1)

    @_once
    def among(self) -> Tensor:
        if self._index is not None:
            return softplus(self.target) if self._softplus else self.target
        if self._sums == "powers":
            powers = (self._scores * self._targets.scale).masked_fill(~self.is_rest | self._gone, ABSENT)
            return powers.logsumexp(1)
        return self._summed(self._hits.masked_fill(~self.is_target, ABSENT))

    @_once
    def rest(self) -> Tensor:
        if self._index is not None:
            return self._summed(self._scores.scatter(1, self._index, ABSENT))
        return self._summed(self._scores.masked_fill(~self.is_rest, ABSENT))

    @property
    def _sums(self) -> Sums:
        return self._targets.sums if isinstance(self._targets, Targets) else "exponentials"

    @property
    def _softplus(self) -> bool:
        return self._sums == "softplus"

    @property
    def _gone(self) -> Tensor:
        """Scores that are absent by their column, and would not be if they were smaller."""
        return self._scores <= ABSENT / 2

    def replaced(self, own: Tensor) -> Tensor:
        """The scores with these, (N,), in the place of the rows' only targets."""
        assert self._index is not None
        if own is self.target:
            return self._scores
        return self._scores.scatter(1, self._index, own[:, None])

    def _summed(self, scores: Tensor) -> Tensor:
        return softplus(scores).sum(1) if self._softplus else scores.logsumexp(1)

    @_once
    def mean(self) -> Tensor:
        if self._index is not None:
            return self._scores.mean(1)
        exists = self.is_target | self.is_rest
        return self._scores.masked_fill(~exists, 0).sum(1) / exists.sum(1).clamp_min(1)

    def all(self) -> Rows:
        return Rows(self.targets, self.target, self.among, self.rest, self.mean)


def statistics(source: Source, targets: Targets | Given) -> RowsOf:
    """The statistics of all rows at once, in plain differentiable torch: O(N C) memory."""
    if isinstance(source, Dense):
        return RowsOf(accumulate(source.scores), targets)
    return RowsOf(source.dense(), targets, some_absent=source.b is not None)


def score_statistics(scores: Tensor, targets: Targets | Given, first: int = 0) -> Rows:
    """All of :class:`RowsOf`."""
    return RowsOf(scores, targets, first).all()
