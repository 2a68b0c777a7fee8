"""Second derivatives of statistics: plain autograd over one block of rows at a time."""

from typing import Any

import torch
from torch import Tensor

from lossary.kernels.graph import distinct, gradients_by
from lossary.kernels.modes import backward_in_full_precision
from lossary.kernels.rows import blocks, seam
from lossary.kernels.rows.blocks import Needs
from lossary.kernels.rows.scores import Form, Learning, RowGradients, Rows, Targets, score_statistics
from lossary.kernels.stable import accumulator


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
    @backward_in_full_precision
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
