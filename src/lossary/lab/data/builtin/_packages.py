"""Where a package keeps the data that it brings. It is read, and not imported."""

from importlib.util import find_spec
from pathlib import Path

from lossary.lab.data.builtin import BUILTIN
from lossary.lab.data.types import BadData


def kept(data: str, name: str) -> Path:
    """A file that a package keeps beside its code.

    Raises:
        BadData: with the command that installs the package.
    """
    found = find_spec(BUILTIN[data].package)
    path = Path(found.origin).parent / "data" / name if found and found.origin else None
    if path is None or not path.exists():
        raise missing(data)
    return path


def missing(data: str) -> BadData:
    return BadData(f'data: {data} comes with the package {BUILTIN[data].package}: pip install "lossary[data]"')
