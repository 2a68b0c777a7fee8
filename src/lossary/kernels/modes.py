"""The modes of torch that code of our own must know about."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch._C._functorch import maybe_current_level  # pyright: ignore

from lossary.core.device import autocast_is_on, traced


def transformed() -> bool:
    """Whether ``torch.func``'s transforms or forward mode are on, which see through plain torch only."""
    return maybe_current_level() is not None or torch.autograd.forward_ad._current_level >= 0


def plain_only() -> bool:
    """Whether plain torch is asked for: by a compiler, a transform of ``torch.func``, or forward mode."""
    return traced() or transformed()


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Without autocast on the device of ``x``; where there is none anyway, without the 20 us of torch's context."""
    return torch.autocast(x.device.type, enabled=False) if autocast_is_on(x) else nullcontext()
