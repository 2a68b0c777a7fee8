"""Tables: CSV, Parquet and JSON lines with a column to predict."""

import csv
import io
import json
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossary.lab.data.contents import BadData, content, fingerprint
from lossary.lab.data.readers.source import Source, counted, more, parted
from lossary.lab.run.plan import Plan

LINES = ".jsonl"
AT_ONCE = 20_000  # rows
#: Possible contents of an empty cell.
MISSING = ("", "NA", "N/A", "NaN", "nan", "NULL", "null")
#: Default names of the target column.
TARGETS = ("target", "label", "class", "y")
#: Strings with more distinct values than this are texts, if half of them have several words; otherwise they are names,
#: which a small network can only memorise.
MOST_KINDS, SEVERAL_WORDS = 50, 3
TYPES = ("number", "category", "text", "skip")
#: Beyond this, not every whole number is a float.
LARGEST_WHOLE = 2.0**53
#: In ISO 8601 format, with or without a time.
DATE = r"^\d{4}-\d{2}-\d{2}([T ].*)?$"
#: A number in files separated by semicolons, where the comma is the decimal point.
DECIMAL_COMMA = r"^\s*[+-]?\d+(,\d+)?\s*$"


@dataclass(frozen=True)
class Column:
    """An input: values as float (NaN where missing) or strings (None where missing)."""

    name: str
    type: str
    why: str
    values: pl.Series


@dataclass(frozen=True)
class Roles:
    """The columns that are not inputs, by name; "" if there is none."""

    target: str = ""
    lists: str = ""  # names the list of which a row is a candidate
    by: str = ""  # names groups whose rows are all in one part
    time: str = ""  # says when a row was recorded: earlier ones train
    split: str = ""  # says in which part a row is
    weight: str = ""  # says how much a row counts

    @classmethod
    def of(cls, plan: Plan) -> Self:
        return cls(plan.target, plan.lists, plan.by, plan.time, plan.split, plan.weight)

    @property
    def besides(self) -> dict[str, str]:
        """The role columns other than the target."""
        given = {role: getattr(self, role) for role in ("lists", "by", "time", "split", "weight")}
        return {role: name for role, name in given.items() if name}


def read(path: Path, roles: Roles, types: str) -> Source:
    """A table; ``types`` overrides the inferred column types, as in ``"zip=category,id=skip"``.

    Raises:
        BadData: naming file, column and line.
    """
    stored = content(path)
    source = of(path, *cells(path, stored), roles, types)
    return replace(source, fingerprint=fingerprint(stored))


def read_parts(paths: Mapping[str, Path], roles: Roles, types: str) -> Source:
    """One file per part, with the same columns: "train", "test" and perhaps "val".

    Raises:
        BadData: like ``read``, and if a file has other columns than the training file.
    """
    stored = {part: content(path) for part, path in paths.items()}
    read = {part: cells(path, stored[part]) for part, path in paths.items()}
    path, frame = paths["train"], read["train"][0]
    part_of = "part"
    while part_of in frame.columns:
        part_of += "_"
    for part, (other, _) in read.items():
        odd = {*frame.columns} ^ {*other.columns}
        if odd:
            raise BadData(f"{paths[part]}: wanted the columns of {path}; got others ({', '.join(sorted(odd))})")
    frames = [
        cells.select(frame.columns).with_columns(pl.lit(part).alias(part_of)) for part, (cells, _) in read.items()
    ]
    try:
        whole = pl.concat(frames, how="vertical_relaxed")
    except pl.exceptions.PolarsError as error:
        raise BadData(
            f"{path}: wanted columns of the same types in all files; got {str(error).splitlines()[0]}"
        ) from error
    rows = [f"{paths[part].name}, {row}" for part, (_, rows) in read.items() for row in rows]
    source = of(path, whole, rows, replace(roles, split=part_of), types)
    return replace(source, fingerprint=fingerprint(*stored.values()))


