"""Losses as users write them: by name, with options, as weighted sums, from their own file, under a label.

    cross_entropy, focal_loss(gamma=1), cross_entropy + 0.01*center_loss, mine=losses.py:MyLoss

This only parses and executes nothing: an option is a Python literal, and a file is only named.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lossary.lab.data.contents import code_of

#: A loss of the library, or one in a file: ``FILE.py:NAME``.
_NAMED = re.compile(r"(?:(?P<file>.+\.py):)?(?P<name>[^\W\d]\w*)", re.IGNORECASE)
_WEIGHTED = re.compile(r"(?P<weight>[^*]+)\*(?P<rest>.+)", re.DOTALL)
_OPENING, _CLOSING = "([{", ")]}"
WANTED = "NAME, NAME(option=value), FILE.py:NAME, or a sum of such as 0.5*NAME, each perhaps after LABEL="


@dataclass(frozen=True)
class Term:
    """A loss in a sum, as written."""

    name: str
    weight: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    file: str = ""  # where it is defined; "": in the library

    def __str__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        named = f"{self.file}:{self.name}" if self.file else self.name
        weight = repr(self.weight).removesuffix(".0")
        weighted = named if weight == "1" else f"{weight}*{named}"
        return f"{weighted}({options})" if options else weighted


@dataclass(frozen=True)
class Entry:
    """The entry under one label: a loss, or a weighted sum of losses."""

    label: str
    terms: tuple[Term, ...]

    def __str__(self) -> str:
        """The form stored in a plan: parsing it gives the same entry."""
        return self.written if self.label == self.written else f"{self.label}={self.written}"

    @property
    def written(self) -> str:
        """The entry without its label."""
        return _written(self.terms)

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(term.file for term in self.terms if term.file))


def split(text: str) -> tuple[str, ...]:
    """A list of entries, separated by commas that stand in no brackets.

    >>> split("dice_loss(smooth=0, log=True), mine=losses.py:MyLoss")
    ('dice_loss(smooth=0, log=True)', 'mine=losses.py:MyLoss')
    """
    return tuple(part.strip() for part in _apart(text, ","))


def labels(losses: Iterable[str]) -> list[str]:
    """The labels of a plan's entries."""
    return [read(written).label for written in losses]


def files(losses: Iterable[str]) -> tuple[str, ...]:
    """The files that define losses."""
    return tuple(dict.fromkeys(file for written in losses for file in read(written).files))


def code(losses: Iterable[str]) -> str:
    """A fingerprint of the files that define losses; "" if there are none."""
    return code_of(files(losses))


def read(text: str) -> Entry:
    """One entry.

    >>> read("both = cross_entropy + 0.01*center_loss").terms[1]
    Term(name='center_loss', weight=0.01, options={}, file='')

    Raises:
        LookupError: if it is not written as a loss is; the message says what was wanted.
    """
    label, *rest = _apart(text, "=", most=2)
    try:
        terms = tuple(map(_term, _apart(rest[0] if rest else label, "+")))
    except (ValueError, SyntaxError) as error:
        raise LookupError(f"losses: wanted {WANTED}; got {text!r}") from error
    label = label.strip() if rest else _written(terms)
    if not label:
        raise LookupError(f"losses: wanted LABEL=NAME with a label; got {text!r}")
    return Entry(label, terms)


def _written(terms: tuple[Term, ...]) -> str:
    return " + ".join(map(str, terms))


def _term(text: str) -> Term:
    """Raises ValueError or SyntaxError if it is not one."""
    weighted = _WEIGHTED.fullmatch(text) if "*" in text.partition("(")[0] else None
    weight, text = (float(weighted["weight"]), weighted["rest"]) if weighted else (1.0, text)
    if not abs(weight) < float("inf"):
        raise ValueError(f"{weight} is no weight")
    named, bracket, options = text.strip().partition("(")
    found = _NAMED.fullmatch(named.strip())
    if not found:
        raise ValueError(f"{named} is no name")
    return Term(found["name"], weight, _options(bracket + options) if bracket else {}, found["file"] or "")


def _options(brackets: str) -> dict[str, Any]:
    call = ast.parse("f" + brackets, mode="eval").body
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
        raise ValueError(f"{brackets} are no options by name")
    return {_name(keyword): ast.literal_eval(keyword.value) for keyword in call.keywords}


def _name(keyword: ast.keyword) -> str:
    if keyword.arg is None:
        raise ValueError("** names no option")
    return keyword.arg


def _apart(text: str, separator: str, most: int = 0) -> Iterator[str]:
    """The parts of a text between separators outside brackets and quotes; at most ``most`` of them, or all."""
    depth, quote, start, given = 0, "", 0, 1
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"" and depth:
            quote = letter
        elif letter in _OPENING:
            depth += 1
        elif letter in _CLOSING:
            depth -= 1
        elif letter == separator and depth == 0 and given != most and not _of_number(text, place):
            yield text[start:place]
            start, given = place + 1, given + 1
    yield text[start:]


def _of_number(text: str, place: int) -> bool:
    """Whether a plus belongs to an exponent, as in 1e+3."""
    return text[place] == "+" and re.search(r"(?<!\w)[\d.]+[eE]$", text[:place]) is not None
