"""The glossary in the terminal: what the cards and docstrings say, laid out for reading."""

import inspect
from collections.abc import Iterable

from rich.console import Group
from rich.markup import escape
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from lossary.core.card import Card


def overview(cards: Iterable[Card]) -> Table:
    """A row a loss, grouped by the data that it takes."""
    table = Table("data", Column("loss", no_wrap=True), "what it is", box=None, header_style="bold", pad_edge=False)
    last = ""
    for card in sorted(cards, key=lambda card: card.data):
        table.add_row("" if card.data == last else card.data, card.name, escape(card.title))
        last = card.data
    return table


def page(card: Card) -> Group:
    """One loss: the card's facts around the docstring, which holds the arguments with their shapes."""
    also = f"   also: {', '.join(card.aliases)}" if card.aliases else ""
    signature = f"{card.name}{inspect.signature(card.fn, eval_str=False)}"
    facts = {
        "formula": "\n".join([card.formula, *(f"  {symbol}  {meaning}" for symbol, meaning in card.symbols.items())]),
        "paper": f"{card.paper}, eq. {card.equation}" if card.equation else card.paper,
        "defaults": card.defaults,
        "when": card.when,
        "pitfalls": "\n".join(f"- {pitfall}" for pitfall in card.pitfalls),
        "see also": ", ".join(card.relatives),
    }
    grid = Table.grid(padding=(0, 2))
    for name, fact in facts.items():
        if fact:
            grid.add_row(Text(name, style="bold"), Text(fact))
    return Group(
        Text(f"{card.name} / {card.module.__name__}", style="bold") + Text(also, style="dim"),
        "",
        Text(signature),
        "",
        Padding(Text(inspect.getdoc(card.fn) or ""), (0, 0, 1, 2)),
        grid,
    )
