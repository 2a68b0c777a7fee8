"""How autograd sees the blocks: three ways to the same gradient.

- :class:`SummedLoss`: the loss is summed inside and differentiated in the forward pass, while a block's scores
  are still there. Three products.
- :func:`blocked_statistics`: statistics out, any formula after them; backward makes the scores again. Four.
- Second derivatives: plain autograd over one block at a time.

No route hands out a gradient that leads nowhere: backward under grad mode always takes one that can be
differentiated again.
"""

import contextlib
import functools
from collections.abc import Callable

# Not of collections.abc: torch 2.6 makes no schema of that one, nor of list.
from typing import Any, Sequence  # noqa: UP035

import torch
from torch import Tensor

from lossary.kernels.fused import switch
from lossary.kernels.graph import check_closed, distinct, gradients_by
from lossary.kernels.modes import full_precision
from lossary.kernels.rows import blocks, symmetric
from lossary.kernels.rows.blocks import Blocks, Gradients, RowGradients
from lossary.kernels.rows.scores import Bilinear, Rows, Targets, score_statistics

RowFormula = Callable[..., Tensor]
#: Of rows and parameters: a formula's losses, (N,), and their gradients by the statistics, in closed form.
RowSlope = Callable[..., tuple[Tensor, RowGradients]]


def full_precision_backward(backward: Callable[..., Any]) -> Callable[..., Any]:
    """A backward that autocast, where it is called under one, leaves alone."""

    @functools.wraps(backward)
    def run(ctx: Any, *grads: Any) -> Any:
        # Not by what was saved: a checkpoint gives that once. Without a gradient nothing is multiplied.
        given = next((g for g in grads if g is not None), None)
        with contextlib.nullcontext() if given is None else full_precision(given):
            return backward(ctx, *grads)

    return run


class SummedLoss(torch.autograd.Function):
    """sum_i weight_i formula(rows_i): the gradient is taken in forward, block by block."""

    @staticmethod
    def forward(
        ctx: Any,
        formula: RowFormula,
        slope: RowSlope | None,
        unit: bool,
        centers: int,
        targets: Targets,
        weight: Tensor | None,
        x: Tensor,
        w: Tensor,
        b: Tensor | None,
        *parameters: Tensor,
    ) -> Tensor:
        source = Bilinear(x, w, b, unit, centers)
        needs = ctx.needs_input_grad[6:9]
        slope = None if any(ctx.needs_input_grad[9:]) else slope
        problem, gradients = Blocks(source, targets), Gradients(source, needs)
        by_parameters = [torch.zeros_like(p) for p in parameters]
        total = x.new_zeros(())
        for block in problem:
            some = (block.statistics, block.rows, weight, parameters)
            value, by_rows, parts = differentiate(formula, *some) if slope is None else at_once(slope, *some)
            total += value
            for whole, part in zip(by_parameters, parts, strict=True):
                if part is not None:
                    whole[block.rows if whole.dim() else ...] += part
            if any(needs):
                block.pull(by_rows)
                problem.push(block, gradients)
        problem.finish(gradients)
        ctx.gradients = (gradients.x, gradients.w, gradients.b, *by_parameters)
        ctx.formula, ctx.form, ctx.targets, ctx.weight = formula, (unit, centers), targets, weight
        ctx.save_for_backward(x, w, b, *parameters)
        return total

    @staticmethod
    @full_precision_backward
    def backward(ctx: Any, *grads: Any) -> Any:
        (by_loss,) = grads
        if ctx.gradients is not None and not torch.is_grad_enabled():
            # Handed out once and scaled in place: a product would be a second copy of every gradient.
            gradients, ctx.gradients = ctx.gradients, None
            scaled = (None if g is None else g.mul_(by_loss) for g in gradients)
            return (None,) * 6 + tuple(g if n else None for g, n in zip(scaled, ctx.needs_input_grad[6:], strict=True))
        with torch.enable_grad():
            x, w, b, *parameters = distinct(ctx.saved_tensors)
            losses = ctx.formula(blocked_statistics(Bilinear(x, w, b, *ctx.form), ctx.targets), *parameters)
            total = (losses if ctx.weight is None else losses * ctx.weight).sum()
        return (None,) * 6 + gradients_by(total, (x, w, b, *parameters), by_loss)


