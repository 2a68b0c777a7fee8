"""What is asked of a tensor's device and of torch's modes, and the answers: nothing else in the library looks there.

A tensor may lie where a look at its values makes the device wait; it may be traced, so that a look would end in the
graph; it may have no values at all (meta and fake tensors). Shapes and dtypes are known in every case.
"""

import torch
from torch import Tensor
from torch._C import _get_dispatch_mode, _len_torch_dispatch_stack, _TorchDispatchModeKey  # pyright: ignore
from torch._C._functorch import is_functorch_wrapped_tensor  # pyright: ignore

_PLAIN = Tensor.__torch_dispatch__  # pyright: ignore


def traced() -> bool:
    """Whether a graph is being recorded: by ``torch.compile``, ``torch.export`` or ``make_fx``."""
    if torch.compiler.is_compiling():
        return True
    return _len_torch_dispatch_stack() > 0 and _get_dispatch_mode(_TorchDispatchModeKey.PROXY) is not None


def has_values(x: Tensor) -> bool:
    """Whether there is anything to read, at whatever price: not in a meta tensor, nor in a fake one."""
    return not x.is_meta and type(x).__torch_dispatch__ is _PLAIN  # pyright: ignore


def values_visible(*tensors: Tensor) -> bool:
    """Whether values may be looked at: eager mode, on CPU, outside of ``torch.func`` transforms, and there at all."""
    if traced():
        return False
    # Not by a generator in all(), which takes as long as an operation on a small batch.
    for tensor in tensors:
        plain = type(tensor).__torch_dispatch__ is _PLAIN  # pyright: ignore
        if not (tensor.is_cpu and plain) or is_functorch_wrapped_tensor(tensor):
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
