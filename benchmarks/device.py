"""What a GPU says of the losses, in two parts of four minutes: ``PYTHONPATH=src python3 -m benchmarks.device 1``.

Torch and the standard library are enough. Part 1: correct against float64, where the host waits for the device, how
many kernels start beside what the meter counts. Part 2: times and peak memory of Lossary, of the same formula in eager
torch and of that one compiled. A part that has no time left stops, with what it has.
"""

import argparse
import collections
import json
import os
import statistics
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor
from torch.profiler import ProfilerActivity, profile

from benchmarks.meter.costs import milliseconds
from benchmarks.meter.counter import count
from benchmarks.meter.workloads import DENSE, OURS, Program, Workload, problems
from lossary.catalogue import CATALOGUE
from lossary.core.card import Card
from lossary.testing import draw

SECONDS = 240.0
#: Rows whose gradient is compared with float64 where the whole would not fit.
SAMPLE = 256
#: Scores up to which the whole is compared.
WHOLE = 1 << 25
#: A contender is timed for so many seconds, at least and at most so often.
TIMED, FEWEST, MOST = 1.0, 3, 50


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.device", description=__doc__.splitlines()[0])
    parser.add_argument("part", type=int, choices=(1, 2))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", default="full", choices=("full", "tiny"), help="tiny: does everything run?")
    parser.add_argument("--only", default="", metavar="TEXT", help="losses and problems whose name contains this")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="after which nothing new begins")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", ".")), help="folder for the JSON file")
    options = parser.parse_args()
    part = (checks, times)[options.part - 1]
    run = Run(options)
    run.note("machine", machine(options.device))
    try:
        part(run)
    except OutOfTime:
        run.note("stopped", f"after {options.seconds:g} s")
    run.note("seconds", round(run.elapsed(), 1))
    print(f"\n{run.elapsed():.0f} s, stored in {run.path}")


class OutOfTime(Exception):
    """The deadline has passed: what is there is printed and stored."""


class Run:
    """Where results go: printed as they come and stored after each, so that nothing is lost."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.device, self.only = options.device, options.only.lower()
        self.seconds, self.start = options.seconds, time.perf_counter()
        self.tiny = options.size == "tiny"
        self.path = options.out / f"device-part{options.part}.json"
        self.found: dict[str, Any] = {}

    def elapsed(self) -> float:
        return time.perf_counter() - self.start

    def note(self, name: str, value: Any) -> None:
        self.found[name] = value
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.found, indent=1) + "\n")

    def each(self, section: str, named: Iterable[tuple[str, Callable[[], dict[str, Any]]]]) -> None:
        """One result after the other; one that fails leaves its reason, and the others go on."""
        print(f"\n{section}")
        results: dict[str, Any] = self.found.setdefault(section, {})
        for name, make in named:
            if self.only not in name.lower():
                continue
            if self.elapsed() > self.seconds:
                raise OutOfTime
            try:
                results[name] = make()
            except Exception as error:  # noqa: BLE001 - among others, of memory there may be too little
                results[name] = {"reason": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"[:200]}
            print(f"{self.elapsed():5.0f} s  {name:58} {shown(results[name])}", flush=True)
            self.note(section, results)
            release(self.device)

    def problems(self) -> list[Workload]:
        return [workload.tiny() if self.tiny else workload for workload in problems()]


def shown(result: dict[str, Any]) -> str:
    return "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in result.items())


def machine(device: str) -> dict[str, Any]:
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    return {"device": name, "torch": torch.__version__, "cuda": torch.version.cuda, "python": sys.version.split()[0]}


def release(device: str) -> None:
    if device == "cuda":
        torch.cuda.empty_cache()


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def gradients(program: Program, inputs: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """The loss, and the gradient of its sum by every floating input."""
    leaves = [t.detach().requires_grad_() if t.is_floating_point() else t for t in inputs]
    learns = [t for t in leaves if t.requires_grad]
    loss = program(*leaves)
    found = torch.autograd.grad(loss.sum(), learns, allow_unused=True)
    return loss.detach(), [torch.zeros_like(t) if g is None else g for g, t in zip(found, learns, strict=True)]


# ---------------------------------------------------------------- part 1: right, without waiting, counted


def checks(run: Run) -> None:
    run.each("every loss against itself in float64 on the CPU", of_cards(run))
    run.each("problems against dense torch in float64", of_problems(run))
    run.each("where the host waits", waits(run))
    run.each("kernels beside the meter's count", launches(run))


def of_cards(run: Run) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    for card in CATALOGUE:
        for dtype in (torch.float32, torch.bfloat16):
            yield f"{card.name}, {str(dtype)[6:]}", lambda c=card, d=dtype: card_errors(c, d, run.device)


def card_errors(card: Card, dtype: torch.dtype, device: str) -> dict[str, Any]:
    """Relative errors of value and gradients on the card's own small batch."""
    call = draw(card, Generator().manual_seed(0), dtype)

    def program(*args: Tensor) -> Tensor:
        there = {k: v.to(args[0].device) if isinstance(v, Tensor) else v for k, v in call.kwargs.items()}
        return card.fn(*args, **there)

    exact = gradients(program, [t.double() if t.is_floating_point() else t for t in call.args])
    return errors(gradients(program, [t.to(device) for t in call.args]), exact)


