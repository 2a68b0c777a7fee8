"""How the command line ends where it cannot go on."""

import sys
from typing import NoReturn

from lossary._text import printable, shortened


def fail(message: str, status: int = 2) -> NoReturn:
    """End the process with one line."""
    sys.stderr.write(f"lossary: {shortened(printable(message))}\n")
    raise SystemExit(status)
