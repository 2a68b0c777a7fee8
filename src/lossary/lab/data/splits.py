"""Splits of data that came without one: training, validation and test parts, in 60, 15 and 25 of 100."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np

from lossary.lab.data.contents import BadData
from lossary.lab.tasks.retrieval.metrics import grouped

#: One seed for all splits, so that results of different runs on the same data are comparable.
SPLIT_SEED = 20_26


@dataclass
class Drawing:
    """Which of the random splits is drawn, and whether any was: data may come with their own split."""

    number: int = 0
    drawn: bool = False


# Every reader and every built-in data set ends here, so none of them needs to know about several splits.
_DRAWING: ContextVar[Drawing | None] = ContextVar("drawing", default=None)


@contextmanager
def numbered(number: int) -> Generator[Drawing]:
    """Draw the split with this number; 0 is the one of a single comparison.

    >>> with numbered(1) as drawing:
    ...     other = drawn(10, 0.6, 0.2)
    >>> drawing.drawn, [part.tolist() for part in other] == [part.tolist() for part in drawn(10, 0.6, 0.2)]
    (True, False)
    """
    drawing = Drawing(number)
    before = _DRAWING.set(drawing)
    try:
        yield drawing
    finally:
        _DRAWING.reset(before)


def random() -> np.random.Generator:
    """What parts are drawn by."""
    drawing = _DRAWING.get() or Drawing()
    drawing.drawn = True
    return np.random.default_rng([SPLIT_SEED, drawing.number] if drawing.number else SPLIT_SEED)


TRAIN, VALID = 0.6, 0.15
BLOCKS = 30  # of the test part, if the split is by time
FEWEST_ITEMS = 3  # of a class, so that each part has one
FEWEST_ANSWERS = 6  # yes and no: two to test, because the ranking of the rows with yes is judged
FEWEST_CLASSES = 8  # classes never seen in training: four to train, two to tune and two to test


def alike(digests: Iterable[bytes]) -> np.ndarray:
    """(N,) numbers that are equal if digests (of inputs) are.

    >>> alike([b"a", b"b", b"a"])
    array([0, 1, 0])
    """
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(digest, len(seen)) for digest in digests])


def drawn(count: int, train: float, valid: float) -> list[np.ndarray]:
    """Splits of this many items by the shares of the first two: the same for all data of that length.

    >>> [len(part) for part in drawn(10, 0.6, 0.2)]
    [6, 2, 2]
    """
    order = random().permutation(count)
    ends = np.cumsum([round(train * count), round(valid * count)])
    return [np.sort(part) for part in np.split(order, ends)]


def by_item(strata: np.ndarray, same: np.ndarray) -> list[np.ndarray]:
    """Parts of the items, each with its share of every stratum (a class; all zeros if there are none).

    Items with the same number in ``same`` (equal inputs) stay together: no test item was also a training item.

    >>> parts = by_item(np.array([0, 0, 0, 0, 1, 1, 1, 1]), same=np.arange(8))
    >>> [len(part) for part in parts]
    [4, 2, 2]
    """
    found, first, group = np.unique(same, return_index=True, return_inverse=True)
    part_of = np.zeros(len(found), dtype=int)
    generator = random()
    for stratum in np.unique(strata):
        members = generator.permutation(np.flatnonzero(strata[first] == stratum))
        train, valid, _ = _sizes(len(members))
        part_of[members[train : train + valid]] = 1
        part_of[members[train + valid :]] = 2
    return [np.flatnonzero(part_of[group] == part) for part in range(3)]


def together(same: np.ndarray, by: np.ndarray) -> np.ndarray:
    """(N,) numbers that are equal for items that must be in one part: the same group, or inputs shared between groups.

    >>> together(np.array([0, 1, 1, 2]), np.array(["ann", "ann", "bob", "cy"]))
    array([0, 0, 0, 1])
    """
    own = np.unique(by, return_inverse=True)[1]
    return grouped(np.column_stack([same, same.max() + 1 + own]))


def by_time(time: np.ndarray) -> list[np.ndarray]:
    """Parts of the items, the latest for testing; items with the same time stay together.

    >>> [part.tolist() for part in by_time(np.array([5, 1, 2, 3, 4, 6, 7, 8, 9, 9]))]
    [[0, 1, 2, 3, 4, 5], [6], [7, 8, 9]]
    """
    edges = np.quantile(time, [TRAIN, TRAIN + VALID], method="higher")
    part_of = np.digitize(time, edges)
    return [np.flatnonzero(part_of == part) for part in range(3)]


def blocks(time: np.ndarray) -> np.ndarray:
    """(N,) numbers of stretches of time with about equally many items: items close in time are not independent."""
    edges = np.quantile(time, np.linspace(0, 1, BLOCKS + 1)[1:-1])
    return np.unique(np.digitize(time, edges), return_inverse=True)[1]


def by_class(labels: np.ndarray) -> list[np.ndarray]:
    """Parts of the items that share no class."""
    classes = random().permutation(np.unique(labels))
    train, valid, _ = _sizes(len(classes), fewest=2)
    return [np.flatnonzero(np.isin(labels, part)) for part in np.split(classes, [train, train + valid])]


def _sizes(count: int, fewest: int = 1) -> tuple[int, int, int]:
    valid, test = (max(fewest, round(share * count)) for share in (VALID, 1 - TRAIN - VALID))
    return count - valid - test, valid, test


def rarest(shown: np.ndarray) -> np.ndarray:
    """Among the classes (C, N) that an item has, the rarest, so that each part gets its share of it; or C.

    >>> rarest(np.array([[True, True, True, False], [False, True, False, False]]))
    array([0, 1, 0, 2])
    """
    order = np.argsort(shown.sum(axis=1), kind="stable")
    ranked = np.append(shown[order], np.ones((1, shown.shape[1]), bool), axis=0)
    return np.append(order, len(order))[ranked.argmax(axis=0)]


def distinct(labels: np.ndarray, same: np.ndarray) -> np.ndarray:
    """How many different inputs each class has, by label; an input that two classes share counts for the first."""
    first = np.unique(same, return_index=True)[1]
    return np.bincount(labels[first], minlength=labels.max() + 1)


def keep(task: str, labels: np.ndarray, same: np.ndarray, where: str) -> np.ndarray:
    """Which classes are large enough for the task, by label.

    Raises:
        BadData: if too few are.
    """
    sizes = distinct(labels, same)
    fewest, classes = {"zero-shot": (2, FEWEST_CLASSES), "binary": (FEWEST_ANSWERS, 2)}.get(task, (FEWEST_ITEMS, 2))
    large = sizes >= fewest
    if large.sum() < classes:
        raise BadData(
            f"{where}: wanted at least {classes} classes of {fewest} different items or more ({task}); got "
            f"{len(sizes)} {'class' if len(sizes) == 1 else 'classes'}, {large.sum()} of that size, "
            f"the largest with {sizes.max()}"
        )
    return large
