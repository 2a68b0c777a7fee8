"""The docs' page of the gallery's claims: verdicts by the seeds of the records, and by other ones."""

from collections.abc import Iterator

from lossary.gallery import page as pages
from lossary.gallery import records
from lossary.gallery.findings import Finding, finding
from lossary.gallery.registry import EXHIBITS

PAGE = """\
# Verdicts on the claims

The verdicts of the [gallery](gallery.md)'s {claims} claims, by the seeds of their records and by equally many others.
No seed is in both, and data that are drawn or split are drawn again.

```sh
make claims                 # the first seeds
make claims ARGS=--again    # the others: every claim, including those without training
make docs                   # writes this page
```

The rules, and the number of seeds, were fixed when the first seeds were known and before the others were run. A
yes-or-no statement holds if it is true with every seed. A statement about an amount holds if the 95 % interval of its
mean over seeds is above 0, does not hold if it is below, and is open otherwise (≈). A claim holds if all of its
statements do, does not hold if none does, and holds in part otherwise. **A claim whose verdicts differ is too close to
call, and is reported to hold in part.** C40 and C44 are answered from results stored in the repository, for which there
are no other seeds.

{flipped}

{verdicts}

## Claims that involve chance

Each statement of the claims that were measured over several seeds, with the interval of the mean over seeds or the
share of seeds. Within a claim that holds in part, single statements may change from open to shown and back.

{statements}
"""


def page() -> str:
    both = list(measured())
    flipped = [first.exhibit.id for first, again in both if first.first != again.first]
    return PAGE.format(
        claims=len(both),
        flipped=f"{len(flipped)} of {len(both)} verdicts differ{': ' if flipped else ''}{', '.join(flipped)}.",
        verdicts=table(("claim", "", "these seeds", "other seeds"), map(row, both)),
        statements=table(
            ("claim", "statement", "these seeds", "other seeds"), (r for pair in both for r in rows(*pair))
        ),
    )


def measured() -> Iterator[tuple[Finding, Finding]]:
    """Each claim by its own seeds and by others."""
    for exhibit in EXHIBITS:
        if exhibit.family == "C":
            first, again = pages.found(exhibit), records.read(exhibit, records.AGAIN)
            if first is None or not again:
                raise SystemExit(f"{exhibit.id}: not measured yet; `make claims` and `make claims ARGS=--again`")
            yield first, finding(exhibit, again.values())


def row(pair: tuple[Finding, Finding]) -> tuple[str, ...]:
    first, again = pair
    return first.exhibit.id, first.exhibit.title, first.first, again.first


def rows(first: Finding, again: Finding) -> Iterator[tuple[str, ...]]:
    if first.exhibit.seeds > 1:
        for one, other in zip(first.statements, again.statements, strict=True):
            yield first.exhibit.id, one.text, *(f"{MARKS[s.mark]} {s.note}".strip() for s in (one, other))


MARKS = {"yes": "✓", "no": "✗", "partly": "≈"}


def table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ("---",) * len(head), *rows))
