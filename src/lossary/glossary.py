"""The glossary in the terminal: what the cards and docstrings say, laid out for reading.

It is read from a table that is written from the cards beforehand (``glossary.json``, by scripts/generate_docs.py): the
cards come with torch, which takes seconds to import.
"""

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from lossary._lookup import lookup

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from lossary.core.card import Card

TABLE = Path(__file__).with_suffix(".json")
REFERENCES = Path(__file__).with_name("references.bib")


@dataclass(frozen=True)
class Summary:
    """What the terminal shows of a loss; every field is a string, or several."""

    name: str
    module: str
    aliases: list[str]
    data: str
    title: str
    signature: str
    description: str
    facts: dict[str, str]

    @property
    def paper(self) -> str:
        """As its card names it."""
        return self.facts["paper"]

    @classmethod
    def of(cls, card: "Card", exhibits: Sequence[str] = ()) -> "Summary":
        ids = ",".join(exhibits)
        facts = {
            "formula": "\n".join(
                [card.formula, *(f"  {letter}  {meaning}" for letter, meaning in card.symbols.items())]
            ),
            "paper": card.paper,
            "equation": card.place.removeprefix("equation "),
            "defaults": card.defaults,
            "when": card.when,
            "pitfalls": "\n".join(f"- {pitfall}" for pitfall in card.pitfalls),
            "see also": ", ".join(card.relatives),
            "gallery": f"lossary gallery --only {ids}" if ids else "",
        }
        return cls(
            card.name,
            card.module.__name__,
            list(card.aliases),
            card.data,
            card.title,
            f"{card.name}{_signature(card.fn)}",
            inspect.getdoc(card.fn) or "",
            {name: fact for name, fact in facts.items() if fact},
        )


class _Annotation:
    """An annotation as every version of Python writes it: before 3.14 some unions are written ``Union[a, b]``."""

    def __init__(self, of: Any) -> None:
        self.of = of

    def __repr__(self) -> str:
        if get_origin(self.of) not in (Union, UnionType):
            return "None" if self.of is NoneType else inspect.formatannotation(self.of)
        return " | ".join(repr(_Annotation(one)) for one in get_args(self.of))


def _signature(fn: Callable[..., Any]) -> inspect.Signature:
    of = inspect.signature(fn, eval_str=False)
    annotated = (
        p if p.annotation is p.empty else p.replace(annotation=_Annotation(p.annotation))
        for p in of.parameters.values()
    )
    return of.replace(parameters=list(annotated))


def written(cards: Iterable["Card"], exhibits: Mapping[str, Sequence[str]]) -> str:
    """The table of all losses, by the data that they take; which exhibits of the gallery show each, by its name."""
    ordered = sorted(cards, key=lambda card: card.data)
    summaries = [asdict(Summary.of(card, exhibits.get(card.name, ()))) for card in ordered]
    return json.dumps(summaries, indent=0, ensure_ascii=False) + "\n"


def load() -> list[Summary]:
    return [Summary(**stored) for stored in json.loads(TABLE.read_text(encoding="utf-8"))]


def find(name: str) -> Summary:
    """A loss by any of its names.

    Raises:
        LookupError: No such loss; the message names the nearest ones.
    """
    return lookup(name, ((loss, (loss.name, loss.module, *loss.aliases)) for loss in load()))


def overview() -> "Table":
    """One row per loss, grouped by the data it takes."""
    from rich.markup import escape
    from rich.table import Column, Table

    table = Table("data", Column("loss", no_wrap=True), "what it is", box=None, header_style="bold", pad_edge=False)
    last = ""
    for loss in load():
        table.add_row("" if loss.data == last else loss.data, loss.name, escape(loss.title))
        last = loss.data
    return table


def page(loss: Summary) -> "Group":
    """One loss: its facts around the docstring, which holds the arguments with their shapes."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    also = f"   also: {', '.join(loss.aliases)}" if loss.aliases else ""
    grid = Table.grid(padding=(0, 2))
    for name, fact in loss.facts.items():
        grid.add_row(Text(name, style="bold"), Text(fact))
    return Group(
        Text(f"{loss.name} / {loss.module}", style="bold") + Text(also, style="dim"),
        "",
        Text(loss.signature),
        "",
        Padding(Text(loss.description), (0, 0, 1, 2)),
        grid,
    )


def citation(loss: Summary) -> str:
    """The paper of a loss as BibTeX; without an entry yet, what its card says."""
    number = re.search(r"arXiv:(\d{4}\.\d{4,5})", loss.paper)
    known = references()
    if found := known.get(number[0] if number else loss.paper):
        return found
    fields = {"title": f"{{{loss.name}}}, a loss function", "note": loss.paper}
    if number:
        fields |= {"eprint": number[1], "archiveprefix": "arXiv"}
    return f"@misc{{{loss.name},\n" + ",\n".join(f"  {key} = {{{value}}}" for key, value in fields.items()) + "\n}"


def references() -> dict[str, str]:
    """BibTeX entries by the paper as cards name it: the line above each."""
    parts = re.split(r"^% (.+)\n(?=@)", REFERENCES.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {paper: entry.strip() for paper, entry in zip(parts[::2], parts[1::2], strict=True)}
