"""What computes the statistics and the gradients by them: blocks and tiles of torch's operations, or Triton kernels.

The former multiply the factors of full-precision vectors in before the products, the latter after them.
"""

from typing import Any

from torch import Tensor

from lossary.kernels.fused import switch
from lossary.kernels.rows import blocks, symmetric
from lossary.kernels.rows.blocks import Needs
from lossary.kernels.rows.items import Items
from lossary.kernels.rows.scores import Bilinear, ItemSets, Learning, RowGradients, Rows, Targets
from lossary.kernels.stable import accumulator


def by_triton(source: Bilinear, targets: Targets | None = None) -> Any:
    """The Triton kernels, imported here, if they are switched on and applicable; otherwise None."""
    if (
        not switch.ON
        or source.centers > 1
        or (targets is not None and (targets.map is not None or targets.sums == "powers"))
        or not switch.serve(source.x, *(source.half or accumulator(t) for t in (source.x, source.w)))
    ):
        return None
    from lossary.kernels.fused import rows

    return rows


def row_statistics(source: Bilinear, targets: Targets) -> Rows:
    """The statistics of all rows, in linear memory."""
    kernels = by_triton(source, targets)
    if kernels is None:
        return blocks.row_statistics(source, targets)
    return kernels.row_statistics(source, targets)


def row_gradients(source: Bilinear, targets: Targets, rows: Rows, by_rows: RowGradients, needs: Needs) -> Learning:
    """Gradients from those by the statistics, which forward computed; None where not needed."""
    kernels = by_triton(source, targets)
    if kernels is None:
        return blocks.row_gradients(source, targets, by_rows, needs)
    return kernels.row_gradients(source, targets, rows, by_rows, needs)


def set_statistics(sets: ItemSets) -> Rows:
    """Statistics of each item's scores with its others."""
    kernels = _set_by_triton(sets)
    return symmetric.set_statistics(_items(sets)) if kernels is None else kernels.set_statistics(sets)


def set_gradients(sets: ItemSets, rows: Rows, by_rows: RowGradients) -> tuple[Tensor, Tensor | None]:
    """The gradients by the items and their factors, given those by their statistics."""
    kernels = _set_by_triton(sets)
    if kernels is None:
        return symmetric.set_gradients(_items(sets), rows, by_rows)
    return kernels.set_gradients(sets, rows, by_rows)


def _set_by_triton(sets: ItemSets) -> Any:
    return None if sets.powers else by_triton(Bilinear(sets.items, sets.items, half=sets.half))


def _items(sets: ItemSets) -> Items:
    items, factor, labels, split, scale, half, bound, powers, radius = sets
    assert radius is None, "directions are the kernels' alone"
    return Items(items, factor, labels, split, scale, half, bound, powers)
