"""Making a case's call, and looking at its tensors."""

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fuzz.generate import Case
from fuzz.subjects import Call


@dataclass(frozen=True)
class Answer:
    value: Tensor
    grads: tuple[Tensor, ...]

    def named(self, case: Case) -> Iterator[tuple[str, Tensor]]:
        yield "value", self.value
        for key, grad in zip(case.leaves, self.grads, strict=True):
            yield f"gradient by {key}", grad


def answer(case: Case, call: Call) -> Answer:
    """The loss, and its gradients by the case's leaves in an uneven direction."""
    args, kwargs = list(call.args), dict(call.kwargs)
    leaves = []
    for key in case.leaves:
        home: Any = args if isinstance(key, int) else kwargs
        home[key] = home[key].detach().requires_grad_()
        leaves.append(home[key])
    value = case.card.fn(*args, **kwargs)
    if not leaves or not value.requires_grad:
        return Answer(value.detach(), tuple(torch.zeros_like(leaf) for leaf in leaves))
    grads = torch.autograd.grad(value, leaves, direction(value), allow_unused=True)
    filled = (torch.zeros_like(x) if g is None else g for g, x in zip(grads, leaves, strict=True))
    return Answer(value.detach(), tuple(filled))


def direction(value: Tensor) -> Tensor | None:
    return None if value.dim() == 0 else uneven(value.numel(), value.dtype).view(value.shape)


@functools.cache
def uneven(count: int, dtype: torch.dtype) -> Tensor:
    """Powers of two, so that every dtype has them exactly; not alike, so that a wrong place shows."""
    return torch.tensor([1.0, 0.5, 2.0], dtype=dtype).repeat(count // 3 + 1)[:count]


def tensors(call: Call) -> Iterator[Tensor]:
    for value in itertools.chain(call.args, call.kwargs.values()):
        for t in value if isinstance(value, tuple) else (value,):
            if isinstance(t, Tensor):
                yield t


def floats(call: Call) -> Iterator[Tensor]:
    return (t for t in tensors(call) if t.is_floating_point())


def largest(call: Call) -> float:
    """The largest absolute number; NaN where one is, else infinite where one is."""
    sizes = [t.abs().max().item() for t in floats(call) if t.numel()]
    return math.nan if any(map(math.isnan, sizes)) else max(sizes, default=0.0)


def snapshot(t: Tensor) -> Tensor:
    """A copy whose NaNs equal themselves."""
    return t.detach().clone().nan_to_num(1.25, 1.5, 1.75) if t.is_floating_point() else t.clone()
