"""Heads on this CPU by the size of the pieces that their scores are computed in, beside release 0.1.

``python -m benchmarks.pieces`` prints it, after ``python -m benchmarks.release``: all sizes take turns in one process.
A table has a size per column, in scores per thread, and medians of the ratio to what the release takes, with quartiles.
"""

import argparse
import statistics
import time

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import release
from benchmarks.case import OURS, Case, Contender
from benchmarks.cases import heads
from benchmarks.measure import prepared, run
from lossary.kernels.rows import swept

SIZES = tuple(1 << power for power in (18, 19, 20, 21, 22))


def milliseconds(contender: Contender) -> float:
    start = time.perf_counter()
    run(contender)
    return 1e3 * (time.perf_counter() - start)


def turn(ours: Contender, earlier: Contender) -> list[float]:
    """How long each size takes, in times of what the release takes."""
    took = milliseconds(earlier)
    ratios: list[float] = []
    for size in SIZES:
        swept.piece_size = lambda size=size: size * torch.get_num_threads()
        ratios.append(milliseconds(ours) / took)
    return ratios


def row(case: Case, turns: int) -> list[str]:
    inputs = prepared(case.inputs())
    makers = {**case.contenders(*inputs.learns, *inputs.given), **release.makers(case, inputs)}
    ours, earlier = makers[OURS](), makers[release.NAME]()
    found = [turn(ours, earlier) for _ in range(turns + 1)][1:]
    return ["{1:.2f} ({0:.2f} to {2:.2f})".format(*statistics.quantiles(of)) for of in zip(*found, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pieces", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="heads whose name contains this")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--turns", type=int, default=7, help="how often each is measured, after one for warmth")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    table = Table("head", *(f"2^{size.bit_length() - 1}" for size in SIZES))
    for case in heads.cases():
        if given.only.lower() in case.name.lower():
            table.add_row(case.name, *row(case, given.turns))
    Console().print(table)


if __name__ == "__main__":
    main()
