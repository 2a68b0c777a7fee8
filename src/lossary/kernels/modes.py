"""The modes of torch that our own code must know about."""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from lossary.core import torch_internals
from lossary.core.device import autocast_is_on, traced


def transformed() -> bool:
    """Whether a ``torch.func`` transform or forward mode is active, which supports plain torch only."""
    return torch_internals.is_transforming()


def plain_only() -> bool:
    """Whether plain torch is needed: by a compiler, a transform of ``torch.func``, or forward mode."""
    return traced() or transformed()


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Without autocast on the device of ``x``; if it is off anyway, without the 20 us of torch's context."""
    return torch.autocast(x.device.type, enabled=False) if autocast_is_on(x) else nullcontext()


def backward_in_full_precision(backward: Callable[..., Any]) -> Callable[..., Any]:
    """A backward that an active autocast does not affect."""

    @functools.wraps(backward)
    def run(ctx: Any, *grads: Any) -> Any:
        # Not from what was saved, which a checkpoint returns only once. Without a gradient nothing is multiplied.
        given = next((g for g in grads if g is not None), None)
        with nullcontext() if given is None else full_precision(given):
            return backward(ctx, *grads)

    return run
