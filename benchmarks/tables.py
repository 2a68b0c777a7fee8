"""The stored results as rows of text, for the terminal and for the docs."""

import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.case import OURS
from benchmarks.results import ratio

HEADER = ("", "median ms", "min ms", "x floor", "x Lossary", "extra MiB", "resident MiB", "saved", "")


def contenders(record: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """A case's contenders, fastest first and the floor before them."""
    measured = record["contenders"]
    floor, ours = (measured.get(name) for name in (record["floor"], OURS))
    order = sorted(measured, key=lambda n: (n != record["floor"], medians(measured[n]) or float("inf")))
    for name in order:
        one = measured[name]
        time = medians(one)
        yield (
            f"floor: {name}" if name == record["floor"] and name != "dense torch" else name,
            number(time),
            number(min(one["times_ms"], default=None)),
            number(ratio(one, floor)),
            number(ratio(one, ours)),
            number(one["extra_mib"]),
            number(one["resident_mib"]),
            number(one["saved"]),
            one["reason"] or (f"gradient's error {one['error']:.0e}" if one["error"] is not None else ""),
        )


def promises(record: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Each promise, what came and whether it was kept."""
    for bar in record["bars"]:
        yield (
            bar["promise"],
            number(bar["value"]),
            {True: "met", False: "**not met**", None: "not measured"}[bar["met"]],
        )


def growth(record: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """A row a contender: times and memory at each size, and the exponents."""
    for name, exponents in record["exponents"].items():
        for measure, unit in (("time", "ms"), ("extra", "MiB")):
            points = record["points"][name][measure]
            power = exponents.get(measure)
            values = (number(points.get(size)) for size in record["sizes"])
            yield f"{name}, {unit}", *values, "" if power is None else f"{power:.2f}"


def exactness(rows: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    """A row a case and part: the error by blocks in each precision, and plain torch's beside it."""
    by_case: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        by_case.setdefault((row["case"], row["part"]), {})[row["dtype"]] = row
    for (case, part), found in by_case.items():
        cells = (
            f"{row['blocked']:.0e} ({row['plain']:.0e})" if (row := found.get(dtype)) else ""
            for dtype in ("float64", "float32", "bfloat16")
        )
        blocks = found["float64"]["between_blocks"]
        yield case, part, *cells, f"{blocks:.0e}"


def conditions(record: Mapping[str, Any]) -> str:
    """How a case was measured, and a mark where the machine was not free."""
    threads = record["threads"]
    text = f"threads {threads}, rounds {record['rounds']}, cpu/wall {record['cpu_per_wall']:.2f}"
    if record["quiet"]:
        return text
    return f"{text}: machine shared, " + ("so CPU time" if threads == 1 else "times are not to be trusted")


def medians(measured: Mapping[str, Any] | None) -> float | None:
    return statistics.median(measured["times_ms"]) if measured and measured["times_ms"] else None


def number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
