"""Write what the docs say about each loss from its card: a page, a picture, and the tables of losses.

The page on data of one's own gets what its commands print.

``python scripts/generate_docs.py`` writes; with ``--check`` it writes nothing and exits with 1 if anything is
stale. Pictures are compared by the data they draw, not by their bytes, which depend on the fonts of a machine.
"""

import argparse
import hashlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from types import ModuleType

import claims_page
import comparison_page
import roadmap_page
import torch
from docs_mathml import markdown
from docs_transcripts import transcribed
from markdown.extensions.toc import slugify

import lossary.functional
from lossary import catalogue, glossary
from lossary.catalogue import CATALOGUE, FAMILIES, HELPERS
from lossary.core.card import Card, Range
from lossary.gallery import registry
from lossary.lab import curves
from lossary.watching import hooks

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT))  # the benchmarks, the board and the survey lie beside the scripts and are not installed
import case_study  # noqa: E402
from benchmarks import page as benchmarks_page  # noqa: E402
from benchmarks import summary as benchmarks_summary  # noqa: E402
from benchmarks.meter import page as meter_page  # noqa: E402
from board import page as board_page  # noqa: E402
from survey import page as survey_page  # noqa: E402

PAGES = ROOT / "docs" / "losses"
#: Where each public name is written; it says of itself that it is of "lossary".
OWNERS = {name: owner for owner in (*FAMILIES, *HELPERS, catalogue, hooks) for name in owner.__all__}

#: What the board says of a loss, by its name.
BOARD = board_page.cited()
#: Which exhibits of the gallery show a loss, likewise.
SHOWING = registry.showing()

#: What people have -> the question in the docs' index, and the loss to begin with.
KINDS = {
    "values": ("Numbers to predict", "huber_loss"),
    "answers": ("Yes or no, for one label or many", "binary_cross_entropy_with_logits"),
    "classes": ("One class of several", "cross_entropy"),
    "identities": ("Identities, including new ones to recognise later", "arcface_loss"),
    "pairs": ("Pairs that match or do not", "contrastive_loss"),
    "triplets": ("Triplets: an anchor is closer to one item than to another", "triplet_margin_loss"),
    "views": ("Two views of the same thing: augmentations, captions, translations", "info_nce_loss"),
    "masks": ("Masks: a class for every pixel", "dice_loss"),
    "lifetimes": ("Times until an event, not yet observed for some", "cox_ph_loss"),
    "lists": ("Lists to rank: a query's candidates and their relevance", "listnet_loss"),
    "tokens": ("Language models: preferred answers and rewarded policies", "dpo_loss"),
    "boxes": ("Boxes: where something is in an image", "complete_iou_loss"),
    "points": ("Clouds of points, in no order", "chamfer_loss"),
    "images": ("Images with a reference image", "ssim_loss"),
    "waves": ("Sound with a reference signal", "si_sdr_loss"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if anything is stale")
    check = parser.parse_args().check
    files = {PAGES / "index.md": losses_index()} | {PAGES / f"{card.name}.md": page(card) for card in CATALOGUE}
    files[ROOT / "docs" / "benchmarks.md"] = benchmarks_page.page()
    files[ROOT / "docs" / "counts.md"] = meter_page.page()
    files[ROOT / "docs" / "board.md"] = board_page.page()
    files[ROOT / "docs" / "survey.md"] = survey_page.page()
    files[ROOT / "docs" / "claims.md"] = claims_page.page()
    files[ROOT / "docs" / "case_study.md"] = case_study.page()
    files[ROOT / "docs" / "comparison.md"] = comparison_page.page(len(CATALOGUE))
    files[ROOT / "docs" / "roadmap.md"] = roadmap_page.page()
    tables = {
        "docs/index.md": (beginnings("losses/"),),
        "docs/api.md": (helpers(),),
        "docs/decisions/README.md": (decisions(),),
    }
    files |= {ROOT / name: between_markers((ROOT / name).read_text(), *texts) for name, texts in tables.items()}
    readme = ROOT / "README.md"
    files[readme] = with_tables(readme.read_text(), benchmarks_summary.table(), beginnings_in_pairs("docs/losses/"))
    files |= {Path(module.__file__ or ""): with_names(module) for module in (lossary, lossary.functional)}
    for transcript in ("your_data.md", "check.md"):
        files[ROOT / "docs" / transcript] = transcribed(ROOT / "docs" / transcript)
    files[glossary.TABLE] = glossary.written(CATALOGUE, SHOWING)
    stale = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
    torch.set_num_threads(1)  # batches of a few numbers: more threads would only wait for each other
    drawn = {PAGES / "img" / f"{card.name}.svg": curves.draw(card) for card in CATALOGUE if curves.scenes(card)}
    drawn |= {
        ROOT / "docs" / name: chart for name, chart in (benchmarks_page.pictures() | survey_page.pictures()).items()
    }
    old = [path for path, chart in drawn.items() if not path.exists() or fingerprint(chart) not in path.read_text()]
    orphans = [p for p in (*PAGES.glob("*.md"), *(PAGES / "img").glob("*")) if p not in files and p not in drawn]
    for path in (*stale, *old, *orphans):
        print("stale:" if check else "removed:" if path in orphans else "wrote:", path.relative_to(ROOT))
    if check:
        return 1 if stale or old or orphans else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[path])
    for path in old:
        picture(drawn[path], path)
    for path in orphans:
        path.unlink()
    return 0


def page(card: Card) -> str:
    """The page of one loss, Markdown with TeX."""
    module = card.module
    parts = [f"# {card.name}", markdown(description(card.fn))]
    parts.append(letters(card))
    if curves.scenes(card):
        parts.append(f"![Loss and gradient of {card.name}](img/{card.name}.svg)")
    if card.when:
        parts.append(f"**When to use it.** {card.when}")
    if cited := BOARD.get(card.name):
        parts.append(f"**On real tables.** {cited}")
    if card.pitfalls:
        parts.append("**Pitfalls**\n\n" + "\n".join(f"- {pitfall}" for pitfall in card.pitfalls))
    first, *others = (f"| {name} | {value} |" for name, value in facts_of(card))
    parts.append("\n".join((first, "| --- | --- |", *others)))
    parts.append(f"::: {OWNERS[card.name].__name__}.{card.name}")
    parts.append(f"::: {OWNERS[module.__name__].__name__}.{module.__name__}")
    parts.append(f"```python\n{construction(card)}\n```")
    return "\n\n".join(parts) + "\n"


def letters(card: Card) -> str:
    """What each letter of the formula is, tied to the arguments."""
    bar = r"{\vert}"  # a plain one would end the cell
    legend = (f"| ${symbol.replace('|', bar)}$ | {meaning} |" for symbol, meaning in card.symbols.items())
    return "\n".join(["| symbol | meaning |", "| --- | --- |", *legend])


def description(function: Callable[..., object]) -> str:
    """The docstring before its sections: what the loss is, and its formula."""
    return (inspect.getdoc(function) or "").partition("\nArgs:")[0].strip()


def construction(card: Card) -> str:
    """The Module made with all of its arguments: those to be given by name alone, the others at their defaults."""
    fields = inspect.signature(card.module).parameters.items()
    given = [n if p.default is p.empty else f"{n}={written(p.default)}" for n, p in fields]
    if not given:
        return f"{card.module.__name__}()"
    return f"{card.module.__name__}(\n" + "".join(f"    {argument},\n" for argument in given) + ")"


def written(value: object) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value)


