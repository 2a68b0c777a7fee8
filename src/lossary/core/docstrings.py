"""Docstrings of Modules: the function's docstring describes their arguments, once."""

import inspect
import re
from collections.abc import Iterable

_SECTION = re.compile(r"^(\w+):\n", re.M)
_ENTRY = re.compile(r"^ {4}(\w+(?:, \w+)*):", re.M)


def sections(described: object) -> dict[str, str]:
    """The parts of a docstring by heading; the part before the first heading is ``""``."""
    parts = _SECTION.split(inspect.getdoc(described) or "")
    return {name: text.rstrip() for name, text in zip(["", *parts[1::2]], parts[::2], strict=True)}


def arguments(described: object) -> dict[str, str]:
    """The text of each argument in a docstring's ``Args``."""
    parts = _ENTRY.split(sections(described).get("Args", ""))
    texts = zip(parts[1::2], parts[2::2], strict=True)
    return {name: text.rstrip() for names, text in texts for name in names.split(", ")}


def written(summary: str, names: Iterable[str], texts: dict[str, str], more: dict[str, str]) -> str:
    """A docstring: a summary, the arguments with these names, and more sections."""
    entries = "\n".join(f"    {name}:{texts[name]}" for name in names if name in texts)
    parts = {"Args": entries, **more}
    return "\n\n".join([summary, *(f"{name}:\n{text}" for name, text in parts.items() if text)])
