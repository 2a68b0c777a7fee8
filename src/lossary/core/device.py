"""Questions about a tensor's device and torch's modes, answered here and nowhere else in the library.

Reading a tensor's values may make its device wait, or end up in the graph if the tensor is traced; it may also have no
values at all (meta and fake tensors). Shapes and dtypes are always known.
"""

import functools
import os

import torch
from torch import Tensor

from lossary.core import torch_internals

#: Assumed bytes of memory of a device that does not tell.
UNTOLD = 16 << 30
#: Bytes of a CPU's last cache if it does not tell, or has more: more was not measured, and is often shared.
LARGEST_CACHE = 32 << 20
#: Bytes of the cache that a CPU's core has to itself if it does not tell, and at most: more was not measured.
USUAL_OWN_CACHE, LARGEST_OWN_CACHE = 512 << 10, 2 << 20


def traced() -> bool:
    """Whether a graph is being recorded: by ``torch.compile``, ``torch.export`` or ``make_fx``."""
    return torch.compiler.is_compiling() or torch_internals.records_operations()


def has_values(x: Tensor) -> bool:
    """Whether there are values to read, at any cost: a meta or fake tensor has none."""
    return not x.is_meta and torch_internals.is_plain(x)


def values_visible(*tensors: Tensor) -> bool:
    """Whether values may be read: they exist, in eager mode, on CPU, outside of ``torch.func`` transforms."""
    if traced():
        return False
    # Not all() of a generator, which takes as long as an operation on a small batch. Most types need no question.
    for tensor in tensors:
        plain = type(tensor) is Tensor or torch_internals.is_plain(tensor)
        if not (tensor.is_cpu and plain) or torch_internals.is_wrapped(tensor):
            return False
    return True


def by_cache(x: Tensor) -> bool:
    """Whether work on ``x`` should fit in cache, as on a CPU; elsewhere large operations are better."""
    return x.is_cpu


def budget(x: Tensor) -> int:
    """How many bytes the largest temporary for ``x`` may take.

    On a CPU, two thirds of its last cache; elsewhere a share of the device's memory, so that the same work is cut the
    same way whatever else is held, and less only if too little is free.
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
    return min(_cache_of_level(3) or _cache_of_level(2) or LARGEST_CACHE, LARGEST_CACHE)


@functools.cache
def own_cache() -> int:
    """Bytes of the cache that each core of the CPU has to itself, the second level."""
    return min(_cache_of_level(2) or USUAL_OWN_CACHE, LARGEST_OWN_CACHE)


def _cache_of_level(level: int) -> int:
    """Bytes, or 0 if the system does not tell."""
    name = f"SC_LEVEL{level}_CACHE_SIZE"
    return max(os.sysconf(name), 0) if name in getattr(os, "sysconf_names", {}) else 0


def memory(x: Tensor) -> int:
    """Bytes of memory that the device of ``x`` has in all."""
    kind = x.device.type
    if kind in ("cuda", "xpu"):
        return getattr(torch, kind).get_device_properties(x.device).total_memory
    return torch.mps.recommended_max_memory() if kind == "mps" else UNTOLD


def free_memory(x: Tensor) -> int:
    """Bytes of it that are free, or held by torch for reuse; all of it if the device does not tell."""
    if x.device.type != "cuda":
        return memory(x)
    free, _ = torch.cuda.mem_get_info(x.device)
    return free + torch.cuda.memory_reserved(x.device) - torch.cuda.memory_allocated(x.device)


def multiplies_half(x: Tensor, dtype: torch.dtype | None = None) -> bool:
    """Whether the device of ``x`` multiplies matrices of ``dtype``, a half precision, directly into float32.

    No CPU is known to: there float32 copies are multiplied. Without a dtype: whether it may for some.
    """
    return not x.is_cpu and (dtype is None or _into_float32(x.device, dtype, False))


def adds_half_products(x: Tensor, dtype: torch.dtype) -> bool:
    """Whether it adds such a product to a float32 matrix in one operation; torch 2.9 cannot."""
    return _into_float32(x.device, dtype, True)


@functools.cache
def _into_float32(device: torch.device, dtype: torch.dtype, add: bool) -> bool:
    """Found by trying, because versions of torch and devices differ: it works on CUDA and, of late, on XPU."""
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


def takes_short_indices(x: Tensor) -> bool:
    """Whether the device of ``x`` gathers and scatters by int32; from torch 2.8 on, a CPU and CUDA do.

    Not in deterministic mode, where torch goes other ways.
    """
    return not torch.are_deterministic_algorithms_enabled() and _takes_short_indices(x.device)


@functools.cache
def _takes_short_indices(device: torch.device) -> bool:
    with torch_internals.outside_modes():
        try:
            x, index = torch.zeros(1, device=device), torch.zeros(1, dtype=torch.int32, device=device)
            x.scatter_add_(0, index, x.gather(0, index)).scatter_(0, index, x).scatter_(0, index, 0.0)
        except (RuntimeError, AssertionError):  # torch without the device of a fake tensor asserts that it has one
            return False
    return True


def has_float64(x: Tensor) -> bool:
    return x.device.type != "mps"


def inside_autocast() -> bool:
    """Whether any autocast context is open, even one that turns autocast off: backward may run in the outer one."""
    torch.autocast_increment_nesting()
    return torch.autocast_decrement_nesting() > 0


def autocast_is_on(x: Tensor) -> bool:
    """Whether autocast is on for the device of ``x``; a meta tensor's device has none."""
    return torch_internals.any_autocast() and not x.is_meta and torch.is_autocast_enabled(x.device.type)
