"""What is asked of a tensor's device and of torch's modes, and the answers: nothing else in the library looks there.

A tensor may lie where a look at its values makes the device wait; it may be traced, so that a look would end in the
graph; it may have no values at all (meta and fake tensors). Shapes and dtypes are known in every case.
"""

import functools
import os

import torch
from torch import Tensor

from lossary.core import torch_internals

#: Bytes of memory of a device that does not tell.
UNTOLD = 16 << 30
#: Bytes of a CPU's last cache, where it does not tell or has more: more of it was not measured, and is often shared.
LARGEST_CACHE = 32 << 20


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


def budget(x: Tensor) -> int:
    """Bytes that the largest temporary of work on ``x`` may take.

    On a CPU two thirds of its last cache; elsewhere a share of the device's memory, so that the same work is cut the
    same way whatever else is held: less only where too little of it is free.
    """
    if by_cache(x):
        return cache() * 2 // 3
    share = memory(x) // 32
    free = free_memory(x)
    while share * 4 > free and share > 1 << 24:
        share //= 2
    return share


@functools.cache
def cache() -> int:
    """Bytes of the CPU's last cache."""
    found = 0
    for level in (3, 2):
        name = f"SC_LEVEL{level}_CACHE_SIZE"
        if not found and name in getattr(os, "sysconf_names", {}):
            found = max(os.sysconf(name), 0)
    return min(found or LARGEST_CACHE, LARGEST_CACHE)


def memory(x: Tensor) -> int:
    """Bytes of all memory of the device of ``x``."""
    kind = x.device.type
    if kind in ("cuda", "xpu"):
        return getattr(torch, kind).get_device_properties(x.device).total_memory
    return torch.mps.recommended_max_memory() if kind == "mps" else UNTOLD


def free_memory(x: Tensor) -> int:
    """Bytes of it that are free, or held by torch and free to be used again; all of them where nobody tells."""
    if x.device.type != "cuda":
        return memory(x)
    free, _ = torch.cuda.mem_get_info(x.device)
    return free + torch.cuda.memory_reserved(x.device) - torch.cuda.memory_allocated(x.device)


def multiplies_half(x: Tensor, dtype: torch.dtype) -> bool:
    """Whether the device of ``x`` multiplies matrices of ``dtype``, a half precision, at once and into float32.

    A CPU's is not known to: there float32 copies are multiplied.
    """
    return not x.is_cpu and _into_float32(x.device, dtype, False)


def adds_half_products(x: Tensor, dtype: torch.dtype) -> bool:
    """Whether it adds such a product to a float32 matrix in one operation, which torch 2.9 cannot."""
    return _into_float32(x.device, dtype, True)


@functools.cache
def _into_float32(device: torch.device, dtype: torch.dtype, add: bool) -> bool:
    """Tried, because versions of torch and devices differ: on CUDA and XPU, the latter of late."""
    if device.type == "cuda" and dtype == torch.bfloat16 and torch.cuda.get_device_capability(device) < (8, 0):
        return False
    with torch_internals.outside_modes():
        out, a = torch.zeros(8, 8, device=device), torch.zeros(8, 8, device=device, dtype=dtype)
        try:
            if add:
                torch.addmm(out, a, a, out_dtype=out.dtype, out=out)
            else:
                torch.mm(a, a, out_dtype=out.dtype, out=out)
        except (RuntimeError, TypeError):  # NotImplementedError is a RuntimeError
            return False
    return True


def has_float64(x: Tensor) -> bool:
    return x.device.type != "mps"


def inside_autocast() -> bool:
    """Whether any autocast context is open, be it one that turns autocast off: backward may run in the outer one."""
    torch.autocast_increment_nesting()
    return torch.autocast_decrement_nesting() > 0


def autocast_is_on(x: Tensor) -> bool:
    """Whether autocast is on for the device of ``x``; a meta tensor's device has none."""
    return not x.is_meta and torch.is_autocast_enabled(x.device.type)
