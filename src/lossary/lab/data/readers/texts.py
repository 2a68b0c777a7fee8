"""The user's own pairs: two columns of texts, or two arrays of frozen embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import torch
from sklearn.random_projection import SparseRandomProjection
from torch import Tensor

from lossary.lab.data import splits
from lossary.lab.data.contents import BadData, content, fingerprint
from lossary.lab.data.readers import pairs, tables
from lossary.lab.data.readers.arrays import embeddings_of, load_all
from lossary.lab.data.readers.source import Source, counted
from lossary.lab.data.splits import SPLIT_SEED
from lossary.lab.data.types import Data, there
from lossary.lab.run.plan import Plan
from lossary.lab.tasks.retrieval.metrics import grouped

SIDES = ("queries", "documents")
LINES, ARRAYS, TABLES = tables.LINES, ".npz", (".csv", ".tsv", ".parquet")
#: Default names of the columns.
QUERIES = ("query", "question", "anchor")
DOCUMENTS = ("document", "answer", "passage", "positive", "response")
FEATURES = 512


@dataclass(frozen=True)
class Pairs:
    """A file's contents as pairs, and why it is taken for them."""

    source: Source
    data: Data
    why: str


def read(plan: Plan) -> Pairs | None:
    """A plan's file as pairs; None if it is something else.

    Raises:
        BadData: naming file, column and line.
    """
    path = Path(plan.data)
    asked = plan.task == "retrieval"
    if (
        plan.task not in ("", "retrieval")
        or plan.yes
        or plan.lists
        or plan.valid
        or plan.test
        or not there(plan.data)
        or not path.is_file()
    ):
        return None
    suffix = path.suffix.lower()
    if suffix == ARRAYS:
        return _arrays(path, asked)
    if suffix == LINES:
        stored = content(path)
        if not asked and "," not in plan.target and _has_target(path, stored):
            return None
        return _columns(path, plan.target, *_json_lines(path, stored), "JSON lines are pairs of texts")
    if suffix in TABLES and (asked or not plan.target or "," in plan.target):
        frame, rows = tables.cells(path, content(path))
        held = {name: frame[name] for name in frame.columns if tables.numbers(frame[name]) is None}
        usual = [_usual(list(held), names) for names in (QUERIES, DOCUMENTS)]
        if asked or (plan.target and plan.target not in frame.columns):
            return _columns(path, plan.target, held, rows, "as asked")
        if not plan.target and all(usual) and not any(name.lower() in tables.TARGETS for name in frame.columns):
            return _columns(path, "", held, rows, f"it has columns {usual[0]} and {usual[1]}")
    elif asked:
        raise BadData(f"{path}: wanted a file ending in {', '.join((*TABLES, LINES, ARRAYS))} (retrieval)")
    return None


def _usual(columns: Sequence[str], names: Sequence[str]) -> str:
    return next((column for name in names for column in columns if column.lower() == name), "")


def _has_target(path: Path, stored: bytes) -> bool:
    """Whether the first line contains the target, so that the lines are a table."""
    first = tables.json_object(stored.split(maxsplit=0)[0].splitlines()[0], f"{path}, line 1")
    return any(key.lower() in tables.TARGETS for key in first)


def _json_lines(path: Path, stored: bytes) -> tuple[dict[str, pl.Series], list[str]]:
    """The texts by key, and the line of each object."""
    found: list[dict[str, object]] = []
    rows: list[str] = []
    for number, line in enumerate(stored.splitlines(), start=1):
        if not line.strip():
            continue
        where = f"line {number}"
        given = tables.json_object(line, f"{path}, {where}")
        found.append(given)
        rows.append(where)
    keys = dict.fromkeys(key for given in found for key, value in given.items() if isinstance(value, str))
    for key in keys:
        for given, where in zip(found, rows, strict=True):
            if not isinstance(given.get(key, ""), str | None):
                raise BadData(f"{path}, {key}, {where}: wanted a text; got {type(given[key]).__name__}")
    return {key: pl.Series(key, [given.get(key) for given in found], dtype=pl.String) for key in keys}, rows


def _columns(path: Path, target: str, held: dict[str, pl.Series], rows: list[str], why: str) -> Pairs:
    """Two columns of texts. Rows that lack one of the two are left out and named."""
    chosen = _chosen(path, target, list(held))
    cells = [[" ".join(text.split()) if text else "" for text in held[name]] for name in chosen]
    whole = [row for row, both in enumerate(zip(*cells, strict=True)) if all(both)]
    without = [rows[row] for row in sorted(set(range(len(rows))) - set(whole))]
    if not whole:
        raise BadData(f"{path}: wanted texts in {chosen[0]} and {chosen[1]}; got no row with both")
    kept = [[column[row] for row in whole] for column in cells]
    texts, called = _numbered(*kept)
    facts = [(side, _told(name, column)) for side, name, column in zip(SIDES, chosen, kept, strict=True)]
    data = _split(path.name, texts, called)
    shortest, longest = pairs.PIECES
    read_as = (
        f"{data.test.inputs.shape[-1]} numbers per text, of its words' pieces of {shortest} to {longest} characters"
    )
    source = _source(path, "pairs of texts", texts, [rows[row] for row in whole], (*facts, ("inputs", read_as)))
    left_out = counted(without, "row without both texts", "rows without both texts")
    return _found(replace(source, left_out=left_out), data, content(path), why)


def of(name: str, queries: Sequence[str], documents: Sequence[str]) -> Data:
    """Pairs of texts in memory, as the lab's data."""
    return _split(name, *_numbered(queries, documents))


