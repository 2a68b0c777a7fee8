"""The modes of torch that our own code must know about."""

from contextlib import AbstractContextManager, nullcontext

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
