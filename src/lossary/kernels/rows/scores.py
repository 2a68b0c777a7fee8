"""What a row of scores is: where its scores come from, which of them are targets, and what a loss sees of it.

The statistics here are plain differentiable torch over all scores at once: the definition that every faster
route must agree with, and what small batches and ``torch.func`` use.
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
from lossary.kernels.stable import ABSENT, accumulate, in_range, softplus


class Rows(NamedTuple):
    """Statistics of N rows, each (N,)."""

    targets: Tensor  # how many there are
    target: Tensor  # mean score of the targets, times their scale; 0 where there is none
    among: Tensor  # log-sum-exp of the targets' scores, times their scale
    rest: Tensor  # log-sum-exp of the rest's scores
    mean: Tensor  # mean score of all existing columns, targets included; no scale


class RowGradients(NamedTuple):
    """Derivatives of the loss by the statistics of :class:`Rows`, each (N,); None where not used."""

    target: Tensor | None
    among: Tensor | None
    rest: Tensor | None
    mean: Tensor | None

    def of(self, rows: slice | Tensor) -> "RowGradients":
        return RowGradients(*(None if g is None else g[rows] for g in self))


@dataclass(frozen=True)
class Dense:
    """Ready scores, (N, C)."""

    scores: Tensor


class Form(NamedTuple):
    """What of linear scores is no tensor."""

    unit: bool = False
    centers: int = 1
    half: torch.dtype | None = None
    bound: float | None = None


@dataclass(frozen=True)
class Bilinear:
    """Scores z_ij = r_i <x_i, w_j> c_j + b_j; with ``unit`` w_j / |w_j| stands for w_j.

    Heads, similarities, distances. Temperature, scale and the rows' norms are ``row_factor``, so that half-precision x
    is multiplied as it is. The norms of a head's columns are folded into the blocks, because a normalised copy of a
    large ``w`` would cost as much as ``w``.

    With several ``centers`` a column's score is the largest of as many, whose vectors follow each other in ``w``;
    then each row has one target.
    """

    x: Tensor  # (N, D)
    w: Tensor  # (C, D), or (C * centers, D)
    b: Tensor | None = None  # (C,), or (C * centers,)
    unit: bool = False
    centers: int = 1
    row_factor: Tensor | None = None  # (N,) r
    column_factor: Tensor | None = None  # (C,) c; without unit
    half: torch.dtype | None = None  # of multiplied_in: what x and w are rounded to for products
    bound: float | None = None  # of the scores' size without b, where it is known without a look at them
    shards: Shards | None = None  # w and b are this rank's columns alone
    ring: Ranks | None = None  # w is this rank's columns; b and labels are those of all ranks, from this one's on

    @property
    def columns(self) -> int:
        return self.w.shape[0] // self.centers if self.shards is None else self.shards.classes

    @property
    def is_spread(self) -> bool:
        """Whether most columns are on other ranks."""
        return self.shards is not None or self.ring is not None

    def check_whole(self) -> None:
        """For what wants all columns at once."""
        if self.ring is not None:
            raise TypeError(
                "exchange_by: wanted 'gather' for this loss, which wants all embeddings at once; got a ring"
            )
        if self.shards is not None:
            raise TypeError("weight: wanted a whole one here; got one whose classes are spread over ranks")

    @property
    def form(self) -> Form:
        self.check_whole()
        return Form(self.unit, self.centers, self.half, self.bound)

    @property
    def tensors(self) -> "Learning":
        return Learning(self.x, self.w, self.b, self.row_factor, self.column_factor)

    def dense(self) -> Tensor:
        """All scores at once, (N, C)."""
        self.check_whole()
        x, w = accumulate(self.x), accumulate(self.w)
        b = None if self.b is None else self.b.to(x.dtype)
        by_row, by_column = self.row_factor, self.column_factor
        if self.half is None:  # thin factors are cheaper before the product
            x = x if by_row is None else x * by_row[:, None]
            w = w if by_column is None else (x if self._one_set(by_row) else w * by_column[:, None])
            by_row = by_column = None
        if self.unit:
            w, inverse = in_range(w)
            by_column = inverse[:, 0]
        if by_row is None and by_column is None:
            scores = product(x, w, b, self.half)
        else:
            scores = product(x, w, None, self.half)
            scores = scores if by_column is None else scores * by_column
            scores = scores if by_row is None else scores * by_row[:, None]
            scores = scores if b is None else scores + b
        return scores if self.centers == 1 else scores.unflatten(1, (self.columns, self.centers)).amax(2)

    def among(self, columns: Tensor, b: Tensor | None) -> "Bilinear":
        """The same of these columns, of which the first are its own, with b."""
        r, c = self.row_factor, self.column_factor
        return Bilinear(self.x, columns, b, self.unit, self.centers, r, c, self.half, self.bound)

    def paired(self) -> Tensor:
        """(N,) the scores of each row with the column of its number, of as many."""
        own = (accumulate(self.x) * accumulate(self.w)).sum(-1)
        for factor in (self.row_factor, self.column_factor):
            own = own if factor is None else own * factor
        return own

    def _one_set(self, by_row: Tensor | None) -> bool:
        return self.w is self.x and self.column_factor is by_row


class Learning(NamedTuple):
    """The tensors of :class:`Bilinear` through which gradients go, or these gradients."""

    x: Tensor | None
    w: Tensor | None
    b: Tensor | None
    row_factor: Tensor | None = None
    column_factor: Tensor | None = None

    def with_form(self, form: Form) -> Bilinear:
        x, w, b, r, c = self
        assert x is not None
        assert w is not None
        return Bilinear(x, w, b, form.unit, form.centers, r, c, form.half, form.bound)


Source = Dense | Bilinear
#: What is summed of the targets' scores and of the rest's.
Sums = Literal["exponentials", "softplus", "powers"]


@dataclass(frozen=True)
class Targets:
    """Which columns are a row's targets: those that bear the row's label.

    With ``columns=None`` a column's label is its number, so that ``Targets(labels)`` are class indices. Where ``first``
    is given the columns are a part of all, which begins with the column of that number. With ``own`` row i and column i
    are the same item, and that column does not exist for the row. With groups, neither does a column of the row's group
    that is no target: what may be the same thing is no negative. The targets' scores count times ``scale``, for losses
    that are steeper in the negatives than in the positives. With ``sums="softplus"`` the sum of the scores' softplus
    stands for their log-sum-exp. With ``sums="powers"`` that of the targets is the rest's at another temperature: the
    log-sum-exp of ``scale`` times its scores. A map changes each score before anything is made of it; ``scale`` comes
    after it.
    """

    rows: Tensor  # (N,) integer labels
    columns: Tensor | None = None  # (C,) integer labels
    own: bool = field(default=False, kw_only=True)
    paired: bool = field(default=False, kw_only=True)  # the rows' labels are their numbers
    row_groups: Tensor | None = field(default=None, kw_only=True)  # (N,) integers
    column_groups: Tensor | None = field(default=None, kw_only=True)  # (C,) integers, where the rows have groups
    scale: float = field(default=1.0, kw_only=True)
    sums: Sums = field(default="exponentials", kw_only=True)
    means: bool = field(default=True, kw_only=True)  # False where no formula asks for the mean scores
    first: int | None = field(default=None, kw_only=True)  # None: these are all columns
    map: ScoreMap | None = field(default=None, kw_only=True)

    def of(self, rows: slice) -> "Targets":
        """Those of some rows."""
        groups = None if self.row_groups is None else self.row_groups[rows]
        by = None if self.map is None else self.map.of(rows)
        return self._made((self.rows[rows], self.columns), (groups, self.column_groups), map=by)

    def scaled(self, scale: float) -> "Targets":
        """The same, their scores times ``scale``."""
        return self._made((self.rows, self.columns), (self.row_groups, self.column_groups), scale=scale, map=self.map)

    def in_powers(self, scale: float) -> "Targets":
        """The same, ``among`` being the log-sum-exp of ``scale`` times the rest's scores."""
        labels, groups = (self.rows, self.columns), (self.row_groups, self.column_groups)
        return self._made(labels, groups, scale=scale, map=self.map, sums="powers")

    def mapped(self, by: ScoreMap) -> "Targets":
        """The same of mapped scores."""
        return self._made((self.rows, self.columns), (self.row_groups, self.column_groups), map=by)

    def part(self, first: int) -> "Targets":
        """The same of a part of the columns, whose labels and groups these are; its first column has that number."""
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
        """Of so many columns."""
        if self.columns is not None:
            return self.columns
        return torch.arange(self.start, self.start + columns, device=self.rows.device)

    @property
    def numbered(self) -> bool:
        """Whether a row's only target, with its score as it is, is the column of its number, if that is here."""
        return self.columns is None and not self.own and self.row_groups is None and self.scale == 1

    @property
    def single(self) -> bool:
        """Whether it is here, for every row."""
        return self.numbered and self.first is None


