"""The smallest batch on which a law is broken: items, classes and components are dropped, numbers simplified."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from lossary.testing.draws import Call

#: A counterexample is for reading: at most this many numbers.
MOST = 10
SECONDS = 3.0

Tensors = dict[str, Tensor]
Axes = dict[str, tuple[int, ...]]  # what each tensor's dimensions count: those of equal length count the same


def shrunk(call: Call, broken: Callable[[Call], bool], *, plain: bool = True) -> Call:
    """The smallest call that is still broken, with ``plain`` numbers too if those are not at kinks."""
    tensors, rest = _apart(call)
    axes: Axes = {name: tuple(t.shape) for name, t in tensors.items()}
    until = time.process_time() + SECONDS

    def still(smaller: Tensors) -> bool:
        return time.process_time() < until and broken(_together(call, smaller, rest))

    tensors = _fixed(tensors, lambda t: _smaller(t, axes), still)
    tensors = _fixed(tensors, lambda t: _plainer(t, plain), still)
    return _together(call, tensors, rest)


def numbers(call: Call) -> int:
    return sum(t.numel() for t in _apart(call)[0].values())


def _fixed(tensors: Tensors, candidates: Callable[[Tensors], Iterator[Tensors]], still: Callable[..., bool]) -> Tensors:
    """Take the first candidate that is still broken, until none is."""
    while True:
        found = next((one for one in candidates(tensors) if still(one)), None)
        if found is None:
            return tensors
        tensors = found


def _smaller(tensors: Tensors, axes: Axes) -> Iterator[Tensors]:
    """Without half of an axis, or one place on it; labels of dropped classes become the last class."""
    lengths = {
        axis: t.shape[dim] for name, t in tensors.items() for dim, axis in enumerate(axes[name]) if t.shape[dim] > 1
    }
    for axis, length in sorted(lengths.items(), key=lambda pair: -pair[1]):
        keeps = [list(range(length // 2)), list(range(length // 2, length))] if length > 3 else []
        keeps += [[i for i in range(length) if i != out] for out in reversed(range(length))]
        for keep in keeps:
            cut = {name: _kept(t, axes[name], axis, keep) for name, t in tensors.items()}
            yield cut
            bounded = {
                n: t if t.is_floating_point() or t.dtype == torch.bool else t.clamp(max=len(keep) - 1)
                for n, t in cut.items()
            }
            if any(not torch.equal(bounded[n], cut[n]) for n in cut):
                yield bounded


def _kept(t: Tensor, axes: tuple[int, ...], axis: int, keep: list[int]) -> Tensor:
    for dim, counted in enumerate(axes):
        if counted == axis:
            t = t.index_select(dim, torch.tensor(keep))
    return t


def _plainer(tensors: Tensors, plain: bool) -> Iterator[Tensors]:
    """Rounded numbers: whole or with one digit; labels of 0."""
    changes: list[Callable[[Tensor], Tensor]] = [lambda t: (10 * t).round() / 10]
    if plain:
        changes = [torch.zeros_like, torch.sign, torch.round, *changes, lambda t: t.round(decimals=2)]
    zeros = {name: torch.zeros_like(t) if t.is_floating_point() else t for name, t in tensors.items()}
    if plain and any(t.count_nonzero() for t in tensors.values() if t.is_floating_point()):
        yield zeros  # all at once, so that equal numbers stay equal
    for name, tensor in tensors.items():
        for change in changes if tensor.is_floating_point() else (torch.zeros_like,) if plain else ():
            made = change(tensor)
            if not torch.equal(made, tensor) and not (made.count_nonzero() == 0 and tensor.count_nonzero() == 0):
                simpler = _digits(made) < _digits(tensor)
                if simpler:
                    yield {**tensors, name: made}


def _digits(t: Tensor) -> int:
    """The length of the numbers when written."""
    return sum(len(f"{x:g}") + (x != 0) for x in t.double().flatten().tolist())


def _apart(call: Call) -> tuple[Tensors, dict[str, Any]]:
    placed = {f" {i}": t for i, t in enumerate(call.args)}
    named = {n: v for n, v in call.kwargs.items() if isinstance(v, Tensor)}
    return {**placed, **named}, {n: v for n, v in call.kwargs.items() if n not in named}


def _together(call: Call, tensors: Tensors, rest: dict[str, Any]) -> Call:
    args = tuple(tensors[f" {i}"] for i in range(len(call.args)))
    return Call(args, {**rest, **{n: t for n, t in tensors.items() if not n.startswith(" ")}})
