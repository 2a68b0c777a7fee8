"""How autograd sees the blocks: three ways to the same gradient.

- :class:`SummedLoss`: the loss is summed inside and differentiated in the forward pass, while a block's scores still
  exist. Three products.
- :func:`blocked_statistics`: returns statistics, to which any formula is applied; backward recomputes the scores. Four.
- Second derivatives: plain autograd over one block at a time (:mod:`lossary.kernels.rows.twice`).

No route returns a gradient that cannot be differentiated: backward under grad mode always computes one that can.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lossary.kernels.graph import check_closed, distinct, gradients_by
from lossary.kernels.modes import backward_in_full_precision
from lossary.kernels.rows import operators, seam
from lossary.kernels.rows.blocks import Blocks, Gradients
from lossary.kernels.rows.scores import Bilinear, Form, ItemSets, Learning, RowGradients, Rows, Targets
from lossary.kernels.stable import accumulate, accumulator, sphere_apart

RowFormula = Callable[..., Tensor]
#: From rows and parameters: a formula's losses, (N,), and their gradients by the statistics, in closed form.
RowSlope = Callable[..., tuple[Tensor, RowGradients]]


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
    @backward_in_full_precision
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
        return Rows(*operators.set_statistics(*sets))
    return Rows(
        *operators.row_statistics(*source.tensors, *operators.labels_of(targets), *operators.marks_of(targets), *form)
    )


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
    return Rows(
        *operators.set_statistics(*ItemSets(items, factor, labels, cut, 1.0, half, bound, False, _root(source.radius)))
    )