def of(path: Path, frame: pl.DataFrame, rows: list[str], roles: Roles, types: str) -> Source:
    """The same for cells in memory, with the name of each row.

    Raises:
        BadData: naming the table, its column and row.
    """
    target = _target(path, frame, roles.target)
    if _opaque(frame[target]):
        raise BadData(f"{path}, {target}: wanted numbers or strings as targets; got {frame[target].dtype}")
    asked = _asked(path, frame, types, target)
    _check_roles(path, frame, roles, target)
    known = _known(path, frame, target, rows)
    left_out = [*counted([rows[i] for i in np.flatnonzero(~known)], "row without a target", "rows without a target")]
    for name in roles.besides.values():
        filled = frame[name].is_not_null().to_numpy()
        without = [rows[i] for i in np.flatnonzero(known & ~filled)]
        left_out += counted(without, f"row without a {name}", f"rows without a {name}")
        known &= filled
    rows = [rows[i] for i in np.flatnonzero(known)]
    frame = frame.filter(known)
    columns = _columns(path, frame, asked, rows, besides=(target, *roles.besides.values()))
    if all(column.type == "skip" for column in columns):
        raise BadData(f"{path}: wanted at least one column to predict {target} from; got no usable one")
    return Source(
        path.name,
        "a table",
        _targets(frame[target]),
        rows,
        partial(_encoded, columns),
        fingerprint="",
        facts=(
            ("target", target),
            *roles.besides.items(),
            *((column.name, f"{column.type} ({column.why})") for column in columns),
        ),
        left_out=tuple(left_out),
        texts=_texts(columns),
        lists=_strings(frame, roles.lists),
        by=_strings(frame, roles.by),
        weights=_weights(path, frame[roles.weight], rows) if roles.weight else None,
        time=_times(path, frame[roles.time], rows) if roles.time else None,
        part=parted(frame[roles.split].cast(pl.String).to_list(), f"{path}, {roles.split}") if roles.split else None,
    )


def _known(path: Path, frame: pl.DataFrame, target: str, rows: list[str]) -> NDArray[np.bool_]:
    """Which rows have a target."""
    known = frame[target].is_not_null().to_numpy()
    if not known.any():
        raise BadData(f"{path}, {target}: wanted targets; got none in {len(known)} rows, the first in {rows[0]}")
    if frame[target].dtype.is_temporal() or target in _told(frame.select(target))[1]:
        raise BadData(
            f"{path}, {target}: wanted numbers or strings as targets; got dates: write them as numbers, such as days"
        )
    return known


def _texts(columns: list[Column]) -> list[str] | None:
    """The texts of each row, if there are any, one after another."""
    of_text = [column.values for column in columns if column.type == "text"]
    return pl.select(pl.concat_str(of_text, separator=" ")).to_series().to_list() if of_text else None


def _check_roles(path: Path, frame: pl.DataFrame, roles: Roles, target: str) -> None:
    others = [name for name in frame.columns if name != target]
    for role, name in roles.besides.items():
        if name not in others or _opaque(frame[name]):
            raise BadData(f"{path}: wanted one of its other columns as {role} ({', '.join(others)}); got {name!r}")


def _strings(frame: pl.DataFrame, name: str) -> np.ndarray | None:
    return frame[name].cast(pl.String).to_numpy().astype(str) if name else None


def _weights(path: Path, cells: pl.Series, rows: list[str]) -> np.ndarray:
    """Nonnegative numbers.

    Raises:
        BadData: naming the first cell that is something else.
    """
    values = cells.cast(pl.Float64, strict=False)
    good = values.is_finite().fill_null(value=False) & (values >= 0).fill_null(value=False)
    if not good.all():
        odd = int((~good).arg_max() or 0)
        raise BadData(f"{path}, {cells.name}, {rows[odd]}: wanted a weight of 0 or more; got {cells[odd]!r}")
    return values.to_numpy()


def _times(path: Path, cells: pl.Series, rows: list[str]) -> np.ndarray:
    """Dates, times or numbers, as numbers that grow with time.

    Raises:
        BadData: naming the first cell that is none of these.
    """
    values = numbers(cells)
    if values is None:
        dates = cells if cells.dtype.is_temporal() else _dates(cells)
        if dates.null_count():
            odd = int(dates.is_null().arg_max() or 0)
            raise BadData(f"{path}, {cells.name}, {rows[odd]}: wanted a date as in 2026-11-29; got {cells[odd]!r}")
        values = dates.to_physical().cast(pl.Float64).to_numpy()
    return values


