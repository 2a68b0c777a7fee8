"""Sums of softplus over a row's columns that are no targets: losses of one score at a time, such as SigLIP."""

from functools import partial

# Not of collections.abc: torch 2.6 makes no schema of that one, nor of list.
from typing import Any, Sequence  # noqa: UP035

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lossary.kernels.graph import distinct, gradients_by
from lossary.kernels.rows import blocks
from lossary.kernels.rows.routes import full_precision_backward
from lossary.kernels.rows.scores import Bilinear, Targets
from lossary.kernels.stable import softplus


def of_rows(x: Tensor, labels: Tensor, w: Tensor, b: Tensor | None, *, columns: Tensor, unit: bool = False) -> Tensor:
    """(N,) the sums, with all scores at once."""
    return softplus(Bilinear(x, w, b, unit).dense()).masked_fill(labels[:, None] == columns, 0).sum(1)


def by_blocks(source: Bilinear, labels: Tensor, columns: Tensor, size: int) -> Tensor:
    """The same by so many rows at a time, which are made again for the gradient: four products instead of three."""
    block = partial(of_rows, columns=columns, unit=source.unit)
    again = partial(checkpoint, block, use_reentrant=False, preserve_rng_state=False)
    parts = zip(source.x.split(size), labels.split(size), strict=True)
    return torch.cat([again(*part, source.w, source.b) for part in parts])


@torch.library.custom_op("lossary::rest_softplus", mutates_args=())
def by_triton(x: Tensor, w: Tensor, b: Tensor | None, labels: Tensor, columns: Tensor, unit: bool) -> Tensor:
    """The same by Triton's kernels, which keep no score."""
    from lossary.kernels.fused import rows

    return rows.rest_softplus(Bilinear(x, w, b, unit), Targets(labels, columns))


@torch.library.custom_op("lossary::rest_softplus_gradients", mutates_args=())
def _gradients(
    x: Tensor,
    w: Tensor,
    b: Tensor | None,
    labels: Tensor,
    columns: Tensor,
    unit: bool,
    by_sum: Tensor,
    needs: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor]:
    from lossary.kernels.fused import rows

    needed = (needs[0], needs[1], needs[2])
    found = rows.rest_softplus_gradients(Bilinear(x, w, b, unit), Targets(labels, columns), by_sum, needed)
    by_x, by_w, by_b = (x.new_empty(0) if g is None else g for g in found)
    return by_x, by_w, by_b


@by_triton.register_fake
def _(x: Tensor, *_: Any) -> Tensor:
    return x.new_empty(x.shape[0], dtype=torch.float32)


@_gradients.register_fake
def _(x: Tensor, w: Tensor, b: Tensor | None, *rest: Any) -> tuple[Tensor, ...]:
    needs = rest[-1]
    return tuple(
        torch.empty_like(t) if need and t is not None else x.new_empty(0)
        for t, need in zip((x, w, b), needs, strict=True)
    )


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.unit = inputs
    ctx.save_for_backward(*tensors)


@full_precision_backward
def _backward(ctx: Any, by_sum: Tensor) -> tuple[Tensor | None, ...]:
    x, w, b, labels, columns = ctx.saved_tensors
    needs = ctx.needs_input_grad[:3]
    if torch.is_grad_enabled():  # the gradient must lead on: that of plain torch does
        x, w, b = distinct((x, w, b))
        sums = by_blocks(Bilinear(x, w, b, ctx.unit), labels, columns, blocks.block_rows(len(x), len(w), x))
        return *gradients_by(sums, (x, w, b), by_sum), None, None, None
    gradients = _gradients(x, w, b, labels, columns, ctx.unit, by_sum, list(needs))
    return *(g if need else None for g, need in zip(gradients, needs, strict=True)), None, None, None


by_triton.register_autograd(_backward, setup_context=_remember)
