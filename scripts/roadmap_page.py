"""The docs' roadmap and good first losses, from the union of other libraries' losses."""

from collections import Counter
from collections.abc import Iterator

import union

PAGE = """\
# Roadmap

What Lossary does not have yet, most wanted first. Nothing here has a date. If you need something sooner, you are
welcome to contribute it; please open an issue first.

## Wanted first

- **Timings on a GPU.** Everything so far was timed on CPUs; [GPU costs are counted](counts.md). The Triton kernels
  stay off until someone has timed them ([decision 12](decisions/0012-triton-by-one-switch.md)).
- **A release on a package index.** The publishing workflow exists; nothing has been published.
- **A rerun of the [board](board.md)'s classification tables**, with batches that are not balanced by class.

## Losses that other libraries have

About forty libraries offer {rows} losses, options and helpers between them. We judged the demand for each from 5
(everywhere) to 1 (one place).

{counts}

The most wanted of the missing ones:

{missing}

`python scripts/union.py --missing` lists all of them.

## Good first losses

Each of these is missing, in demand, and a formula over what already exists. The file is where its relatives live,
under `src/lossary/losses/`. `CONTRIBUTING.md` explains in five steps how to add a loss.

{first}
"""


def page() -> str:
    rows = union.rows()
    return PAGE.format(rows=len(rows), counts=counts(rows), missing=missing(rows), first=first(rows))


def counts(rows: list[union.Row]) -> str:
    lines = ["| demand | here | in part | missing |", "| ---: | ---: | ---: | ---: |"]
    for demand in (5, 4, 3, 2, 1):
        states = Counter(row.state for row in rows if row.demand == demand)
        lines.append(f"| {demand} | {states['have']} | {states['partly']} | {states['no']} |")
    return "\n".join(lines)


def missing(rows: list[union.Row]) -> str:
    """Rows with a demand of at least 4, except those that are left out on purpose."""
    wanted = [row for row in rows if row.demand >= 4 and row.state == "no" and not row.remark]
    return "\n".join(f"- {row.loss}" + (f" ({row.peers})" if row.peers else "") for row in wanted)


def first(rows: list[union.Row]) -> str:
    lines = ["| loss | demand | in | file | how |", "| --- | ---: | --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {' | '.join(cells)} |" for cells in begun_with(rows))])


def begun_with(rows: list[union.Row]) -> Iterator[tuple[str, ...]]:
    known = {row.loss: row for row in rows}
    for entry in union.read("first.tsv"):
        row = known[entry["loss"]]
        yield row.loss, str(row.demand), row.peers, f"`{entry['where']}`", entry["how"]