def _dates(cells: pl.Series) -> pl.Series:
    """Strings as times; null if one is not a time."""
    try:
        return cells.cast(pl.String).str.to_datetime(strict=False)
    except pl.exceptions.PolarsError:  # if none of them looks like one
        return pl.Series(cells.name, [None] * len(cells), dtype=pl.Datetime)


def cells(path: Path, stored: bytes) -> tuple[pl.DataFrame, list[str]]:
    """All cells of a file, None if empty, and the name of each row.

    Raises:
        BadData: naming file and line.
    """
    frame, rows = {".parquet": _parquet, LINES: _json_lines}.get(path.suffix.lower(), _csv)(path, stored)
    if not len(frame):
        raise BadData(f"{path}: wanted rows; got only a header")
    return frame, rows


def _csv(path: Path, stored: bytes) -> tuple[pl.DataFrame, list[str]]:
    """All cells as strings, and the line on which each row ends."""
    try:
        stored.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = stored.count(b"\n", 0, error.start) + 1
        raise BadData(f"{path}, line {line}: wanted UTF-8; got the byte 0x{stored[error.start]:02x}") from error
    separator = max(",;\t", key=stored.partition(b"\n")[0].decode("utf-8-sig").count)
    # Streamed: a second copy of the text would take four bytes per character.
    text = io.TextIOWrapper(io.BytesIO(stored), "utf-8-sig", newline="")
    reader = csv.reader(text, delimiter=separator, strict=True)
    lines: list[str] = []
    try:
        header = next(row for row in reader if row)
        # pandas writes its index as a column without a name.
        header = [name if name.strip() else f"column {place}" for place, name in enumerate(header, start=1)]
        parts = [_frame(header, some) for some in _batched(path, reader, len(header), lines)]
    except csv.Error as error:
        if "field limit" in str(error):
            most = csv.field_size_limit()
            raise BadData(
                f"{path}, line {reader.line_num}: wanted cells of at most {most} characters; got a longer one"
            ) from error
        raise BadData(f"{path}, line {reader.line_num}: wanted values with a separator; got {error}") from error
    twice = sorted(name for name, times in Counter(header).items() if times > 1)
    if twice:
        raise BadData(f"{path}, line 1: wanted a different name for each column; got {twice[0]!r}")
    frame = pl.concat(parts).rename(lambda place: header[int(place)])
    return (frame.with_columns(map(_with_points, frame)) if separator == ";" else frame), lines


def _batched(path: Path, reader: Any, width: int, lines: list[str]) -> Iterator[list[list[str]]]:
    """The rows in chunks, because all of them as Python strings would take ten times the memory; at least one chunk."""
    cells: list[list[str]] = []
    for row in reader:
        if row and len(row) != width:
            raise BadData(f"{path}, line {reader.line_num}: wanted {width} values as in the header; got {len(row)}")
        if row:
            cells.append(row)
            lines.append(f"line {reader.line_num}")
        if len(cells) == AT_ONCE:
            yield cells
            cells = []
    yield cells


def _frame(header: list[str], cells: list[list[str]]) -> pl.DataFrame:
    """Cells as strings, None if empty, in columns by position."""
    columns = zip(*cells, strict=True) if cells else [()] * len(header)
    frame = pl.DataFrame({str(place): pl.Series(values, dtype=pl.String) for place, values in enumerate(columns)})
    return frame.select(pl.when(pl.all().is_in(MISSING)).then(None).otherwise(pl.all()).name.keep())


def _with_points(cells: pl.Series) -> pl.Series:
    """Numbers with a decimal comma as numbers with a point; anything else unchanged."""
    numeric = cells.drop_nulls().str.contains(DECIMAL_COMMA).all()
    return cells.str.replace(",", ".", literal=True) if numeric else cells


def _parquet(path: Path, stored: bytes) -> tuple[pl.DataFrame, list[str]]:
    try:
        frame = pl.read_parquet(io.BytesIO(stored))
    except pl.exceptions.PolarsError as error:
        raise BadData(f"{path}: wanted a Parquet file; got something else ({str(error).splitlines()[0]})") from error
    return frame.with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None)), [f"row {r}" for r in range(len(frame))]