def facts_of(card: Card) -> Iterator[tuple[str, str]]:
    yield "Data", KINDS[card.data][0]
    yield 'An item of `reduction="none"`', card.item
    yield "Paper", f"{paper(card)}, {card.place}"
    yield "Defaults from", card.defaults
    if card.search:
        yield "The lab searches", "; ".join(f"{name}: {span(card.search[name])}" for name in card.search)
    elif card.untuned:
        yield "The lab searches", f"nothing: {card.untuned}"
    if card.aliases:
        yield "Also called", ", ".join(f"`{alias}`" for alias in card.aliases)
    if shown := SHOWING.get(card.name):
        yield "In the [gallery](../gallery.md)", f"{', '.join(shown)}: `lossary gallery --only {','.join(shown)}`"
    yield "Cite it", f"`lossary cite {card.name}`"
    if card.relatives:
        known = {c.name: link(c, "") for c in CATALOGUE}
        yield "Relatives", ", ".join(known.get(name, f"`{name}`") for name in card.relatives)


def span(space: object) -> str:
    if isinstance(space, Range):
        return f"{space.low:g} to {space.high:g}" + (", log scale" if space.log else "")
    return " or ".join(f"`{value}`" for value in getattr(space, "values", ()))


def paper(card: Card) -> str:
    return re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", card.paper)


def link(card: Card, folder: str) -> str:
    return f"[`{card.name}`]({folder}{card.name}.md)"


def losses_index() -> str:
    """All losses by the data they are for, the one to begin with first and starred."""
    lines = ["# Losses", "", "A star marks the loss to begin with."]
    for kind, (question, _) in KINDS.items():
        lines += ["", f"## {question}", "", "| loss | what it is | paper |", "| --- | --- | --- |"]
        for card in cards_of(kind):
            star = "★&nbsp;" if card.name == KINDS[kind][1] else ""
            lines.append(f"| {star}{link(card, '')} | {card.title} | {paper(card)} |")
    return "\n".join(lines) + "\n"


