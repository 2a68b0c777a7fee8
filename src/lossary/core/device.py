"""What is asked of a tensor's device and of torch's modes, and the answers: nothing else in the library looks there.

A tensor may lie where a look at its values makes the device wait; it may be traced, so that a look would end in the
graph; it may have no values at all (meta and fake tensors). Shapes and dtypes are known in every case.
"""

import torch
from torch import Tensor

from lossary.core import torch_internals


def traced() -> bool:
    """Whether a graph is being recorded: by ``torch.compile``, ``torch.export`` or ``make_fx``."""
    return torch.compiler.is_compiling() or torch_internals.records_operations()


def has_values(x: Tensor) -> bool:
    """Whether there is anything to read, at whatever price: not in a meta tensor, nor in a fake one."""
    return not x.is_meta and torch_internals.is_plain(x)


def values_visible(*tensors: Tensor) -> bool:
    """Whether values may be looked at: eager mode, on CPU, outside of ``torch.func`` transforms, and there at all."""
    if traced():
        return False
    # Not by a generator in all(), which takes as long as an operation on a small batch.
    for tensor in tensors:
        if not (tensor.is_cpu and torch_internals.is_plain(tensor)) or torch_internals.is_wrapped(tensor):
            return False
    return True


def by_cache(x: Tensor) -> bool:
    """Whether work on ``x`` goes by what stays in cache: on a CPU. Elsewhere large operations are wanted."""
    return x.is_cpu


def has_float64(x: Tensor) -> bool:
    return x.device.type != "mps"


def inside_autocast() -> bool:
    """Whether any autocast context is open, be it one that turns autocast off: backward may run in the outer one."""
    torch.autocast_increment_nesting()
    return torch.autocast_decrement_nesting() > 0


def autocast_is_on(x: Tensor) -> bool:
    """Whether autocast is on for the device of ``x``; a meta tensor's device has none."""
    return not x.is_meta and torch.is_autocast_enabled(x.device.type)
