"""Plain functions of whole rows of scores, by blocks of rows: for what :class:`Rows` does not contain.

Forward keeps a few numbers per row; backward recomputes a block's scores, asks autograd for the gradient by them and
passes it to the products that every block has. Any number of sources with the same columns can be read together: a
student's scores and a teacher's, so that soft targets are never stored.
"""

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lossary.core import device as _device
from lossary.kernels.graph import distinct, gradients_by
from lossary.kernels.modes import full_precision, plain_only
from lossary.kernels.rows.blocks import Blocks, Gradients, Needs, block_rows
from lossary.kernels.rows.exponentials import PieceSums, TameSums, is_tame
from lossary.kernels.rows.formula import fits_densely
from lossary.kernels.rows.kinds import Block
from lossary.kernels.rows.scores import Bilinear, Form, Learning, RowsOf, Targets
from lossary.kernels.rows.swept import Pulled, in_pieces
from lossary.kernels.stable import ABSENT, accumulator

#: From rows and their scores with all columns, (R, C) per source: numbers per row, (R,). It must not change scores.
Read = Callable[..., tuple[Tensor, ...]]
#: From rows, what was read of them, the gradients by that, and blocks (:class:`ItemBlock`): each source's gradient by
#: its scores, which it may overwrite.
Slopes = Callable[..., tuple[Pulled | None, ...]]
#: What is read of rows, by name; all of it merges over parts of the columns.
Readings = dict[str, Tensor]

#: How many blocks' memory autograd holds while a block is read; and an accelerator without autograd, where a CPU holds
#: only pieces.
HELD, HELD_AT_ONCE = 6, 2


class _Ways(NamedTuple):
    """The ways to read rows."""

    read: Read
    at_once: Read
    slopes: Slopes | None
    each: tuple[int, ...]
    units: tuple[float, ...]

    def problems(self, sources: list[Bilinear], units: tuple[float, ...] | None) -> "list[ItemBlocks]":
        return item_blocks(sources, HELD_AT_ONCE if self.slopes else HELD, self.each, units)


