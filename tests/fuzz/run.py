"""Many cases: in chunks, side by side, with a state file that a kill cannot spoil."""

import json
import os
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import count, islice
from multiprocessing import get_context
from pathlib import Path

import torch

from fuzz.generate import make
from fuzz.known import KNOWN, explained
from fuzz.oracle import described, judge

#: Cases of one card that are run, and written down, at a time.
CHUNK = 250


@dataclass(frozen=True)
class Chunk:
    card: str
    first: int
    size: int

    @property
    def key(self) -> str:
        return f"{self.card}:{self.first}+{self.size}"


@dataclass
class Tally:
    """What became of some cases: outcomes counted, explanations counted, and failures by case."""

    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    failures: dict[str, list[str]] = field(default_factory=dict)

    def add(self, other: "Tally") -> None:
        self.outcomes.update(other.outcomes)
        self.reasons.update(other.reasons)
        self.failures.update(other.failures)


def check(name: str, seed: int, tally: Tally) -> None:
    """Make one case, judge it and count it."""
    try:
        case = make(name, seed)
        verdict = judge(case)
        reasons, faults = explained(case, verdict.faults)
    except Exception as error:  # noqa: BLE001 - a fault of the fuzzer must not end a run of hours
        tally.outcomes["failed"] += 1
        tally.failures[f"{name}:{seed}"] = [f"the fuzzer itself: {described(error)}"]
        return
    tally.reasons.update(set(reasons))
    if faults:
        tally.outcomes["failed"] += 1
        tally.failures[case.id] = faults
    else:
        tally.outcomes["explained" if reasons else verdict.outcome] += 1


def run_chunk(chunk: Chunk) -> Tally:
    tally = Tally()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(chunk.first, chunk.first + chunk.size):
            check(chunk.card, seed, tally)
    return tally


def chunks(cards: list[str], seed: int, total: int | None) -> Iterator[Chunk]:
    """All cards in turn, chunk by chunk; seeds of runs with different ``seed`` do not meet."""
    each = None if total is None else -(-total // len(cards))
    for first in count(0, CHUNK):
        size = CHUNK if each is None else min(CHUNK, each - first)
        if size <= 0:
            return
        for card in cards:
            yield Chunk(card, seed * 10**9 + first, size)


# ---------------------------------------------------------------- the state file


def read(path: Path, plan: dict[str, object]) -> dict[str, Tally]:
    """The finished chunks of an earlier run of the same plan; a half-written last line is one that has not happened."""
    done: dict[str, Tally] = {}
    lines = path.read_text().splitlines() if path.exists() else []
    for line in filter(None, lines):
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        if "chunk" not in entry and entry != plan:
            raise SystemExit(f"{path}: wanted the state of this run, {plan}; it is of {entry}")
        if "chunk" in entry:
            done[entry["chunk"]] = Tally(Counter(entry["outcomes"]), Counter(entry["reasons"]), entry["failures"])
    return done


class State:
    """One JSON line for the plan, then one for each finished chunk. Without a path nothing is kept."""

    def __init__(self, path: Path | None, plan: dict[str, object]) -> None:
        self.path = path
        self.done = {} if path is None else read(path, plan)
        if path is not None and (not path.exists() or path.stat().st_size == 0):
            self.write(plan)

    def write(self, entry: dict[str, object]) -> None:
        if self.path is not None:
            with self.path.open("a") as file:
                # A line of its own also after one that was cut off: an empty line means nothing.
                file.write("\n" + json.dumps(entry) + "\n")
                file.flush()
                os.fsync(file.fileno())

    def finish(self, chunk: Chunk, tally: Tally) -> None:
        self.write({"chunk": chunk.key, **vars(tally)})


# ---------------------------------------------------------------- side by side


def start_worker() -> None:
    torch.set_num_threads(1)


def results(todo: Iterable[Chunk], jobs: int, deadline: float) -> Iterator[tuple[Chunk, Tally]]:
    """Each chunk's tally as it comes; no chunk is begun after the deadline."""
    todo = iter(todo)
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=start_worker)
    running: dict[Future[Tally], Chunk] = {}
    try:
        while True:
            for chunk in islice(todo, 2 * jobs - len(running)) if time.time() < deadline else ():
                running[pool.submit(run_chunk, chunk)] = chunk
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    except BrokenProcessPool:
        lost = ", ".join(chunk.key for chunk in running.values())
        raise SystemExit(f"a process died, which no call may do: in one of {lost}; --case runs one") from None
    finally:
        pool.shutdown(cancel_futures=True)


def unseen(tally: Tally) -> list[str]:
    """Explanations that explained nothing, of those that a long run should have come by."""
    return [known.reason for known in KNOWN if not tally.reasons[known.reason] and not known.example]
