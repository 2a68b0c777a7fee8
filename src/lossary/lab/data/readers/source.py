"""What the file readers have in common: what a file held, and what is reported about it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from lossary.lab.data.contents import BadData
from lossary.lab.data.types import Inputs

LISTED = 20  # of what is left out


@dataclass(frozen=True)
class Source:
    """What a reader found, before it is split."""

    name: str
    form: str  # "a table", "a folder of images"
    targets: np.ndarray  # one per row: strings, whole numbers or values
    rows: Sequence[str]  # the name of a row: "line 7", "cat/3.png"
    encode: Callable[[np.ndarray], Inputs]  # the inputs of all rows, scaled by the rows with these indices
    fingerprint: str
    facts: tuple[tuple[str, str], ...] = ()  # more facts, by their subject
    left_out: tuple[str, ...] = ()
    labels: bool = False  # whole numbers are labels, however many there are
    texts: list[str] | None = None  # the inputs' original texts, if they were texts
    images: np.ndarray | None = None  # uint8 (N, height, width, 3)
    raw: str = "raw inputs"
    model: Callable[[int], nn.Module] | None = None
    lists: np.ndarray | None = None  # the list that a row belongs to, if rows are candidates
    by: np.ndarray | None = None  # the group of each row, which stays in one part
    time: np.ndarray | None = None  # the order in which rows are split, as numbers
    part: np.ndarray | None = None  # of each row, if the data specify it: 0 to train, 1 to tune, 2 to test
    weights: np.ndarray | None = None  # how much each row counts
    classes: tuple[str, ...] = ()  # by number, if the targets are label maps (N, height, width)


#: Names of parts in data that specify them.
PARTS = {
    **dict.fromkeys(("train", "training"), 0),
    **dict.fromkeys(("val", "valid", "validation", "dev"), 1),
    **dict.fromkeys(("test", "testing"), 2),
}


def parted(names: Sequence[str], where: str) -> np.ndarray:
    """(N,) the part of each row by its name.

    Raises:
        BadData: if a name is not a part's, or there is nothing to train or test with.
    """
    odd = [name for name in names if name.lower() not in PARTS]
    if odd:
        raise BadData(f"{where}: wanted {', '.join(PARTS)}; got {odd[0]!r}{more(len(odd) - 1)}")
    part = np.array([PARTS[name.lower()] for name in names])
    for number, what in ((0, "train"), (2, "test")):
        if number not in part:
            raise BadData(f"{where}: wanted rows to {what} with; got none")
    return part


def counted(found: Sequence[str], one: str, many: str) -> tuple[str, ...]:
    """A sentence that counts and lists what is left out; none if there is nothing.

    >>> counted(["line 7", "line 9"], "row without a target", "rows without a target")
    ('2 rows without a target: line 7, line 9',)
    """
    listed = ", ".join(found[:LISTED]) + (", ..." if found[LISTED:] else "")
    return (f"{len(found)} {one if len(found) == 1 else many}: {listed}",) if found else ()


def more(others: int) -> str:
    """How many others share the problem of the named one; empty if there are none."""
    return f" (and so in {others} more)" if others > 0 else ""
