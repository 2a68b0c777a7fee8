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
from lossary.lab.plan import write_whole

FOLDER = Path(__file__).parent / "results"
#: CPU time by wall time and thread below which other processes had a share of the machine.
QUIET = 0.9
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

    from lossary.lab.train import processor

    facts: dict[str, Any] = {"device": device, "torch": torch.__version__, "python": platform.python_version()}
    if device == "cuda":
        facts["name"] = torch.cuda.get_device_name()
        return facts
    return facts | {"name": processor(), "cores": os.cpu_count()}


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
    ratio = None if ours is None or best is None else ours / max(there[best], 1e-9)
    return verdict(promise, ratio, bar.limit)


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
