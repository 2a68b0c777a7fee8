"""One batch over several processes: the ranks' items, gathered with their gradients.

Each rank computes the losses of its own items, comparing them with the items of all ranks. Backward sums an item's
gradients from all ranks' losses on the rank that brought it, so the average of the ranks' gradients, which
data-parallel training takes, is the gradient of one process with the whole batch. All ranks must take part in forward
and backward, with the same arguments, which :mod:`lossary.distributed.handshake` checks; even a rank with an empty
batch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed
from torch.distributed import ProcessGroup

from lossary.distributed.exchange import Sizes, collect, dealt, summed
from lossary.distributed.handshake import meet
from lossary.distributed.shards import shard
from lossary.distributed.ways import is_ring


@dataclass(frozen=True)
class Ranks:
    """How many items each rank of a group has."""

    sizes: Sizes
    rank: int
    group: ProcessGroup

    @classmethod
    def of(cls, group: ProcessGroup, **items: Tensor | None) -> "Ranks":
        """The ranks that are about to gather ``items``, each (N, ...) and named after the argument that it comes from.

        N may differ between ranks. The first is never None.
        """
        first = next(t for t in items.values() if t is not None)
        sizes = meet(group, torch.tensor(first.shape[0], device=first.device), items)
        return cls(tuple(sizes), distributed.get_rank(group), group)

    @property
    def first(self) -> int:
        """The place of this rank's first item among those of all ranks."""
        return sum(self.sizes[: self.rank])

    def gather(self, items: Tensor, sent: torch.dtype | None = None) -> Tensor:
        """The items of all ranks, (M, ...), starting with this rank's, then the later ranks', then the earlier ones'.

        So a rank's own item i is item i of the result. Items that were widened from a narrower dtype travel in that
        dtype, ``sent``; their gradient is summed in the wide one.
        """
        whole = self.in_order(items, sent)
        return whole.roll(-self.first, 0) if self.first else whole

    def pass_by(self, items: Tensor) -> bool:
        """Whether items pass by instead of being gathered, which would hold all of them and their gradient."""
        return is_ring(sum(self.sizes), 2 * items[:1].numel() * items.element_size())

    def in_order(self, items: Tensor, sent: torch.dtype | None = None) -> Tensor:
        """The same in the order of the ranks."""
        if items.requires_grad:
            return _Gathered.apply(items, self, sent)
        return collect(items if sent is None else items.to(sent), self.sizes, self.group).to(items.dtype)

    def columns(self, numbers: Tensor, each: Sizes) -> Tensor:
        """From (N, C, ...), (M, c, ...): all ranks' items, this rank's columns; ``each``: the ranks' column counts."""
        here, rest = each[self.rank], numbers.shape[2:]
        sent = tuple(len(numbers) * size * rest.numel() for size in each)
        received = tuple(size * here * rest.numel() for size in self.sizes)
        found = exchanged(numbers.transpose(0, 1).flatten(), sent, received, self.group).split(received)
        return torch.cat(
            [part.view(here, size, *rest).transpose(0, 1) for part, size in zip(found, self.sizes, strict=True)]
        )

    def rows(self, numbers: Tensor, each: Sizes) -> Tensor:
        """The reverse: from (M, c), (N, C): this rank's items, all columns."""
        here = self.sizes[self.rank]
        sent = tuple(size * numbers.shape[1] for size in self.sizes)
        received = tuple(here * size for size in each)
        found = exchanged(numbers.flatten(), sent, received, self.group).split(received)
        return torch.cat([part.view(here, size) for part, size in zip(found, each, strict=True)], 1)

    def deal(self, parts: Tensor) -> Tensor:
        """From (M, ...), one entry per item of all ranks, (W, N, ...): what W ranks have for this one's N items."""
        back = (self.sizes[self.rank],) * len(self.sizes)
        return exchanged(parts, self.sizes, back, self.group).view(len(self.sizes), back[0], *parts.shape[1:])


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, items: Tensor, ranks: Ranks, sent: torch.dtype | None) -> Tensor:
        ctx.ranks = ranks
        return collect(items if sent is None else items.to(sent), ranks.sizes, ranks.group).to(items.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return _OwnShare.apply(grads[0], ctx.ranks), None, None


class _OwnShare(torch.autograd.Function):
    """The transpose of gathering; its gradient is gathering again, so it is right to every order."""

    @staticmethod
    def forward(ctx: Any, whole: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return summed(whole, ranks.sizes, ranks.rank, ranks.group)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return _Gathered.apply(grads[0], ctx.ranks, None), None


class _Dealt(torch.autograd.Function):
    """Its own transpose, with the sizes exchanged."""

    @staticmethod
    def forward(
        ctx: Any, parts: Tensor, sent: tuple[int, ...], received: tuple[int, ...], group: ProcessGroup
    ) -> Tensor:
        ctx.sizes = sent, received, group
        return dealt(parts, sent, received, group)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        sent, received, group = ctx.sizes
        return _Dealt.apply(grads[0], received, sent, group), None, None, None


class _WithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0] * ctx.factor, None


def with_gradient(tensor: Tensor, factor: float) -> Tensor:
    """The tensor, but with its gradient multiplied by ``factor``."""
    return _WithGradient.apply(tensor, factor)


def exchanged(parts: Tensor, sent: Sizes, received: Sizes, group: ProcessGroup) -> Tensor:
    """:func:`dealt` with its gradient."""
    return _Dealt.apply(parts, sent, received, group)


def of_all_classes(of: Callable[..., Tensor], items: Tensor, *weights: Tensor | None) -> Tensor:
    """(N, C) ``of(items, *weights)``. If the classes are spread over ranks, all must call, each with its own items."""
    assert weights[0] is not None
    shards = shard(weights[0])[1]
    if shards is None:
        return of(items, *weights)
    ranks = Ranks.of(shards.group, embeddings=items)
    found = of(ranks.in_order(items), *(None if w is None else shard(w)[0] for w in weights))
    return ranks.rows(found, tuple(shards.sizes))


def gathered(group: ProcessGroup | None, sent: torch.dtype | None = None, **items: Tensor | None) -> tuple[Any, ...]:
    """Tensors with one entry per item, as in :meth:`Ranks.of`, over all ranks, this one's first; as is without a group.

    With ``sent``, floating-point tensors were widened from that dtype, and travel in it.
    """
    if group is None:
        return tuple(items.values())
    ranks = Ranks.of(group, **items)
    return tuple(
        None if t is None else ranks.gather(t, sent if t.is_floating_point() else None) for t in items.values()
    )


def totals(group: ProcessGroup | None, **sums: Tensor) -> tuple[Tensor, ...]:
    """Sums of this rank's items, each added over all ranks; as is without a group."""
    if group is None:
        return tuple(sums.values())
    items = {name: own[None] for name, own in sums.items()}
    ranks = Ranks.of(group, **items)
    return tuple(ranks.gather(own).sum(0) for own in items.values())


def numbered(items: Tensor, group: ProcessGroup | None) -> Tensor:
    """Numbers for items, (N,), no two equal on any ranks."""
    numbers = torch.arange(items.shape[0], device=items.device)
    if group is None:
        return numbers
    return numbers * distributed.get_world_size(group) + distributed.get_rank(group)
