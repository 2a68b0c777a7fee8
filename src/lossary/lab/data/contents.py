"""What a file holds, as bytes; whether it is code; and the error for unusable data."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from lossary.lab.data.archives import check_fits


class BadData(Exception):
    """Data that cannot be used as requested, in one line: which file, where in it, what was wanted, what it got."""


def is_code(data: str) -> bool:
    """Whether to load data of that name is to run it. The loader asks here, and so does whoever must not run it.

    The name alone decides: what lies there may be another thing a moment later.

    >>> [is_code(name) for name in ("task.py", "run/task.PY/", "run/task.py/.", "task.py ", "task.py/t.csv")]
    [True, True, True, False, False]
    """
    return Path(data).suffix.lower() == ".py"


def fingerprint(*contents: bytes) -> str:
    """A digest of contents in their order, each with its end marked."""
    digest = hashlib.sha256()
    for content in contents:
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()[:16]


def code_of(files: Iterable[str]) -> str:
    """A fingerprint of code files; "" if there are none."""
    contents = [content(Path(file)) for file in files]
    return fingerprint(*contents) if contents else ""


def content(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        BadData: if it cannot be read or is empty.
    """
    if path.exists() and not path.is_file():  # a pipe may never end
        raise BadData(f"{path}: wanted a file to read; got something else")
    try:
        check_fits(path.stat().st_size, "a file of")
        read = path.read_bytes()
    except OSError as error:
        raise BadData(f"{path}: wanted a file to read; got {error.strerror}") from error
    except ValueError as error:
        raise BadData(f"{path}: wanted a file to read; got {error}") from error
    if not read.strip():
        raise BadData(f"{path}: wanted data; got an empty file")
    return read