def read_rows(
    read: Read,
    *sources: Bilinear,
    at_once: Read | None = None,
    slopes: Slopes | None = None,
    each: tuple[int, ...] | None = None,
    units: tuple[float, ...] | None = None,
) -> tuple[Tensor, ...]:
    """``read(rows, *scores)`` for all rows, in linear memory; gradients flow to the sources.

    Args:
        read: Plain differentiable torch, row by row; ``rows`` is a slice, to cut what it knows about rows.
        sources: All with the same number of items.
        at_once: The same for a block, which it may overwrite; None for ``read`` itself.
        slopes: Its gradient in closed form; None to use autograd.
        each: How many adjacent rows of each source make an item; None for 1. One number is then read per item, and
            ``rows`` are items.
        units: The factor of each source's scores when ``slopes`` gets them, such as log2(e); None for 1. Gradients
            are by the scores without it.
    """
    ones = (1,) * len(sources)
    ways = _Ways(read, at_once or read, slopes, each or ones, units or ones)
    items = slice(0, len(sources[0].x) // ways.each[0])
    if plain_only() or all(map(fits_densely, sources)):
        return read(items, *(source.dense() for source in sources))
    with full_precision(sources[0].x):
        return _Read.apply(ways, tuple(s.form for s in sources), *(t for s in sources for t in s.tensors))


class ItemBlock(Block):
    """Scores of some items, computed while the ``pieces`` are taken: once, from the first column to the last."""

    def __init__(self, problem: "ItemBlocks", scores: Tensor, span: slice, pieces: Iterator[Tensor]) -> None:
        self.problem, self.scores, self.rows, self.pieces = problem, scores, problem.rows(span), pieces
        self.each, self.items = problem.each, slice(span.start // problem.each, span.stop // problem.each)

    def whole(self) -> Tensor:
        for _ in self.pieces:
            pass
        return self.scores

    def sums(self) -> PieceSums:
        """To sum its exponentials, in units of log 2."""
        return TameSums() if self.problem.tame else PieceSums()

    def by_item(self, part: Tensor) -> Tensor:
        """From (R, c), the rows of some columns, to (c, V, n): the V rows of each of n items."""
        if self.problem.items_last:
            return part.t().unflatten(1, (self.each, -1))
        return part.t().unflatten(1, (-1, self.each)).transpose(1, 2)

    def of_rows(self, numbers: Tensor) -> Tensor:
        """From (V, n) to (R, 1)."""
        return (numbers if self.problem.items_last else numbers.t()).reshape(-1, 1)

    def pull(self, gradients: Any) -> None:
        parts = list(gradients.parts)
        self.scores, self.by_row = parts[0] if len(parts) == 1 else torch.cat(parts, 1), []


class ItemBlocks(Blocks):
    """Scores in blocks of whole items.

    With ``items_last`` an item's row is adjacent to the same row of the next item, for sums over an item's rows.
    """

    map_slopes = None

    def __init__(self, source: Bilinear, each: int, size: int, unit: float, *, items_last: bool) -> None:
        self.source, self.each, self.items_at_once, self.items_last = source, each, size, items_last
        nobody = torch.zeros(len(source.x), dtype=torch.int64, device=source.x.device)
        super().__init__(source, Targets(nobody, sums="softplus", means=False))
        self.in_units_of(unit)

    @cached_property
    def tame(self) -> bool:
        source = self.source
        plain = source.b is None and source.half is None
        return plain and is_tame(self.x.multiplied, source.w, source.unit, bound=source.bound)

    def size(self, rows: int) -> int:
        return self.items_at_once * self.each

    def rows(self, span: slice) -> slice | Tensor:
        if not self.items_last:
            return span
        return torch.arange(span.start, span.stop).view(-1, self.each).t().flatten()

    def _block(self, transposed: Tensor, span: slice, making: Iterator[Tensor]) -> ItemBlock:
        return ItemBlock(self, transposed.t(), span, making)


def item_blocks(
    sources: list[Bilinear],
    held: int,
    each: tuple[int, ...],
    units: tuple[float, ...] | None,
    largest: int | None = None,
) -> list[ItemBlocks]:
    """Blocks of the same items for every source, as large as the one with the most scores allows, up to ``largest``.

    Without ``units``, rows are in the source's order.
    """
    widest, most = max(source.columns for source in sources), max(each)
    like = sources[0].x.new_empty(0, dtype=accumulator(sources[0].x))
    rows, on_cpu = len(sources[0].x) // each[0] * most, _device.by_cache(like)
    rows = block_rows(rows, widest * (1 if on_cpu and held < HELD else 1 + held), like)
    rows = rows if largest is None or on_cpu else min(rows, max(largest // widest, 1))
    size, last = max(rows // most, 1), on_cpu and units is not None
    made = zip(sources, each, units or (1.0,) * len(sources), strict=True)
    return [ItemBlocks(source, of_one, size, unit, items_last=last and of_one > 1) for source, of_one, unit in made]


def push(
    problems: list[ItemBlocks], blocks: tuple[ItemBlock, ...], every: tuple[Pulled | None, ...], sums: list[Gradients]
) -> None:
    """Add the blocks' gradients to those of their sources."""
    for problem, block, pulled, into in zip(problems, blocks, every, sums, strict=True):
        if any(into.needs):
            problem.push(block, pulled or Pulled(in_pieces(torch.zeros_like(block.scores))), into)


class _Read(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, ways: _Ways, forms: tuple[Form, ...], *tensors: Tensor | None) -> tuple[Tensor, ...]:
        ctx.ways, ctx.forms = ways, forms
        ctx.set_materialize_grads(False)
        parts: list[tuple[Tensor, ...]] = []
        for blocks in zip(*ways.problems(sources_of(forms, tensors), None), strict=True):
            parts.append(ways.at_once(blocks[0].items, *(block.whole() for block in blocks)))
        found = tuple(torch.cat(each) for each in zip(*parts, strict=True))
        ctx.save_for_backward(*tensors, *(found if ways.slopes else ()))
        ctx.mark_non_differentiable(*(f for f in found if not f.is_floating_point()))
        return found

    @staticmethod
    def backward(ctx: Any, *by_found: Any) -> Any:
        ways: _Ways = ctx.ways
        count, needs = 5 * len(ctx.forms), ctx.needs_input_grad[2:]
        tensors, known = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        given = next((g for g in by_found if g is not None), None)
        if given is None:
            return (None,) * (2 + len(tensors))
        with full_precision(given):
            if torch.is_grad_enabled():  # the gradient must be differentiable: with all scores at once
                tensors = distinct(tensors)
                items = slice(0, len(tensors[0]) // ways.each[0])
                found = ways.read(items, *(s.dense() for s in sources_of(ctx.forms, tensors)))
                return None, None, *gradients_by(_along(found, by_found), tensors)
            problems = ways.problems(sources_of(ctx.forms, tensors), ways.units if ways.slopes else None)
            sums = [Gradients(s, needs_of(needs, k)) for k, s in enumerate(sources_of(ctx.forms, tensors))]
            for blocks in zip(*problems, strict=True):
                rows = blocks[0].items
                by_rows = tuple(None if g is None else g[rows] for g in by_found)
                if ways.slopes is None:
                    each = _by_autograd(partial(ways.read, rows), by_rows, blocks, [any(s.needs) for s in sums])
                else:
                    each = ways.slopes(rows, tuple(k[rows] for k in known), by_rows, *blocks)
                push(problems, blocks, each, sums)
        for problem, into in zip(problems, sums, strict=True):
            problem.finish(into)
        found = [g for into in sums for g in into.found()]
        return None, None, *(None if g is None else g.to(t.dtype) for g, t in zip(found, tensors, strict=True))


def _by_autograd(
    read: Read, by_rows: tuple[Tensor | None, ...], blocks: tuple[ItemBlock, ...], needs: list[bool]
) -> tuple[Pulled | None, ...]:
    """The gradients by the blocks' scores, in the same memory."""
    leaves = [block.whole().detach().requires_grad_(need) for block, need in zip(blocks, needs, strict=True)]
    with torch.enable_grad():
        total = _along(read(*leaves), by_rows)
    found = zip(leaves, gradients_by(total, leaves), strict=True)
    return tuple(None if g is None else Pulled(in_pieces(leaf.detach().copy_(g))) for leaf, g in found)


def sources_of(forms: tuple[Form, ...], tensors: tuple[Tensor | None, ...] | list[Any]) -> list[Bilinear]:
    return [Learning(*tensors[5 * k : 5 * k + 5]).with_form(form) for k, form in enumerate(forms)]


def needs_of(needs: tuple[bool, ...], k: int) -> Needs:
    x, w, b, r, c = needs[5 * k : 5 * k + 5]
    return x, w, b, r, c


def _along(found: tuple[Tensor, ...], by_found: Any) -> Tensor:
    products = [(f * g).sum() for f, g in zip(found, by_found, strict=True) if g is not None and f.requires_grad]
    return torch.stack(products).sum()


def read_scores(source: Bilinear, targets: Targets, asked: tuple[str, ...], bar: Tensor | None = None) -> Readings:
    """The readings ``asked`` for, (N,) each.

    - ``log_sum``: the scores' log-sum-exp; ``expected``: their mean under the softmax; ``log_squares``: the log-sum-exp
      of twice the scores. :func:`entropy` and :func:`sum_of_squares` are computed from these.
    - ``largest`` of the rest, and ``place``, the number of its column.
    - ``above``: how many of the rest are above the ``bar`` (N,), or the largest target: the target's rank, from 0.
    """

    def read(rows: slice, scores: Tensor) -> tuple[Tensor, ...]:
        known = _Known(scores, targets, rows, bar)
        return tuple(_READ[name](known) for name in asked)

    return dict(zip(asked, read_rows(read, source), strict=True))


class _Known:
    """A block's scores, absent if they do not exist or, in ``rest``, are targets."""

    def __init__(self, scores: Tensor, targets: Targets, rows: slice, bar: Tensor | None) -> None:
        masks, self.first = RowsOf(scores, targets.of(rows), rows.start), targets.start
        self.rest = scores.masked_fill(~masks.is_rest, ABSENT)
        self.all = torch.where(masks.is_target, scores, self.rest)
        own = scores.detach().masked_fill(~masks.is_target, ABSENT).amax(1) if bar is None else bar[rows]
        self.bar = own[:, None]


_READ: dict[str, Callable[[_Known], Tensor]] = {
    "log_sum": lambda known: known.all.logsumexp(1),
    "expected": lambda known: (known.all.softmax(1) * known.all).sum(1),
    "log_squares": lambda known: (2 * known.all).logsumexp(1),
    "largest": lambda known: known.rest.amax(1),
    "place": lambda known: known.rest.argmax(1) + known.first,
    "above": lambda known: (known.rest > known.bar).sum(1),
}


def merge_readings(parts: list[Readings]) -> Readings:
    """The readings of all columns from those of parts; ``expected`` needs ``log_sum``, and ``place`` ``largest``."""
    each = {name: torch.stack([part[name] for part in parts]) for name in parts[0]}
    found: Readings = {}
    for name, values in each.items():
        if name in ("log_sum", "log_squares"):
            found[name] = values.logsumexp(0)
        elif name == "expected":
            found[name] = (each["log_sum"].softmax(0) * values).sum(0)
        elif name == "largest":
            found[name] = values.amax(0)
        elif name == "place":
            found[name] = values.gather(0, each["largest"].argmax(0)[None])[0]
        else:
            found[name] = values.sum(0)
    return found


def entropy(found: Readings) -> Tensor:
    """The softmax's entropy, from ``log_sum`` and ``expected``."""
    return found["log_sum"] - found["expected"]


def sum_of_squares(found: Readings) -> Tensor:
    """The softmax's sum of squared probabilities, from ``log_sum`` and ``log_squares``."""
    return (found["log_squares"] - 2 * found["log_sum"]).exp()


def compared(of: Callable[[Tensor, Tensor], Tensor], student: Bilinear, teacher: Bilinear) -> Tensor:
    """``of`` a student's log-softmax and a teacher's, (R, C) each, one number per row: (N,)."""

    def read(rows: slice, of_student: Tensor, of_teacher: Tensor) -> tuple[Tensor]:
        return (of(F.log_softmax(of_student, 1), F.log_softmax(of_teacher, 1)),)

    return read_rows(read, student, teacher)[0]
