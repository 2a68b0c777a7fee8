"""Counts what a program of torch would do on an accelerator, by running it on tensors without values.

Tensors lie on torch's meta device, so that everything happens but the numbers, at any size, and the library goes the
ways of an accelerator. Only small integers keep their values (labels, orders, counts): what the host reads of them is
true, and so is the work that follows from it. What it reads of other numbers is made up: True, 1, and an entry a row.
"""

import functools
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast
from unittest import mock

import torch
from torch import Tensor
from torch._library.custom_ops import OPDEFS
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from benchmarks.meter.costs import Cost, cost
from lossary.core import device as _device

aten = torch.ops.aten
#: Integers up to this many keep their values.
KNOWN = 1 << 18
META = torch.device("meta")
LIBRARY = f"{Path(_device.__file__).parents[1].as_posix()}/"
#: Bytes of the accelerator that is counted for.
MEMORY = 80 << 30
WITH_MASKS = (aten.index.Tensor, aten.index_put_.default, aten.index_put.default)


class Values:
    """The values of small integer tensors, by the memory that they lie in: so views and changes in place are seen."""

    def __init__(self) -> None:
        self._of: dict[int, Tensor] = {}

    def known(self, t: Tensor) -> bool:
        return t.device != META or key(t) in self._of

    def of(self, t: Tensor) -> Tensor:
        """On the CPU, as a view of what is known."""
        return t if t.device != META else strided(self._of[key(t)], t)

    def keep(self, t: Tensor, values: Tensor) -> None:
        storage = t.untyped_storage()
        if storage._cdata not in self._of:
            self._of[storage._cdata] = torch.zeros(storage.nbytes(), dtype=torch.uint8)
            weakref.finalize(storage, self._of.pop, storage._cdata, None)
        strided(self._of[storage._cdata], t).copy_(values)

    def forget(self, t: Tensor) -> None:
        self._of.pop(key(t), None)


def key(t: Tensor) -> int:
    return t.untyped_storage()._cdata


def strided(memory: Tensor, like: Tensor) -> Tensor:
    return memory.view(like.dtype).as_strided(like.size(), like.stride(), like.storage_offset())


class Memory:
    """How much is allocated at once."""

    def __init__(self) -> None:
        self.now, self.peak = 0, 0
        self._known: set[int] = set()

    def leave_out(self, t: Tensor) -> None:
        self._known.add(key(t))

    def see(self, t: Tensor) -> None:
        storage = t.untyped_storage()
        if storage._cdata in self._known:
            return
        self._known.add(storage._cdata)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())

    def _gone(self, which: int, size: int) -> None:
        self._known.discard(which)
        self.now -= size


class Kind(NamedTuple):
    """What is known of an operator whatever it is given."""

    ours: bool  # an operator of the library
    composite: bool  # made of others, which are counted instead
    unknown_size: bool  # its result's size depends on values
    changes: bool  # something in place
    same: bool  # gives back its first tensor as it was, but for its values
    view: bool


@functools.cache
def kind(func: Any) -> Kind:
    composite = torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")
    changes = func._schema.is_mutable
    aliases = any(r.alias_info is not None for r in func._schema.returns)
    sized_by_values = torch.Tag.dynamic_output_shape in func.tags and func is not aten.index.Tensor
    at_once = func.__name__.partition(".")[0].endswith("_") and torch.Tag.inplace_view not in func.tags
    return Kind(func.namespace == "lossary", composite, sized_by_values, changes, at_once, aliases and not changes)


