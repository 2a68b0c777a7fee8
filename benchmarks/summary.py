"""The README's rows of numbers: what Lossary costs beside plain torch and the fastest other library."""

from collections.abc import Iterator, Mapping
from typing import Any

from markdown.extensions.toc import slugify

from benchmarks import page, release, tables
from benchmarks.case import DENSE, OURS

HEAD = "time and extra memory, two CPU cores ([how](docs/benchmarks.md): `make bench`)"
#: What the README calls a case.
CHOSEN = {
    "ArcFace, 1,024 items, 50,000 classes": "ArcFace head, N=1024 C=50000 D=128",
    "CLIP, 4,096 pairs": "CLIP, N=4096 D=256",
    "SupCon, 4,096 items": "SupCon, one set, N=4096 D=256",
    "Dice, 4 images of 256 x 256, 19 classes": "Dice, 4 x 19 x 256 x 256",
    "Lovász, the same images": "Lovasz-softmax, 4 x 19 x 256 x 256",
}


def table() -> str:
    """Time and extra memory of each, Markdown."""
    cases = page.newest()["cpu"]["cases"]
    rows = ((linked(title, cases[case]["kernel"]), *cells(cases[case])) for title, case in CHOSEN.items())
    return page.markdown((HEAD, "Lossary", "plain torch", "fastest other library"), rows)


def linked(title: str, kernel: str) -> str:
    """To the section that has the case, whose page begins with the command."""
    return f"[{title}](docs/benchmarks.md#{slugify(page.KERNELS[kernel], '-')})"


def cells(record: Mapping[str, Any]) -> Iterator[str]:
    measured: dict[str, Mapping[str, Any]] = record["contenders"]
    others = (n for n in measured if measured[n]["times_ms"] and n not in (OURS, release.NAME, DENSE, record["floor"]))
    fastest = min(others, key=lambda name: tables.medians(measured[name]) or 0.0)
    yield cost(measured[OURS])
    yield cost(measured[DENSE])
    yield f"{cost(measured[fastest])} ({fastest})"


def cost(measured: Mapping[str, Any]) -> str:
    return f"{tables.number(tables.medians(measured))} ms, {tables.number(measured['extra_mib'])} MiB"
