"""How a kernel is started: in one place, so that a test or a meter can count."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from lossary.kernels.fused.switch import interpreted


def launch(kernel: Any, programs: int, on: Tensor, *arguments: Any, **shape: Any) -> None:
    """Start ``kernel`` with so many programs in one dimension, as no other may have more than 65,535."""
    if programs > 0:
        with _device_of(on):
            kernel[(programs,)](*arguments, **shape)


def dot_precision(x: Tensor) -> str:
    """How float32 is multiplied: as torch has been told to multiply matrices."""
    if x.dtype != torch.float32 or interpreted():
        return "ieee"
    # The newer setting; the older one is written to both, and cannot be read any more once the newer one was set.
    newer = getattr(torch.backends.cuda.matmul, "fp32_precision", None)
    if newer not in (None, "none"):
        return "tf32" if newer == "tf32" else "ieee"
    return "ieee" if torch.get_float32_matmul_precision() == "highest" else "tf32"


def _device_of(x: Tensor) -> AbstractContextManager[Any]:
    """Triton starts kernels on the current device."""
    return nullcontext() if x.device.type in ("cpu", "meta") else torch.get_device_module(x.device).device(x.device)
