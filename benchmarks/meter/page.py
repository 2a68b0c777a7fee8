"""The docs' page of the stored counts."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.page import markdown

STORED = Path(__file__).parents[1] / "results" / "meter.json"
KINDS = {"problems": "Problems at full size", "losses": "Every loss"}
HEADER = ("case", "", "kernels", "reads", "GB", "TFLOP", "peak GiB", "ms, default", "ms, TF32")

INTRO = """\
# Counts for an accelerator

What the losses' forward and backward passes would do on a GPU, counted without one: **no GPU was available, and no time
on this page was measured.** The losses run on tensors without values (torch's meta device) and take the code paths of
an accelerator. Every torch operator that is called is counted, including those inside the library's own operators.

```sh
make meter                          # everything; ARGS="--only CLIP" counts some of it again
make docs                           # writes this page from the stored counts
```

- *kernels*: launches, according to torch's CUDA code (a table in `benchmarks/meter/costs.py`): none for a view, one for
  a product, a reduction or an elementwise operation, eight for a sort.
- *reads*: how often the host waits for the device. Labels that it reads are real here; other numbers are made up
  (`True`, 1, one entry per row), because nothing is computed.
- *GB*, *TFLOP*: memory read and written; operations of matrix products.
- *peak*: the most memory allocated at once beyond the inputs, gradients included.
- *ms*: an estimate, the longer of device and host. An operator on the device takes the longest of 3 us per kernel, its
  bytes at 4.3 TB/s, and its products at 50 (float32), 400 (TF32) or 790 TFLOP/s (half precision), the rates of an H200.
  The host takes 7 us per operator and 15 us per read. The first column is torch's default for float32 products.

*Dense torch* is the formula written out, with everything in memory at once; a test checks that it is the same loss.
Counted with torch {torch}.
"""

CAPTURE = """\
Every loss and problem here can be captured in a CUDA graph, except those in this table, if there is one: nothing is
read, no shape depends on values, and no Python number is copied to the device. Options may read where defaults do not:
semi-hard triplets, and all triplets with a soft margin, read once how many positives an anchor has.
"""


def stored() -> dict[str, Any]:
    return json.loads(STORED.read_text())


def page() -> str:
    """The page, Markdown."""
    run = stored()
    parts = [INTRO.format(torch=run["torch"])]
    for kind, title in KINDS.items():
        parts.append(f"## {title}\n")
        parts.append(markdown(HEADER, rows(run[kind])))
    parts.append("## Where the host reads\n")
    parts.append(CAPTURE)
    found = list(reads({**run["problems"], **run["losses"]}))
    if found:
        parts.append(markdown(("case", "read", "times"), found))
    return "\n".join(parts).rstrip() + "\n"


def rows(cases: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    for case, contenders in cases.items():
        for contender, found in contenders.items():
            products = sum(found["teraflops"].values())
            times = (max(found[device], found["host_ms"]) for device in ("device_ms", "device_ms_tf32"))
            yield (
                case,
                contender,
                f"{found['kernels']:,}",
                f"{sum(found['reads'].values()):,}",
                number(found["gigabytes"]),
                number(products),
                number(found["peak_gib"]),
                *map(number, times),
            )


def reads(cases: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    for case, contenders in cases.items():
        for contender, found in contenders.items():
            for where, times in found["reads"].items():
                yield f"{case}, {contender}", where, f"{times:,}"


def number(value: float) -> str:
    """Three digits, without an exponent where it is readable so."""
    return f"{value:,.0f}" if value >= 1000 else "0" if value == 0 else f"{value:.3g}"
