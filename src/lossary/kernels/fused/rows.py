"""Row statistics and their gradients by Triton's kernels; see :mod:`lossary.kernels.fused.row_kernels`.

Forward makes the scores tile by tile and keeps none. Backward makes them again, a strip of columns at a time, and
leaves in memory what the strip's products need: its gradient by the scores, in the inputs' dtype. The products are
torch's own. No sum is taken by atomic additions, so that every run gives the same digits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from lossary.kernels.fused import row_kernels as kernels
from lossary.kernels.fused import tiles
from lossary.kernels.fused.launch import dot_precision, interpreted, launch
from lossary.kernels.products import headroom, multiply_
from lossary.kernels.rows.scores import Bilinear, RowGradients, Rows, Targets

#: Which of x, w and b; their gradients, None where not needed.
Needs = tuple[bool, bool, bool]
Found = tuple[Tensor | None, Tensor | None, Tensor | None]

#: Fields that a part of the columns has in `row_kernels`, by whether rows have one target each; and a row's factors.
FIELDS = {True: 4, False: 8}
FACTORS = 6


@dataclass(frozen=True)
class Problem:
    """Scores and their targets, as arguments of the kernels."""

    x: Tensor
    w: Tensor
    b: Tensor | None
    by_row: Tensor | None  # (N,) float32, a factor of the products
    by_column: Tensor | None  # (C,) float32, another: 1 / |w_j|, where columns count by their direction
    unit: bool
    labels: tuple[Tensor | None, ...]  # of rows and columns, then their groups
    own: bool
    single: bool
    scale: float
    start: int  # the number of the first column

    @property
    def tensors(self) -> tuple[Tensor | None, ...]:
        return self.x, self.w, self.b, self.by_row, self.by_column, *self.labels

    @property
    def sizes(self) -> tuple[int, int, int]:
        return len(self.x), len(self.w), self.x.shape[1]

    @property
    def deep(self) -> bool:
        """Whether vectors are so long that torch's own products are faster, with the way of scores through memory."""
        return self.x.shape[1] > tiles.DEEP

    def options(self, tile: tiles.Tile) -> dict[str, Any]:
        """How a kernel is compiled for it."""
        return {
            "OWN": self.own,
            "SINGLE": self.single,
            "DOT": dot_precision(self.x),
            "WIDE": interpreted(),
            **tile.shape,
        }


def problem(source: Bilinear, targets: Targets) -> Problem:
    """The kernels' arguments: everything in one piece, row by row."""
    x, w = source.x.contiguous(), source.w.contiguous()
    r, c = source.row_factor, inverse_norms(w) if source.unit else source.column_factor
    b, r, c = (None if t is None else t.contiguous() for t in (source.b, r, c))
    columns = targets.columns if targets.first is None else targets.labels(len(w))
    labels = (targets.rows, columns, targets.row_groups, targets.column_groups)
    labels = tuple(None if t is None else t.contiguous() for t in labels)
    return Problem(x, w, b, r, c, source.unit, labels, targets.own, targets.single, targets.scale, targets.start)


