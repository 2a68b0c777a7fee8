"""The files of a run folder.

A folder may come from anyone: everything read from it is checked value by value, and nothing may lead out of it. Files
are written completely or not at all.
"""

import json
import os
import platform
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import MISSING, fields, is_dataclass
from fnmatch import fnmatch
from math import isfinite
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

#: Everything that a run stores in its folder, and the names of these files while they are being written.
FILES = ("plan.json", "splits.json", "storage.json", "study.db*", "lock*", "report.html", "*.part")
FOLDERS = ("records", "failures", "arrays")
#: Sums and squares of anything smaller are finite numbers too.
LARGEST = 1e100

T = TypeVar("T")


class Refused(Exception):
    """A comparison that cannot be run as requested; the message is one line for the user."""


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """A temporary name to write to, renamed at the end: after a kill, the file is complete or unchanged."""
    part = path.with_suffix(f".{platform.node()}-{os.getpid()}.part")  # machines may share a disk
    try:
        yield part
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)  # do not leave it on a full disk
        raise


def write_whole(path: Path, text: str) -> None:
    """Write a file completely or not at all."""
    with replacing(path) as part:
        # A file name need not be UTF-8, and may name a class.
        part.write_text(text, encoding="utf-8", errors="backslashreplace")


def check_own(folder: Path) -> None:
    """Nothing in a run folder may be a link, which would read and write elsewhere, or a pipe.

    Raises:
        Refused: naming the first that is.
    """
    mine = [name for name in _inside(folder.resolve()) if any(fnmatch(name, known) for known in (*FILES, *FOLDERS))]
    for path in (folder / name for name in (*mine, *FOLDERS)):
        for below in (path, *(path / name for name in _inside(path))):
            if below.is_symlink():
                raise Refused(f"out: wanted files of its own in {folder}; got a link, {below}, to {below.readlink()}")
            if below.exists() and not below.is_file() and not below.is_dir():
                raise Refused(f"out: wanted files of its own in {folder}; got neither file nor folder, {below}")


def _inside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []


def read(path: Path, wanted: type[T], called: str, of_now: Callable[[Any], Any] = lambda given: given) -> T:
    """A JSON file as a dataclass, whose fields define the type of each value; unknown keys are ignored.

    ``of_now`` converts a file of an earlier version into today's form.

    Raises:
        Refused: naming the file, the value, what was wanted and what it got.
    """
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        return _typed(wanted, of_now(given) if isinstance(given, dict) else given, "")
    except (ValueError, RecursionError, OSError) as error:
        raise something_else(called, path, error) from error


def something_else(called: str, path: Path | str, why: Exception | str) -> Refused:
    """The file that should be ``called`` is not one."""
    return Refused(f"out: wanted {called} of a run in {path}; got something else ({why})")


def _typed(wanted: Any, value: Any, where: str) -> Any:
    """A JSON value as the wanted type. Any means a value that is not composed of others."""
    origin, of = get_origin(wanted), get_args(wanted)
    if is_dataclass(wanted):
        return _object(wanted, _instance(dict, value, where, "an object"), where)
    if origin is Literal:
        if value not in of:
            raise _wrong(where, f"one of {', '.join(map(repr, of))}", repr(value))
        return value
    if origin is dict:
        return {k: _typed(of[1], v, _join(where, k)) for k, v in _instance(dict, value, where, "an object").items()}
    if origin in (list, tuple):
        items = _instance(list, value, where, "a list")
        return origin(_typed(of[0], item, where) for item in items)
    return _single(wanted, value, where)


def _single(wanted: Any, value: Any, where: str) -> Any:
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    if numeric and not (isfinite(value) and abs(value) <= LARGEST if isinstance(value, float) else abs(value) < 2**63):
        raise _wrong(where, "a finite number", repr(value) if isinstance(value, float) else "a larger one")
    if wanted is float and numeric:
        return float(value)
    taken = (str, int, float, bool, NoneType) if wanted is Any else wanted
    if isinstance(value, bool) and wanted not in (bool, Any):
        raise _wrong(where, wanted.__name__, repr(value))
    return _instance(taken, value, where, getattr(wanted, "__name__", "a value"))


def _instance(wanted: Any, value: Any, where: str, called: str) -> Any:
    if not isinstance(value, wanted):
        raise _wrong(where, called, type(value).__name__ if isinstance(value, list | dict) else repr(value))
    return value


def _object(wanted: Any, given: dict[str, Any], where: str) -> Any:
    hints = get_type_hints(wanted)
    for field in fields(wanted):
        if field.name not in given and field.default is MISSING and field.default_factory is MISSING:
            raise _wrong(_join(where, field.name), "a value", "none")
    known = (field.name for field in fields(wanted) if field.name in given)
    return wanted(**{name: _typed(hints[name], given[name], _join(where, name)) for name in known})


def _join(where: str, name: str) -> str:
    return f"{where}, {name}" if where else name


def _wrong(where: str, wanted: str, got: str) -> ValueError:
    return ValueError(f"{where + ': ' if where else ''}wanted {wanted}; got {got}")
