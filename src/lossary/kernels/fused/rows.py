"""Row statistics and their gradients by Triton's kernels; see :mod:`lossary.kernels.fused.row_kernels`.

Forward computes the scores tile by tile and keeps none. Backward recomputes them, a strip of columns at a time, and
stores what the strip's products need: the gradient by its scores, in the inputs' dtype. The products are torch's own.
No sum uses atomic additions, so every run gives the same digits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lossary.kernels.fused import row_kernels as kernels
from lossary.kernels.fused import tiles
from lossary.kernels.fused.launch import dot_precision, interpreted, launch
from lossary.kernels.fused.sides import Pairs, Side, finish, side, sides
from lossary.kernels.products import headroom, multiply_
from lossary.kernels.rows.kinds import by_own_target
from lossary.kernels.rows.scores import Bilinear, ItemSets, Learning, RowGradients, Rows, Targets

#: Which of x, w, b and the factors of x and w need a gradient.
Needs = tuple[bool, bool, bool, bool, bool]

#: The number of a row's factors in `row_kernels`.
FACTORS = 6


@dataclass(frozen=True)
class Problem:
    """Scores and their targets, as arguments of the kernels."""

    rows: Side
    columns: Side
    b: Tensor | None
    labels: tuple[Tensor | None, ...]  # of rows and columns, None if they are their numbers; then their groups
    own: bool
    single: bool
    soft: bool  # whether softplus is summed, not exponentials
    scale: float
    start: int  # the number of the first column

    @property
    def x(self) -> Tensor:
        return self.rows.multiplied

    @property
    def w(self) -> Tensor:
        return self.columns.multiplied

    @property
    def tensors(self) -> tuple[Tensor | None, ...]:
        return self.x, self.w, self.b, self.rows.each, self.columns.each, *self.labels

    @property
    def sizes(self) -> tuple[int, int, int]:
        return len(self.x), len(self.w), self.x.shape[1]

    @property
    def deep(self) -> bool:
        """Whether vectors are so long that torch's own products are faster, although scores then go through memory."""
        return self.x.shape[1] > tiles.DEEP

    @property
    def fields(self) -> int:
        """How many numbers of a part of the columns `row_kernels` stores for a row."""
        return (2 if self.single else 4) if self.soft else 4 if self.single else 8

    def options(self, tile: tiles.Tile) -> dict[str, Any]:
        """Options with which a kernel is compiled for it."""
        return {
            "OWN": self.own,
            "SINGLE": self.single,
            "SOFT": self.soft,
            "DOT": dot_precision(self.x),
            "WIDE": interpreted(),
            **tile.shape,
        }


def problem(source: Bilinear, targets: Targets) -> Problem:
    """The kernels' arguments, contiguous."""
    rows, columns = sides(source)
    return _between(rows, columns, source.b, targets)


def _between(rows: Side, columns: Side, b: Tensor | None, targets: Targets) -> Problem:
    of_columns = targets.columns if targets.first is None else targets.labels(len(columns.given))
    labels = (targets.rows, of_columns, targets.row_groups, targets.column_groups)
    labels = tuple(None if t is None else t.contiguous() for t in labels)
    b = None if b is None else b.contiguous()
    single, soft = targets.single, targets.sums == "softplus"
    return Problem(rows, columns, b, labels, targets.own, single, soft, targets.scale, targets.start)


def row_statistics(source: Bilinear, targets: Targets) -> Rows:
    """:func:`lossary.kernels.rows.blocks.row_statistics`, in float32; no score is stored."""
    return _statistics(problem(source, targets))[0]


