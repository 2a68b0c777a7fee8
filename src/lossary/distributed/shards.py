"""A head whose classes are spread over the ranks of a group: its weight is a ``DTensor`` with ``Shard(0)``.

This is torch's own form: optimisers train it, and ``torch.distributed.checkpoint`` saves it on some ranks and loads it
on others. Rows are divided among the ranks as by ``torch.chunk``: the last ranks may have fewer, or none.
"""

import sys
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, distributed
from torch.distributed import ProcessGroup


@dataclass(frozen=True)
class Shards:
    """C classes over the ranks of a group."""

    group: ProcessGroup
    classes: int

    @property
    def cuts(self) -> list[int]:
        """The first class of each rank, and C."""
        ranks = distributed.get_world_size(self.group)
        most = -(-self.classes // ranks)
        return [min(rank * most, self.classes) for rank in range(ranks + 1)]

    @property
    def sizes(self) -> list[int]:
        """How many classes each rank has."""
        return [stop - start for start, stop in pairwise(self.cuts)]

    @property
    def own(self) -> slice:
        """The classes of this rank."""
        rank = distributed.get_rank(self.group)
        return slice(*self.cuts[rank : rank + 2])


#: Types of tensors that lie on one rank: nearly all of them, so this is asked before anything is called.
WHOLE = (Tensor, torch.nn.Parameter)


def is_sharded(weight: Tensor) -> bool:
    """Whether it is a ``DTensor``; unless their module was imported, there are none."""
    if type(weight) in WHOLE:
        return False
    known = sys.modules.get("torch.distributed.tensor")
    return known is not None and isinstance(weight, known.DTensor)


def check_whole(weight: Tensor, name: str = "weight") -> None:
    """For code that cannot handle shards."""
    if is_sharded(weight):
        raise TypeError(f"{name}: wanted a whole tensor here; got one whose classes are spread over ranks")


def check_own(items: object, name: str) -> None:
    """A batch must be this rank's own items."""
    if isinstance(items, Tensor) and is_sharded(items):
        raise TypeError(
            f"{name}: wanted this rank's own items, and group for one batch of all; got a DTensor: to_local()"
        )


def group_of(weight: Tensor) -> ProcessGroup | None:
    """The group over which a weight's classes are spread; None for a whole weight."""
    shards = shard(weight)[1]
    return None if shards is None else shards.group


def shard_alike(name: str, tensor: Tensor, weight: Tensor) -> Tensor:
    """This rank's part of a tensor that is sharded like the weight."""
    if is_sharded(tensor) != is_sharded(weight):
        came = "a DTensor" if is_sharded(tensor) else "a whole tensor"
        raise TypeError(f"{name}: wanted its classes on the same ranks as those of weight, or both whole; got {came}")
    return shard(tensor)[0]


def shard(weight: Tensor) -> tuple[Tensor, Shards | None]:
    """This rank's classes of a weight, and which they are; for a whole weight, all of them and None.

    Raises:
        ValueError: Its classes are spread in a different way.
    """
    if type(weight) in WHOLE or not is_sharded(weight):
        return weight, None
    found: Any = weight
    if found.device_mesh.ndim != 1 or not found.placements[0].is_shard(0):
        came = f"{found.placements} over a mesh of {tuple(found.device_mesh.shape)}"
        raise ValueError(f"weight: wanted a DTensor of placements (Shard(dim=0),), one shard per rank; got {came}")
    shards = Shards(found.device_mesh.get_group(), found.shape[0])
    local, (start, stop) = found.to_local(), (shards.own.start, shards.own.stop)
    if local.shape[0] != stop - start:
        wanted = f"wanted {stop - start} of {found.shape[0]} classes on this rank, as torch.chunk cuts them"
        raise ValueError(f"weight: {wanted}; got {local.shape[0]}")
    return local, shards