def errors(found: tuple[Tensor, list[Tensor]], exact: tuple[Tensor, list[Tensor]]) -> dict[str, Any]:
    """Of the value by its size, of each gradient by its length."""
    pairs = list(zip(found[1], exact[1], strict=True))
    return {"value": off(found[0], exact[0]), "gradients": [round_off(off(g, e)) for g, e in pairs]}


def off(found: Tensor, exact: Tensor) -> float:
    exact = exact.double()
    return float((found.to(exact.device).double() - exact).norm() / exact.norm().clamp_min(1e-12))


def round_off(value: float) -> float:
    return float(f"{value:.2g}")


def of_problems(run: Run) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    for workload in run.problems():
        if DENSE in workload.programs and "triplet" not in workload.name:  # whose dense form is another loss's
            yield workload.name, lambda w=workload: problem_errors(w, run.device)


def problem_errors(workload: Workload, device: str) -> dict[str, Any]:
    """Against the dense form in float64: the whole of it, or its gradient by some rows of x where rows are apart."""
    torch.manual_seed(0)
    first = workload.inputs[0]
    in_batch = len(workload.inputs) == 2 and len(first.shape) == 2 and first.shape[1] <= 1024
    if in_batch and first.shape[0] ** 2 > WHOLE:
        return {"reason": "left out: all rows belong together, and are too many for float64"}
    inputs = [one.drawn(device) for one in workload.inputs]
    value, by_inputs = gradients(workload.programs[OURS], inputs)
    x, *others, last = [t.double() if t.is_floating_point() else t for t in inputs]
    size = x.shape[0]
    if in_batch or size <= SAMPLE:
        return errors((value, by_inputs), gradients(workload.programs[DENSE], (x, *others, last)))
    rows = torch.randperm(size, device=device)[:SAMPLE]
    _, exact = gradients(workload.programs[DENSE], (x[rows], *others, last[rows]))
    # The mean over few rows: a row's share of it is larger by so much.
    return {"gradient by x": off(by_inputs[0][rows], exact[0] * SAMPLE / size), "rows": SAMPLE}


def waits(run: Run) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    for workload in run.problems():
        yield workload.name, lambda w=workload: synchronizations(w.programs[OURS], w, run.device)


def synchronizations(program: Program, workload: Workload, device: str) -> dict[str, Any]:
    """How often and where, as torch warns of it."""
    inputs = [one.drawn(device) for one in workload.inputs]
    found: collections.Counter[str] = collections.Counter()

    def note(*_: Any, **__: Any) -> None:
        ours = [f for f in traceback.extract_stack() if "/lossary/" in f.filename.replace(os.sep, "/")]
        found[f"{Path(ours[-1].filename).name}: {ours[-1].name}" if ours else "torch"] += 1

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = note
        if device == "cuda":
            torch.cuda.set_sync_debug_mode("warn")
        try:
            gradients(program, inputs)
        finally:
            if device == "cuda":
                torch.cuda.set_sync_debug_mode("default")
    return {"waits": found.total(), "where": dict(found)}