def differentiate(
    formula: RowFormula, statistics: Rows, rows: slice | Tensor, weight: Tensor | None, parameters: tuple[Tensor, ...]
) -> tuple[Tensor, RowGradients, tuple[Tensor | None, ...]]:
    """A block's summed loss, and its gradients by the statistics and by the parameters."""
    leaves = [s.requires_grad_() for s in statistics[1:]]
    parts = [(p[rows] if p.dim() else p).detach().requires_grad_(p.requires_grad) for p in parameters]
    with torch.enable_grad():
        losses = formula(Rows(statistics.targets, *leaves), *parts)
        total = (losses if weight is None else losses * weight[rows]).sum()
    check_closed(total, (*leaves, *parts))
    by_all = gradients_by(total, (*leaves, *parts))
    return total.detach(), RowGradients(*by_all[:4]), by_all[4:]


def at_once(
    slope: RowSlope, statistics: Rows, rows: slice | Tensor, weight: Tensor | None, parameters: tuple[Tensor, ...]
) -> tuple[Tensor, RowGradients, tuple[None, ...]]:
    """The same by a slope: autograd takes longer over a block's rows than all but the products with its scores."""
    losses, by_rows = slope(statistics, *(p[rows] if p.dim() else p for p in parameters))
    if weight is not None:
        losses, by_rows = (
            losses * weight[rows],
            RowGradients(*(None if g is None else g * weight[rows] for g in by_rows)),
        )
    return losses.sum(), by_rows, (None,) * len(parameters)


def blocked_statistics(source: Bilinear, targets: Targets) -> Rows:
    """:func:`lossary.kernels.rows.scores.statistics` in linear memory, differentiable to any order."""
    x, w, b, form = source.x, source.w, source.b, (source.unit, source.centers)
    if is_one_set(source, targets):
        return Rows(*_set_statistics(x, targets.rows, 0, targets.scale))
    groups = (targets.row_groups, targets.column_groups)
    return Rows(*_statistics(x, w, b, targets.rows, targets.columns, *groups, targets.own, targets.scale, *form))


def by_triton(source: Bilinear) -> Any:
    """Triton's kernels, imported here, where they are asked for and serve; else None."""
    if source.centers > 1 or not switch.runs_on(source.x, source.w):
        return None
    from lossary.kernels.fused import rows

    return rows


