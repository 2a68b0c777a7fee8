"""What the board is asked: `questions.toml`, which was committed before the first run."""

import tomllib
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("questions.toml")


def asked() -> dict[str, Any]:
    """The level, the looks and the questions."""
    with FILE.open("rb") as file:
        return tomllib.load(file)
