"""A run's results as a table, for use in other tools."""

from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import polars as pl

from lossary.lab.run.record import Record, finished
from lossary.lab.run.stored import Refused

Row = dict[str, Any]

#: How a table is written, by the file's suffix.
WRITERS: Mapping[str, Callable[[pl.DataFrame, Path], object]] = {
    ".csv": lambda table, path: table.write_csv(path),
    ".json": lambda table, path: table.write_json(path),
    ".parquet": lambda table, path: table.write_parquet(path),
}


def runs(record: Record) -> Iterator[Row]:
    """One row: the run's scores, its training settings, and its cost."""
    yield {
        **_named(record),
        "card": record.card,
        **record.metrics,
        "steps": record.steps,
        "seconds": record.seconds,
        "seconds_per_step": record.seconds_per_step,
        "still_rising": record.still_rising,
        **_prefixed("setting", record.params),
        **_prefixed("environment", record.environment),
    }


def curves(record: Record) -> Iterator[Row]:
    """One row per look at the validation split."""
    for point in record.curve:
        yield {
            **_named(record),
            "step": point.step,
            "epoch": point.epoch,
            "train_loss": point.train_loss,
            "valid": point.valid,
        }


def units(record: Record) -> Iterator[Row]:
    """One row per test unit: what the verdict compares, by the deciding metric and by the further ones."""
    others = [judged.units for judged in record.also.values()]
    for unit, (score, *also) in enumerate(zip_longest(record.units, *others)):
        further = dict(zip(record.also, also, strict=True))
        yield {**_named(record), "unit": unit, "score": score, **_prefixed("score", further)}


TABLES: Mapping[str, Callable[[Record], Iterator[Row]]] = {"runs": runs, "curves": curves, "units": units}


def table(folder: Path, name: str) -> pl.DataFrame:
    """One of ``TABLES`` for a run folder.

    Raises:
        Refused: if there is no such table, or no run in the folder.
    """
    if name not in TABLES:
        raise Refused(f"table: wanted one of {', '.join(TABLES)}; got {name!r}")
    rows = [row for record in finished(folder) for row in TABLES[name](record)]
    columns = dict.fromkeys(name for row in rows for name in row)
    return pl.DataFrame({name: pl.Series(name, [row.get(name) for row in rows], strict=False) for name in columns})


def save(folder: Path, name: str, path: Path) -> None:
    """Write a table to a file, whose suffix decides the format.

    Raises:
        Refused: if it cannot be read or written.
    """
    if path.suffix.lower() not in WRITERS:
        raise Refused(f"to: wanted a file that ends in {', '.join(WRITERS)}; got {path}")
    made = table(folder, name)
    try:
        WRITERS[path.suffix.lower()](made, path)
    except OSError as error:
        raise Refused(f"to: cannot write {path}: {error.strerror or error}") from error


def _named(record: Record) -> Row:
    return {"loss": record.loss, "role": record.role, "seed": record.seed}


def _prefixed(prefix: str, values: Mapping[str, Any]) -> Row:
    """Settings may have different types for different losses; a column has one type."""
    kept = {f"{prefix}.{name}": value for name, value in values.items()}
    return {name: value if isinstance(value, int | float | str) else repr(value) for name, value in kept.items()}