def _json_lines(path: Path, stored: bytes) -> tuple[pl.DataFrame, list[str]]:
    found: list[dict[str, object]] = []
    rows: list[str] = []
    for number, line in enumerate(stored.splitlines(), start=1):
        if line.strip():
            found.append(json_object(line, f"{path}, line {number}"))
            rows.append(f"line {number}")
    keys = dict.fromkeys(key for given in found for key in given)
    columns = {key: [given.get(key) for given in found] for key in keys}
    try:
        frame = pl.DataFrame({key: pl.Series(values, strict=True) for key, values in columns.items()})
    except (TypeError, pl.exceptions.PolarsError) as error:
        mixed = f"{path}: wanted values of one kind for each key; got several ({str(error).splitlines()[0]})"
        raise BadData(mixed) from error
    return frame, rows


def json_object(line: bytes, where: str) -> dict[str, object]:
    """The object on a line.

    Raises:
        BadData: if there is none.
    """
    try:
        given = json.loads(line)
        json.dumps(given, ensure_ascii=False).encode()  # half of a character ("\ud800") is not text
    except RecursionError as error:
        raise BadData(f"{where}: wanted a JSON object; got brackets nested too deep") from error
    except ValueError as error:
        raise BadData(f"{where}: wanted a JSON object; got {error}") from error
    if not isinstance(given, dict):
        raise BadData(f"{where}: wanted a JSON object; got {type(given).__name__}")
    return given


def _target(path: Path, frame: pl.DataFrame, asked: str) -> str:
    usual = [name for name in frame.columns if name.lower() in TARGETS]
    if asked in frame.columns:
        return asked
    if not asked and len(usual) == 1:
        return usual[0]
    came = f"got {asked!r}" if asked else f"got no --target; add, say, --target {shlex.quote(frame.columns[-1])}"
    raise BadData(f"{path}: wanted one of its columns as target ({', '.join(frame.columns)}); {came}")


def _asked(path: Path, frame: pl.DataFrame, types: str, target: str) -> Mapping[str, str]:
    pairs = [part.rpartition("=") for part in types.split(",") if part.strip()]
    asked = {name.strip(): type_.strip() for name, _, type_ in pairs}
    for name, type_ in asked.items():
        if name not in frame.columns or type_ not in TYPES:
            raise BadData(f"{path}, types: wanted COLUMN={'|'.join(TYPES)}; got {name}={type_}")
        if name == target:
            raise BadData(f"{path}, types: wanted a column to predict from; got the target, {name}")
        if type_ != "skip" and _opaque(frame[name]):
            raise BadData(f"{path}, types: wanted {name}=skip, for it holds {frame[name].dtype}; got {name}={type_}")
    return asked


def _opaque(cells: pl.Series) -> bool:
    """Neither numbers nor anything that could be written as a string."""
    return cells.dtype.is_nested() or cells.dtype in (pl.Binary, pl.Object)


def _targets(cells: pl.Series) -> np.ndarray:
    """Numbers; or strings, if there is anything else or floats would merge different whole numbers."""
    values = numbers(cells)
    if values is not None and not (np.abs(values) >= LARGEST_WHOLE).any():
        return values
    names = cells.cast(pl.String)
    if values is not None and not names.str.contains(r"^[+-]?\d+$").all():
        return values
    return names.to_numpy().astype(str)


def numbers(cells: pl.Series) -> np.ndarray | None:
    """As floats, NaN if missing; None if there is anything else."""
    if cells.dtype.is_temporal() or _opaque(cells) or cells.dtype == pl.Boolean:
        return None
    values = cells.cast(pl.Float64, strict=False)
    return None if values.null_count() > cells.null_count() else values.to_numpy().astype(float)


def _told(frame: pl.DataFrame) -> tuple[dict[str, int], set[str]]:
    """How many different values each column has, and which hold only dates. All at once: some tables have 20,000."""
    plain = [cells.name for cells in frame if not _opaque(cells)]
    strings = [cells.name for cells in frame if cells.dtype == pl.String]
    kinds = frame.select(pl.col(plain).drop_nulls().n_unique()).row(0, named=True)
    dates = frame.select(pl.col(strings).str.contains(DATE).all()).row(0, named=True) if strings else {}
    return kinds, {name for name, all_are in dates.items() if all_are}