@dataclass(frozen=True)
class Given:
    """Targets that no label tells: for each row which columns are targets and which the rest, O(N C) memory."""

    targets: Tensor  # (N, C) boolean
    rest: Tensor  # (N, C) boolean
    scale: float = 1.0  # of the targets' scores
    map: ScoreMap | None = None

    def scaled(self, scale: float) -> "Given":
        return Given(self.targets, self.rest, scale, self.map)

    def mapped(self, by: ScoreMap) -> "Given":
        return Given(self.targets, self.rest, self.scale, by)


class _once:
    """A property made when first asked for, and kept. functools' own takes a lock, which no compiler sees through."""

    def __init__(self, make: Callable[[Any], Tensor]) -> None:
        self.make = make

    def __get__(self, owner: Any, _: type) -> Tensor:
        value = self.make(owner)
        setattr(owner, self.make.__name__, value)
        return value


class RowsOf:
    """The statistics (:class:`Rows`) of ready scores, and which columns they are of, made when first asked for.

    Plain differentiable torch over all scores at once. The first row is row ``first`` of the batch; some scores may be
    absent.
    """

    def __init__(self, scores: Tensor, targets: Targets | Given, first: int = 0, *, some_absent: bool = True) -> None:
        self._given, self._targets, self._first, self._some_absent = scores, targets, first, some_absent
        # Which columns are targets, where every row has exactly one.
        self._index = targets.rows.long()[:, None] if isinstance(targets, Targets) and targets.single else None

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
    """The statistics of all rows at once, by plain differentiable torch: O(N C) memory."""
    if isinstance(source, Dense):
        return RowsOf(accumulate(source.scores), targets)
    return RowsOf(source.dense(), targets, some_absent=source.b is not None)


def score_statistics(scores: Tensor, targets: Targets | Given, first: int = 0) -> Rows:
    """All of :class:`RowsOf`."""
    return RowsOf(scores, targets, first).all()
