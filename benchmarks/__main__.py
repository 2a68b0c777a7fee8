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
from benchmarks.case import DENSE, OURS, Case, Growth
from benchmarks.cases import cases, growths, toys
from benchmarks.measure import DEVICE, Measured, gradient_error, measure, noted
from benchmarks.peers import peers

console = Console()
Named = TypeVar("Named", Case, Growth)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name contains this")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5, help="rounds of timing")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one round, nothing stored: does all run?")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    beside = peers()
    console.print("Peers:", ", ".join(f"{name} {state}" for name, state in beside.items()))
    if options.quick:
        for case in chosen(toys(), options.only):
            show(case.name, run_case(case, repeats=1))
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
    for case in chosen(cases(), options.only):
        run["cases"][case.name] = run_case(case, repeats=options.repeats)
        show(case.name, run["cases"][case.name])
        yield
    for growth in chosen(growths(), options.only):
        run["growths"][growth.name] = run_growth(growth, repeats=min(options.repeats, 3))
        show_growth(growth.name, run["growths"][growth.name])
        yield
    if options.only in "exactness":
        run["exactness"] = exactness.table(toys())
        show_exactness(run["exactness"])
        yield


def chosen(everything: list[Named], text: str) -> list[Named]:
    return [one for one in everything if text.lower() in one.name.lower()]


def run_case(case: Case, *, repeats: int) -> dict[str, Any]:
    record = conditions(case.kernel, repeats) | {"floor": case.floor} | measure(case, repeats=repeats)
    if any(bar.measure == "error" for bar in case.bars):
        add_errors(case, record["contenders"])
    record["quiet"] = record["cpu_per_wall"] >= results.QUIET * record["threads"]
    record["bars"] = [results.kept(bar, record["contenders"]) for bar in case.bars]
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
    share = min(run["cpu_per_wall"] for run in runs.values())
    names = [name for name in (OURS, DENSE) if any(name in found for found in measured.values())]
    points = {
        name: {
            m: {str(n): results.value(c[name], m) for n, c in measured.items() if name in c} for m in ("time", "extra")
        }
        for name in names
    }
    return conditions(growth.kernel, repeats) | {
        "sizes": [str(n) for n in growth.cases],
        "points": points,
        "exponents": {name: results.exponents(growth, measured, name) for name in names},
        "cpu_per_wall": share,
        "quiet": share >= results.QUIET * torch.get_num_threads(),
        "bars": results.kept_growth(growth, measured),
    }


def conditions(kernel: str, repeats: int) -> dict[str, Any]:
    date = time.strftime("%Y-%m-%d")
    return {"kernel": kernel, "date": date, "threads": torch.get_num_threads(), "repeats": repeats}


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