def row_gradients(source: Bilinear, targets: Targets, rows: Rows, by_rows: RowGradients, needs: Needs) -> Learning:
    """Gradients from those by forward's statistics; None if not needed."""
    of = problem(source, targets)
    existing: Tensor | int = of.sizes[1] - int(of.own)
    if by_rows.mean is not None and (targets.row_groups is not None or targets.first is not None):
        existing = _statistics(of)[1]  # only the kernel knows how many columns exist for a row
    by_pair = None
    if targets.paired and of.single and not of.soft and of.x.dtype != torch.float32:
        by_pair, by_rows = by_own_target(by_rows), by_rows._replace(target=None, among=None)
    elif targets.paired and of.single and of.x.dtype != torch.float32:
        by_pair, by_rows = by_rows.target, by_rows._replace(target=None)
    factors = _row_factors(rows, by_rows, existing, of.scale)
    return _gradients(of, factors, needs, by_pair, mean=by_rows.mean is not None)


def set_statistics(sets: ItemSets) -> Rows:
    """:func:`lossary.kernels.rows.symmetric.set_statistics`: one product per direction, neither of which is kept."""
    every, cut = _every(sets), sets.split
    if cut == 0:
        return _statistics(_one_way(sets, every, every))[0]
    found = [torch.empty(len(every.given), dtype=torch.float32, device=every.given.device) for _ in Rows._fields]
    first, second = every.of(slice(0, cut)), every.of(slice(cut, None))
    _statistics(_one_way(sets, first, second), [f[:cut] for f in found])
    _statistics(_one_way(sets, second, first, back=True), [f[cut:] for f in found])
    return Rows(*found)


def set_gradients(sets: ItemSets, rows: Rows, by_rows: RowGradients) -> tuple[Tensor, Tensor | None]:
    """:func:`lossary.kernels.rows.symmetric.set_gradients`: scores are recomputed once, for rows and columns."""
    every, cut, pairs = _every(sets), sets.split, None
    if sets.labels is None:  # the only target's slope is most of the gradient: it is not rounded
        by_pair, by_rows = by_own_target(by_rows), by_rows._replace(target=None, among=None)
        pairs = None if by_pair is None else Pairs(by_pair.contiguous(), every, cut, sets=True)
    existing: Tensor | int = len(every.given) - 1
    if cut > 0 and by_rows.mean is not None:
        existing = torch.full_like(rows.rest, cut)
        existing[:cut] = len(every.given) - cut
    of = _one_way(sets, every.of(slice(0, cut)), every.of(slice(cut, None))) if cut else _one_way(sets, every, every)
    factors = _row_factors(rows, by_rows, existing, sets.scale)
    unscale = _fitted(of, factors)
    raw = (torch.zeros_like if 0 in of.sizes else torch.empty_like)(every.given, dtype=torch.float32)
    by_x, by_w = (raw[:cut], raw[cut:]) if cut else (raw, None)
    for strip in _strips_of_slopes(of):
        slopes, _ = _slopes(of, factors, strip, mean=by_rows.mean is not None, columns=cut)
        multiply_(by_x, slopes, of.w[strip], add=strip.start > 0)
        if by_w is not None:
            multiply_(by_w[strip], slopes.t(), of.x)
        del slopes  # before memory for the next ones is taken
    by_factor = None if every.factor is None else torch.empty_like(every.factor)
    return _settled(every, raw, by_factor, unscale, pairs), by_factor


def _every(sets: ItemSets) -> Side:
    return side(sets.items, sets.factor, sets.radius, sets.half)


def _one_way(sets: ItemSets, ours: Side, theirs: Side, *, back: bool = False) -> Problem:
    """The scores of one set with the other, or of a single set with itself."""
    labels, cut = sets.labels, sets.split
    if labels is None:  # the items' numbers
        return Problem(ours, theirs, None, (None,) * 4, False, sets.scale == 1, False, sets.scale, 0)
    if cut == 0:
        return _between(ours, theirs, None, Targets(labels, labels, own=True, scale=sets.scale))
    one, other = (labels[cut:], labels[:cut]) if back else (labels[:cut], labels[cut:])
    return _between(ours, theirs, None, Targets(one, other, scale=sets.scale))


