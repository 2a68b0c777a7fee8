"""The originals' answers as stored: of each call its value and its gradient's products with two fixed directions."""

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from presets.grid import Call

FILE = Path(__file__).parent / "answers.json"
Answer = tuple[float, list[float]]


def load() -> dict[str, Any]:
    return json.loads(FILE.read_text())


def entry(version: str, calls: Sequence[Call], answers: Sequence[Answer]) -> dict[str, Any]:
    numbers = [[float(f"{x:.11g}") for x in (value, *summary(gradient))] for value, gradient in answers]
    return {"version": version, "calls": digest(calls), "answers": numbers}


def digest(calls: Sequence[Call]) -> str:
    """Changes where the grid does: answers are stored in its order."""
    return hashlib.sha256("\n".join(call.key for call in calls).encode()).hexdigest()[:16]


def summary(gradient: Sequence[float]) -> tuple[float, float]:
    """Two numbers that nearly every other gradient has otherwise; of the size of its largest entry."""
    first = math.fsum(g * math.sin(1.0 + 7.1 * k) for k, g in enumerate(gradient))
    return first, math.fsum(g * math.cos(2.0 + 3.7 * k) for k, g in enumerate(gradient))


def difference(one: Answer, other: Answer) -> float:
    """The larger of the relative differences in value and in gradient, the latter beside its largest entry."""
    (value, gradient), (expected, wanted) = one, other
    size = max(*map(abs, wanted), 1e-12)
    apart = max(abs(g - w) for g, w in zip(gradient, wanted, strict=True)) / size
    # A NaN is no small difference.
    return max(abs(value - expected) / max(abs(expected), 1.0), apart) if math.isfinite(value + apart) else math.inf
