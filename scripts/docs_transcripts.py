"""Transcripts in a page of the docs: its commands are run on data that it makes, and what they print is put there."""

import contextlib
import io
import os
import re
import shlex
import tempfile
from pathlib import Path
from unittest.mock import patch

from lossary.cli import main

EXAMPLE = re.compile(r"<!-- (examples/\S+) -->\n```python\n.*?^```", flags=re.M | re.S)
COMMAND = re.compile(r"^```console\n\$ (.*?)\n.*?^```", flags=re.M | re.S)


def transcribed(page: Path) -> str:
    """The page with its examples as their files are now, and behind each command what it prints now."""
    text = EXAMPLE.sub(lambda found: _example(page.parent / found[1], found[1]), page.read_text())
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), patch.dict(os.environ, COLUMNS="100"):
        prepare(text)
        return COMMAND.sub(lambda found: f"```console\n$ {found[1]}\n{_printed(found[1])}\n```", text)


def prepare(text: str) -> None:
    """Run the page's first Python, which makes the data that the others use."""
    first = re.search(r"^```python\n(.*?)^```", text, flags=re.M | re.S)
    assert first
    exec(compile(first[1], "the page's first example", "exec"), {})


def _example(path: Path, name: str) -> str:
    return f"<!-- {name} -->\n```python\n{path.read_text().strip()}\n```"


def _printed(command: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as told:
        try:
            main(shlex.split(command)[1:])
        except SystemExit as ended:  # a loss was found to be wrong: no error of the page's
            assert ended.code in (0, 1)  # noqa: PT017
    return "\n".join(line.rstrip() for line in told.getvalue().rstrip().splitlines())
