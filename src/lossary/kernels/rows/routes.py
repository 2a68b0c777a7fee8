"""How autograd sees the blocks: three ways to the same gradient.

- :class:`SummedLoss`: the loss is summed inside and differentiated in the forward pass, while a block's scores still
  exist. Three products.
- :func:`blocked_statistics`: returns statistics, to which any formula is applied; backward recomputes the scores. Four.
- Second derivatives: plain autograd over one block at a time.

No route returns a gradient that cannot be differentiated: backward under grad mode always computes one that can.
"""

import contextlib
import functools
from collections.abc import Callable

# Not from collections.abc: torch 2.6 cannot make a schema of that one, nor of list.
from typing import Any, Sequence  # noqa: UP035

import torch
from torch import Tensor

from lossary.kernels.graph import check_closed, distinct, gradients_by
from lossary.kernels.modes import full_precision
from lossary.kernels.rows import blocks, seam
from lossary.kernels.rows.blocks import Blocks, Gradients, Needs
from lossary.kernels.rows.maps import ScoreMap
from lossary.kernels.rows.scores import (
    Bilinear,
    Form,
    ItemSets,
    Learning,
    RowGradients,
    Rows,
    Targets,
    score_statistics,
)
from lossary.kernels.stable import accumulate, accumulator, sphere_apart

RowFormula = Callable[..., Tensor]
#: From rows and parameters: a formula's losses, (N,), and their gradients by the statistics, in closed form.
RowSlope = Callable[..., tuple[Tensor, RowGradients]]


def _full_precision(backward: Callable[..., Any]) -> Callable[..., Any]:
    """A backward that an active autocast does not affect."""

    @functools.wraps(backward)
    def run(ctx: Any, *grads: Any) -> Any:
        # Not from what was saved, which a checkpoint returns only once. Without a gradient nothing is multiplied.
        given = next((g for g in grads if g is not None), None)
        with contextlib.nullcontext() if given is None else full_precision(given):
            return backward(ctx, *grads)

    return run


class SummedLoss(torch.autograd.Function):
    """sum_i weight_i formula(rows_i): the gradient is computed in forward, block by block."""

    @staticmethod
    def forward(
        ctx: Any,
        formula: RowFormula,
        slope: RowSlope | None,
        form: Form,
        targets: Targets,
        weight: Tensor | None,
        x: Tensor,
        w: Tensor,
        b: Tensor | None,
        row_factor: Tensor | None,
        column_factor: Tensor | None,
        *parameters: Tensor,
    ) -> Tensor:
        source = Learning(x, w, b, row_factor, column_factor).with_form(form)
        needs = ctx.needs_input_grad[5:10]
        slope = None if any(ctx.needs_input_grad[10:]) else slope
        problem, gradients = Blocks(source, targets), Gradients(source, needs)
        by_parameters = [
            torch.zeros_like(p) if need else None for p, need in zip(parameters, ctx.needs_input_grad[10:], strict=True)
        ]
        every: list[Tensor] = []
        for block in problem:
            some = (block.statistics, block.rows, weight, parameters)
            losses, by_rows, parts = differentiate(formula, *some) if slope is None else at_once(slope, *some)
            every.append(losses)
            for whole, part in zip(by_parameters, parts, strict=True):
                if whole is not None and part is not None:
                    whole[block.rows if whole.dim() else ...] += part
            if any(needs):
                problem.push(block, by_rows, gradients)
        block = None  # whose memory is free for the remaining work
        problem.finish(gradients)
        ctx.gradients = (*gradients.found(), *by_parameters)
        ctx.formula, ctx.form, ctx.targets, ctx.weight = formula, form, targets, weight
        ctx.save_for_backward(*source.tensors, *parameters)
        return torch.cat(every).sum() if every else x.new_zeros((), dtype=accumulator(x))

    @staticmethod
    @_full_precision
    def backward(ctx: Any, *grads: Any) -> Any:
        (by_loss,) = grads
        tensors = ctx.saved_tensors
        if ctx.gradients is not None and not torch.is_grad_enabled():
            # Returned once and scaled in place: a product would be a second copy of every gradient.
            gradients, ctx.gradients = ctx.gradients, None
            scaled = (
                None if g is None else scaled_gradient(g, by_loss, t) for g, t in zip(gradients, tensors, strict=True)
            )
            return (None,) * 5 + tuple(g if n else None for g, n in zip(scaled, ctx.needs_input_grad[5:], strict=True))
        with torch.enable_grad():
            tensors = distinct(tensors)
            source, parameters = Learning(*tensors[:5]).with_form(ctx.form), tensors[5:]
            losses = ctx.formula(blocked_statistics(source, ctx.targets), *parameters)
            total = (losses if ctx.weight is None else losses * ctx.weight).sum()
        return (None,) * 5 + gradients_by(total, tensors, by_loss)


