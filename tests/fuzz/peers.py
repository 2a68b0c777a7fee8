"""Other code's answer in float64: torch's own function where a loss has its name, or a formula as one would write it."""

import inspect
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fuzz.calls import Answer
from fuzz.generate import Case
from fuzz.subjects import bears_torchs_name

#: Larger numbers cost torch's formulas their last digits in float64 too (a margin of 1 beside scores of 1e18).
ORDINARY = 1e6
#: Keywords that torch's functions do not have.
OURS = ("sample_weight", "mask", "dim", "halved", "squared")


def against_peers(case: Case, want: Answer, size: float) -> list[str]:
    """Where another's loss differs from the twin's; nothing where it cannot be asked, or gives no number."""
    if (
        not bears_torchs_name(case.card)
        or size > ORDINARY
        or any(case.twin.kwargs.get(name) is not None for name in OURS)
    ):
        return []
    try:
        value = by_torch(case)
    except (TypeError, ValueError, IndexError, RuntimeError, NotImplementedError):  # more than torch takes
        return []
    if value.shape != want.value.shape or not bool(value.isfinite().all()) or not want.value.numel():
        return []
    near = (value - want.value).abs() <= 1e-6 * value.abs() + 1e-9
    if bool(near.all()):
        return []
    i = int((~near).flatten().nonzero()[0])
    return [f"torch: {value.flatten()[i].item():.9g} at {i}, {want.value.flatten()[i].item():.9g} here"]


def by_torch(case: Case) -> Tensor:
    function = getattr(F, case.name)
    known = inspect.signature(function).parameters
    args = [plain(x, slot.domain) for x, slot in zip(case.twin.args, case.slots, strict=True)]
    if any(len(set(pair)) > 1 for pair in [[x.shape for x, s in zip(args, case.slots, strict=True) if s.axes == "E"]]):
        return torch.tensor(torch.nan)
    return function(*args, **{n: v for n, v in case.twin.kwargs.items() if n in known})


def plain(x: Any, domain: str) -> Any:
    """Torch takes answers for numbers."""
    if isinstance(x, Tensor) and domain == "sign" and x.dtype == torch.bool:
        return 2.0 * x - 1
    return x.double() if isinstance(x, Tensor) and domain in ("truth", "sign", "number", "count") else x
