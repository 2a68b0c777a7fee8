"""The modes of torch that code of our own must know about."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from lossary.core import torch_internals
from lossary.core.device import autocast_is_on, traced


def transformed() -> bool:
    """Whether ``torch.func``'s transforms or forward mode are on, which see through plain torch only."""
    return torch_internals.is_transforming()


def plain_only() -> bool:
    """Whether plain torch is asked for: by a compiler, a transform of ``torch.func``, or forward mode."""
    return traced() or transformed()


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Without autocast on the device of ``x``; where there is none anyway, without the 20 us of torch's context."""
    return torch.autocast(x.device.type, enabled=False) if autocast_is_on(x) else nullcontext()