def row_gradients(
    source: Bilinear, targets: Targets, rows: Rows, by_rows: RowGradients, needs: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients by x, w and b from those by the statistics, which forward found; None where not needed."""
    kernels = by_triton(source)
    if kernels is not None:
        return kernels.row_gradients(source, targets, rows, by_rows, needs)
    gradients = blocks.row_gradients(source, targets, by_rows, needs)
    return gradients.x, gradients.w, gradients.b


def is_one_set(source: Bilinear, targets: Targets) -> bool:
    """Whether the columns are the rows themselves, each without itself, so that the scores are symmetric."""
    symmetric_scores = source.w is source.x and source.b is None and not source.unit
    one_set = targets.own and targets.columns is targets.rows and targets.row_groups is None
    return symmetric_scores and one_set


def both_ways(x: Tensor, w: Tensor, row_labels: Tensor, column_labels: Tensor) -> tuple[Rows, Rows]:
    """Statistics of the rows and of the columns of scores <x_i, w_j>, from one making of the scores."""
    cut = x.shape[0]
    both = _set_statistics(torch.cat([x, w]), torch.cat([row_labels, column_labels]), cut, 1.0)
    return Rows(*(s[:cut] for s in both)), Rows(*(s[cut:] for s in both))


# Operators, not autograd Functions: a compiler sees one node where it would unroll a Function's loop over blocks
# (a minute for 64 of them).
@torch.library.custom_op("lossary::row_statistics", mutates_args=())
def _statistics(
    x: Tensor,
    w: Tensor,
    b: Tensor | None,
    rows: Tensor,
    columns: Tensor | None,
    row_groups: Tensor | None,
    column_groups: Tensor | None,
    own: bool,
    scale: float,
    unit: bool,
    centers: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    targets = Targets(rows, columns, own=own, row_groups=row_groups, column_groups=column_groups, scale=scale)
    source = Bilinear(x, w, b, unit, centers)
    return (by_triton(source) or blocks).row_statistics(source, targets)


@torch.library.custom_op("lossary::row_gradients", mutates_args=())
def _gradients(
    x: Tensor,
    w: Tensor,
    b: Tensor | None,
    rows: Tensor,
    columns: Tensor | None,
    row_groups: Tensor | None,
    column_groups: Tensor | None,
    own: bool,
    scale: float,
    unit: bool,
    centers: int,
    found: Sequence[Tensor],
    by_target: Tensor | None,
    by_among: Tensor | None,
    by_rest: Tensor | None,
    by_mean: Tensor | None,
    needs: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor]:
    by_rows = RowGradients(by_target, by_among, by_rest, by_mean)
    needed = (needs[0], needs[1], needs[2])
    targets = Targets(rows, columns, own=own, row_groups=row_groups, column_groups=column_groups, scale=scale)
    gradients = row_gradients(Bilinear(x, w, b, unit, centers), targets, Rows(*found), by_rows, needed)
    # An operator returns tensors only: an empty one where no gradient is needed.
    none = x.new_empty(0)
    by_x, by_w, by_b = (none.clone() if g is None else g for g in gradients)
    return by_x, by_w, by_b


@_statistics.register_fake
def _(x: Tensor, *_: Any) -> tuple[Tensor, ...]:
    return tuple(x.new_empty(x.shape[0]) for _ in Rows._fields)


@_gradients.register_fake
def _(x: Tensor, w: Tensor, b: Tensor | None, *rest: Any) -> tuple[Tensor, ...]:
    needs = rest[-1]
    return tuple(
        torch.empty_like(t) if need and t is not None else x.new_empty(0)
        for t, need in zip((x, w, b), needs, strict=True)
    )


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    *tensors, ctx.own, ctx.scale, unit, centers = inputs
    ctx.form = (unit, centers)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, *output)


@full_precision_backward
def _statistics_backward(ctx: Any, _: Tensor | None, *by_rows: Tensor | None) -> tuple[Tensor | None, ...]:
    x, w, b, *rest = ctx.saved_tensors  # once: a checkpoint makes them again each time
    labels, found = rest[:4], rest[4:]
    needs = ctx.needs_input_grad[:3]
    if all(g is None for g in by_rows):
        return (None,) * 11
    if torch.is_grad_enabled():
        rows, columns, *groups = labels
        targets = Targets(rows, columns, own=ctx.own, row_groups=groups[0], column_groups=groups[1], scale=ctx.scale)
        gradients = TwiceDifferentiable.apply(targets, ctx.form, needs, found, x, w, b, *by_rows)
    else:
        gradients = _gradients(x, w, b, *labels, ctx.own, ctx.scale, *ctx.form, found, *by_rows, list(needs))
    return *(g if need else None for g, need in zip(gradients, needs, strict=True)), *(None,) * 8


_statistics.register_autograd(_statistics_backward, setup_context=_remember)


@torch.library.custom_op("lossary::set_statistics", mutates_args=())
def _set_statistics(
    items: Tensor, labels: Tensor, split: int, scale: float
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    return (by_triton(Bilinear(items, items)) or symmetric).set_statistics(items, labels, split, scale)


@torch.library.custom_op("lossary::set_gradients", mutates_args=())
def _set_gradients(
    items: Tensor,
    labels: Tensor,
    split: int,
    scale: float,
    rows: Sequence[Tensor],
    by_target: Tensor | None,
    by_among: Tensor | None,
    by_rest: Tensor | None,
    by_mean: Tensor | None,
) -> Tensor:
    by_rows = RowGradients(by_target, by_among, by_rest, by_mean)
    kernels = by_triton(Bilinear(items, items)) or symmetric
    return kernels.set_gradients(items, labels, split, scale, Rows(*rows), by_rows)


_set_statistics.register_fake(lambda items, *_: tuple(items.new_empty(items.shape[0]) for _ in Rows._fields))
_set_gradients.register_fake(lambda items, *_: torch.empty_like(items))


def _remember_set(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    items, labels, ctx.split, ctx.scale = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(items, labels, *output)


@full_precision_backward
def _set_statistics_backward(ctx: Any, _: Tensor | None, *by_rows: Tensor | None) -> tuple[Tensor | None, ...]:
    items, labels, *rows = ctx.saved_tensors
    if all(g is None for g in by_rows):
        return None, None, None, None
    if not torch.is_grad_enabled():
        return _set_gradients(items, labels, ctx.split, ctx.scale, rows, *by_rows), None, None, None
    # By blocks of rows, which can be differentiated again: a set with itself, or each set with the other.
    cut, needs, own = ctx.split, (True, True, False), ctx.split == 0
    first, second = slice(cut, None), slice(0, cut)
    gradient = torch.zeros_like(items)
    for rows_of, columns_of in ((first, first),) if own else ((second, first), (first, second)):
        targets = Targets(labels[rows_of], labels[columns_of], own=own, scale=ctx.scale)
        given, found = RowGradients(*by_rows).of(rows_of), tuple(s[rows_of] for s in rows)
        x, w = items[rows_of], items[columns_of]
        by_x, by_w, _ = TwiceDifferentiable.apply(targets, (False, 1), needs, found, x, w, None, *given)
        pad = torch.zeros_like(items)
        gradient = gradient + pad.slice_scatter(by_x, 0, rows_of.start, rows_of.stop)
        gradient = gradient + pad.slice_scatter(by_w, 0, columns_of.start, columns_of.stop)
    return gradient, None, None, None


_set_statistics.register_autograd(_set_statistics_backward, setup_context=_remember_set)


class TwiceDifferentiable(torch.autograd.Function):
    """The gradients of the statistics, differentiable themselves: what ``create_graph=True`` gets."""

    @staticmethod
    def forward(
        ctx: Any,
        targets: Targets,
        form: tuple[bool, int],
        needs: tuple[bool, bool, bool],
        found: tuple[Tensor, ...],
        x: Tensor,
        w: Tensor,
        b: Tensor | None,
        *by_rows: Tensor | None,
    ) -> tuple[Tensor | None, ...]:
        ctx.targets, ctx.form = targets, form
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, w, b, *by_rows)
        return row_gradients(Bilinear(x, w, b, *form), targets, Rows(*found), RowGradients(*by_rows), needs)

    @staticmethod
    @full_precision_backward
    def backward(ctx: Any, *along: Any) -> Any:
        x, w, b, *by_rows = ctx.saved_tensors
        by_rows = RowGradients(*by_rows)
        none = (None,) * 4
        if all(a is None for a in along):
            return (None,) * 11
        if torch.is_grad_enabled():  # third derivatives and beyond: exact, with all scores at once
            return none + _curvature(ctx, slice(0, len(x)), x, w, b, by_rows, along)
        gradients = [None if t is None else torch.zeros_like(t) for t in (x, w, b, *by_rows)]
        size = blocks.block_rows(len(x), len(w), x)
        for first in range(0, len(x), size):
            rows = slice(first, min(first + size, len(x)))
            parts: list[Any] = [None if t is None else t.detach().requires_grad_() for t in (w, b, *by_rows.of(rows))]
            wb, bb, *by_block = parts
            xb = x[rows].detach().requires_grad_()
            by_x, *by_w_b_rows = _curvature(ctx, rows, xb, wb, bb, RowGradients(*by_block), along)
            for place, part in zip(gradients, (by_x, *by_w_b_rows), strict=True):
                if place is not None and part is not None:
                    (place if part.shape == place.shape else place[rows]).add_(part)
        return none + tuple(gradients)


def _curvature(
    ctx: Any, rows: slice, x: Tensor, w: Tensor, b: Tensor | None, by_rows: RowGradients, along: tuple[Any, ...]
) -> tuple[Tensor | None, ...]:
    """Derivatives of <gradients of some rows, along> by x, w, b and by_rows; x and by_rows are those rows' alone."""
    by_x, by_w, by_b = along
    with torch.enable_grad():
        x, w, b, *rest = distinct((x, w, b, *by_rows))
        by_rows = RowGradients(*rest)
        scores = Bilinear(x, w, b, *ctx.form).dense()
        inner = _dot(score_statistics(scores, ctx.targets.of(rows), rows.start)[1:], by_rows)
        outer = _dot(gradients_by(inner, (x, w, b)), (None if by_x is None else by_x[rows], by_w, by_b))
    return gradients_by(outer, (x, w, b, *by_rows))


def _dot(left: tuple[Tensor | None, ...], right: tuple[Tensor | None, ...]) -> Tensor:
    products = [(a * b).sum() for a, b in zip(left, right, strict=True) if a is not None and b is not None]
    return torch.stack(products).sum()
