"""A sum or mean of plain functions of rows, whose gradient is computed while a block's scores exist.

As :mod:`lossary.kernels.rows.readings`, in three products instead of four: items' weights are known in advance.
"""

from __future__ import annotations  # torch 2.6 compiles no inner function with a tuple[...] in its annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from lossary.core.reduce import divide, reduce
from lossary.kernels.graph import distinct, gradients_by, learns
from lossary.kernels.modes import full_precision, plain_only
from lossary.kernels.rows.blocks import Gradients
from lossary.kernels.rows.formula import fits_densely
from lossary.kernels.rows.readings import (
    HELD_AT_ONCE,
    ItemBlock,
    Read,
    item_blocks,
    needs_of,
    push,
    read_rows,
    sources_of,
)
from lossary.kernels.rows.routes import scaled_gradient
from lossary.kernels.rows.scores import Bilinear, Form
from lossary.kernels.rows.swept import Pulled
from lossary.kernels.stable import accumulator

#: From items, their weights, and blocks of scores, which it computes and overwrites: the losses, (n,), and the gradient
#: of their weighted sum by each source's scores, mostly in the same memory; None if there is none.
Pull = Callable[..., tuple[Tensor, tuple[Pulled | None, ...]]]

#: Scores per source that an accelerator holds at once: products of a thousand rows are as fast as larger ones.
LARGEST = 1 << 26


class _Loss(NamedTuple):
    """A loss in two forms, and how many rows of each source make an item."""

    read: Read
    pull: Pull
    each: tuple[int, ...]
    units: tuple[float, ...]

    def read_all(self, sources: list[Bilinear]) -> Tensor:
        """The losses (N,), whose gradient is in closed form."""

        def slopes(items: slice, _: Any, by: tuple[Tensor], *blocks: ItemBlock) -> tuple[Pulled | None, ...]:
            return self.pull(items, by[0], *blocks)[1]

        return read_rows(self.read, *sources, slopes=slopes, each=self.each, units=self.units)[0]


def read_loss(
    read: Read,
    pull: Pull,
    *sources: Bilinear,
    weight: Tensor | None,
    reduction: str,
    group: ProcessGroup | None = None,
    each: tuple[int, ...] | None = None,
    units: tuple[float, ...] | None = None,
) -> Tensor:
    """The losses ``read(items, *scores)[0]`` for all items, reduced, in linear memory; gradients flow to the sources.

    Args:
        read: Plain differentiable torch, item by item: see :func:`lossary.kernels.rows.readings.read_rows`.
        pull: The same and its gradient in closed form.
        sources: All with the same number of items.
        weight: (N,) weights of the items; mean is ``sum(w l) / sum(w)``.
        reduction: ``"none"``, ``"sum"`` or ``"mean"``.
        group: Process group over which the mean's divisor is summed.
        each: How many rows of each source make an item; None for 1.
        units: The factor of each source's scores when ``pull`` gets them: see there.
    """
    ones = (1,) * len(sources)
    loss, given = _Loss(read, pull, each or ones, units or ones), [t for s in sources for t in s.tensors]
    dense = plain_only() or all(map(fits_densely, sources))
    if dense or reduction == "none" or not (torch.is_grad_enabled() and any(map(learns, given))):
        return reduce(loss.read_all(list(sources)), weight=weight, reduction=reduction, group=group)
    x, count = sources[0].x, len(sources[0].x) // loss.each[0]
    with full_precision(x):
        shares = x.new_ones(count, dtype=accumulator(x)) if weight is None else weight.to(accumulator(x))
        total = _Summed.apply(loss, tuple(s.form for s in sources), shares, *given)
    return total if reduction == "sum" else divide(total, count if weight is None else shares.sum(), group=group)


class _Summed(torch.autograd.Function):
    """sum_i weight_i loss_i."""

    @staticmethod
    def forward(ctx: Any, loss: _Loss, forms: tuple[Form, ...], weight: Tensor, *tensors: Tensor | None) -> Tensor:
        sources = sources_of(forms, tensors)
        problems = item_blocks(sources, HELD_AT_ONCE, loss.each, loss.units, LARGEST)
        sums = [Gradients(s, needs_of(ctx.needs_input_grad[3:], k)) for k, s in enumerate(sources)]
        total = torch.zeros_like(weight[:1]).sum()
        for blocks in zip(*problems, strict=True):
            items = blocks[0].items
            losses, slopes = loss.pull(items, weight[items], *blocks)
            total += losses @ weight[items]
            push(problems, blocks, slopes, sums)
        for problem, into in zip(problems, sums, strict=True):
            problem.finish(into)
        ctx.gradients = [g for into in sums for g in into.found()]
        ctx.loss, ctx.forms = loss, forms
        ctx.save_for_backward(weight, *tensors)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (by_total,) = grads
        weight, *tensors = ctx.saved_tensors
        if ctx.gradients is not None and not torch.is_grad_enabled():
            # Returned once and scaled in place: a product would be a second copy of every gradient.
            found, ctx.gradients = ctx.gradients, None
            scaled = (
                None if g is None else scaled_gradient(g, by_total, t) for g, t in zip(found, tensors, strict=True)
            )
            return None, None, None, *scaled
        with torch.enable_grad(), full_precision(by_total):
            tensors = distinct(tensors)
            total = (ctx.loss.read_all(sources_of(ctx.forms, tensors)) * weight).sum()
        return None, None, None, *gradients_by(total, tensors, by_total)
