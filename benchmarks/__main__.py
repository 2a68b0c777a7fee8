"""Measure Lossary beside other libraries on this machine, store the results and print them.

A run of everything is a new file in benchmarks/results; with --only, the newest one is completed.
"""

import argparse
import time
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import exactness, results, tables
from benchmarks.case import OURS, Case, Growth
from benchmarks.cases import cases, growths, toys
from benchmarks.measure import DEVICE
from benchmarks.peers import peers
from benchmarks.record import alone, run_case

console = Console()
Named = TypeVar("Named", bound=Case | Growth)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name contains this")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5, help="rounds of timing, at least")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one round, nothing stored: does all run?")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    beside = peers()
    console.print("Peers:", ", ".join(f"{name} {state}" for name, state in beside.items()))
    if options.quick:
        for case in chosen(toys(), options.only):
            show(case.name, run_case(case, repeats=1) | {"quiet": True, "bars": []})
        return
    earlier = results.newest(DEVICE.type) if options.only else None
    path = earlier or results.fresh(DEVICE.type)
    run = results.load(earlier) if earlier else {"cases": {}, "growths": {}, "exactness": []}
    start = time.perf_counter()
    run |= {"machine": results.machine(DEVICE.type), "peers": beside}
    for _ in steps(run, options):
        results.store(path, run)
    console.print(
        f"\n{time.perf_counter() - start:.0f} s. Stored in {path.name}; `make docs` writes docs/benchmarks.md."
    )
    summary(run)


def steps(run: dict[str, Any], options: argparse.Namespace) -> Iterator[None]:
    """Add one record after the other to the run."""
    names = [one.name for one in chosen([*cases(), *growths()], options.only)]
    yield from measured(run, options, names)
    # Once more where the machine was not free, whatever came out.
    yield from measured(run, options, [name for name in results.loud(run) if name in names])
    if options.only in "exactness":
        run["exactness"] = exactness.table(toys())
        show_exactness(run["exactness"])
        yield


def measured(run: dict[str, Any], options: argparse.Namespace, names: list[str]) -> Iterator[None]:
    growing = {growth.name for growth in growths()}
    for name in names:
        kind, repeats = ("growths", min(options.repeats, 3)) if name in growing else ("cases", options.repeats)
        run[kind][name] = record = alone(name, threads=options.threads, repeats=repeats)
        results.loud(run)
        (show_growth if name in growing else show)(name, record)
        yield


def chosen(everything: list[Named], text: str) -> list[Named]:
    return [one for one in everything if text.lower() in one.name.lower()]


# ---------------------------------------------------------------- printing


def show(name: str, record: Mapping[str, Any]) -> None:
    print_table(f"{name} ({tables.conditions(record)})", tables.HEADER, tables.contenders(record))
    show_promises(record)


def show_growth(name: str, record: Mapping[str, Any]) -> None:
    print_table(f"{name} ({tables.conditions(record)})", ("", *record["sizes"], "exponent"), tables.growth(record))
    show_promises(record)


def show_promises(record: Mapping[str, Any]) -> None:
    for promise, came, met in tables.promises(record):
        console.print(f"  {met.strip('*')}: {promise}; got {came or 'nothing'}", style="" if met == "met" else "bold")


def show_exactness(rows: list[dict[str, Any]]) -> None:
    header = ("", "part", "float64", "float32", "bfloat16", "between blocks")
    print_table("Error by blocks, and in brackets of plain torch", header, tables.exactness(rows))


def print_table(title: str, header: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> None:
    table = Table(title=title, title_justify="left")
    for i, column in enumerate(header):
        table.add_column(column, justify="left" if column == "" or i == 0 else "right")
    for row in rows:
        table.add_row(*row, style="bold" if row[0] == OURS else None)
    console.print(table)


def summary(run: Mapping[str, Any]) -> None:
    """How many promises were kept, and which were not."""
    records = run["cases"] | run["growths"]
    judged = [(name, bar) for name, record in records.items() for bar in record["bars"]]
    met = [bar for _, bar in judged if bar["met"]]
    console.print(f"{len(met)} of {len(judged)} promises met.")
    for name, bar in judged:
        if not bar["met"]:
            came = "was not measured" if bar["met"] is None else f"got {tables.number(bar['value'])}"
            console.print(f"  {name}: {bar['promise']}; {came}")


if __name__ == "__main__":
    main()
