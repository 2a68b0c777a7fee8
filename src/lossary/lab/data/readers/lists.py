"""Lists to rank: rows become the candidates of lists, padded to the longest."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import torch
from torch.nn.utils.rnn import pad_sequence

from lossary.lab.data import splits
from lossary.lab.data.contents import BadData
from lossary.lab.data.readers.source import Source, counted
from lossary.lab.data.types import Data, Inputs, TensorSplit

FEWEST = 8  # lists, so that each part has some
LARGEST_BATCH, STEPS = 16, 8
MOST = 1e30  # of relevance: gains and their sums are float32

#: A list's name, and the indices of its rows.
Named = tuple[str, np.ndarray]


def read(source: Source) -> Data:
    """The rows of a table as lists, one for each value of the column that names them.

    Raises:
        BadData: if relevance is not a nonnegative number, or too few lists teach an order.
    """
    relevance = _relevance(source)
    assert source.lists is not None
    names, place = np.unique(source.lists, return_inverse=True)
    found = [(str(name), np.flatnonzero(place == number)) for number, name in enumerate(names)]
    useful = [(name, rows) for name, rows in found if relevance[rows].max() > relevance[rows].min()]
    if len(useful) < FEWEST:
        raise BadData(
            f"{source.name}: wanted at least {FEWEST} lists with candidates that differ in relevance; got "
            f"{len(found)} {'list' if len(found) == 1 else 'lists'}, {len(useful)} of that kind"
        )
    plain = [name for name, rows in found if relevance[rows].max() == relevance[rows].min()]
    count = len(useful)
    parts = [[useful[i] for i in part] for part in splits.by_item(np.zeros(count, int), np.arange(count))]
    return assembled(
        source.name,
        source.encode(np.concatenate([rows for _, rows in parts[0]])),
        relevance,
        parts,
        source.rows,
        left_out=counted(plain, "list of equal relevance", "lists of equal relevance"),
    )


def _relevance(source: Source) -> np.ndarray:
    found = pl.Series(source.targets).cast(pl.Float64, strict=False)
    if found.null_count():
        odd = int(found.is_null().arg_max() or 0)
        raise BadData(
            f"{source.name}, {source.rows[odd]}: wanted a number as target (ranking); got {str(source.targets[odd])!r}"
        )
    relevance = found.to_numpy()
    bad = np.flatnonzero(~((relevance >= 0) & (relevance <= MOST)))
    if len(bad):
        where = f"{source.name}, {source.rows[bad[0]]}"
        raise BadData(f"{where}: wanted relevance from 0 to {MOST:.0e} as target; got {relevance[bad[0]]:g}")
    return relevance


def assembled(
    name: str,
    inputs: Inputs,
    relevance: np.ndarray,
    parts: Sequence[Sequence[Named]],
    candidates: Sequence[str],
    *,
    left_out: tuple[str, ...] = (),
) -> Data:
    """Training, validation and test lists of rows of ``inputs``; ``candidates`` names the rows."""
    # Not centred: a relevance of 0 means none.
    scale = float(relevance[np.concatenate([rows for _, rows in parts[0]])].std())
    targets = torch.from_numpy(relevance / scale).float()

    def split(part: Sequence[Named]) -> TensorSplit:
        rows = [torch.from_numpy(rows) for _, rows in part]
        return TensorSplit(
            pad_sequence([inputs[r] for r in rows], batch_first=True),
            pad_sequence([targets[r] for r in rows], batch_first=True, padding_value=torch.nan),
        )

    train, valid, test = map(split, parts)
    called = np.full(tuple(test.targets.shape), "", dtype=object)
    for place, (_, rows) in enumerate(parts[2]):
        called[place, : len(rows)] = [candidates[row] for row in rows]
    return Data(
        name,
        "ranking",
        train,
        valid,
        test,
        test_names=tuple(name for name, _ in parts[2]),
        test_candidates=called.astype(str),
        scale=scale,
        left_out=left_out,
        batch=(min(LARGEST_BATCH, max(1, len(train) // STEPS)), 0),
    )
