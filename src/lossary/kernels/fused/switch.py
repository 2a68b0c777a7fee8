"""Whether Triton kernels are used: ``LOSSARY_TRITON=1`` asks for them wherever they can run."""

import importlib.util
import os

import torch
from torch import Tensor

#: A loss of single elements with a Triton kernel, and its numbers: ("entropy", weight of positives, -, -),
#: ("focal", gamma, weight of positives, of negatives), ("squares", factor, -, -); of gaps ("gap focal", gamma, -, -).
ElementKernel = tuple[str, float, float, float]

#: A loss of a row's statistics with a Triton kernel, and its numbers: ("nll", what is subtracted from the target's
#: score, -, -, -); ("angle linear", "angle easy" or "angle plain", scale, cosine and sine of the angular margin, what
#: the cosine loses beyond it); ("gap focal", gamma, -, -, -); of sums of softplus ("pair", -, -, -, -).
RowKernel = tuple[str, float, float, float, float]
#: The only switch, read once, so that a compiler sees a constant. Off by default: these kernels were not measured.
ON = os.environ.get("LOSSARY_TRITON", "0") == "1" and importlib.util.find_spec("triton") is not None
#: Where Triton compiles to.
DEVICES = ("cuda", "xpu")
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
#: Up to this many scores, a few large operations of torch take no longer than starting a kernel. Not measured.
PLAIN = 1 << 20
#: The most classes for which a program holds all logits of some positions.
CLASSES = 256


def interpreted() -> bool:
    """Whether Triton runs its kernels in Python, on any device, as tests do."""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"


def runs_on(*tensors: Tensor) -> bool:
    """Whether Triton kernels are asked for and support these tensors, which share a device, and their dtype."""
    return ON and serve(tensors[0], *(t.dtype for t in tensors))


def serve(x: Tensor, *dtypes: torch.dtype) -> bool:
    """Whether they support the device of ``x``, and these dtypes, which must be the same."""
    if dtypes[0] not in DTYPES or any(dtype != dtypes[0] for dtype in dtypes):
        return False
    return x.device.type in DEVICES or interpreted()