def scaled_gradient(gradient: Tensor, by_loss: Tensor, like: Tensor) -> Tensor:
    """The gradient times a number, in place; rounded once, to the dtype of the input."""
    if gradient.dtype == like.dtype:
        return gradient.mul_(by_loss)
    return torch.mul(gradient, by_loss, out=torch.empty_like(like))


def differentiate(
    formula: RowFormula, statistics: Rows, rows: slice | Tensor, weight: Tensor | None, parameters: tuple[Tensor, ...]
) -> tuple[Tensor, RowGradients, tuple[Tensor | None, ...]]:
    """A block's losses, and the gradients of their sum by the statistics and by the parameters."""
    leaves = [s.requires_grad_() for s in statistics[1:]]
    parts = [(p[rows] if p.dim() else p).detach().requires_grad_(p.requires_grad) for p in parameters]
    with torch.enable_grad():
        losses = formula(Rows(statistics.targets, *leaves), *parts)
        losses = losses if weight is None else losses * weight[rows]
        total = losses.sum()
    check_closed(total, (*leaves, *parts))
    by_all = gradients_by(total, (*leaves, *parts))
    return losses.detach(), RowGradients(*by_all[:4]), by_all[4:]


def at_once(
    slope: RowSlope, statistics: Rows, rows: slice | Tensor, weight: Tensor | None, parameters: tuple[Tensor, ...]
) -> tuple[Tensor, RowGradients, tuple[None, ...]]:
    """The same with a slope: for a block's rows, autograd takes longer than everything except the products."""
    losses, by_rows = slope(statistics, *(p[rows] if p.dim() else p for p in parameters))
    if weight is not None:
        losses, by_rows = (
            losses * weight[rows],
            RowGradients(*(None if g is None else g * weight[rows] for g in by_rows)),
        )
    return losses, by_rows, (None,) * len(parameters)


def blocked_statistics(source: Bilinear, targets: Targets) -> Rows:
    """:func:`lossary.kernels.rows.scores.statistics` in linear memory, differentiable to any order."""
    source = settled(source, targets)
    form = source.form
    if is_one_set(source, targets):
        factor, labels, radius = source.row_factor, targets.rows, source.radius
        powers = targets.sums == "powers"
        sets = ItemSets(source.x, factor, labels, 0, targets.scale, form.half, form.bound, powers, _root(radius))
        return Rows(*_set_statistics(*sets))
    return Rows(*_statistics(*source.tensors, *_labels(targets), *_marks(targets), *form))


def settled(source: Bilinear, targets: Targets) -> Bilinear:
    """With explicit directions, unless it is kernels that take them."""
    if source.radius is None or seam.by_triton(source, targets) is not None:
        return source
    # Columns that are the rows are normalised once.
    return _one_set(source) if source.w is source.x else source.explicit()


