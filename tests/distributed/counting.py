"""What goes over the wire, by the operators that torch calls: how often, and how many bytes a rank receives."""

import weakref
from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

#: Operators of ``c10d``, under shorter names.
NAMES = {
    "allgather_": "gather",
    "_allgather_base_": "gather",
    "_reduce_scatter_base_": "sum",
    "reduce_scatter_": "sum",
    "alltoall_base_": "deal",
    "allreduce_": "total",
    "send": "send",
    "recv_": "receive",
}


class Traffic(TorchDispatchMode):
    """Counts the exchanges that are made under it, in backward too; ``bytes`` are those of what comes out of them.

    ``shapes`` are those of all tensors that are made, ``peak`` how many bytes of them there are at most at a time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.bytes: Counter[str] = Counter()
        self.shapes: set[tuple[int, ...]] = set()
        self.now, self.peak = 0, 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "c10d":
            name = str(func._schema.name).removeprefix("c10d::")
            self.calls.append(NAMES.get(name, name))
            # The first argument is what is received, but of a send.
            received = [t for t in tree_leaves(args[0]) if isinstance(t, Tensor)]
            self.bytes[self.calls[-1]] += sum(t.numel() * t.element_size() for t in received)
        made = func(*args, **(kwargs or {}))
        for tensor in (t for t in tree_leaves(made) if isinstance(t, Tensor)):
            self.shapes.add(tuple(tensor.shape))
            if type(tensor) is Tensor:  # a DTensor's memory is its part's
                self._hold(tensor.untyped_storage())
        return made

    def _hold(self, storage: Any) -> None:
        if storage._cdata not in self._known:
            self._known.add(storage._cdata)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._drop, storage._cdata, storage.nbytes())

    def _drop(self, of: int, size: int) -> None:
        self._known.discard(of)
        self.now -= size


def traffic(run: Any) -> Traffic:
    with Traffic() as counted, torch.enable_grad():
        run()
    return counted
