"""One batch over several processes: what the ranks of a group bring, gathered with its gradient.

Each rank keeps the losses of its own items and compares them with those of all ranks. Backward sums what the ranks'
losses say about an item, on the rank that brought it: so the average of the ranks' gradients, which is what
data-parallel training takes, is the gradient of one process with the whole batch. All ranks must take part in
forward and in backward, with the same arguments, which :mod:`lossary.distributed.handshake` sees to; a rank with an
empty batch too.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed
from torch.distributed import ProcessGroup

from lossary.distributed.handshake import meet, wait


@dataclass(frozen=True)
class Ranks:
    """How many items each rank of a group brings."""

    sizes: tuple[int, ...]
    rank: int
    group: ProcessGroup

    @classmethod
    def of(cls, group: ProcessGroup, **items: Tensor | None) -> "Ranks":
        """Those that are about to gather ``items``, each (N, ...) and named after the argument that it comes from.

        N may differ from rank to rank. The first is never None.
        """
        first = next(t for t in items.values() if t is not None)
        sizes = meet(group, torch.tensor(first.shape[0], device=first.device), items)
        return cls(tuple(sizes), distributed.get_rank(group), group)

    @property
    def first(self) -> int:
        """The place of this rank's first item among those of all ranks."""
        return sum(self.sizes[: self.rank])

    def gather(self, items: Tensor) -> Tensor:
        """The items of all ranks, (M, ...), from this rank's on: it, the later ones, then those before it.

        So item i of the rank is item i of the whole on every rank.
        """
        whole = _Gathered.apply(items, self) if items.requires_grad else self._collect(items)
        return whole.roll(-self.first, 0)

    def _collect(self, items: Tensor) -> Tensor:
        # Ranks exchange tensors of one size only, and not all backends know booleans.
        padded = items.new_zeros(max(self.sizes), *items.shape[1:], dtype=_sent(items.dtype))
        padded[: items.shape[0]] = items
        received = [torch.empty_like(padded) for _ in self.sizes]
        wait(distributed.all_gather(received, padded, group=self.group, async_op=True), self.group)
        return torch.cat([t[:n] for t, n in zip(received, self.sizes, strict=True)]).to(items.dtype)

    def _own_share(self, whole: Tensor) -> Tensor:
        total = whole.clone(memory_format=torch.contiguous_format)
        wait(distributed.all_reduce(total, group=self.group, async_op=True), self.group)
        return total.narrow(0, self.first, self.sizes[self.rank])


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, items: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return ranks._collect(items)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return _OwnShare.apply(grads[0], ctx.ranks), None


class _OwnShare(torch.autograd.Function):
    """The transpose of the gathering, and its gradient the gathering again: right to every order."""

    @staticmethod
    def forward(ctx: Any, whole: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return ranks._own_share(whole)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return _Gathered.apply(grads[0], ctx.ranks), None


def _sent(dtype: torch.dtype) -> torch.dtype:
    return torch.uint8 if dtype == torch.bool else dtype


def gathered(group: ProcessGroup | None, **items: Tensor | None) -> tuple[Any, ...]:
    """What has one entry an item, as in :meth:`Ranks.of`, over all ranks and this rank's first; alone as it is."""
    if group is None:
        return tuple(items.values())
    ranks = Ranks.of(group, **items)
    return tuple(None if t is None else ranks.gather(t) for t in items.values())


def numbered(items: Tensor, group: ProcessGroup | None) -> Tensor:
    """(N,) numbers for items, no two alike over the ranks."""
    numbers = torch.arange(items.shape[0], device=items.device)
    if group is None:
        return numbers
    return numbers * distributed.get_world_size(group) + distributed.get_rank(group)
