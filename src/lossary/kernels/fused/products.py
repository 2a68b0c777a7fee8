"""Products of what may be halves, in float32."""

import torch
from torch import Tensor

from lossary.kernels.fused.switch import DEVICES


def wide_product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b in float32: halves are multiplied as such, where the device can, and summed in float32."""
    if a.dtype == torch.float32:
        return a @ b
    if a.device.type in DEVICES:
        return torch.mm(a, b, out_dtype=torch.float32)
    return a.float() @ b.float()


def add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """Add a @ b to ``total``, in float32."""
    if a.dtype == torch.float32:
        total.addmm_(a, b)
    else:
        total.add_(wide_product(a, b))