def _numbered(queries: Sequence[str], documents: Sequence[str]) -> tuple[np.ndarray, dict[str, str]]:
    """(N, 2) the numbers of the texts, and each distinct text."""
    called: dict[str, str] = {}  # case is ignored: texts that differ only in case are one text
    for text in (*queries, *documents):
        called.setdefault(text.lower(), text)
    place = {text: number for number, text in enumerate(called)}
    return np.array([[place[q.lower()], place[d.lower()]] for q, d in zip(queries, documents, strict=True)]), called


def _split(name: str, texts: np.ndarray, called: dict[str, str]) -> Data:
    encode = partial(_encoded, [*called], texts)
    return pairs.split(name, encode, texts, [*called.values()], raw="untrained features")


def _told(name: str, column: Sequence[str]) -> str:
    lengths = [len(text) for text in column]
    middle = int(np.median(lengths))
    return f"{name}: {len(set(column))} different texts of {min(lengths)} to {max(lengths)} characters, median {middle}"


def _chosen(path: Path, target: str, columns: list[str]) -> tuple[str, str]:
    """The columns of queries and of documents: the requested ones, the usual names, or the first two."""
    named = [name.strip() for name in target.split(",")] if target else []
    if len(columns) < 2 or len(named) > 2 or len(set(named)) < len(named) or not set(named) <= set(columns):
        came = f"got {target!r}" if target and len(columns) > 1 else f"got {len(columns)}"
        raise BadData(
            f"{path}: wanted two columns of texts, as --target QUERIES,DOCUMENTS ({', '.join(columns)}); {came}"
        )
    if len(named) == 2:
        return named[0], named[1]
    document = named[0] if named else _usual(columns, DOCUMENTS)
    others = [name for name in columns if name != document]
    query = _usual(others, QUERIES) or others[0]
    return query, document or next(name for name in columns if name != query)


def _encoded(called: Sequence[str], texts: np.ndarray, train: np.ndarray) -> Tensor:
    """Pairs (N, 2, FEATURES): random projections of TF-IDF vectors, which approximately preserve their cosines.

    Networks that learn an embedding of each piece from scratch find less than TF-IDF, even with thousands of pairs.
    """
    weights = pairs.tfidf().fit([called[number] for number in np.unique(texts[train])])
    weighed = weights.transform(called)
    size = min(FEATURES, weighed.shape[1])
    # scikit-learn's stubs only know the default "auto"
    projection = SparseRandomProjection(size, dense_output=True, random_state=SPLIT_SEED)  # pyright: ignore[reportArgumentType]
    return pairs.directions(projection.fit_transform(weighed)[texts])


def _arrays(path: Path, asked: bool) -> Pairs | None:
    """Frozen embeddings of queries and documents, and their texts if the file has them."""
    stored = content(path)
    found = load_all(path, stored)
    listed = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in found.items())
    if not set(SIDES) <= set(found):
        if asked:
            raise BadData(f"{path}: wanted arrays queries and documents (retrieval); got {listed or 'no arrays'}")
        return None
    sides = [embeddings_of(path, found, name) for name in SIDES]
    if sides[0].shape != sides[1].shape:
        raise BadData(f"{path}: wanted a document for each query, of one shape (N, D); got {listed}")
    count, size = sides[0].shape
    texts = splits.alike(row.tobytes() for side in sides for row in side).reshape(2, -1).T
    data = pairs.split(
        path.name, lambda _: pairs.directions(np.stack(sides, axis=1)), texts, _called(path, found, texts)
    )
    facts = (("inputs", f"{size} numbers per text (queries, documents)"),)
    source = _source(path, "frozen embeddings of pairs", texts, [f"row {row}" for row in range(count)], facts)
    return _found(source, data, stored, "as asked" if asked else "it has arrays queries and documents")


def _called(path: Path, found: dict[str, np.ndarray], texts: np.ndarray) -> list[str]:
    """The texts by number, if both text arrays are there."""
    sides = [found[name] for name in ("query_texts", "document_texts") if name in found]
    if len(sides) < 2:
        return []
    if any(side.shape != (len(texts),) or side.dtype.kind != "U" or not _encodable(side) for side in sides):
        raise BadData(f"{path}: wanted query_texts and document_texts as {len(texts)} strings each; got something else")
    first = np.unique(texts.T, return_index=True)[1]
    return np.concatenate(sides)[first].tolist()


def _encodable(strings: np.ndarray) -> bool:
    """Whether they hold complete characters, so that a report can be written."""
    try:
        "".join(strings).encode()
    except UnicodeEncodeError:
        return False
    return True


def _source(
    path: Path, form: str, texts: np.ndarray, rows: Sequence[str], facts: tuple[tuple[str, str], ...]
) -> Source:
    group = grouped(texts)
    several = np.unique(np.unique(texts, axis=0)[:, 0], return_counts=True)[1]
    told = (
        *facts,
        ("answers", f"{len(several)} different queries, {(several > 1).sum()} of them with several documents"),
        ("shared", f"{group.max() + 1} groups of pairs that share a text, each kept in one part"),
    )
    return Source(path.name, form, group, rows, lambda _: torch.from_numpy(group), "", told)


def _found(source: Source, data: Data, stored: bytes, why: str) -> Pairs:
    mark = fingerprint(stored)
    data = replace(data, fingerprint=mark, left_out=source.left_out)
    return Pairs(replace(source, fingerprint=mark), data, why)
