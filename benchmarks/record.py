"""What was measured of one case or growth, as it is stored."""

import contextlib
import ctypes
import multiprocessing
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch

from benchmarks import results
from benchmarks.case import DENSE, OURS, Case, Growth
from benchmarks.cases import cases, growths
from benchmarks.measure import Measured, gradient_error, measure, noted
from benchmarks.peers import make_torchvision_importable

#: Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def alone(name: str, *, threads: int, repeats: int) -> dict[str, Any]:
    """The record of a case or growth, made in a process of its own, or in several one after the other.

    In a heap that an earlier case left in large pieces, large tensors come without page faults: plain torch then
    takes up to a third less time than it does by itself.
    """
    case = next((case for case in cases() if case.name == name), None)
    found: list[dict[str, Any]] = []
    for _ in range(1 if case is None else case.processes):
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawn, initializer=make_torchvision_importable) as pool:
            found.append(pool.submit(record, name, threads=threads, repeats=repeats).result())
    if case is None:
        return found[0]
    together = joined(found)
    return together | {"bars": [results.kept(bar, together["contenders"]) for bar in case.bars]}


def joined(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The records of one case as one: all rounds, the rest as it came first."""
    first = found[0]
    contenders = {
        name: measured | {"times_ms": [t for one in found for t in one["contenders"][name]["times_ms"]]}
        for name, measured in first["contenders"].items()
    }
    return {
        **first,
        "contenders": contenders,
        "rounds": sum(one["rounds"] for one in found),
        "cpu_per_wall": min(one["cpu_per_wall"] for one in found),
        "product_ms": max(one["product_ms"] for one in found),
    }


def record(name: str, *, threads: int, repeats: int) -> dict[str, Any]:
    """The record of the case or growth of that name."""
    torch.set_num_threads(threads)
    keep_memory()
    for case in cases():
        if case.name == name:
            return run_case(case, repeats=repeats)
    return next(run_growth(growth, repeats=repeats) for growth in growths() if growth.name == name)


def keep_memory() -> None:
    """Have glibc keep what is freed of tensors below 32 MiB, its own limit for this; larger ones it never keeps.

    Left alone it gives memory back now and then, and whoever comes next pays for it: 4 KiB fresh from the system take
    longer to come than all that an elementwise loss does with them.
    """
    with contextlib.suppress(OSError, AttributeError):  # other C libraries have no such call
        tune = ctypes.CDLL(None).mallopt
        tune(M_MMAP_THRESHOLD, 32 << 20)
        tune(M_TRIM_THRESHOLD, 2**31 - 1)


def run_case(case: Case, *, repeats: int) -> dict[str, Any]:
    record = conditions(case.kernel) | {"floor": case.floor} | measure(case, repeats=repeats)
    if any(bar.measure == "error" for bar in case.bars):
        add_errors(case, record["contenders"])
    return record


def add_errors(case: Case, contenders: Mapping[str, Any]) -> None:
    """Each contender's gradient in float32 beside its own in float64."""
    torch.manual_seed(0)
    inputs = case.inputs()
    for name, measured in contenders.items():
        if name != case.floor and not measured["reason"]:
            result = Measured()
            with noted(result):
                result.error = gradient_error(lambda i, n=name: case.contenders(*i.learns, *i.given)[n], inputs)
            measured |= {"error": result.error, "reason": result.reason}


def run_growth(growth: Growth, *, repeats: int) -> dict[str, Any]:
    def wanted(name: str, size: int) -> bool:
        return name == OURS or (name == DENSE and (growth.dense_until is None or size <= growth.dense_until))

    runs = {n: measure(c, repeats=repeats, only=lambda name, n=n: wanted(name, n)) for n, c in growth.cases.items()}
    measured = {n: run["contenders"] for n, run in runs.items()}
    names = [name for name in (OURS, DENSE) if any(name in found for found in measured.values())]
    points = {
        name: {
            m: {str(n): results.value(c[name], m) for n, c in measured.items() if name in c} for m in ("time", "extra")
        }
        for name in names
    }
    return conditions(growth.kernel) | {
        "rounds": min(run["rounds"] for run in runs.values()),
        "sizes": [str(n) for n in growth.cases],
        "points": points,
        "exponents": {name: results.exponents(growth, measured, name) for name in names},
        "cpu_per_wall": min(run["cpu_per_wall"] for run in runs.values()),
        "product_ms": max(run["product_ms"] for run in runs.values()),
        "bars": results.kept_growth(growth, measured),
    }


def conditions(kernel: str) -> dict[str, Any]:
    return {"kernel": kernel, "date": time.strftime("%Y-%m-%d"), "threads": torch.get_num_threads()}