class Meter(TorchDispatchMode):
    """Counts while it is on; see :func:`counting`."""

    def __init__(self) -> None:
        super().__init__()
        self.costs: list[Cost] = []
        self.reads: Counter[str] = Counter()
        self.memory, self.values = Memory(), Values()
        self.shapes: dict[Any, tuple[Any, Any, torch.dtype]] = {}

    def place(self, t: Tensor) -> Tensor:
        """A tensor as the program gets it: its memory is not counted, its values are known where they may matter."""
        placed = t.detach().to(META)
        if not t.is_floating_point() and t.device != META and t.numel() <= KNOWN:
            self.values.keep(placed, t)
        self.memory.leave_out(placed)
        return placed

    def read(self, what: str) -> None:
        """The host waits for the device."""
        self.reads[f"{what} in {place()}"] += 1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, of = kwargs or {}, kind(func)
        if of.ours:
            return self._inside(func, args, kwargs)
        if of.composite:
            # Below autograd, as inside of an operator, torch has not taken these apart yet.
            with self:
                return func.decompose(*args, **kwargs)
        if of.view:
            return func(*args, **kwargs)
        tensors = list(tensors_in((*args, *kwargs.values())))
        if func is aten._local_scalar_dense.default and tensors[0].device == META:
            return self._number(tensors[0])
        if func is aten._to_copy.default and tensors[0].device == META and kwargs.get("device", META) != META:
            return self._copied(tensors[0], kwargs)
        if func in WITH_MASKS:
            args = (args[0], self._places(args[1]), *args[2:])
            tensors = list(tensors_in((*args, *kwargs.values())))
        if of.unknown_size and any(t.device == META for t in tensors):
            out = self._of_unknown_size(func, tensors, args, kwargs)
        else:
            out = self._made(func, tensors, args, kwargs)
            self._follow(func, tensors, out, args, kwargs)
        outputs = list(tensors_in((out,)))
        if any(t.device == META for t in (*tensors, *outputs)):
            found = cost(func, tensors, outputs, args, kwargs)
            self.costs += [] if found is None else [found]
            for t in outputs:
                self.memory.see(t)
        return out

    def _made(self, func: Any, tensors: list[Tensor], args: Any, kwargs: Any) -> Any:
        """What the operator gives; torch works out a shape in Python, a millisecond: once for the same question."""
        of = kind(func)
        if of.same and tensors[0].device == META:
            return tensors[0]
        if of.changes or any(t.device != META for t in tensors):
            return func(*args, **kwargs)
        question = (func, asked(args), asked(tuple(kwargs.items())))
        known = self.shapes.get(question)
        if known is None:
            out = func(*args, **kwargs)
            if isinstance(out, Tensor) and out.device == META:
                self.shapes[question] = out.size(), out.stride(), out.dtype
            return out
        return torch.empty_strided(known[0], known[1], dtype=known[2], device=META)

    def _inside(self, func: Any, args: Any, kwargs: Any) -> Any:
        """What an operator of the library does, instead of one call."""
        body = cast("Any", OPDEFS[func.name().partition(".")[0]])._init_fn
        with self, torch.no_grad():
            return body(*args, **kwargs)

    def _number(self, t: Tensor) -> bool | float | int:
        self.read("number")
        if self.values.known(t):
            return self.values.of(t).item()
        return True if t.dtype == torch.bool else 1.0 if t.is_floating_point() else 1

    def _copied(self, t: Tensor, kwargs: Any) -> Tensor:
        self.read("copy to the host")
        there = self.values.of(t) if self.values.known(t) else torch.zeros(t.shape, dtype=t.dtype)
        return there.to(**{n: v for n, v in kwargs.items() if n in ("dtype", "device")}, copy=True)

    def _places(self, index: Any) -> list[Any]:
        """Masks among indices as the places of what they keep, which takes a read."""
        found: list[Any] = []
        for i in index:
            if isinstance(i, Tensor) and i.dtype == torch.bool:
                with self:
                    found += i.nonzero().unbind(1)
            else:
                found.append(i)
        return found

    def _of_unknown_size(self, func: Any, tensors: list[Tensor], args: Any, kwargs: Any) -> Any:
        self.read(func.__name__.partition(".")[0])
        if all(map(self.values.known, tensors)):
            values = func(*tree_map(self._known, args), **tree_map(self._known, kwargs))
        elif func is aten.nonzero.default:
            shape = (tensors[0].shape[0], tensors[0].dim())
            return torch.empty(shape, dtype=torch.long, device=META)
        else:
            raise NotImplementedError(f"{func}: wanted small integers, whose values are known, for what it depends on")
        return tree_map(self._kept, values)

    def _kept(self, values: Tensor) -> Tensor:
        out = values.to(META)
        if not values.is_floating_point():
            self.values.keep(out, values)
        return out

    def _known(self, value: Any) -> Any:
        return self.values.of(value) if isinstance(value, Tensor) else value

    def _follow(self, func: Any, tensors: list[Tensor], out: Any, args: Any, kwargs: Any) -> None:
        """Compute small integers from small integers."""
        outputs = [t for t in tensors_in((out,)) if t.device == META]
        changes = kind(func).changes
        integers = bool(outputs) and not any(t.is_floating_point() or t.numel() > KNOWN for t in outputs)
        if not integers or not all(map(self.values.known, tensors)):
            for t in outputs if changes else ():
                self.values.forget(t)
            return
        on_host = {n: torch.device("cpu") if n == "device" else v for n, v in kwargs.items()}
        values = func(*tree_map(self._known, args), **tree_map(self._known, on_host))
        for t, v in zip(outputs, tensors_in((values,)), strict=True) if not changes else ():
            self.values.keep(t, v)


def tensors_in(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from tensors_in(value)


def asked(value: Any) -> Any:
    """Arguments as far as a result's shape and dtype depend on them, to be looked up by."""
    if isinstance(value, Tensor):
        return value.size(), value.stride(), value.dtype
    return tuple(map(asked, value)) if isinstance(value, (tuple, list)) else (type(value), value)


def from_host(meter: Meter, make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """``torch.tensor`` and its like: numbers of Python's are copied to the device, for which the host waits."""

    def made(data: Any, *args: Any, **kwargs: Any) -> Tensor:
        out = make(data, *args, **kwargs)
        if not isinstance(data, Tensor) and out.device == META:
            meter.read("copy to the device")
            meter.costs.append(Cost("copy to the device", 1, 2 * out.nbytes, 0, "int"))
        return out

    return made


def place() -> str:
    """The function of the library that is running, or else the caller."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename.replace("\\", "/")
        if file.startswith(LIBRARY):
            return f"{file.removeprefix(LIBRARY)}: {frame.f_code.co_name}"
        frame = frame.f_back
    return "the caller"


@contextmanager
def counting(meter: Meter) -> Generator[None]:
    """What happens within is counted; the meter answers what is read, as a device would."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(_device, "has_values", return_value=True))
        stack.enter_context(mock.patch.object(_device, "memory", return_value=MEMORY))
        for name in ("tensor", "as_tensor"):
            stack.enter_context(mock.patch.object(torch, name, from_host(meter, getattr(torch, name))))
        stack.enter_context(meter)
        yield


def count(program: Callable[..., Tensor], *inputs: Tensor, fixed: Collection[int] = ()) -> Meter:
    """What a loss and its gradient by the floating inputs cost, but for the ``fixed`` ones, which are data.

    Large inputs may be meta tensors themselves.
    """
    meter = Meter()
    placed = [meter.place(t) for t in inputs]
    learns = [t.requires_grad_() for i, t in enumerate(placed) if t.is_floating_point() and i not in fixed]
    with counting(meter):
        loss = program(*placed)
        torch.autograd.grad(loss, learns, torch.empty_like(loss), allow_unused=True)
    return meter