def launches(run: Run) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    for workload in run.problems():
        for name, program in workload.programs.items():
            yield f"{workload.name}, {name}", lambda w=workload, p=program: kernels(p, w, run.device)


def kernels(program: Program, workload: Workload, device: str) -> dict[str, Any]:
    """As the profiler sees them, and as the meter counts them."""
    meter = count(program, *(one.hollow() for one in workload.inputs))
    found: dict[str, Any] = {"counted": sum(c.kernels for c in meter.costs), "reads": meter.reads.total()}
    if device == "cuda" and found["counted"] < 20_000:  # a profile of more takes minutes
        inputs = [one.drawn(device) for one in workload.inputs]
        gradients(program, inputs)
        with profile(activities=[ProfilerActivity.CUDA]) as profiled:
            gradients(program, inputs)
            wait(device)
        events = [e for e in profiled.events() or () if e.device_type == torch.autograd.DeviceType.CUDA]
        found |= {"seen": len(events), "device ms": sum(e.device_time for e in events) / 1e3}
    device_ms, host_ms = milliseconds(meter.costs, meter.reads.total())
    return found | {"estimated device ms": device_ms, "estimated host ms": host_ms}


# ---------------------------------------------------------------- part 2: times and peaks


def times(run: Run) -> None:
    """What matters most first: Lossary and eager torch everywhere, then TF32, then what a compiler makes of torch."""
    workloads = run.problems()
    run.each("float32 products as torch's default has them, and half", timed(run, workloads, (OURS, DENSE)))
    torch.set_float32_matmul_precision("high")
    single = [w for w in workloads if w.inputs[0].dtype == torch.float32]
    run.each("float32 products in TF32", timed(run, single, (OURS, DENSE)))
    few = workloads[:2] if run.tiny else workloads  # a compiler takes seconds for each
    run.each("dense torch compiled, products in TF32", timed(run, few, (DENSE,), compiled=True))


def timed(
    run: Run, workloads: Sequence[Workload], names: Sequence[str], *, compiled: bool = False
) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    for workload in workloads:
        for name in names:
            if name in workload.programs:
                program = workload.programs[name]
                yield f"{workload.name}, {name}", lambda w=workload, p=program: duration(p, w, run, compiled=compiled)


def duration(program: Program, workload: Workload, run: Run, *, compiled: bool) -> dict[str, Any]:
    """The median time of forward and backward, and the most memory beyond the inputs; after a first time uncounted."""
    torch.manual_seed(0)
    inputs = [one.drawn(run.device) for one in workload.inputs]
    if compiled:
        torch._dynamo.reset()
        program = torch.compile(program, backend="aot_eager" if run.tiny else "inductor")
    before = memory(run.device)
    gradients(program, inputs)
    wait(run.device)
    peak = memory(run.device, peak=True) - before
    taken: list[float] = []
    until = time.perf_counter() + (0.0 if run.tiny else TIMED)
    while len(taken) < MOST and (len(taken) < FEWEST or time.perf_counter() < until):
        taken.append(once(program, inputs, run.device))
        if run.elapsed() > run.seconds:
            break
    return {"ms": statistics.median(taken), "least ms": min(taken), "times": len(taken), "peak GiB": peak / 2**30}


def once(program: Program, inputs: Sequence[Tensor], device: str) -> float:
    """Milliseconds, by the device's own clock where it has one."""
    if device != "cuda":
        start = time.perf_counter()
        gradients(program, inputs)
        return 1e3 * (time.perf_counter() - start)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    gradients(program, inputs)
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)


def memory(device: str, *, peak: bool = False) -> int:
    if device != "cuda":
        return 0  # of a CPU torch keeps no account
    if peak:
        return torch.cuda.max_memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated()


if __name__ == "__main__":
    main()
