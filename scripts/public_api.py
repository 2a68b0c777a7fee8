"""The public names and how each is called, as a file that a test compares: what people's code depends on.

``python scripts/public_api.py`` writes tests/public_api.json anew, for a change that is meant.
"""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lossary
from lossary import functional

STORED = Path(__file__).parent.parent / "tests" / "public_api.json"
#: A default that is no default: the argument must be given.
REQUIRED = "required"


def public_api() -> dict[str, dict[str, str]]:
    """By name: the arguments of a call (of a class: those of its constructor) in order, each with its default."""
    names = sorted(n for n in dir(lossary) if not n.startswith("_") and n not in ("functional", "presets"))
    api = {name: arguments(getattr(lossary, name)) for name in names}
    return api | {f"functional.{name}": arguments(getattr(functional, name)) for name in sorted(dir(functional))}


def arguments(called: Callable[..., Any]) -> dict[str, str]:
    if isinstance(called, type) and hasattr(called, "fields"):
        return {name: brief(default) for name, default in called.fields.items()}
    parameters = inspect.signature(called).parameters.values()
    keyword = {p.kind: "*" for p in parameters if p.kind is p.KEYWORD_ONLY}
    return {keyword.get(p.kind, "") + p.name: brief(p.default) for p in parameters}


def brief(default: object) -> str:
    required = default is inspect.Parameter.empty or type(default) is object
    # A function says where in memory it lies.
    return REQUIRED if required else default.__name__ if inspect.isfunction(default) else repr(default)


def main() -> None:
    STORED.write_text(json.dumps(public_api(), indent=1) + "\n")


if __name__ == "__main__":
    main()
