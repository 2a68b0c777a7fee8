"""What computes the statistics and the gradients by them: blocks and tiles of torch's operations, or Triton kernels.

In full precision, factors are multiplied in before; for half-precision vectors the kernels apply them.
"""

from typing import Any

import torch
from torch import Tensor

from lossary.kernels.fused import switch
from lossary.kernels.rows import blocks, symmetric
from lossary.kernels.rows.blocks import Needs
from lossary.kernels.rows.items import Items
from lossary.kernels.rows.kinds import by_own_target
from lossary.kernels.rows.scores import Bilinear, Learning, RowGradients, Rows, Targets
from lossary.kernels.rows.vectors import Vectors


def by_triton(source: Bilinear, targets: Targets | None = None) -> Any:
    """The Triton kernels, imported here, if they are switched on and applicable; otherwise None."""
    if (
        source.centers > 1
        or (targets is not None and (targets.map is not None or targets.sums == "powers"))
        or not switch.runs_on(*(v.multiplied for v in _folded(source)))
    ):
        return None
    from lossary.kernels.fused import rows

    return rows


def row_statistics(source: Bilinear, targets: Targets) -> Rows:
    """The statistics of all rows, in linear memory."""
    kernels = by_triton(source, targets) if switch.ON else None
    if kernels is None:
        return blocks.row_statistics(source, targets)
    if targets.sums == "exponentials":
        return kernels.row_statistics(_plain(source), targets)
    rest = kernels.rest_softplus(_plain(source), _labelled(targets, source))
    zeros = [torch.zeros_like(rest) for _ in range(4)]  # an operator's results must not share memory
    return Rows(zeros[0], zeros[1], zeros[2], rest, zeros[3])


def row_gradients(source: Bilinear, targets: Targets, rows: Rows, by_rows: RowGradients, needs: Needs) -> Learning:
    """Gradients from those by the statistics, which forward computed; None where not needed."""
    kernels = by_triton(source, targets) if switch.ON else None
    if kernels is None:
        return blocks.row_gradients(source, targets, by_rows, needs)
    x, w = _folded(source)
    wanted, plain = (needs[0] or needs[3], needs[1] or needs[4], needs[2]), _plain(source)
    if targets.sums == "exponentials":
        by_x, by_w, by_b = kernels.row_gradients(plain, targets, rows, by_rows, wanted)
    else:
        by_rest = torch.zeros_like(rows.rest) if by_rows.rest is None else by_rows.rest
        by_x, by_w, by_b = kernels.rest_softplus_gradients(plain, _labelled(targets, source), by_rest, wanted)
    factors = tuple(None if g is None else side.settle(g) for side, g in ((x, by_x), (w, by_w)))
    return Learning(by_x, by_w, by_b, *factors)


def set_statistics(items: Items) -> Rows:
    """Statistics of each item's scores with its others."""
    kernels = _set_by_triton(items) if switch.ON else None
    if kernels is None:
        return symmetric.set_statistics(items)
    vectors = items.vectors
    return kernels.set_statistics(vectors.multiplied, vectors.after, items.labels, items.split, items.scale)


def set_gradients(items: Items, rows: Rows, by_rows: RowGradients) -> tuple[Tensor, Tensor | None]:
    """The gradients by the items and their factors, given those by their statistics."""
    kernels = _set_by_triton(items) if switch.ON else None
    if kernels is None:
        return symmetric.set_gradients(items, rows, by_rows)
    vectors, by_target = items.vectors, None
    if items.labels is None:  # the only target's slope is most of the gradient, so it is not rounded
        by_target, by_rows = by_own_target(by_rows), by_rows._replace(target=None, among=None)
    given = (vectors.multiplied, vectors.after, items.labels, items.split, items.scale)
    gradient = kernels.set_gradients(*given, rows, by_rows)
    if by_target is not None:
        items.pull_pairs(by_target, gradient)
    return gradient, vectors.settle(gradient)


def _set_by_triton(items: Items) -> Any:
    x = items.vectors.multiplied
    return None if items.powers else by_triton(Bilinear(x, x, half=items.half))


def _folded(source: Bilinear) -> tuple[Vectors, Vectors]:
    """Both sides as they are multiplied."""
    return Vectors(source.x, source.row_factor, source.half), Vectors(source.w, source.column_factor, source.half)


def _plain(source: Bilinear) -> Bilinear:
    x, w = _folded(source)
    return Bilinear(x.multiplied, w.multiplied, source.b, source.unit, row_factor=x.after, column_factor=w.after)


def _labelled(targets: Targets, source: Bilinear) -> Targets:
    """With a label for every column."""
    return Targets(targets.rows, targets.labels(len(source.w)))
