"""Timing and memory that can be believed on a shared machine: contenders take turns in one process."""

import contextlib
import ctypes
import gc
import random
import statistics
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from benchmarks import release
from benchmarks.case import OURS, Case, Contender, Inputs, Maker

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
MIB = 2**20
#: Seconds after which a first run counts as the only one.
PATIENCE = 10.0
#: Rounds go on for so many seconds, and at most so many: a few rounds of milliseconds each say nothing.
SECONDS, ROUNDS = 5.0, 60


@dataclass
class Measured:
    """What is known of one contender; ``reason`` says why there is nothing."""

    times_ms: list[float] = field(default_factory=list[float])
    extra_mib: float | None = None  # most that was allocated at once, beyond the gradients
    resident_mib: float | None = None  # the same as the operating system sees it
    saved: float | None = None  # what autograd keeps from forward to backward, in sizes of what learns
    error: float | None = None  # of the gradient, where a case asks for it
    reason: str = ""


def prepared(inputs: Inputs, dtype: torch.dtype = torch.float32) -> Inputs:
    """The inputs where and as they are measured."""
    learns = (t.to(DEVICE, dtype).detach().clone().requires_grad_() for t in inputs.learns)
    return Inputs(tuple(learns), tuple(t.to(DEVICE) for t in inputs.given))


def measure(case: Case, *, repeats: int, only: Callable[[str], bool] = lambda name: True) -> dict[str, Any]:
    """A case's contenders, each measured for memory first and then timed in turns."""
    torch.manual_seed(0)
    with Memory(()):  # what measuring itself needs when it is first used
        inputs = prepared(case.inputs())
    everybody = {**case.contenders(*inputs.learns, *inputs.given), **release.makers(case, inputs)}
    makers = {name: maker for name, maker in everybody.items() if only(name)}
    results = {name: Measured() for name in makers}
    ready: dict[str, Contender] = {}
    for name, maker in makers.items():
        with noted(results[name]):
            contender = maker()
            seconds = first_run(contender, inputs.given, results[name])
            if seconds < PATIENCE:
                ready[name] = contender
            else:
                results[name].times_ms.append(1e3 * seconds)
        gc.collect()
    return {
        **take_turns(ready, results, repeats=repeats, calls=case.calls),
        "contenders": {n: asdict(m) for n, m in results.items()},
        "rounds": max((len(m.times_ms) for m in results.values()), default=0),
        "profile": operators(ready[OURS]) if OURS in ready else {},
    }


@contextlib.contextmanager
def noted(result: Measured) -> Generator[None]:
    """A peer that cannot be imported or run is named with the reason, and the others go on."""
    try:
        yield
    except Exception as error:  # noqa: BLE001
        lines = str(error).strip().splitlines() or [""]
        result.reason = f"{type(error).__name__}: {lines[0]}"[:200]


def first_run(contender: Contender, given: tuple[Tensor, ...], result: Measured) -> float:
    """Warms up and measures memory; the seconds it took."""
    if contender.gib * 2**30 > free_bytes():
        raise MemoryError(f"wants {contender.gib:g} GiB, {free_bytes() / 2**30:.0f} GiB are free")
    gradients = sum(t.nbytes for t in contender.learns)
    with Memory(given) as memory:
        start = clock()
        run(contender, memory.saving)
        seconds = clock() - start
    result.extra_mib = max(memory.peak - gradients, 0) / MIB
    if memory.resident is not None:
        result.resident_mib = max(memory.resident - gradients, 0) / MIB
    if gradients:
        result.saved = memory.saved / gradients
    return seconds


