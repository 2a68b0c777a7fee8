"""Golden cases: exact values and gradients, one JSON object a line, and the comparison with them.

Floats are decimal strings, exactly float64 values for inputs and 25 digits for results. ``null`` in a gradient
means: not specified, but finite.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

#: A folder of them, of which each file counts.
COMMITTED = Path(__file__).parent


@dataclass(frozen=True)
class Answer:
    """One admissible result: the value, and the gradients of its sum."""

    name: str  # "" for the expected one, else the name of the convention
    value: Any
    grads: dict[str, Any]


@dataclass(frozen=True)
class Tolerance:
    """|got - wanted| <= rtol * largest |wanted| of the tensor + atol, for every entry."""

    rtol: float
    atol: float

    def looser(self, slack: float) -> "Tolerance":
        return Tolerance(self.rtol, self.atol + slack)


@dataclass(frozen=True)
class Case:
    id: str
    loss: str
    params: dict[str, Any]
    inputs: dict[str, dict[str, Any]]
    grad_of: tuple[str, ...]
    grad_optional: tuple[str, ...]
    tags: tuple[str, ...]
    answers: tuple[Answer, ...]  # the expected one, then the alternatives
    value_tolerance: Tolerance
    grad_tolerance: Tolerance
    float32_exact: bool

    def tensors(self, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
        """The inputs; those with a gradient are leaves that ask for it."""
        made = {}
        for name, entry in self.inputs.items():
            kind = dtype if entry["dtype"] == "float64" else torch.int64
            made[name] = torch.tensor(numbers(entry["data"]), dtype=kind).reshape(entry["shape"])
            made[name].requires_grad_(name in self.grad_of)
        return made

    def strictly(self) -> "Case":
        """The case without its alternatives."""
        return replace(self, answers=self.answers[:1])


def load(path: Path) -> list[Case]:
    if path.is_dir():
        return [case for file in sorted(path.glob("*.jsonl")) for case in load(file)]
    return [read(json.loads(line)) for line in path.read_text().splitlines() if line.strip()]


def read(raw: dict[str, Any]) -> Case:
    expected, tol = raw["expected"], {name: float(value) for name, value in raw["tol"].items()}
    answers = [Answer("", expected["value"], expected["grads"])]
    for other in raw["alternatives"]:
        value, grads = other.get("value", expected["value"]), other.get("grads", expected["grads"])
        answers.append(Answer(other["name"], value, grads))
    return Case(
        id=raw["id"],
        loss=raw["loss"],
        params={name: parameter(value) for name, value in raw["params"].items()},
        inputs=raw["inputs"],
        grad_of=tuple(raw["grad_of"]),
        grad_optional=tuple(raw["grad_optional"]),
        tags=tuple(raw["tags"]),
        answers=tuple(answers),
        value_tolerance=Tolerance(tol["value_rtol"], tol["value_atol"]),
        grad_tolerance=Tolerance(tol["grad_rtol"], tol["grad_atol"]),
        float32_exact=raw["float32_exact"],
    )


def numbers(data: Any) -> Any:
    """Decimal strings -> floats, nested; integers stay."""
    if isinstance(data, list):
        return [numbers(entry) for entry in data]
    return float(data) if isinstance(data, str) else data


def parameter(value: Any) -> Any:
    """A parameter's decimal string -> float; words, None, booleans and integers stay."""
    if isinstance(value, list):
        return [parameter(entry) for entry in value]
    return float(value) if isinstance(value, str) and value.lstrip("-")[:1].isdigit() else value


# ---------------------------------------------------------------- comparing


Grads = Mapping[str, Tensor | None]


def mismatch(
    case: Case,
    value: Tensor,
    grads: Grads,
    *,
    tolerance: Tolerance | None = None,
    slack: Mapping[str, float] = MappingProxyType({}),
) -> str | None:
    """None where one of the case's answers is met; else what differs from the expected one.

    Args:
        value: What the loss gave.
        grads: The gradients of the sum of ``value`` by the name of the input.
        tolerance: Instead of the case's own, which are for float64.
        slack: What is allowed besides, by the name of the input; "value" for the value.
    """
    faults = [differs(case, answer, value, grads, tolerance, slack) for answer in case.answers]
    return None if None in faults else faults[0]


def differs(
    case: Case,
    answer: Answer,
    value: Tensor,
    grads: Grads,
    tolerance: Tolerance | None,
    slack: Mapping[str, float],
) -> str | None:
    allowed = (tolerance or case.value_tolerance).looser(slack.get("value", 0.0))
    fault = compare(value, answer.value, allowed, finite=True)
    if fault:
        return f"value: {fault}"
    for name in case.grad_of:
        grad = grads.get(name)
        if grad is None:
            if name not in case.grad_optional:
                return f"gradient of {name}: there is none"
            continue
        if name in answer.grads:
            allowed = (tolerance or case.grad_tolerance).looser(slack.get(name, 0.0))
            fault = compare(grad, answer.grads[name], allowed, finite="infinite" not in case.tags)
            if fault:
                return f"gradient of {name}: {fault}"
    return None


def errors(case: Case, value: Tensor, grads: Grads) -> dict[str, float]:
    """The largest distance from the expected answer, by the name of the input; "value" for the value."""
    wanted = {"value": case.answers[0].value, **case.answers[0].grads}
    return {name: worst(got, wanted[name]) for name, got in {"value": value, **grads}.items() if got is not None}


def worst(got: Tensor, wanted: Any) -> float:
    found = got.detach().double().flatten().tolist()
    return max((abs(g - e) for g, e in zip(found, flat(wanted), strict=True) if e is not None), default=0.0)


def compare(got: Tensor, wanted: Any, tolerance: Tolerance, *, finite: bool) -> str | None:
    """What is wrong with ``got``; with ``finite``, entries that are not specified must still be finite."""
    found, exact = got.detach().double().flatten().tolist(), list(flat(wanted))
    if len(found) != len(exact):
        return f"has {len(found)} numbers, wanted {len(exact)}"
    largest = max((abs(e) for e in exact if e is not None and math.isfinite(e)), default=0.0)
    allowed = tolerance.rtol * largest + tolerance.atol
    for place, (g, e) in enumerate(zip(found, exact, strict=True)):
        if e is None:
            right = math.isfinite(g) or not finite
        elif math.isnan(e):
            right = math.isnan(g)
        else:
            right = g == e or abs(g - e) <= allowed
        if not right:
            return f"entry {place} is {g!r}, wanted {e!r} (allowed difference {allowed:.1e})"
    return None


def flat(data: Any) -> Iterator[float | None]:
    if isinstance(data, list):
        for entry in data:
            yield from flat(entry)
    else:
        yield None if data is None else float(data)
