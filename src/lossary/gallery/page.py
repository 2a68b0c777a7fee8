"""The page: every exhibit in one HTML file that loads nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from lossary.gallery import records
from lossary.gallery.exhibit import PRELUDE, Exhibit, Source
from lossary.gallery.findings import Finding, finding, plain, run
from lossary.gallery.registry import EXHIBITS, FAMILIES, inventory, missing
from lossary.lab.report import assets
from lossary.lab.report.drawing import COLOURS, Spec
from lossary.lab.run.stored import write_whole


def found(exhibit: Exhibit, *, fresh: bool = False, quick: bool = False) -> Finding | None:
    """What comes out of an exhibit; None of one that is recorded, but not yet.

    Args:
        exhibit: Of the gallery.
        fresh: Measure again what has a record.
        quick: Measure one seed only.
    """
    stored = records.read(exhibit) if exhibit.recorded and not (fresh or quick) else {}
    if exhibit.recorded and not (fresh or quick or stored):
        return None
    seeds = 1 if quick else max(exhibit.seeds, 1)
    first = finding(exhibit, list(stored.values()) or [run(exhibit, seed) for seed in range(seeds)])
    again = records.read(exhibit, records.AGAIN)
    return replace(first, again=finding(exhibit, again.values()).first) if again else first


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
        hands=htmlsafe_json_dumps({"colours": COLOURS, "data": dict(hands(findings))}),
        hand_scripts=Markup(hand_scripts()),
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
        if one.exhibit.draw is not None and not one.exhibit.hand:
            drawn: dict[str, Any] = one.exhibit.draw(one.results)
            yield one.exhibit.id, drawn


def hands(findings: Sequence[Finding]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the pictures that are moved by hand look up, by id."""
    for one in findings:
        if one.exhibit.hand:
            results = plain(one.results)
            given = one.exhibit.draw(results) if one.exhibit.draw else results
            yield one.exhibit.id, {"kind": one.exhibit.hand, **shortened(given)}


def shortened(value: Any) -> Any:
    """Numbers in the five digits that a picture can show.

    >>> shortened({"x": [0.123456789, 7, True]})
    {'x': [0.12346, 7, True]}
    """
    if isinstance(value, dict):
        return {str(key): shortened(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shortened(one) for one in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def hand_scripts() -> str:
    """What they share, then each kind's own."""
    kinds = sorted({one.hand for one in EXHIBITS if one.hand})
    return "\n".join(assets.text("lossary.gallery", f"hands/{name}.js") for name in ("hand", *kinds))