def _one_set(source: Bilinear) -> Bilinear:
    """Explicit directions of one set, as long on either side as the scores stay."""
    assert source.radius is not None
    x, factor = sphere_apart(accumulate(source.x), source.radius**0.5, source.half)
    own = source.row_factor
    if own is not None:
        factor = own if factor is None else own * factor
    return Bilinear(x, x, source.b, row_factor=factor, column_factor=factor, half=source.half, bound=source.bound)


def _root(radius: float | None) -> float | None:
    """Of either side, where it is given of their product."""
    return None if radius is None else radius**0.5


def is_one_set(source: Bilinear, targets: Targets) -> bool:
    """Whether the columns are the rows themselves, each without itself, so that the scores are symmetric."""
    alike = source.w is source.x and source.column_factor is source.row_factor
    symmetric_scores = alike and source.b is None and source.unit == (source.radius is not None)
    one_set = (
        targets.own
        and targets.first is None
        and targets.map is None
        and targets.columns is targets.rows
        and targets.row_groups is None
        and targets.sums != "softplus"
    )
    return symmetric_scores and one_set


def both_ways(source: Bilinear, row_labels: Tensor | None, column_labels: Tensor | None) -> Rows:
    """Statistics of the rows of scores, then of the columns; the scores are computed once.

    Without labels, row i and column i are each other's only target.
    """
    if source.radius is not None and seam.by_triton(source) is None:
        source = source.explicit(columns=True)
    items, factor = torch.cat([source.x, source.w]), None
    if source.row_factor is not None or source.column_factor is not None:
        given = ((source.row_factor, source.x), (source.column_factor, source.w))
        ones = (torch.ones(len(t), dtype=accumulator(t), device=t.device) if f is None else f for f, t in given)
        factor = torch.cat(list(ones))
    labels = None if row_labels is None or column_labels is None else torch.cat([row_labels, column_labels])
    cut, half, bound = source.x.shape[0], source.half, source.bound
    return Rows(*_set_statistics(*ItemSets(items, factor, labels, cut, 1.0, half, bound, False, _root(source.radius))))


