"""What a run leaves behind: one JSON file, which later runs of single cases complete."""

import json
import math
import os
import platform
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.case import OURS, Bar, Growth
from lossary.lab.run.stored import write_whole

FOLDER = Path(__file__).parent / "results"
#: CPU time by wall time and thread below which other processes had a share of the machine; and how many times its
#: shortest time a bare product may take before the machine counts as slowed down by what it does not show.
QUIET, PACE = 0.9, 1.2
UNITS = {"extra": "MiB of extra memory", "saved": "inputs saved", "error": "error of the gradient"}


def newest(device: str) -> Path | None:
    """The file of the device's latest run."""
    return max(FOLDER.glob(f"{device}-*.json"), default=None)


def load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def fresh(device: str) -> Path:
    """Where a new run is stored."""
    return FOLDER / f"{device}-{time.strftime('%Y-%m-%d-%H%M')}.json"


def store(path: Path, run: Mapping[str, Any]) -> None:
    """Write whole or not at all: a run that is killed leaves the file of its last case."""
    path.parent.mkdir(exist_ok=True)
    write_whole(path, json.dumps(shortened(run), indent=1) + "\n")


def shortened(value: Any) -> Any:
    """Four digits of every number: more would be noise."""
    match value:
        case float():
            return float(f"{value:.4g}")
        case list():
            return [shortened(v) for v in value]
        case dict():
            return {str(k): shortened(v) for k, v in value.items()}
        case _:
            return value


def machine(device: str) -> dict[str, Any]:
    """Where the numbers are from."""
    import torch

    from lossary.lab.run.train import processor

    facts: dict[str, Any] = {"device": device, "torch": torch.__version__, "python": platform.python_version()}
    if device == "cuda":
        facts["name"] = torch.cuda.get_device_name()
        return facts
    return facts | {"name": processor(), "cores": os.cpu_count()}


def loud(run: Mapping[str, Any]) -> list[str]:
    """Mark all cases and growths, and name those during which the machine was not free.

    The neighbours of a virtual machine show only in how long the same product takes.
    """
    records = {**run["cases"], **run["growths"]}
    fastest = min((record["product_ms"] for record in records.values()), default=0.0)
    for record in records.values():
        free = record["cpu_per_wall"] >= QUIET * record["threads"]
        record["quiet"] = free and record["product_ms"] <= PACE * fastest
    return [name for name, record in records.items() if not record["quiet"]]


# ---------------------------------------------------------------- promises


def value(measured: Mapping[str, Any], measure: str) -> float | None:
    """One number of a contender; None where it has none."""
    match measure:
        case "time" | "minimum":
            times = measured["times_ms"]
            return None if not times else statistics.median(times) if measure == "time" else min(times)
        case "extra":
            return measured["extra_mib"]
        case _:
            return measured[measure]


def ratio(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> float | None:
    """How many times the other's time one takes: the median over the rounds, whose two times are neighbours.

    A machine that slows down for some seconds moves both.
    """
    if not (one and other and one["times_ms"] and other["times_ms"]):
        return None
    pairs = list(zip(one["times_ms"], other["times_ms"], strict=False))
    if len(one["times_ms"]) != len(other["times_ms"]):  # of a very slow one there is a single time
        pairs = [tuple(statistics.median(m["times_ms"]) for m in (one, other))]
    return statistics.median(a / b for a, b in pairs)


def kept(bar: Bar, contenders: Mapping[str, Any]) -> dict[str, Any]:
    """What a promise says, what came, and whether it was kept; None where that was not measured."""
    ours = value(contenders[OURS], bar.measure)
    what = UNITS.get(bar.measure, bar.measure)
    if not bar.against:
        return verdict(f"{what}, at most {bar.limit:.5g}", ours, bar.limit)
    found = {name: value(contenders[name], bar.measure) for name in bar.against if name in contenders}
    there = {name: v for name, v in found.items() if v is not None}
    best = min(there, key=lambda name: there[name], default=None)
    measure = "minimum time" if bar.measure == "minimum" else "extra memory" if bar.measure == "extra" else "time"
    promise = f"{measure}, at most {bar.limit:.3g} x {best or ' or '.join(bar.against)}"
    if best is None or ours is None:
        return verdict(promise, None, bar.limit)
    by_rounds = bar.measure == "time"
    times = ratio(contenders[OURS], contenders[best]) if by_rounds else ours / max(there[best], 1e-9)
    return verdict(promise, times, bar.limit)


def verdict(promise: str, value: float | None, limit: float) -> dict[str, Any]:
    return {"promise": promise, "value": value, "limit": limit, "met": None if value is None else value <= limit}


def exponents(growth: Growth, measured: Mapping[int, Mapping[str, Any]], name: str) -> dict[str, float]:
    """The powers of the size with which a contender's time and memory grow, from ``since`` to its largest size."""
    found: dict[str, float] = {}
    for measure in ("time", "extra"):
        of = {n: value(c[name], measure) for n, c in measured.items() if name in c and n >= growth.since}
        there = {n: v for n, v in of.items() if v}
        if len(there) > 1:
            low, high = min(there), max(there)
            found[measure] = math.log(there[high] / there[low]) / math.log(high / low)
    return found


def kept_growth(growth: Growth, measured: Mapping[int, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The promises of a growth, judged."""
    found = exponents(growth, measured, OURS)
    judged = [
        verdict(f"exponent of {'time' if m == 'time' else 'extra memory'}, at most {limit:g}", found.get(m), limit)
        for m, limit in growth.exponents.items()
    ]
    if growth.extra_mib is not None:
        last = max(growth.cases)
        extra = value(measured[last][OURS], "extra") if last in measured else None
        judged.append(
            verdict(f"MiB of extra memory at {last:,}, at most {growth.extra_mib:g}", extra, growth.extra_mib)
        )
    return judged
