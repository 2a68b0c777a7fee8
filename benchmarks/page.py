"""The docs' page of the stored results, and its pictures."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import results, tables
from benchmarks.case import DENSE, OURS

if TYPE_CHECKING:
    import altair as alt

#: Written by hand, a heading for each family.
MISSED = Path(__file__).with_name("missed.md")
DEVICES = ("cpu", "cuda")
#: Kernel -> what its losses are.
KERNELS = {
    "rows": "Rows of scores: class heads and contrastive losses",
    "tuples": "Triplets",
    "overlap": "Segmentation",
    "none": "Elementwise losses",
}
#: Okabe and Ito's colours, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999", "#000000")

INTRO = """\
# Benchmarks

The cost of each loss in time and memory, compared with the same formula in plain torch, with other libraries, and with
a floor that no implementation can beat. One command measured everything here,

```sh
make bench                          # everything; ARGS="--only CosFace" measures part of it again
make docs                           # writes this page from the stored results
```

in float32, forward and backward. Each case runs in its own process (many run in several, one after the other, because
times vary between processes). After a warm-up its contenders take turns, in a different order each round. A ratio of
times is the median of the ratios within single rounds.
*Extra* is the peak memory allocated at once, by allocation events, beyond the inputs and their gradients; *resident* is
the same as seen by the operating system; *saved* is what autograd keeps from forward to backward, in multiples of the
size of the learnable inputs, labels not counted. Compare ratios rather than times: the times are specific to this
machine.
"""
MACHINE = """\
## {title}

