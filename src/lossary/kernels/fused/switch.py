"""Whether Triton's kernels are used: ``LOSSARY_TRITON=1`` asks for them, wherever they can run."""

import importlib.util
import os

import torch
from torch import Tensor

#: A loss of single elements among Triton's kernels, with its numbers: ("entropy", weight of positives, -, -),
#: ("focal", gamma, weight of positives, of negatives), ("squares", factor, -, -); of gaps ("gap focal", gamma, -, -).
ElementKernel = tuple[str, float, float, float]

#: A loss of a row's statistics among Triton's kernels, with its numbers: ("nll", what is subtracted from the target's
#: score, -, -, -); ("angle linear", "angle easy" or "angle plain", scale, cosine and sine of a margin in the angle,
#: what the cosine loses beyond it); ("gap focal", gamma, -, -, -); of sums of softplus ("pair", -, -, -, -).
RowKernel = tuple[str, float, float, float, float]
#: The one switch, read once, so that a compiler has nothing to look at. Off by default: these kernels are unmeasured.
ON = os.environ.get("LOSSARY_TRITON", "0") == "1" and importlib.util.find_spec("triton") is not None
#: Where Triton compiles to.
DEVICES = ("cuda", "xpu")
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
#: Up to so many scores a few large operations of torch's take no longer than a kernel's start. Unmeasured.
PLAIN = 1 << 20
#: The most classes of which a kernel has all logits of some positions at once.
CLASSES = 256


def interpreted() -> bool:
    """Whether Triton runs its kernels in Python, on any device, as tests do."""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"


def runs_on(*tensors: Tensor) -> bool:
    """Whether Triton's kernels are asked for and can work on these: on one device, in one dtype that they know."""
    return ON and serve(tensors[0], *(t.dtype for t in tensors))


def serve(x: Tensor, *dtypes: torch.dtype) -> bool:
    """Whether they can work on the device of ``x``, in one dtype that they know."""
    if dtypes[0] not in DTYPES or any(dtype != dtypes[0] for dtype in dtypes):
        return False
    return x.device.type in DEVICES or interpreted()
