"""Small batches on one thread: what a loss takes beside its formula in plain torch, and how much it calls for that.

``python -m benchmarks.small`` prints it; after ``python -m benchmarks.release`` also for release 0.1. All take turns in
one process, and time is the process's own. A ratio is the median of the ratios within single turns, with quartiles. The
counts are the same on each machine: calls of Python functions in forward, and operators that torch dispatches in
forward and backward. Both are ours, those of the release, and those of plain torch.
"""

import argparse
import statistics
import sys
import time
from types import FrameType
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import release
from benchmarks.case import DENSE, OURS, Case, Contender
from benchmarks.cases import survey
from benchmarks.measure import prepared, run

#: How often a contender is called for one time.
CALLS = 5


class Operators(TorchDispatchMode):
    """Counts what torch dispatches below autograd."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def operators(contender: Contender) -> int:
    with Operators() as counter:
        run(contender)
    return counter.count


def python_calls(contender: Contender) -> int:
    """Of functions written in Python, in forward."""
    count = 0

    def called(_: FrameType, event: str, __: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(called)
    try:
        contender.run()
    finally:
        sys.setprofile(None)
    return count


def microseconds(contender: Contender) -> float:
    start = time.process_time()
    for _ in range(CALLS):
        run(contender)
    return 1e6 * (time.process_time() - start) / CALLS


def row(case: Case, turns: int) -> list[str]:
    inputs = prepared(case.inputs())
    makers = {**case.contenders(*inputs.learns, *inputs.given), **release.makers(case, inputs)}
    contenders = {name: maker() for name, maker in makers.items()}
    warm = turns // 10
    rounds = [{name: microseconds(one) for name, one in contenders.items()} for _ in range(warm + turns)][warm:]
    counted = [contenders[name] for name in (OURS, release.NAME, DENSE) if name in contenders]
    cells = [f"{statistics.median(times[name] for times in rounds):.0f}" for name in (OURS, DENSE)]
    for name in (OURS, release.NAME):
        ratios = [times[name] / times[DENSE] for times in rounds if name in times]
        cells.append("{1:.2f} ({0:.2f} to {2:.2f})".format(*statistics.quantiles(ratios)) if ratios else "")
    return [*cells, *(", ".join(str(count(one)) for one in counted) for count in (python_calls, operators))]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.small", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="losses whose name contains this")
    parser.add_argument("--turns", type=int, default=200, help="how often each is measured, after a tenth for warmth")
    given = parser.parse_args()
    torch.set_num_threads(1)
    header = ("us", "plain torch", "ratio", f"ratio of {release.NAME}", "Python calls", "operators")
    table = Table("loss", *header)
    for case in survey():
        if given.only.lower() in case.name.lower():
            torch.manual_seed(0)
            table.add_row(case.name, *row(case, given.turns))
    Console().print(table)


if __name__ == "__main__":
    main()
