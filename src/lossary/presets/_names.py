"""What a module of presets shows, and what it answers to a name that it does not have."""

import difflib
import opcode
import re
import sys
from types import ModuleType
from typing import NoReturn

_FROM_IMPORT = opcode.opmap["IMPORT_FROM"]


def closed(module: ModuleType) -> None:
    """Show nothing but presets, and answer other names, such as the originals', with the preset to use.

    It is set from outside, since to a type checker a ``__getattr__`` in a module means that every name exists.
    """

    def unknown(name: str) -> NoReturn:
        if name.startswith("_"):  # asked for by import machinery, pickles and tools
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        message = f"{module.__name__} has no {name}; {_instead(module, name)}"
        # Python replaces an AttributeError in `from module import name` by an error of its own.
        caller = sys._getframe(1)
        importing = caller.f_code.co_code[caller.f_lasti] == _FROM_IMPORT
        raise (ImportError if importing else AttributeError)(message)

    def listed() -> list[str]:
        return sorted(name for name in vars(module) if name.startswith("_") or name in module.__all__)

    vars(module).update(__getattr__=unknown, __dir__=listed)


def _instead(module: ModuleType, name: str) -> str:
    named = {preset: f"{module.__name__}.{preset}" for preset in module.__all__}
    originals = {_original(module, preset): shown for preset, shown in named.items()}
    if name in originals:
        return f"use {originals[name]}"
    known = {key.lower(): shown for key, shown in (originals | named).items()}
    near = dict.fromkeys(known[key] for key in difflib.get_close_matches(name.lower(), known, n=3))
    return f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(named)}"


def _original(module: ModuleType, preset: str) -> str:
    """The original's name, with which the preset's docstring begins."""
    found = re.match(r"``(\w+)", getattr(module, preset).__doc__ or "")
    return found[1] if found else preset