def beginnings(folder: str) -> str:
    """For each kind of data the loss to begin with, and where the others are."""
    lines = ["| you have | begin with | others |", "| --- | --- | ---: |"]
    for kind, (question, _) in KINDS.items():
        first, *others = cards_of(kind)
        place = f"{folder}index.md#{slugify(question, '-')}"
        lines.append(f"| {question} | {link(first, folder)} | [{len(others)}]({place}) |")
    return "\n".join(lines)


def beginnings_in_pairs(folder: str) -> str:
    """The same in half as many rows and without the others, for the README."""
    cells = [f"{question} | {link(cards_of(kind)[0], folder)}" for kind, (question, _) in KINDS.items()]
    half = (len(cells) + 1) // 2
    rows = (f"| {left} | {right} |" for left, right in zip_longest(cells[:half], cells[half:], fillvalue=" | "))
    head = f"| you have | begin with | you have | begin with ([all {len(CATALOGUE)}]({folder}index.md)) |"
    return "\n".join([head, "| --- | --- | --- | --- |", *rows])


def cards_of(kind: str) -> list[Card]:
    """The losses for a kind of data, the one to begin with first."""
    first = KINDS[kind][1]
    cards = sorted((c for c in CATALOGUE if c.data == kind), key=lambda card: card.name != first)
    if cards[0].name != first:
        raise SystemExit(f"KINDS: {kind} begins with {first!r}, which is no loss for {kind}")
    return cards


def helpers() -> str:
    """What the families make public beside their losses."""
    losses = {name for card in CATALOGUE for name in (card.name, card.module.__name__)}
    public = [(module, name) for module in (*FAMILIES, *HELPERS) for name in module.__all__ if name not in losses]
    ours = [(module, name) for module, name in public if getattr(module, name).__module__ == "lossary"]
    torchs = ", ".join(f"`{name}`" for module, name in public if (module, name) not in ours)
    parts = [f"::: {module.__name__}.{name}" for module, name in ours]
    return "\n\n".join([*parts, *([f"Passed through unchanged from torch: {torchs}."] if torchs else [])])


def decisions() -> str:
    pages = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    titles = (page.read_text().splitlines()[0].removeprefix("# ") for page in pages)
    return "\n".join(f"- [{title}]({page.name})" for title, page in zip(titles, pages, strict=True))


def with_names(module: ModuleType) -> str:
    """A module that imports its names at first use, with the names that a type checker reads."""
    begin, end = "    # begin: written by `make docs`\n", "    # end\n"
    named = [(alias, card.fn if alias.islower() else card.module) for card in CATALOGUE for alias in card.aliases]
    public = dir(module)
    # `X as X` is public to a type checker, `X as Y` is not.
    imports = sorted(
        f"    from {owner.__name__} import {name} as {name}\n" for name, owner in OWNERS.items() if name in public
    )
    aliases = sorted(f"    {alias} = {loss.__name__}\n" for alias, loss in named if alias in public)
    return between(Path(module.__file__ or "").read_text(), begin, "".join([*imports, "\n", *aliases]), end)


def between_markers(text: str, *news: str) -> str:
    """``text`` with what stands between its pairs of markers replaced, one new text a pair."""
    begin, end = "<!-- begin: written by `make docs` -->\n", "<!-- end -->"
    before, *parts = text.split(begin)
    if len(parts) != len(news):
        raise SystemExit(f"wanted {len(news)} times the marker {begin.strip()}; got {len(parts)}")
    written = (between(begin + part, begin, f"{new.strip()}\n\n", end) for part, new in zip(parts, news, strict=True))
    return before + "".join(written)


def with_tables(text: str, *news: str) -> str:
    """``text`` with its tables replaced in order."""
    table = re.compile(r"(?:^\|.*\n)+", re.M)
    if (found := len(table.findall(text))) != len(news):
        raise SystemExit(f"README.md: wanted {len(news)} tables; got {found}")
    written = iter(news)
    return table.sub(lambda _: f"{next(written).strip()}\n", text)


def between(text: str, begin: str, new: str, end: str) -> str:
    """``text`` with what stands between its two markers replaced."""
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"wanted the markers {begin.strip()} and {end.strip()}")
    return f"{before}{begin}{new}{end}{after}"


def fingerprint(chart: "curves.Chart") -> str:
    return hashlib.sha256(chart.to_json().encode()).hexdigest()


def picture(chart: "curves.Chart", path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    chart.save(path)
    with path.open("a") as file:
        file.write(f"<!-- {fingerprint(chart)} -->\n")


if __name__ == "__main__":
    sys.exit(main())
