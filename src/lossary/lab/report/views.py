"""Views: the template's inputs. Plain text, formatted numbers, and specifications of pictures."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lossary.lab.report.drawing import Spec


@dataclass(frozen=True)
class Figure:
    """A picture: which loss it shows (or none: all), and how to read it."""

    name: str  # unique on the page
    spec: Spec
    caption: str = ""
    title: str = ""
    loss: str = ""


@dataclass(frozen=True)
class Group:
    """Pictures side by side, as many per row as the page has room for."""

    figures: tuple[Figure, ...]
    size: Literal["wide", "narrow", "pair", "small"] = "wide"
    loss: str = ""  # heading
    note: str = ""


@dataclass(frozen=True)
class TableRow:
    """A row, named by a loss (drawn with its colour), by a note, or both."""

    cells: tuple[str, ...]
    loss: str = ""
    note: str = ""
    best: frozenset[int] = frozenset()  # cells to set in bold
    aside: bool = False


@dataclass(frozen=True)
class Table:
    caption: str
    head: tuple[str, ...]
    rows: tuple[TableRow, ...]
    folded: bool = False
    style: Literal["numbers", "words", "facts"] = "numbers"  # facts have no head


@dataclass(frozen=True)
class Sentences:
    """Findings in words; the style is the symbol before each."""

    items: tuple[str, ...]
    style: Literal["sure", "unsure", "warning", "plain"] = "plain"
    title: str = ""


@dataclass(frozen=True)
class Tile:
    """A test item's picture, and its caption."""

    image: str  # a data URI
    role: str
    label: str
    note: str = ""
    right: bool | None = None  # None: neither


@dataclass(frozen=True)
class Gallery:
    title: str
    rows: tuple[tuple[Tile, ...], ...]
    key: tuple[tuple[str, str], ...] = ()  # colours in the pictures and what they mean; such pictures are shown larger


@dataclass(frozen=True)
class Answer:
    text: str
    note: str
    right: bool


@dataclass(frozen=True)
class Exchange:
    """A query, a right answer, and what each loss finds, nearest first."""

    query: str
    wanted: str
    found: Mapping[str, tuple[Answer, ...]]


@dataclass(frozen=True)
class Section:
    id: str
    title: str
    lead: str = ""
    legend: tuple[str, ...] = ()  # losses whose colours the pictures need
    groups: tuple[Group, ...] = ()
    sentences: tuple[Sentences, ...] = ()
    galleries: tuple[Gallery, ...] = ()
    exchanges: tuple[Exchange, ...] = ()
    tables: tuple[Table, ...] = ()
    command: str = ""
    note: str = ""


@dataclass(frozen=True)
class Summary:
    """The head and the foot of the page."""

    data: str
    headline: str
    sentence: str
    credit: str


def counted(things: Iterable[Any], one: str, many: str = "") -> str:
    """A count, in words.

    >>> counted("ab", "loss", "losses")
    '2 losses'
    """
    number = len(list(things))
    return f"{number} {one if number == 1 else many or one + 's'}"
