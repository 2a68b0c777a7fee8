"""Planted faults: a change of a function's text, or of what a card's function does, while a test needs it."""

import functools
import inspect
import pkgutil
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FunctionType
from typing import Any

from torch import Tensor

from lossary.core.card import Card

Change = Callable[..., Tensor]


@dataclass(frozen=True)
class Mutant:
    """A fault, and the laws that must see it, each of them."""

    fault: str
    loss: str
    laws: tuple[str, ...]  # names of laws, or "golden"
    plant: Callable[[Card], Any]  # card -> context manager that gives the wrong card


def in_text(path: str, old: str, new: str) -> Callable[[Card], Any]:
    """The function at ``path``, "module:name", with ``old`` replaced by ``new`` in its text.

    It is looked up when the fault is planted, so that a function that has moved fails one test.
    """

    @contextmanager
    def plant(card: Card) -> Iterator[Card]:
        function = inspect.unwrap(pkgutil.resolve_name(path))
        before, function.__code__ = function.__code__, rewritten(function, old, new).__code__
        try:
            yield card
        finally:
            function.__code__ = before

    return plant


def rewritten(function: FunctionType, old: str, new: str) -> FunctionType:
    """A function of the new text. Only its code is used, so that the fault is there for all who imported it."""
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(old) == 1, f"{function.__qualname__} has {old!r} {source.count(old)} times, not once"
    body = textwrap.indent(source[source.index("def ") :].replace(old, new), "    ")
    cells = ", ".join(function.__code__.co_freevars)  # a method with super() has one
    made: dict[str, Any] = {}
    exec(f"def make({cells}):\n{body}\n    return {function.__name__}", function.__globals__, made)
    return made["make"](*function.__code__.co_freevars)


def in_deed(change: Change) -> Callable[[Card], Any]:
    """The card's function replaced by ``change(function, *args, **kwargs)``."""

    def worse(card: Card) -> Card:
        @functools.wraps(card.fn)
        def fn(*args: Any, **kwargs: Any) -> Tensor:
            return change(card.fn, *args, **kwargs)

        return replace(card, fn=fn)

    return on_card(worse)


def on_card(worse: Callable[[Card], Card]) -> Callable[[Card], Any]:
    @contextmanager
    def plant(card: Card) -> Iterator[Card]:
        yield worse(card)

    return plant