def run(contender: Contender, around: Callable[[], Any] = contextlib.nullcontext) -> None:
    """Forward and backward, to their end."""
    with around():
        loss = contender.run()
    if loss is not None:
        torch.autograd.grad(loss, contender.learns)
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def take_turns(
    contenders: Mapping[str, Contender], results: Mapping[str, Measured], *, repeats: int, calls: int
) -> dict[str, float]:
    """Time all contenders round by round; return CPU time by wall time and the median time of a bare product.

    A product between the rounds keeps every thread busy: it tells whether the machine was free, and as fast as ever.
    The order is another one in each round: what a contender leaves of the heap and the cache is there for the next.
    """
    square = torch.randn(1024, 1024)
    order, shuffle = list(contenders), random.Random(0).shuffle
    cpu, walls = 0.0, list[float]()
    start, rounds = time.perf_counter(), 0
    while rounds < repeats or (repeats > 1 and rounds < ROUNDS and time.perf_counter() - start < SECONDS):
        rounds += 1
        shuffle(order)
        cpu, begun = cpu - time.process_time(), time.perf_counter()
        for _ in range(3):
            torch.mm(square, square)
        cpu += time.process_time()
        walls.append(time.perf_counter() - begun)
        for name in order:
            begun = clock()
            for _ in range(calls):
                run(contenders[name])
            results[name].times_ms.append(1e3 * (clock() - begun) / calls)
    return {"cpu_per_wall": cpu / sum(walls), "product_ms": 1e3 * statistics.median(walls) / 3}


def operators(contender: Contender, *, most: int = 8) -> dict[str, float]:
    """The operators of torch that take the most time, each with its share of all operators'."""
    activity = ProfilerActivity.CUDA if DEVICE.type == "cuda" else ProfilerActivity.CPU
    with profile(activities=[activity]) as trace:
        for _ in range(3):
            run(contender)
    times = {e.key: float(e.self_device_time_total or e.self_cpu_time_total) for e in trace.key_averages()}
    largest = sorted(times, key=lambda name: -times[name])[:most]
    return {name.removeprefix("aten::"): times[name] / (sum(times.values()) or 1) for name in largest}


def clock() -> float:
    """Seconds; of one thread on CPU those that it ran, which other processes disturb little."""
    one = torch.get_num_threads() == 1 and DEVICE.type == "cpu"
    return time.process_time() if one else time.perf_counter()


class Memory:
    """The most memory that was held at once while it is open, and what autograd saves.

    Allocations are followed event by event (on CUDA by its own counter); the resident size is the kernel's high-water
    mark, where there is one (Linux).
    """

    def __init__(self, given: tuple[Tensor, ...]) -> None:
        self.given = {t.untyped_storage().data_ptr() for t in given}
        self.kept: dict[int, int] = {}
        self.peak = 0
        self.resident: int | None = None

    def __enter__(self) -> "Memory":
        self.before = reset_high_water()
        if DEVICE.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            self.peak = -torch.cuda.memory_allocated()
        else:
            self.trace = profile(activities=[ProfilerActivity.CPU], profile_memory=True)
            self.trace.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self.before is not None:
            self.resident = status("VmHWM") - self.before
        if DEVICE.type == "cuda":
            self.peak += torch.cuda.max_memory_allocated()
            return
        self.trace.__exit__(*error)
        held = 0
        for event in self.trace.profiler.kineto_results.events():  # pyright: ignore
            if event.name() == "[memory]":
                held += event.nbytes()  # pyright: ignore
                self.peak = max(self.peak, held)

    def saving(self) -> Any:
        """A context in which autograd's saved tensors are counted."""

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in self.given:
                self.kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        return torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)

    @property
    def saved(self) -> int:
        return sum(self.kept.values())


def reset_high_water() -> int | None:
    """Give freed memory back, forget the largest resident size so far, and return the present one; None if unknown."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        return status("VmRSS")
    except (OSError, AttributeError):
        return None


def status(entry: str) -> int:
    """Bytes that the kernel reports of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{entry}:"))


def free_bytes() -> float:
    """Memory that could still be had; unlimited where unknown."""
    if DEVICE.type == "cuda":
        return torch.cuda.mem_get_info()[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return float("inf")
    return next(int(line.split()[1]) * 1024.0 for line in lines if line.startswith("MemAvailable:"))


def gradient_error(maker: Callable[[Inputs], Maker], inputs: Inputs) -> float:
    """Root of the mean square of the gradient's error in float32, as a share of the gradient's own."""

    def gradient(dtype: torch.dtype) -> Tensor:
        contender = maker(prepared(inputs, dtype))()
        loss = contender.run()
        assert loss is not None
        return torch.autograd.grad(loss, contender.learns)[0].detach().double()

    right = gradient(torch.float64)
    return float((gradient(torch.float32) - right).norm() / right.norm())
