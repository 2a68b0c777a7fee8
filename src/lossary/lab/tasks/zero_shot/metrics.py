"""Recognising classes never seen in training.

These metrics only use embeddings and labels: every item is compared by cosine with all others. A metric that is
undefined for an item without a class-mate omits that item (which the others are still compared with). Metrics on pairs
(EER and similar) are in ``verification.py``.

**Ties.** Among tied neighbours, those of other classes come first (the pessimistic rank): a collapsed embedding has
Recall@1 and MAP@R of 0, not of 1.

**Units.** A test unit is a class, even one with a single item: drawing the items of another class would change the
neighbours of all classes. A class's contribution to a metric is measured by leaving it out.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from lossary.lab.tasks._galleries import Block, Gain, Gallery
from lossary.lab.tasks.measures import Bools, Floats, Ints, Measures, Metric, Units
from lossary.lab.tasks.zero_shot._cosines import GRID, CompareAll, compare_all
from lossary.lab.tasks.zero_shot.verification import PAIRS, Reading, full_roc, without_classes


def _nearest_hits(items: CompareAll, k: int) -> Bools:
    """(N, k): whether the j-th nearest neighbour has the item's class."""
    hits = np.empty((len(items.classes), k), bool)
    for rows, cosines, same in items.blocks():
        distance = 0.5 * same - cosines  # half a grid unit: behind the tied items of other classes
        top = np.argpartition(distance, k - 1, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(distance, top, 1), axis=1)
        hits[rows] = np.take_along_axis(same, np.take_along_axis(top, order, 1), 1)
    return hits


def _map_at_r(hits: Bools, mates: Ints) -> Floats:
    """MAP@R of each item: the sum of the precision at each hit among the first R neighbours, over R.

    R is the number of class-mates (Musgrave et al., arXiv:2003.08505).
    """
    place = np.arange(1, hits.shape[1] + 1)
    counted = hits & (place <= mates[:, None])
    return (np.cumsum(hits, axis=1) / place * counted).sum(axis=1) / mates


@dataclass(frozen=True)
class Neighbour:
    """An item, its nearest neighbour and the nearest item of its class, as indices into the test split."""

    query: int
    found: int
    similarity: float
    wanted: int
    wanted_similarity: float
    right: bool  # found has the query's class


def neighbours(
    embeddings: ArrayLike, labels: ArrayLike, *, right: int = 8, wrong: int = 8, seed: int = 0
) -> list[Neighbour]:
    """Correct and then wrong nearest neighbours, drawn at random so that they are representative."""
    items = compare_all(embeddings, labels)
    found = [n for rows, cosines, same in items.blocks() for n in _neighbours(items, rows, cosines, same)]
    draw = np.random.default_rng(seed).permutation(len(found))
    shuffled = [found[i] for i in draw]
    return [n for n in shuffled if n.right][:right] + [n for n in shuffled if not n.right][:wrong]


def _neighbours(items: CompareAll, rows: Ints, cosines: Floats, same: Bools) -> Iterator[Neighbour]:
    nearest = (0.5 * same - cosines).argmin(axis=1)  # ties as in _nearest_hits
    nearest_same = np.where(same, cosines, -np.inf).argmax(axis=1)
    for row, query, found, wanted in zip(range(len(rows)), rows, nearest, nearest_same, strict=True):
        if items.has_mate[query]:
            near, near_same = cosines[row, [found, wanted]] / GRID
            right = bool(same[row, found])
            yield Neighbour(int(query), int(found), float(near), int(wanted), float(near_same), right)


def _values(items: CompareAll) -> dict[str, float]:
    mates, chosen = items.mates[items.has_mate], items.has_mate
    hits = _nearest_hits(items, min(len(chosen) - 1, max(5, int(mates.max()))))[chosen]
    curve = full_roc(items)
    return {
        "recall@1": hits[:, 0].mean(),
        "recall@5": hits[:, :5].any(axis=1).mean(),
        "map@r": _map_at_r(hits, mates).mean(),
        **{name: reading.of(curve) for name, reading in PAIRS.items()},
    }


def _score(embeddings: ArrayLike, labels: ArrayLike) -> float:
    items = compare_all(embeddings, labels)
    return float(_nearest_hits(items, 1)[items.has_mate, 0].mean())


def _of_neighbours(items: CompareAll, gain: Callable[[CompareAll], Gain]) -> Units:
    gallery = Gallery(items.classes, items.classes, items.mates)
    blocks = (Block(rows, 0.5 * same - cosines, same) for rows, cosines, same in items.blocks())
    return gallery.units(blocks, gain(items))


def _recall(items: CompareAll, among: int) -> Gain:
    return Gain(lambda rank, nth, mates: 1.0 * (rank <= among), among, 1)


def _precision_at_r(items: CompareAll) -> Gain:
    most = int(items.mates.max())
    return Gain(lambda rank, nth, mates: nth / rank / mates * (rank <= mates), most, most)


def _of_pairs(items: CompareAll, reading: Reading) -> Units:
    return Units(without_classes(items, reading), items.sizes > 1)


_PSEUDO_VALUES: dict[str, Callable[[CompareAll], Units]] = {
    "recall@1": partial(_of_neighbours, gain=partial(_recall, among=1)),
    "recall@5": partial(_of_neighbours, gain=partial(_recall, among=5)),
    "map@r": partial(_of_neighbours, gain=_precision_at_r),
    **{name: partial(_of_pairs, reading=reading) for name, reading in PAIRS.items()},
}

MEASURES = Measures(
    task="recognising classes never seen in training",
    units="test classes",
    metrics=(
        Metric("recall@1", "Recall@1", True, True),
        Metric("recall@5", "Recall@5", True, True),
        Metric("map@r", "MAP@R", True, True),
        Metric("eer", "EER", False, True),
        Metric("tar@far=1%", "TAR at FAR 1 %", True, True),
        Metric("tar@far=0.1%", "TAR at FAR 0.1 %", True, True),
        Metric("min_dcf", "minDCF", False, False),
    ),
    read=compare_all,
    values=_values,
    pseudo_values=_PSEUDO_VALUES,
    score=_score,
)
