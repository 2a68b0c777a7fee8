"""Embeddings with labels, every item compared with all others by cosine, and never with itself.

Cosines are rounded to 1e-9, so that equal embeddings tie, however the matrix product rounds.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lossary.lab.tasks.measures import Bools, Floats, Ints, check_finite, check_length

GRID = 1e9  # cosines are compared in units of 1 / GRID
CACHED_COSINES = 2**22  # cosines held at a time: 32 MiB


@dataclass(frozen=True, eq=False)
class CompareAll:
    """Embeddings scaled to length 1, and their classes. Zero vectors stay zero: their cosines are all 0."""

    unit: Floats
    classes: Ints  # 0 .. number of classes - 1
    sizes: Ints  # items per class

    @property
    def mates(self) -> Ints:
        return self.sizes[self.classes] - 1

    @property
    def has_mate(self) -> Bools:
        return self.mates > 0

    def blocks(self) -> Iterator[tuple[Ints, Floats, Bools]]:
        """Rows, their cosines with all items in grid units, and whether classes agree. Self is -inf and False."""
        count = len(self.classes)
        step = max(1, CACHED_COSINES // count)
        for start in range(0, count, step):
            rows = np.arange(start, min(start + step, count))
            cosines = np.rint(GRID * (self.unit[rows] @ self.unit.T))
            same = self.classes[rows, None] == self.classes
            here = np.arange(len(rows))
            cosines[here, rows], same[here, rows] = -np.inf, False
            yield rows, cosines, same


def compare_all(embeddings: ArrayLike, labels: ArrayLike) -> CompareAll:
    vectors, labels = np.asarray(embeddings, np.float64), np.asarray(labels)
    if vectors.ndim != 2:
        raise ValueError(f"embeddings: wanted shape (items, dimensions); got {vectors.shape}")
    check_length("labels", labels, len(vectors))
    check_finite("embeddings", vectors)
    _, classes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(sizes) < 2 or sizes.max() < 2:
        raise ValueError(
            f"labels: wanted at least 2 classes, one of them with 2 items; got {len(sizes)} class(es) "
            f"of at most {sizes.max(initial=0)} item(s)"
        )
    largest = np.abs(vectors).max(axis=1, keepdims=True)  # first, so that squares neither overflow nor vanish
    vectors = vectors / np.where(largest > 0, largest, 1)
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    return CompareAll(vectors / np.where(norm > 0, norm, 1), classes, sizes)
