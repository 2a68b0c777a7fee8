"""The statistics and their gradients as operators of torch.

Not autograd Functions: a compiler sees one node, where it would unroll a Function's loop over blocks (a minute for 64
of them).
"""

# Not from collections.abc: torch 2.6 cannot make a schema of that one, nor of list.
from typing import Any, Sequence  # noqa: UP035

import torch
from torch import Tensor

from lossary.kernels.modes import backward_in_full_precision
from lossary.kernels.rows import seam
from lossary.kernels.rows.maps import ScoreMap
from lossary.kernels.rows.scores import Form, ItemSets, Learning, RowGradients, Rows, Targets
from lossary.kernels.rows.twice import TwiceDifferentiable
from lossary.kernels.stable import accumulator


@torch.library.custom_op("lossary::row_statistics", mutates_args=())
def row_statistics(
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
    paired: bool,
    unit: bool,
    centers: int,
    half: torch.dtype | None,
    bound: float | None,
    radius: float | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    source = Learning(x, w, b, row_factor, column_factor).with_form(Form(unit, centers, half, bound, radius))
    labels = (rows, columns, row_groups, column_groups, map_by_row)
    targets = _targets(labels, (own, scale, sums, means, first, map_name, map_numbers, paired))
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
    paired: bool,
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
    targets = _targets(labels, (own, scale, sums, means, first, map_name, map_numbers, paired))
    needed = (needs[0], needs[1], needs[2], needs[3], needs[4])
    gradients = seam.row_gradients(source, targets, Rows(*found), by_rows, needed)
    # An operator can return only tensors: an empty one if no gradient is needed.
    by_x, by_w, by_b, by_r, by_c = (
        x.new_empty(0) if g is None or t is None else g.to(t.dtype)
        for g, t in zip(gradients, source.tensors, strict=True)
    )
    return by_x, by_w, by_b, by_r, by_c


#: The parts of targets that are not tensors: own, scale, sums, means, first, their map's name and
#: numbers, and paired.
Marks = tuple[bool, float, Any, bool, int | None, str, Sequence[float], bool]


def labels_of(targets: Targets) -> tuple[Tensor | None, ...]:
    """The parts of targets that are tensors."""
    by_row = None if targets.map is None else targets.map.by_row
    return targets.rows, targets.columns, targets.row_groups, targets.column_groups, by_row


def marks_of(targets: Targets) -> Marks:
    name, numbers = ("", ()) if targets.map is None else (targets.map.name, targets.map.numbers)
    plain = [n for n in numbers if not isinstance(n, Tensor)]
    return targets.own, targets.scale, targets.sums, targets.means, targets.first, name, plain, targets.paired


def _targets(labels: Sequence[Tensor | None], marks: Marks) -> Targets:
    rows, columns, rg, cg, by_row = labels
    assert rows is not None
    own, scale, sums, means, first, name, numbers, paired = marks
    by = ScoreMap(name, tuple(numbers), by_row) if name else None
    return Targets(
        rows,
        columns,
        own=own,
        paired=paired,
        row_groups=rg,
        column_groups=cg,
        scale=scale,
        sums=sums,
        means=means,
        first=first,
        map=by,
    )


@row_statistics.register_fake
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
    ctx.marks, ctx.form = inputs[10:18], Form(*inputs[18:])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs[:10], *output)


@backward_in_full_precision
def _statistics_backward(ctx: Any, _: Tensor | None, *by_rows: Tensor | None) -> tuple[Tensor | None, ...]:
    tensors = ctx.saved_tensors  # once: a checkpoint recomputes them each time
    learning, labels, found = tensors[:5], tensors[5:10], tensors[10:]
    needs = ctx.needs_input_grad[:5]
    if all(g is None for g in by_rows):
        return (None,) * 23
    if torch.is_grad_enabled():
        targets = _targets(labels, ctx.marks)
        gradients = TwiceDifferentiable.apply(targets, ctx.form, needs, found, *learning, *by_rows)
    else:
        gradients = _gradients(*learning, *labels, *ctx.marks, *ctx.form, list(found), *by_rows, list(needs))
    return *(g if need else None for g, need in zip(gradients, needs, strict=True)), *(None,) * 18


row_statistics.register_autograd(_statistics_backward, setup_context=_remember)


@torch.library.custom_op("lossary::set_statistics", mutates_args=())
def set_statistics(
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


set_statistics.register_fake(
    lambda items, *_: tuple(items.new_empty(items.shape[0], dtype=accumulator(items)) for _ in Rows._fields)
)
_set_gradients.register_fake(
    lambda items, factor, *_: (torch.empty_like(items), items.new_empty(0) if factor is None else factor.clone())
)


def _remember_set(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    items, factor, labels, ctx.split, ctx.scale, ctx.half, ctx.bound, ctx.powers, ctx.radius = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(items, factor, labels, *output)


@backward_in_full_precision
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


set_statistics.register_autograd(_set_statistics_backward, setup_context=_remember_set)
