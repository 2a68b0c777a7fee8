"""Other code's answer in float64: torch's own function of that name, or a formula as one would write it."""

import inspect
from types import SimpleNamespace
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from fuzz.calls import Answer
from fuzz.formulas import FORMULAS
from fuzz.generate import Case
from fuzz.subjects import bears_torchs_name, fields

#: Larger numbers cost plain formulas their last digits in float64 too (a margin of 1 beside scores of 1e18), and so do
#: rows that are shorter.
ORDINARY, SHORT = 1e6, 0.1
#: Arguments that others do not have.
OURS = ("sample_weight", "mask", "dim", "halved", "ids", "positives", "triplets", "ref_embeddings", "negatives")
PEERS_TAKE = (TypeError, ValueError, IndexError, RuntimeError, NotImplementedError)


def against_peers(case: Case, want: Answer, size: float) -> list[str]:
    """Where another's loss differs from the twin's; nothing where it cannot be asked, or gives no number."""
    empty = any(
        x is not None and x.numel() == 0 for x in case.twin.args
    )  # torch's sum of nothing is what was in memory
    if empty or size > ORDINARY or any(case.twin.kwargs.get(name) is not None for name in OURS) or is_short(case):
        return []
    try:
        value = by_torch(case) if bears_torchs_name(case.card) else by_formula(case)
    except PEERS_TAKE:  # more than it offers
        return []
    if value is None or value.shape != want.value.shape or not bool(value.isfinite().all()) or not value.numel():
        return []
    near = (value - want.value).abs() <= 1e-6 * value.abs() + 1e-9 + 1e-12 * size
    if bool(near.all()):
        return []
    i = int((~near).flatten().nonzero()[0])
    return [f"another formula: {value.flatten()[i].item():.9g} at {i}, {want.value.flatten()[i].item():.9g} here"]


def is_short(case: Case) -> bool:
    rows = (x for x, s in zip(case.twin.args, case.slots, strict=True) if s.axes in ("ND", "CD") and x is not None)
    return any(x.numel() and x.norm(dim=-1).min().item() < SHORT for x in rows)


def by_formula(case: Case) -> Tensor | None:
    formula = FORMULAS.get(case.name)
    if formula is None:
        return None
    defaults = {name: default for name, (default, _) in fields(case.name).items()}
    o = SimpleNamespace(**{**defaults, **case.twin.kwargs})
    items = formula(*(plain(x, slot.domain) for x, slot in zip(case.twin.args, case.slots, strict=True)), o)
    reduction = getattr(o, "reduction", "mean")
    if items is None or reduction == "none":
        return items
    return items.sum() if reduction == "sum" else items.mean() if case.card.mean_is_plain else None


def by_torch(case: Case) -> Tensor | None:
    function = getattr(F, case.name)
    known = inspect.signature(function).parameters
    args = [plain(x, slot.domain) for x, slot in zip(case.twin.args, case.slots, strict=True)]
    defaults = fields(case.name)
    more = {n for n, v in case.twin.kwargs.items() if n not in known and v is not defaults[n][0]}
    return None if more else function(*args, **{n: v for n, v in case.twin.kwargs.items() if n in known})


def plain(x: Any, domain: str) -> Any:
    """Others take answers for numbers."""
    if isinstance(x, Tensor) and domain == "sign":
        return 2.0 * (x > 0) - 1
    return x.double() if isinstance(x, Tensor) and domain in ("truth", "number", "count") else x