{name}, {cores}torch {torch}, Python {python}. Measured on {dates}.{shared}
"""
UNMEASURED = """\
No GPU was available, so GPUs are unmeasured. The same command measures on a machine with CUDA, and its file in
`benchmarks/results/` is a welcome contribution. The promises are about CPUs.
"""
PROFILES = """\
torch's operators by their share of all operators' time, in cases with a missed promise.
"""
EXACTNESS = """\
The largest difference from the same formula in plain torch in float64, as a share of the largest entry; in brackets,
the same for plain torch in that precision. Each value is the worst over blocks of 1, 5 and 16 rows and all rows at
once; the last column is the largest difference between these in float64. Second gradients are those of the sum of the
squared gradients.
"""


def newest() -> dict[str, dict[str, Any]]:
    """The latest run on each device."""
    paths = {device: results.newest(device) for device in DEVICES}
    return {device: results.load(path) for device, path in paths.items() if path is not None}


def page() -> str:
    """The page, Markdown."""
    runs = newest()
    parts = [INTRO]
    for device, run in runs.items():
        parts += sections(device, run)
    if "cuda" not in runs:
        parts.append(UNMEASURED)
    return "\n".join(parts).rstrip() + "\n"


def sections(device: str, run: Mapping[str, Any]) -> Iterator[str]:
    """What was measured on one device."""
    records = {**run["cases"], **run["growths"]}
    yield machine(device, run["machine"], list(records.values()))
    yield "### Promises\n"
    yield promises(records)
    if device == "cpu":  # which the promises are about
        yield f"### Why some are missed\n\n{MISSED.read_text()}"
        yield f"#### Profiles\n\n{PROFILES}\n{profiles(run['cases'])}"
    for kernel, title in KERNELS.items():
        yield f"### {title}\n"
        if kernel in kernels(run["cases"]):
            yield f"![Time and memory: {title}]({picture_name(device, kernel)})\n"
        for name, record in run["cases"].items():
            if record["kernel"] == kernel:
                yield f"**{name}** ({tables.conditions(record)})\n"
                yield markdown(tables.HEADER, tables.contenders(record))
    if run["growths"]:
        yield f"### Growth\n\n![How time and memory grow]({picture_name(device, 'growth')})\n"
        for name, record in run["growths"].items():
            yield f"**{name}** ({tables.conditions(record)})\n"
            yield markdown(("", *record["sizes"], "exponent"), tables.growth(record))
    if run["exactness"]:
        yield f"### Exactness\n\n{EXACTNESS}"
        header = ("case", "part", "float64", "float32", "bfloat16", "between blocks")
        yield markdown(header, tables.exactness(run["exactness"]))
    yield "### The other libraries\n"
    yield markdown(("library", "version"), run["peers"].items())


def machine(device: str, facts: Mapping[str, Any], records: list[Mapping[str, Any]]) -> str:
    dates = sorted({record["date"] for record in records})
    loud = sum(not record["quiet"] for record in records)
    shared = f" In {loud} of {len(records)} cases (marked) the machine was shared with other work." if loud else ""
    return MACHINE.format(
        title="CPU" if device == "cpu" else "GPU",
        name=facts["name"],
        cores=f"{facts['cores']} cores, " if "cores" in facts else "",
        torch=facts["torch"],
        python=facts["python"],
        dates=" and ".join(dates),
        shared=shared,
    )


def promises(records: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [(name, *promise) for name, record in records.items() for promise in tables.promises(record)]
    met = sum(row[-1] == "met" for row in rows)
    summary = f"{met} of {len(rows)} are met. Minimum times come from the fastest rounds.\n"
    return f"{summary}\n{markdown(('case', 'promise', 'got', ''), rows)}"


def profiles(cases: Mapping[str, Mapping[str, Any]]) -> str:
    """Where the time goes in cases with a missed promise."""
    missed = {n: r["profile"] for n, r in cases.items() if any(bar["met"] is False for bar in r["bars"])}
    rows = [(n, ", ".join(f"`{o}` {share:.0%}" for o, share in p.items() if share >= 0.02)) for n, p in missed.items()]
    return markdown(("case", "share of the operators' time"), rows)


def markdown(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table; columns of numbers to the right."""
    header, rows = list(header), [list(row) for row in rows]
    numeric = (all(row[i][:1] in "-0123456789" for row in rows) for i in range(len(header)))
    rule = (
        "---:" if i and right and name else "---" for i, (name, right) in enumerate(zip(header, numeric, strict=True))
    )
    lines = [header, rule, *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


# ---------------------------------------------------------------- pictures


def picture_name(device: str, what: str) -> str:
    return f"images/benchmarks-{device}-{what}.svg"


def kernels(cases: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [kernel for kernel in KERNELS if any(record["kernel"] == kernel for record in cases.values())]


def pictures() -> "dict[str, alt.HConcatChart | alt.Chart]":
    """Name within docs/ -> chart."""
    drawn: dict[str, Any] = {}
    for device, run in newest().items():
        for kernel in kernels(run["cases"]):
            cases = {name: record for name, record in run["cases"].items() if record["kernel"] == kernel}
            drawn[picture_name(device, kernel)] = contest(cases)
        if run["growths"]:
            drawn[picture_name(device, "growth")] = growing(run["growths"])
    return drawn


def contest(cases: Mapping[str, Mapping[str, Any]]) -> "alt.HConcatChart":
    """Time beside the floor's, and extra memory: a point for each contender."""
    import altair as alt

    rows = [row for name, record in cases.items() for row in contestants(name, record)]
    others = sorted({row["contender"] for row in rows} - {OURS, DENSE})
    color = alt.Color(
        "contender:N",
        sort=[OURS, DENSE, *others],
        scale=alt.Scale(range=list(COLOURS)),
        legend=alt.Legend(title=None, orient="bottom", columns=4, labelLimit=260),
    )
    base = alt.Chart(alt.Data(values=rows), width=300, height=alt.Step(20)).mark_point(
        filled=True, size=60, opacity=0.9
    )
    y = alt.Y("case:N", sort=list(cases), title=None, axis=alt.Axis(labelLimit=330, grid=True))
    log = alt.Scale(type="log", nice=False, padding=8)
    time = base.encode(x=alt.X("time:Q", title="time, floor = 1 (log scale)", scale=log), y=y, color=color)
    memory = base.transform_filter("datum.extra > 0").encode(
        x=alt.X("extra:Q", title="extra memory, MiB (log scale)", scale=log),
        y=y.axis(labels=False, ticks=False, grid=True),
        color=color,
    )
    return styled(alt.hconcat(time, memory))


def contestants(name: str, record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One point a library: of its several ways the fastest."""
    floor = record["contenders"][record["floor"]]
    best: dict[str, dict[str, Any]] = {}
    for contender, measured in record["contenders"].items():
        time = results.ratio(measured, floor)
        library = contender.partition(",")[0]
        is_floor = contender == record["floor"] and contender != DENSE
        if time is None or is_floor or contender.startswith(f"{OURS},"):
            continue
        row = {"case": name, "contender": library, "time": time, "extra": measured["extra_mib"]}
        if library not in best or row["time"] < best[library]["time"]:
            best[library] = row
    yield from best.values()


def growing(growths: Mapping[str, Mapping[str, Any]]) -> "alt.HConcatChart":
    """A column for each sweep: time above, memory below, both on log scales."""
    import altair as alt

    log = alt.Scale(type="log", nice=False, padding=8)

    def panel(name: str, record: Mapping[str, Any], measure: str, title: str) -> "alt.Chart":
        rows = [
            {"size": int(size), "value": value, "contender": contender}
            for contender, points in record["points"].items()
            for size, value in points[measure].items()
            if value
        ]
        color = alt.Color(
            "contender:N",
            scale=alt.Scale(domain=[OURS, DENSE], range=list(COLOURS[:2])),
            legend=alt.Legend(title=None, orient="bottom"),
        )
        axis = alt.Axis(values=[int(size) for size in record["sizes"]], format="~s")
        x, y = alt.X("size:Q", title=None, scale=log, axis=axis), alt.Y("value:Q", title=title, scale=log)
        chart = alt.Chart(alt.Data(values=rows), width=150, height=130, title=alt.Title(name, fontSize=10))
        return chart.mark_line(point=True).encode(x=x, y=y, color=color)

    panels = (
        alt.vconcat(panel(name, record, "time", "ms"), panel("", record, "extra", "extra MiB"))
        for name, record in growths.items()
    )
    return styled(alt.hconcat(*panels))


def styled(chart: "alt.HConcatChart") -> "alt.HConcatChart":
    chart = chart.properties(background="white").configure(font="Liberation Sans, Arial, sans-serif")
    return chart.configure_axis(gridColor="#eee", titleFontWeight="normal")
