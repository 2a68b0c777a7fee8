"""What an operator of torch costs on an accelerator: kernels, bytes, floating-point operations; and the time of it all.

Nothing here was measured: kernels are counted from how torch's CUDA code is written, the rest is arithmetic.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry

#: Kernels that an operator launches where it is not one. Views and allocations launch none, a product one, an
#: elementwise operation or a reduction one, also where it is in place; a _foreach_ operator one for its whole list.
KERNELS = {
    # A radix sort passes over the digits of its keys; 64-bit places are made and moved with them.
    "sort": 8,
    "topk": 4,
    # A scan takes its blocks first and then their sums.
    "cumsum": 2,
    "cumprod": 2,
    "cummax": 2,
    "logcumsumexp": 2,
    # Out of place: a copy, and then what is written into it.
    "scatter": 2,
    "scatter_add": 2,
    "masked_fill": 2,
    "index_put": 2,
    "index_add": 2,
    "index_copy": 2,
    "slice_scatter": 2,
    "slice_backward": 2,
    "select_backward": 2,
    "nll_loss_backward": 2,
    "nll_loss2d_backward": 2,
    # Maximum, is it infinite, a mask of that, difference, exponential, sum, logarithm, sum; and one of a copy.
    "logsumexp": 9,
    # Logarithm of the sigmoid, its product with what is missing of 1, and so on; one kernel more with pos_weight.
    "binary_cross_entropy_with_logits": 4,
    # By products: squares and sums of both, two concatenations, a product, clamp, root.
    "_cdist_forward": 11,
    "_cdist_backward": 8,
    # Flags, their sum, a prefix sum, the places, and a copy of the number to the host.
    "nonzero": 5,
    "masked_select": 6,
    "bincount": 7,
    "repeat_interleave": 4,
}
#: How often an operator goes through memory beyond reading its tensors and writing its results once.
PASSES = {"sort": 8, "topk": 3, "cumsum": 1.5, "cummax": 1.5, "logsumexp": 6, "_cdist_forward": 2, "nonzero": 2}
#: They take as many entries of their first tensor as their index names, not all of it.
BY_INDEX = frozenset({"gather", "index", "index_select", "embedding", "take"})
#: They change as many entries of their first tensor, read and write them, and leave the others; of an index once.
INTO_PLACES = frozenset({"scatter_", "scatter_add_", "index_put_", "index_add_", "index_copy_", "index_fill_"})
ALLOCATIONS = frozenset({"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "lift_fresh"})
#: They write, and read nothing of what they are like.
FILLS = frozenset({"zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full", "zero_", "fill_"})
#: Views that torch does not declare as such.
VIEWS = frozenset({"_unsafe_view", "detach", "alias"})


@dataclass(frozen=True)
class Machine:
    """An accelerator as far as the estimate knows it; the defaults are an NVIDIA H200's published numbers."""

    bandwidth: float = 4.3e12  # bytes a second, nine tenths of the published 4.8
    launch: float = 3e-6  # seconds that even an empty kernel takes
    operator: float = 7e-6  # seconds of the host for an operator of torch in eager mode
    read: float = 15e-6  # seconds of the host for a read that waits for the device
    float32: float = 50e12  # products a second ...
    tf32: float = 400e12
    half: float = 790e12
    float64: float = 40e12

    def peak(self, dtype: str, *, tf32: bool) -> float:
        if dtype in ("float16", "bfloat16"):
            return self.half
        if dtype == "float64":
            return self.float64
        return self.tf32 if tf32 else self.float32


H200 = Machine()


@dataclass(frozen=True)
class Cost:
    """What one operator costs."""

    name: str
    kernels: int
    bytes: float
    flops: float
    dtype: str


def cost(func: Any, tensors: Sequence[Tensor], outputs: Sequence[Tensor], args: Any, kwargs: Any) -> Cost | None:
    """Of an operator that has run; None where it launches nothing."""
    name = func.__name__.partition(".")[0]
    if name in ALLOCATIONS or is_view(func, name):
        return None
    kernels = 0 if not any(t.numel() for t in (*tensors, *outputs)) else KERNELS.get(name, 1)
    flops, formula = 0.0, flop_registry.get(getattr(torch.ops.aten, name.rstrip("_"), None))  # in place it is the same
    if formula is not None:
        shapes = (a for a in args if not isinstance(a, torch.dtype))  # the result's, as some products take it
        flops = float(formula(*shapes, **kwargs, out_val=outputs[0]))
    # A product's factors may be half of its result's precision: it is the factors' that counts.
    floating = sorted((t for t in (*tensors, *outputs) if t.is_floating_point()), key=lambda t: t.element_size())
    dtype = str(floating[0].dtype).removeprefix("torch.") if floating else "int"
    filled = [kwargs[n] for n in out_arguments(func) if n in kwargs]  # written, not read
    read = [t for t in tensors if not any(t is f for f in filled)]
    return Cost(name, kernels, moved(name, read, outputs, kwargs), flops, dtype)


@functools.cache
def out_arguments(func: Any) -> tuple[str, ...]:
    arguments = (a for a in func._schema.arguments if a.kwarg_only and a.alias_info is not None)
    return tuple(a.name for a in arguments if a.alias_info.is_write)


@functools.cache
def is_view(func: Any, name: str) -> bool:
    returns = [r.alias_info for r in func._schema.returns]
    return name in VIEWS or any(a is not None and not a.is_write for a in returns)


def moved(name: str, tensors: Sequence[Tensor], outputs: Sequence[Tensor], kwargs: Any) -> float:
    """Bytes read and written."""
    if name in BY_INDEX:
        return 2 * sum(map(size, outputs)) + sum(map(size, tensors[1:]))
    if name in INTO_PLACES:
        indices = sum(size(t) for t in tensors[1:] if not t.is_floating_point())
        return 3 * sum(map(size, tensors[1:])) - 2 * indices if len(tensors) > 2 else 3 * indices
    if name in FILLS:
        return sum(map(size, outputs))
    if name in ("addmm", "addmm_", "baddbmm") and kwargs.get("beta") == 0:
        tensors = tensors[1:]  # written, not read
    # One tensor as two arguments is read once.
    plain = sum(map(size, {id(t): t for t in tensors}.values())) + sum(map(size, outputs))
    return plain + PASSES.get(name, 0) * sum(map(size, tensors[:1]))


def size(tensor: Tensor) -> int:
    """Bytes, of an expanded tensor those that are there."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def milliseconds(costs: Sequence[Cost], reads: int, *, tf32: bool = False, on: Machine = H200) -> tuple[float, float]:
    """The device's time and the host's, which go side by side: the longer one is the estimate.

    The device takes for an operator the longest of its launches, its way through memory and its products.
    """
    device = sum(
        max(c.kernels * on.launch, c.bytes / on.bandwidth, c.flops / on.peak(c.dtype, tf32=tf32)) for c in costs
    )
    return 1e3 * device, 1e3 * (len(costs) * on.operator + reads * on.read)