def inverse_norms(w: Tensor) -> Tensor:
    """1 / |w_j| in float32, 0 of a zero vector."""
    inverse = w.new_empty(len(w), dtype=torch.float32)
    columns, depth = tiles.COLUMNS
    launch(kernels.inverse_norms, -(-len(w) // columns), w, w, inverse, *w.shape, BC=columns, BD=depth)
    return inverse


def row_statistics(source: Bilinear, targets: Targets) -> Rows:
    """:func:`lossary.kernels.rows.blocks.row_statistics`, in float32; no score is stored."""
    return _statistics(problem(source, targets))[0]


def row_gradients(source: Bilinear, targets: Targets, rows: Rows, by_rows: RowGradients, needs: Needs) -> Found:
    """Gradients by x, w and b from those by the statistics that forward found; None where not needed."""
    of = problem(source, targets)
    existing: Tensor | int = of.sizes[1] - int(of.own)
    if by_rows.mean is not None and (targets.row_groups is not None or targets.first is not None):
        existing = _statistics(of)[1]  # how many columns exist for a row, the kernel alone knows
    factors = _row_factors(rows, by_rows, existing, of.scale)
    return _pull(of, factors, needs, mean=by_rows.mean is not None)


def rest_softplus(source: Bilinear, targets: Targets) -> Tensor:
    """(N,) the sum of softplus(score) over a row's columns that are no targets, in float32."""
    return _parts(problem(source, targets), soft=True)[:, 0].sum(0)


def rest_softplus_gradients(source: Bilinear, targets: Targets, by_sum: Tensor, needs: Needs) -> Found:
    """Gradients by x, w and b from that by the sum."""
    of = problem(source, targets)
    factors = torch.zeros(FACTORS, len(of.x), dtype=torch.float32, device=of.x.device)
    factors[kernels.BY_REST.value] = by_sum
    return _pull(of, factors, needs, soft=True)


def set_statistics(items: Tensor, factor: Tensor | None, labels: Tensor | None, split: int, scale: float) -> Rows:
    """:func:`lossary.kernels.rows.symmetric.set_statistics`: a product for each direction, none of which is kept."""
    there = _ways(items, factor, labels, split, scale)
    if split == 0:
        return row_statistics(*there)
    source, targets = there
    back = Bilinear(source.w, source.x, row_factor=source.column_factor, column_factor=source.row_factor)
    found = [items.new_empty(len(items), dtype=torch.float32) for _ in Rows._fields]
    _statistics(problem(source, targets), [f[:split] for f in found])
    _statistics(
        problem(back, Targets(cast("Tensor", targets.columns), targets.rows, scale=scale)), [f[split:] for f in found]
    )
    return Rows(*found)


def set_gradients(
    items: Tensor,
    factor: Tensor | None,
    labels: Tensor | None,
    split: int,
    scale: float,
    rows: Rows,
    by_rows: RowGradients,
) -> Tensor:
    """:func:`lossary.kernels.rows.symmetric.set_gradients`: scores made once again serve rows and columns."""
    existing: Tensor | int = len(items) - 1
    if split > 0 and by_rows.mean is not None:
        existing = torch.full_like(rows.rest, split)
        existing[:split] = len(items) - split
    of = problem(*_ways(items, factor, labels, split, scale))
    factors = _row_factors(rows, by_rows, existing, scale)
    needs, mean = (True, split > 0, False), by_rows.mean is not None
    if split == 0:
        return cast("Tensor", _pull(of, factors, needs, mean=mean, columns=0)[0])
    gradient = torch.empty_like(items, dtype=torch.float32)
    _pull(of, factors, needs, mean=mean, columns=split, into=(gradient[:split], gradient[split:]))
    return gradient


def _ways(
    items: Tensor, factor: Tensor | None, labels: Tensor | None, split: int, scale: float
) -> tuple[Bilinear, Targets]:
    """The scores of the first set with the second, or of the only one with itself."""
    if split == 0:
        one_set = Targets(cast("Tensor", labels), labels, own=True, scale=scale)
        return Bilinear(items, items, row_factor=factor, column_factor=factor), one_set
    r, c = (None, None) if factor is None else (factor[:split], factor[split:])
    if labels is None:
        labels = torch.arange(split, device=items.device)
        targets = Targets(labels, labels, scale=scale)
    else:
        targets = Targets(labels[:split], labels[split:], scale=scale)
    return Bilinear(items[:split], items[split:], row_factor=r, column_factor=c), targets


def _statistics(of: Problem, into: Sequence[Tensor] | None = None) -> tuple[Rows, Tensor]:
    """The rows' statistics, and how many columns exist for each."""
    parts, n = _parts(of), len(of.x)
    # An operator's results share no memory.
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
        FIELDS=FIELDS[of.single],
        BN=size,
    )
    *statistics, existing = found
    return Rows(*statistics), existing


def _parts(of: Problem, *, soft: bool = False) -> Tensor:
    """What spans of columns are to the rows, (parts, fields, N)."""
    n, _, depth = of.sizes
    tile, fields = tiles.statistics(of.x), 1 if soft else FIELDS[of.single]
    of_rows, found = -(-n // tile.rows), []
    for strip in _strips(of) if of.deep else [slice(0, len(of.w))]:
        width = strip.stop - strip.start
        # As many parts as keep the device busy where there are few rows.
        span = -(-width // max(1, tiles.PROGRAMS // max(1, of_rows)))
        span = max(1, -(-span // tile.columns)) * tile.columns
        out = torch.empty(-(-width // span), fields, n, dtype=torch.float32, device=of.x.device)
        ready = _products(of, strip) if of.deep else None
        arguments = (*of.tensors, ready, out, n, depth, strip.start, strip.stop, span, of.scale, of.start)
        options = {"SOFT": soft, "FIELDS": fields, **of.options(tile)}
        launch(kernels.row_statistics, of_rows * len(out), of.x, *arguments, **options)
        found.append(out)
    return found[0] if len(found) == 1 else torch.cat(found) if found else of.x.new_empty(0, fields, n)


def _products(of: Problem, strip: slice) -> Tensor:
    out = torch.empty(len(of.x), strip.stop - strip.start, dtype=torch.float32, device=of.x.device)
    return multiply_(out, of.x, of.w[strip].t())


def _strips(of: Problem) -> Iterator[slice]:
    """Columns whose slopes, and scores where these are made by a product of torch's, are held at once."""
    width = tiles.strip(of.x, len(of.w), of.x.element_size() + (4 if of.deep else 0))
    return (slice(first, min(first + width, len(of.w))) for first in range(0, len(of.w), width))


def _row_factors(rows: Rows, by_rows: RowGradients, existing: Tensor | int, scale: float) -> Tensor:
    """(FACTORS, N): what each row's entries are multiplied with to become gradients by the scores."""
    n, size = len(rows.rest), tiles.ROWS
    factors = torch.empty(FACTORS, n, dtype=torch.float32, device=rows.rest.device)
    slopes = (None if g is None else g.contiguous() for g in by_rows)
    of, count = (existing, 0) if isinstance(existing, Tensor) else (None, existing)
    known = (rows.targets, rows.among, rows.rest, of, *slopes)
    launch(kernels.row_factors, -(-n // size), factors, *known, factors, n, float(count), scale, BN=size)
    return factors


def _pull(
    of: Problem,
    factors: Tensor,
    needs: Needs,
    *,
    mean: bool = False,
    soft: bool = False,
    columns: int | None = None,
    into: tuple[Tensor, Tensor] | None = None,
) -> Found:
    """The gradients by x, w and b from the rows' factors; those of the columns, if any, begin at ``columns``.

    Memory for those by x and w, in float32, may be given.

    That by x is float32, and so is that by w where it is to tell the gradient by the factor too.
    """
    wide = torch.float32 if of.by_column is not None and not of.unit else of.w.dtype
    by_x = torch.empty_like(of.x, dtype=torch.float32) if needs[0] else None
    by_w = torch.empty_like(of.w, dtype=wide) if needs[1] else None
    by_x, by_w = into or (by_x, by_w)
    by_b = None if of.b is None or not needs[2] else torch.empty_like(of.b)
    if 0 in of.sizes:
        by_x, by_w, by_b = (None if g is None else g.zero_() for g in (by_x, by_w, by_b))
        return by_x, by_w, by_b
    unscale = _fitted(of, factors) if of.x.dtype == torch.float16 else None
    for strip in _strips(of):
        slopes, sums = _slopes(of, factors, strip, mean=mean, soft=soft, columns=columns, biased=by_b is not None)
        if by_x is not None:
            multiply_(by_x, slopes, of.w[strip], add=strip.start > 0)
        if by_w is not None:
            _give_columns(of, slopes, strip, unscale, by_w[strip])
        if by_b is not None and sums is not None:
            sums = sums.sum(0)
            by_b[strip] = sums if unscale is None else sums * unscale
    if by_x is not None and unscale is not None:
        by_x.mul_(unscale)
    return by_x, by_w, by_b


def _slopes(
    of: Problem, factors: Tensor, strip: slice, *, mean: bool, soft: bool, columns: int | None, biased: bool
) -> tuple[Tensor, Tensor | None]:
    """The gradient by the scores of some columns, (N, width); and what each tile of rows gives to their bias."""
    n, _, depth = of.sizes
    width, tile = strip.stop - strip.start, tiles.slopes(of.x)
    of_rows = -(-n // tile.rows)
    ready = _products(of, strip) if of.deep else None
    # In place, if they are of the same size.
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
        SOFT=soft,
        MEAN=mean,
        **of.options(tile),
    )
    return out, sums


def _give_columns(of: Problem, slopes: Tensor, strip: slice, unscale: Tensor | None, by_w: Tensor) -> None:
    """The gradient by some columns, from the slopes of their scores."""
    if not of.unit and unscale is None:
        multiply_(by_w, slopes.t(), of.x)
        return
    raw = multiply_(torch.empty_like(by_w, dtype=torch.float32), slopes.t(), of.x)
    columns, depth = tiles.COLUMNS
    inverse = of.by_column[strip] if of.unit and of.by_column is not None else None
    known = (raw, of.w[strip], inverse, unscale, by_w, *by_w.shape)
    launch(kernels.finish_columns, -(-len(by_w) // columns), of.x, *known, BC=columns, BD=depth)


def _fitted(of: Problem, factors: Tensor) -> Tensor:
    """Bring slopes into the range of float16, by a power of two; what undoes it, 0-d. The host reads nothing."""
    slopes = factors[:4]
    largest = slopes.abs().amax()
    for factor in (of.by_row, of.by_column):
        largest = largest if factor is None else largest * factor.abs().amax().clamp_min(1)
    power = headroom(largest) / 4  # both sides' slopes add up
    slopes.mul_(power)
    return power.reciprocal()