def _statistics(of: Problem, into: Sequence[Tensor] | None = None) -> tuple[Rows, Tensor]:
    """The rows' statistics, and how many columns exist for each."""
    parts, n = _parts(of), len(of.x)
    # An operator's results must not share memory.
    found = [*(into or (parts.new_empty(n) for _ in Rows._fields)), parts.new_empty(n)]
    size = tiles.ROWS
    launch(
        kernels.merge_statistics,
        -(-n // size),
        of.x,
        parts,
        *found,
        n,
        len(of.w),
        len(parts),
        SINGLE=of.single,
        SOFT=of.soft,
        FIELDS=of.fields,
        BN=size,
    )
    *statistics, existing = found
    return Rows(*statistics), existing


def _parts(of: Problem) -> Tensor:
    """The rows' numbers for spans of columns, (parts, fields, N)."""
    n, _, depth = of.sizes
    tile, fields = tiles.statistics(of.x), of.fields
    of_rows = -(-n // tile.rows)
    strips = list(_strips(of, 4)) if of.deep else [slice(0, len(of.w))]
    spans = [_span(strip, of_rows, tile) for strip in strips]
    counts = [-(-(strip.stop - strip.start) // span) for strip, span in zip(strips, spans, strict=True)]
    every = torch.empty(sum(counts), fields, n, dtype=torch.float32, device=of.x.device)
    for strip, span, out in zip(strips, spans, every.split(counts), strict=True):
        ready = _products(of, strip) if of.deep else None
        arguments = (*of.tensors, ready, out, n, depth, strip.start, strip.stop, span, of.scale, of.start)
        options = {"FIELDS": fields, **of.options(tile)}
        launch(kernels.row_statistics, of_rows * len(out), of.x, *arguments, **options)
    return every


def _span(strip: slice, of_rows: int, tile: tiles.Tile) -> int:
    """How many columns a part has: with few rows there are enough parts to keep the device busy."""
    span = -(-(strip.stop - strip.start) // max(1, tiles.PROGRAMS // max(1, of_rows)))
    return max(1, -(-span // tile.columns)) * tile.columns


def _products(of: Problem, strip: slice) -> Tensor:
    out = torch.empty(len(of.x), strip.stop - strip.start, dtype=torch.float32, device=of.x.device)
    return multiply_(out, of.x, of.w[strip].t())


def _strips(of: Problem, each: int) -> Iterator[slice]:
    """Columns processed at once, if each score holds ``each`` bytes; none if nothing is multiplied."""
    if 0 in of.sizes:
        return iter(())
    count, width = len(of.w), tiles.strip(of.x, len(of.w), each)
    return (slice(first, min(first + width, count)) for first in range(0, count, width))


def _strips_of_slopes(of: Problem) -> Iterator[slice]:
    """Columns whose slopes are held at once, and their scores if torch computes the product."""
    return _strips(of, of.x.element_size() + (4 if of.deep else 0))


def _row_factors(rows: Rows, by_rows: RowGradients, existing: Tensor | int, scale: float) -> Tensor:
    """(FACTORS, N), from which each row's gradients by its scores are made."""
    n, size = len(rows.rest), tiles.ROWS
    factors = torch.empty(FACTORS, n, dtype=torch.float32, device=rows.rest.device)
    slopes = (None if g is None else g.contiguous() for g in by_rows)
    of, count = (existing, 0) if isinstance(existing, Tensor) else (None, existing)
    known = (rows.targets, rows.among, rows.rest, of, *slopes)
    launch(kernels.row_factors, -(-n // size), factors, *known, factors, n, float(count), scale, BN=size)
    return factors


def _gradients(of: Problem, factors: Tensor, needs: Needs, by_pair: Tensor | None, *, mean: bool) -> Learning:
    """The gradients from the rows' factors and, separately, from pairs; None if not needed."""
    make = torch.zeros_like if 0 in of.sizes else torch.empty_like
    by_x = make(of.x, dtype=torch.float32) if needs[0] or needs[3] else None
    by_w = make(of.columns.given) if needs[1] or needs[4] else None
    by_b = make(of.b) if of.b is not None and needs[2] else None
    by_r, by_c = (
        make(each, dtype=torch.float32) if each is not None and need else None
        for each, need in ((of.rows.factor, needs[3]), (of.columns.factor, needs[4]))
    )
    unscale = _fitted(of, factors)
    to_rows, to_columns = (None if by_pair is None else Pairs(by_pair, others) for others in (of.columns, of.rows))
    for strip in _strips_of_slopes(of):
        slopes, sums = _slopes(of, factors, strip, mean=mean, biased=by_b is not None)
        if by_x is not None:
            multiply_(by_x, slopes, of.w[strip], add=strip.start > 0)
        if by_w is not None:
            of_strip = by_w[strip], None if by_c is None else by_c[strip]
            _give_columns(of, slopes, strip, unscale, to_columns and to_columns.after(strip.start), *of_strip)
        if by_b is not None and sums is not None:
            sums = sums.sum(0)
            by_b[strip] = sums if unscale is None else sums * unscale
        del slopes, sums  # before memory for the next ones is taken
    if by_b is not None and by_pair is not None:
        by_b[: len(by_pair)] += by_pair
    by_x = None if by_x is None else _settled(of.rows, by_x, by_r, unscale, to_rows)
    return Learning(by_x, by_w, by_b, by_r, by_c)


def _settled(of: Side, raw: Tensor, by_factor: Tensor | None, unscale: Tensor | None, pairs: Pairs | None) -> Tensor:
    """The gradient by vectors, from that by what is multiplied, in float32; that by their factor into ``by_factor``."""
    if of.radius is None and by_factor is None and unscale is None and pairs is None:
        return raw
    out = torch.empty_like(of.given)
    finish(of, raw, out, by_factor, unscale=unscale, pairs=pairs)
    return out


def _slopes(
    of: Problem,
    factors: Tensor,
    strip: slice,
    *,
    mean: bool = False,
    columns: int | None = None,
    biased: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """The gradient by the scores of some columns, (N, width); and each tile's part of the gradient by their bias."""
    n, _, depth = of.sizes
    width, tile = strip.stop - strip.start, tiles.slopes(of.x)
    of_rows = -(-n // tile.rows)
    ready = _products(of, strip) if of.deep else None
    # In place, if the dtype is the same.
    out = of.x.new_empty(n, width) if ready is None or of.x.dtype != torch.float32 else ready
    sums = torch.empty(of_rows, width, dtype=torch.float32, device=of.x.device) if biased else None
    of_columns = None if columns is None else factors[:, columns:]
    sizes = (n, depth, strip.start, width, factors.shape[1], of.scale, of.start)
    launch(
        kernels.slopes,
        of_rows * -(-width // tile.columns),
        of.x,
        *of.tensors,
        ready,
        factors,
        of_columns,
        out,
        sums,
        *sizes,
        MEAN=mean,
        **of.options(tile),
    )
    return out, sums


def _give_columns(
    of: Problem,
    slopes: Tensor,
    strip: slice,
    unscale: Tensor | None,
    pairs: Pairs | None,
    by_w: Tensor,
    by_factor: Tensor | None,
) -> None:
    """The gradient by some columns and by their factors, from the slopes of their scores."""
    if of.columns.radius is None and unscale is None and by_factor is None and pairs is None:
        multiply_(by_w, slopes.t(), of.x)
        return
    raw = multiply_(torch.empty_like(by_w, dtype=torch.float32), slopes.t(), of.x)
    finish(of.columns.of(strip), raw, by_w, by_factor, unscale=unscale, pairs=pairs)


def _fitted(of: Problem, factors: Tensor) -> Tensor | None:
    """Scale slopes into float16's range by a power of two; returns its inverse, 0-d. The host reads nothing."""
    if of.x.dtype != torch.float16 or 0 in of.sizes:
        return None
    slopes = factors[:4]
    largest = slopes.abs().amax()
    for factor in (of.rows.each, of.columns.each):
        largest = largest if factor is None else largest * factor.abs().amax().clamp_min(1)
    power = headroom(largest) / 4  # both sides' slopes add up
    slopes.mul_(power)
    return power.reciprocal()