# Operators, not autograd Functions: a compiler sees one node, where it would unroll a Function's loop over blocks
# (a minute for 64 of them).
@torch.library.custom_op("lossary::row_statistics", mutates_args=())
def _statistics(
    x: Tensor,
    w: Tensor,
    b: Tensor | None,
    row_factor: Tensor | None,
    column_factor: Tensor | None,
    rows: Tensor,
    columns: Tensor | None,
    row_groups: Tensor | None,
    column_groups: Tensor | None,
    map_by_row: Tensor | None,
    own: bool,
    scale: float,
    sums: str,
    means: bool,
    first: int | None,
    map_name: str,
    map_numbers: Sequence[float],
    unit: bool,
    centers: int,
    half: torch.dtype | None,
    bound: float | None,
    radius: float | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    source = Learning(x, w, b, row_factor, column_factor).with_form(Form(unit, centers, half, bound, radius))
    labels = (rows, columns, row_groups, column_groups, map_by_row)
    targets = _targets(labels, (own, scale, sums, means, first, map_name, map_numbers))
    return seam.row_statistics(source, targets)


@torch.library.custom_op("lossary::row_gradients", mutates_args=())
def _gradients(
    x: Tensor,
    w: Tensor,
    b: Tensor | None,
    row_factor: Tensor | None,
    column_factor: Tensor | None,
    rows: Tensor,
    columns: Tensor | None,
    row_groups: Tensor | None,
    column_groups: Tensor | None,
    map_by_row: Tensor | None,
    own: bool,
    scale: float,
    sums: str,
    means: bool,
    first: int | None,
    map_name: str,
    map_numbers: Sequence[float],
    unit: bool,
    centers: int,
    half: torch.dtype | None,
    bound: float | None,
    radius: float | None,
    found: Sequence[Tensor],
    by_target: Tensor | None,
    by_among: Tensor | None,
    by_rest: Tensor | None,
    by_mean: Tensor | None,
    needs: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    by_rows = RowGradients(by_target, by_among, by_rest, by_mean)
    source = Learning(x, w, b, row_factor, column_factor).with_form(Form(unit, centers, half, bound, radius))
    labels = (rows, columns, row_groups, column_groups, map_by_row)
    targets = _targets(labels, (own, scale, sums, means, first, map_name, map_numbers))
    needed = (needs[0], needs[1], needs[2], needs[3], needs[4])
    gradients = seam.row_gradients(source, targets, Rows(*found), by_rows, needed)
    # An operator can return only tensors: an empty one if no gradient is needed.
    by_x, by_w, by_b, by_r, by_c = (
        x.new_empty(0) if g is None or t is None else g.to(t.dtype)
        for g, t in zip(gradients, source.tensors, strict=True)
    )
    return by_x, by_w, by_b, by_r, by_c


#: The parts of targets that are not tensors: own, scale, sums, means, first, and their map's name and numbers.
Marks = tuple[bool, float, Any, bool, int | None, str, Sequence[float]]


def _labels(targets: Targets) -> tuple[Tensor | None, ...]:
    """The parts of targets that are tensors."""
    by_row = None if targets.map is None else targets.map.by_row
    return targets.rows, targets.columns, targets.row_groups, targets.column_groups, by_row


def _marks(targets: Targets) -> Marks:
    name, numbers = ("", ()) if targets.map is None else (targets.map.name, targets.map.numbers)
    plain = [n for n in numbers if not isinstance(n, Tensor)]
    return targets.own, targets.scale, targets.sums, targets.means, targets.first, name, plain


def _targets(labels: Sequence[Tensor | None], marks: Marks) -> Targets:
    rows, columns, rg, cg, by_row = labels
    assert rows is not None
    own, scale, sums, means, first, name, numbers = marks
    by = ScoreMap(name, tuple(numbers), by_row) if name else None
    return Targets(
        rows,
        columns,
        own=own,
        row_groups=rg,
        column_groups=cg,
        scale=scale,
        sums=sums,
        means=means,
        first=first,
        map=by,
    )


@_statistics.register_fake
def _(x: Tensor, *_: Any) -> tuple[Tensor, ...]:
    return tuple(x.new_empty(x.shape[0], dtype=accumulator(x)) for _ in Rows._fields)


@_gradients.register_fake
def _(x: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    needs = rest[-1]
    return tuple(
        torch.empty_like(t) if need and t is not None else x.new_empty(0)
        for t, need in zip((x, *rest[:4]), needs, strict=True)
    )


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.marks, ctx.form = inputs[10:17], Form(*inputs[17:])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs[:10], *output)


@_full_precision
def _statistics_backward(ctx: Any, _: Tensor | None, *by_rows: Tensor | None) -> tuple[Tensor | None, ...]:
    tensors = ctx.saved_tensors  # once: a checkpoint recomputes them each time
    learning, labels, found = tensors[:5], tensors[5:10], tensors[10:]
    needs = ctx.needs_input_grad[:5]
    if all(g is None for g in by_rows):
        return (None,) * 22
    if torch.is_grad_enabled():
        targets = _targets(labels, ctx.marks)
        gradients = TwiceDifferentiable.apply(targets, ctx.form, needs, found, *learning, *by_rows)
    else:
        gradients = _gradients(*learning, *labels, *ctx.marks, *ctx.form, list(found), *by_rows, list(needs))
    return *(g if need else None for g, need in zip(gradients, needs, strict=True)), *(None,) * 17


_statistics.register_autograd(_statistics_backward, setup_context=_remember)


@torch.library.custom_op("lossary::set_statistics", mutates_args=())
def _set_statistics(
    items: Tensor,
    factor: Tensor | None,
    labels: Tensor | None,
    split: int,
    scale: float,
    half: torch.dtype | None,
    bound: float | None,
    powers: bool,
    radius: float | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    return seam.set_statistics(ItemSets(items, factor, labels, split, scale, half, bound, powers, radius))


@torch.library.custom_op("lossary::set_gradients", mutates_args=())
def _set_gradients(
    items: Tensor,
    factor: Tensor | None,
    labels: Tensor | None,
    split: int,
    scale: float,
    half: torch.dtype | None,
    bound: float | None,
    powers: bool,
    radius: float | None,
    rows: Sequence[Tensor],
    by_target: Tensor | None,
    by_among: Tensor | None,
    by_rest: Tensor | None,
    by_mean: Tensor | None,
) -> tuple[Tensor, Tensor]:
    by_rows = RowGradients(by_target, by_among, by_rest, by_mean)
    sets = ItemSets(items, factor, labels, split, scale, half, bound, powers, radius)
    by_items, by_factor = seam.set_gradients(sets, Rows(*rows), by_rows)
    return by_items.to(items.dtype), items.new_empty(0) if by_factor is None else by_factor


_set_statistics.register_fake(
    lambda items, *_: tuple(items.new_empty(items.shape[0], dtype=accumulator(items)) for _ in Rows._fields)
)
_set_gradients.register_fake(
    lambda items, factor, *_: (torch.empty_like(items), items.new_empty(0) if factor is None else factor.clone())
)


def _remember_set(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    items, factor, labels, ctx.split, ctx.scale, ctx.half, ctx.bound, ctx.powers, ctx.radius = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(items, factor, labels, *output)


@_full_precision
def _set_statistics_backward(ctx: Any, _: Tensor | None, *by_rows: Tensor | None) -> tuple[Tensor | None, ...]:
    items, factor, labels, *rows = ctx.saved_tensors
    none = (None,) * 7
    if all(g is None for g in by_rows):
        return None, None, *none
    if not torch.is_grad_enabled():
        given = (items, factor, labels, ctx.split, ctx.scale, ctx.half, ctx.bound, ctx.powers, ctx.radius)
        by_items, by_factor = _set_gradients(*given, rows, *by_rows)
        return by_items, None if factor is None else by_factor, *none
    # In blocks of rows, which can be differentiated again: a set with itself, or each set with the other.
    cut, own = ctx.split, ctx.split == 0
    radius = None if ctx.radius is None else ctx.radius**2
    form = Form(radius is not None, half=ctx.half, bound=ctx.bound, radius=radius)
    needs = (True, True, False, factor is not None, factor is not None)
    first, second = slice(cut, None), slice(0, cut)
    gradients = [torch.zeros_like(items), None if factor is None else torch.zeros_like(factor)]
    for rows_of, columns_of in ((first, first),) if own else ((second, first), (first, second)):
        targets = _set_targets(labels, rows_of, columns_of, ctx, items)
        given, found = RowGradients(*by_rows).of(rows_of), tuple(s[rows_of] for s in rows)
        factors = (None if factor is None else factor[part] for part in (rows_of, columns_of))
        tensors = (items[rows_of], items[columns_of], None, *factors)
        by_x, by_w, _, by_r, by_c = TwiceDifferentiable.apply(targets, form, needs, found, *tensors, *given)
        for i, (by_rows_of, by_columns_of) in enumerate(((by_x, by_w), (by_r, by_c))):
            so_far = gradients[i]
            if so_far is not None:
                pad = torch.zeros_like(so_far)
                so_far = so_far + pad.slice_scatter(by_rows_of, 0, rows_of.start, rows_of.stop)
                gradients[i] = so_far + pad.slice_scatter(by_columns_of, 0, columns_of.start, columns_of.stop)
    return *gradients, *none


def _set_targets(labels: Tensor | None, rows: slice, columns: slice, ctx: Any, items: Tensor) -> Targets:
    if labels is None:
        return Targets(torch.arange(len(items[rows]), device=items.device), scale=ctx.scale)
    sums = "powers" if ctx.powers else "exponentials"
    return Targets(labels[rows], labels[columns], own=ctx.split == 0, scale=ctx.scale, sums=sums)


_set_statistics.register_autograd(_set_statistics_backward, setup_context=_remember_set)


class TwiceDifferentiable(torch.autograd.Function):
    """The gradients of the statistics, themselves differentiable, for ``create_graph=True``."""

    @staticmethod
    def forward(
        ctx: Any,
        targets: Targets,
        form: Form,
        needs: Needs,
        found: tuple[Tensor, ...],
        x: Tensor,
        w: Tensor,
        b: Tensor | None,
        row_factor: Tensor | None,
        column_factor: Tensor | None,
        *by_rows: Tensor | None,
    ) -> tuple[Tensor | None, ...]:
        ctx.targets, ctx.form = targets, form
        ctx.set_materialize_grads(False)
        learning = Learning(x, w, b, row_factor, column_factor)
        ctx.save_for_backward(*learning, *by_rows)
        source, by_rows_given = learning.with_form(form), RowGradients(*by_rows)
        gradients = seam.row_gradients(source, targets, Rows(*found), by_rows_given, needs)
        return tuple(
            None if g is None or t is None else g.to(t.dtype) for g, t in zip(gradients, learning, strict=True)
        )

    @staticmethod
    @_full_precision
    def backward(ctx: Any, *along: Any) -> Any:
        tensors = ctx.saved_tensors
        learning, by_rows = Learning(*tensors[:5]), RowGradients(*tensors[5:])
        none = (None,) * 4
        if all(a is None for a in along):
            return (None,) * 13
        x, w = tensors[:2]
        if torch.is_grad_enabled():  # third derivatives and beyond: exact, with all scores at once
            return none + _curvature(ctx, slice(0, len(x)), learning, by_rows, along)
        # Like gradients, summed in full precision.
        gradients = [None if t is None else torch.zeros_like(t, dtype=accumulator(t)) for t in tensors]
        size = blocks.block_rows(len(x), len(w), x.new_empty(0, dtype=accumulator(x)))
        for first in range(0, len(x), size):
            rows = slice(first, min(first + size, len(x)))
            parts = [None if t is None else t.detach().requires_grad_() for t in _some_rows(learning, by_rows, rows)]
            found = _curvature(ctx, rows, Learning(*parts[:5]), RowGradients(*parts[5:]), along)
            for place, part in zip(gradients, found, strict=True):
                if place is not None and part is not None:
                    (place if part.shape == place.shape else place[rows]).add_(part)
        return none + tuple(None if g is None else g.to(t.dtype) for g, t in zip(gradients, tensors, strict=True))


def _some_rows(learning: Learning, by_rows: RowGradients, rows: slice) -> list[Tensor | None]:
    x, w, b, r, c = learning
    return [None if x is None else x[rows], w, b, None if r is None else r[rows], c, *by_rows.of(rows)]


def _curvature(
    ctx: Any, rows: slice, learning: Learning, by_rows: RowGradients, along: tuple[Any, ...]
) -> tuple[Tensor | None, ...]:
    """Derivatives of <gradients of some rows, along>; one entry per row means these rows, except ``along``."""
    by_x, by_w, by_b, by_r, by_c = along
    with torch.enable_grad():
        tensors = distinct((*learning, *by_rows))
        learning, by_rows = Learning(*tensors[:5]), RowGradients(*tensors[5:])
        scores = learning.with_form(ctx.form).dense()
        inner = _dot(score_statistics(scores, ctx.targets.of(rows), rows.start)[1:], by_rows)
        by_rows_along = (None if a is None else a[rows] for a in (by_x, by_r))
        along = (next(by_rows_along), by_w, by_b, next(by_rows_along), by_c)
        outer = _dot(gradients_by(inner, learning), along)
    return gradients_by(outer, (*learning, *by_rows))


def _dot(left: tuple[Tensor | None, ...], right: tuple[Tensor | None, ...]) -> Tensor:
    products = [(a * b).sum() for a, b in zip(left, right, strict=True) if a is not None and b is not None]
    return torch.stack(products).sum()
