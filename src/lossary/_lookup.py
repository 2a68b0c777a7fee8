"""A loss by any of its names; no torch, so that the command line answers at once."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar


class Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


def lookup(name: str, entries: Iterable[tuple[T, Iterable[str]]]) -> T:
    """The entry of that name, each with all of its names.

    Raises:
        LookupError: No such loss; the message names the nearest ones.
    """
    names: Mapping[str, T] = {known: entry for entry, all_names in entries for known in all_names}
    # "arcface" finds arcface_loss: people type the short form.
    short = {known.removesuffix("_loss"): entry for known, entry in names.items()}
    if name in names:
        return names[name]
    if name in short:
        return short[name]
    keys = {**names, **short}
    near = dict.fromkeys(keys[key].name for key in difflib.get_close_matches(name, keys, n=3, cutoff=0.5))
    hint = f"; did you mean {' or '.join(near)}?" if near else "; `lossary list` shows them all"
    raise LookupError(f"no loss is called {name!r}{hint}")
