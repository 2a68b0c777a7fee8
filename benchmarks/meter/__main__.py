"""Count what every loss and every problem would cost on an accelerator, store the counts and print them.

With --only, the stored file is completed.
"""

import argparse
import time
from collections.abc import Mapping
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import results
from benchmarks.meter import page, workloads
from benchmarks.meter.costs import milliseconds
from benchmarks.meter.counter import Meter, count
from benchmarks.meter.workloads import Workload


def main() -> None:
    parser = argparse.ArgumentParser(prog="make meter", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="losses and problems whose name contains this")
    only = parser.parse_args().only.lower()
    run: dict[str, Any] = page.stored() if only and page.STORED.exists() else {"losses": {}, "problems": {}}
    run["torch"] = torch.__version__.partition("+")[0]
    start = time.perf_counter()
    for kind, found in (("losses", workloads.cards()), ("problems", workloads.problems())):
        if not only:
            run[kind] = {}
        for workload in found:
            if only in workload.name.lower():
                run[kind][workload.name] = counted(workload)
                print(f"{time.perf_counter() - start:6.0f} s  {workload.name}", flush=True)
        run[kind] = {w.name: run[kind][w.name] for w in found if w.name in run[kind]}
    results.store(page.STORED, run)
    show(run, only)


def counted(workload: Workload) -> dict[str, Any]:
    """The counts of everybody who solves a problem."""
    found: dict[str, Any] = {}
    for name, program in workload.programs.items():
        found[name] = summary(count(program, *(one.hollow() for one in workload.inputs), fixed=workload.fixed))
    return found


def summary(meter: Meter) -> dict[str, Any]:
    products: dict[str, float] = {}
    for cost in meter.costs:
        if cost.flops:
            products[cost.dtype] = products.get(cost.dtype, 0) + cost.flops / 1e12
    reads = meter.reads.total()
    device, host = milliseconds(meter.costs, reads)
    return {
        "kernels": sum(cost.kernels for cost in meter.costs),
        "operators": len(meter.costs),
        "reads": dict(sorted(meter.reads.items())),
        "gigabytes": sum(cost.bytes for cost in meter.costs) / 1e9,
        "teraflops": products,
        "peak_gib": meter.memory.peak / 2**30,
        "device_ms": device,
        "device_ms_tf32": milliseconds(meter.costs, reads, tf32=True)[0],
        "host_ms": host,
    }


def show(run: Mapping[str, Any], only: str) -> None:
    console = Console()
    for kind, title in page.KINDS.items():
        table = Table(title=f"{title} (times estimated, not measured)", title_justify="left")
        for column in page.HEADER:
            table.add_column(column, justify="left" if column in ("", "case") else "right")
        for row in page.rows({n: c for n, c in run[kind].items() if only in n.lower()}):
            table.add_row(*row)
        console.print(table)


if __name__ == "__main__":
    main()
