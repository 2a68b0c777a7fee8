"""Planted faults: one change of a function's text, in place, for as long as a test needs it."""

import inspect
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType


@contextmanager
def planted(function: FunctionType, old: str, new: str) -> Iterator[None]:
    """``function`` with ``old`` replaced by ``new`` in its text.

    The function object keeps its identity and only its code changes, so that the fault is there for all who
    imported the function.
    """
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(old) == 1, f"{function.__qualname__} has {old!r} {source.count(old)} times, not once"
    body = source[source.index("def ") :]  # less its decorators
    made: dict[str, FunctionType] = {}
    exec(compile(body.replace(old, new), f"<mutant of {function.__qualname__}>", "exec"), function.__globals__, made)
    before, function.__code__ = function.__code__, made[function.__name__].__code__
    try:
        yield
    finally:
        function.__code__ = before
