"""The page: every exhibit in one HTML file that loads nothing."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from markupsafe import Markup

from lossary.gallery import records
from lossary.gallery.exhibit import PRELUDE, Exhibit, Source
from lossary.gallery.findings import Finding, finding, run
from lossary.gallery.registry import FAMILIES, inventory, missing
from lossary.lab.report import assets
from lossary.lab.report.drawing import Spec
from lossary.lab.run.stored import write_whole


def found(exhibit: Exhibit, *, fresh: bool = False, quick: bool = False) -> Finding | None:
    """What comes out of an exhibit; None of one that is recorded, but not yet.

    Args:
        exhibit: Of the gallery.
        fresh: Measure again what has a record.
        quick: Measure one seed only.
    """
    stored = records.read(exhibit) if exhibit.recorded and not (fresh or quick) else {}
    if stored:
        return finding(exhibit, stored.values())
    if exhibit.recorded and not (fresh or quick):
        return None
    seeds = 1 if quick else max(exhibit.seeds, 1)
    return finding(exhibit, [run(exhibit, seed) for seed in range(seeds)])


def page(findings: Sequence[Finding]) -> str:
    """The gallery's HTML."""
    families = [(FAMILIES[letter], list(some)) for letter, some in groupby(findings, lambda one: one.exhibit.family)]
    return assets.template("lossary.gallery", "gallery.html").render(
        families=families,
        by_source=by_source,
        missing=missing(),
        shown=sum(not why for why in inventory().values()),
        prelude=PRELUDE,
        specs=dict(specs(findings)),
        css=Markup(assets.stylesheet() + assets.text("lossary.gallery", "gallery.css")),
        script=assets.script(),
    )


def write(path: Path, findings: Sequence[Finding]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, page(findings))


def by_source(findings: Sequence[Finding]) -> Iterator[tuple[Source, list[Finding]]]:
    for source, some in groupby(findings, lambda one: one.exhibit.source):
        yield source, list(some)


def specs(findings: Sequence[Finding]) -> Iterator[tuple[str, Spec]]:
    for one in findings:
        if one.exhibit.draw is not None:
            drawn: dict[str, Any] = one.exhibit.draw(one.results)
            yield one.exhibit.id, drawn