def _columns(
    path: Path, frame: pl.DataFrame, asked: Mapping[str, str], rows: list[str], besides: tuple[str, ...]
) -> list[Column]:
    kinds, dates = _told(frame)
    return [
        _column(path, cells, asked.get(cells.name, ""), rows, kinds.get(cells.name, 0), cells.name in dates)
        for cells in frame
        if cells.name not in besides
    ]


def _column(path: Path, cells: pl.Series, asked: str, rows: list[str], kinds: int, dates: bool) -> Column:
    values = numbers(cells)
    missing = f"{cells.null_count()} missing" if cells.null_count() else "complete"
    type_, why = (asked, "as asked") if asked else _inferred(cells, values, kinds, dates)
    why = why or missing
    if type_ == "skip":
        return Column(cells.name, type_, why, cells)
    if type_ == "text":
        facts = f"{kinds} different, median {_words(cells):.0f} words, {missing}"
        return Column(cells.name, type_, facts, cells.cast(pl.String).fill_null(""))
    if type_ == "category":
        return Column(cells.name, type_, f"{kinds} kinds, {missing}", cells.cast(pl.String))
    if values is None:
        odd = int((cells.cast(pl.Float64, strict=False).is_null() & cells.is_not_null()).arg_max() or 0)
        raise BadData(f"{path}, {cells.name}, {rows[odd]}: wanted a number; got {cells[odd]!r}")
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        where = f"{path}, {cells.name}, {rows[infinite[0]]}"
        raise BadData(f"{where}: wanted a finite number; got {values[infinite[0]]}{more(len(infinite) - 1)}")
    return Column(cells.name, type_, why, pl.Series(values))


def _inferred(cells: pl.Series, values: np.ndarray | None, kinds: int, dates: bool) -> tuple[str, str]:
    """The type of a column, and the reason, unless it is only the number of missing cells."""
    if _opaque(cells):
        return "skip", f"{cells.dtype}"
    if kinds < 2 and not (kinds and cells.null_count()):
        return "skip", "always the same"
    if cells.dtype.is_temporal():
        return "skip", f"{cells.dtype}"
    if dates:
        return "skip", "dates"
    if values is not None:
        counts = len(values) > 2 and bool((values[1:] == values[:-1] + 1).all())  # np.diff would warn of infinities
        return ("skip", "it counts the rows") if counts else ("number", "")
    if kinds > MOST_KINDS:
        return ("text", "") if _words(cells) >= SEVERAL_WORDS else ("skip", f"{kinds} different strings")
    return "category", ""


def _words(cells: pl.Series) -> float:
    """The median number of words in the cells."""
    counts = cells.cast(pl.String).drop_nulls().str.strip_chars().str.count_matches(r"\s+") + 1
    return float(np.median(counts.to_numpy())) if len(counts) else 0.0


def _encoded(columns: list[Column], train: np.ndarray) -> Tensor:
    """Numbers scaled by mean and standard deviation of the training rows, categories as those that occur there.

    A missing number becomes the mean, and an extra column marks it.
    """
    parts: list[np.ndarray] = []
    for column in columns:
        if column.type == "number":
            parts += _standardised(column.values.to_numpy(), train)
        elif column.type == "category":
            kinds = column.values[train.tolist()].drop_nulls().unique().sort()
            parts += [(column.values == kind).fill_null(value=False).to_numpy() for kind in kinds]
        elif column.type == "text":
            parts.append(_features(column, train))
    if not parts:
        raise BadData("types: wanted at least one input that differs among the training rows; got none")
    return torch.from_numpy(np.column_stack(parts).astype(np.float32, copy=False))


def _features(column: Column, train: np.ndarray) -> np.ndarray:
    from lossary.lab.data.readers import prose

    try:
        return prose.features(column.values.to_list(), train)
    except ValueError as error:
        raise BadData(f"types: wanted texts with words in {column.name}; got none ({error})") from error


def _standardised(values: np.ndarray, train: np.ndarray) -> list[np.ndarray]:
    missing = np.isnan(values)
    known = values[train][~missing[train]]
    if not len(known):
        return []
    scaled = np.where(missing, 0.0, (values - known.mean()) / (known.std() or 1.0)).astype(np.float32)
    return [scaled, missing] if missing.any() else [scaled]
