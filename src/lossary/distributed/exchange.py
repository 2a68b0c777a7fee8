"""The exchanges that everything else here is built from, over the first dimension of tensors, and their costs.

Of N items in all, n of them here, of b bytes each, a rank receives (N - n) b in ``collect`` and in ``summed``, and in
``dealt`` as much as the others have for it. Each is differentiable to every order, since its transpose is one of them.
What is only moved travels as bytes, whatever its dtype; what is added up travels in its own dtype.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, distributed
from torch.distributed import ProcessGroup

from lossary.distributed.handshake import begun, wait

Sizes = tuple[int, ...]


def _first(*names: str) -> Any:
    """torch's function with the first of these names that exists: 2.13 has new names."""
    return next(getattr(distributed, name) for name in names if hasattr(distributed, name))


_all_gather = _first("all_gather_single", "all_gather_into_tensor")
_reduce_scatter = _first("reduce_scatter_single", "reduce_scatter_tensor")


def collect(items: Tensor, sizes: Sizes, group: ProcessGroup) -> Tensor:
    """The items of all ranks, in the order of the ranks."""
    if len(set(sizes)) == 1:
        whole = items.new_empty(sum(sizes), *items.shape[1:])
        _run(_all_gather, group, _bytes(whole), _bytes(items))
        return whole
    # Backends only exchange tensors of equal size.
    padded = items.new_zeros(max(sizes), *items.shape[1:])
    padded[: items.shape[0]] = items
    everyone = items.new_empty(len(sizes), *padded.shape)
    _run(_all_gather, group, _bytes(everyone.flatten(0, 1)), _bytes(padded))
    return torch.cat([each[:size] for each, size in zip(everyone, sizes, strict=True)])


def summed(whole: Tensor, sizes: Sizes, rank: int, group: ProcessGroup) -> Tensor:
    """This rank's part of the sum of the ranks' tensors, each of which covers all ranks' items."""
    whole, part = whole.contiguous(), whole.new_empty(sizes[rank], *whole.shape[1:])
    if len(set(sizes)) == 1:
        _run(_reduce_scatter, group, part, whole)
    else:
        _run(distributed.reduce_scatter, group, part, list(whole.split(sizes)))
    return part


def dealt(parts: Tensor, sent: Sizes, received: Sizes, group: ProcessGroup) -> Tensor:
    """Send each rank its part of ``parts``; return what the ranks have for this one, in their order."""
    found = parts.new_empty(sum(received), *parts.shape[1:])
    _run(distributed.all_to_all_single, group, _bytes(found), _bytes(parts), list(received), list(sent))
    return found


def passing(
    tensors: Sequence[Tensor | None], size: int, group: ProcessGroup
) -> Callable[[], tuple[Tensor | None, ...]]:
    """Send tensors to the rank before this one; call the result to wait for those of the next rank, ``size`` items."""
    ranks, rank = distributed.get_world_size(group), distributed.get_rank(group)
    if ranks == 1:
        return lambda: tuple(tensors)
    before, after = (distributed.get_global_rank(group, (rank + step) % ranks) for step in (-1, 1))
    sent = [None if t is None else _bytes(t) for t in tensors]
    coming = tuple(None if t is None else t.new_empty(size, *t.shape[1:]) for t in tensors)
    pairs = [(distributed.isend, t, before) for t in sent] + [
        (distributed.irecv, None if t is None else _bytes(t), after) for t in coming
    ]
    operations = [distributed.P2POp(do, t, rank, group) for do, t, rank in pairs if t is not None and t.numel()]
    works = begun(lambda: distributed.batch_isend_irecv(operations), group) if operations else []

    def arrived() -> tuple[Tensor | None, ...]:
        for work in works:
            wait(work, group, at_once=True)
        sent.clear()  # they had to be kept until now
        return coming

    return arrived


def _bytes(tensor: Tensor) -> Tensor:
    """The rows as bytes, (rows, bytes): not all backends know booleans, or bfloat16."""
    tensor = tensor.contiguous()
    return (tensor.flatten(1) if tensor.dim() > 1 else tensor[:, None]).view(torch.uint8)


def _run(exchange: Callable[..., Any], group: ProcessGroup, *given: Any) -> None:
    wait(exchange(*given, group=group, async_op=True), group)
