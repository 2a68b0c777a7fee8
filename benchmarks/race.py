"""Timing that can be believed on a shared machine: cases take turns in one process, beside a floor."""

import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Case:
    """Something to time: ``run`` gives a loss, which is differentiated by ``learns``, or nothing at all."""

    name: str
    run: Callable[[], Tensor | None]
    learns: tuple[Tensor, ...] = ()

    def __call__(self) -> None:
        loss = self.run()
        if loss is not None:
            torch.autograd.grad(loss, self.learns)


@dataclass(frozen=True)
class Result:
    case: str
    median_ms: float
    minimum_ms: float
    ratio: float  # median by the first case's median
    extra_mib: float  # peak of what was allocated, beyond the gradients


def race(title: str, cases: list[Case], *, repeats: int) -> list[Result]:
    """Time the cases in turns, print a table and store it; the first case is the floor.

    With one thread the process's CPU time is taken, which other processes disturb little; with more, wall time.
    """
    threads = torch.get_num_threads()
    clock = time.process_time if threads == 1 else time.perf_counter
    extra = [peak_bytes(case) - sum(t.nbytes for t in case.learns) for case in cases]  # also warms up
    times: list[list[float]] = [[] for _ in cases]
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        for case, taken in zip(cases, times, strict=True):
            start = clock()
            case()
            taken.append(1e3 * (clock() - start))
    share = (time.process_time() - cpu) / (time.perf_counter() - wall)
    floor = statistics.median(times[0])
    results = [
        Result(c.name, statistics.median(t), min(t), statistics.median(t) / floor, e / 2**20)
        for c, t, e in zip(cases, times, extra, strict=True)
    ]
    report(title, results, threads=threads, share=share, repeats=repeats)
    return results


def peak_bytes(case: Case) -> int:
    """The most that was allocated at once during the case, by allocation events."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as trace:
        case()
    held = peak = 0
    assert trace.profiler is not None
    assert trace.profiler.kineto_results is not None
    for event in trace.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


def report(title: str, results: list[Result], *, threads: int, share: float, repeats: int) -> None:
    quiet = share >= 0.9 * threads
    note = "" if quiet else "  machine shared: " + ("CPU time" if threads == 1 else "times are not to be trusted")
    print(f"\n{title}  ({threads} thread(s), {repeats} runs, cpu/wall {share:.2f}{note})")
    print(f"{'':30s} {'median ms':>10s} {'min ms':>10s} {'x floor':>8s} {'extra MiB':>10s}")
    for r in results:
        print(f"{r.case:30s} {r.median_ms:10.1f} {r.minimum_ms:10.1f} {r.ratio:8.2f} {r.extra_mib:10.1f}", flush=True)
    RESULTS.mkdir(exist_ok=True)
    about = {
        "title": title,
        "date": time.strftime("%Y-%m-%d"),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "threads": threads,
        "cpu_per_wall": round(share, 2),
        "quiet": quiet,
    }
    with (RESULTS / "rows.jsonl").open("a") as file:
        for r in results:
            file.write(json.dumps({**about, **asdict(r)}) + "\n")
