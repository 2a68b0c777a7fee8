"""Starts kernels: in one place, so that a test or a meter can count them."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from lossary.kernels.fused.switch import interpreted


def launch(kernel: Any, programs: int, on: Tensor, *arguments: Any, **shape: Any) -> None:
    """Start ``kernel`` with this many programs, all in the first dimension: the others allow only 65,535."""
    if programs > 0:
        with _device_of(on):
            kernel[(programs,)](*arguments, **shape)


def dot_precision(x: Tensor) -> str:
    """The precision of float32 products: that of torch's matrix products."""
    if x.dtype != torch.float32 or interpreted():
        return "ieee"
    # The newer setting: the older one sets both, but can no longer be read once the newer one has been set.
    newer = getattr(torch.backends.cuda.matmul, "fp32_precision", None)
    if newer not in (None, "none"):
        return "tf32" if newer == "tf32" else "ieee"
    return "ieee" if torch.get_float32_matmul_precision() == "highest" else "tf32"


def _device_of(x: Tensor) -> AbstractContextManager[Any]:
    """Triton starts kernels on the current device."""
    return nullcontext() if x.device.type in ("cpu", "meta") else torch.get_device_module(x.device).device(x.device)
