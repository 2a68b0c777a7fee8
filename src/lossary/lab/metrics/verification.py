"""Are two of one class? The ROC over all pairs, and what is read off it: EER, TAR at a FAR, minDCF.

On the ROC tied pairs are accepted or rejected together; the EER interpolates between, so that a collapsed embedding
has an EER of 0.5.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lossary.lab.metrics._cosines import GRID, CompareAll, compare_all
from lossary.lab.metrics._measures import (
    Floats,
    Ints,
)

BINS = 2**20  # thresholds of the ROC, over the range of the cosines


@dataclass(frozen=True)
class Roc:
    """Cosines of at least ``threshold``: the share of different pairs (FAR) and of same pairs (TAR)."""

    threshold: Floats  # falling, from infinity (nothing accepted)
    far: Floats
    tar: Floats


def roc(embeddings: ArrayLike, labels: ArrayLike, *, points: int = 200) -> Roc:
    """The ROC over all pairs, thinned to at most ``points``: half even along it, half even in log FAR."""
    full = full_roc(compare_all(embeddings, labels))
    count = len(full.far)
    if count <= points:
        return full
    along = np.searchsorted(full.far + full.tar, np.linspace(0, 2, points // 2))
    rarest = full.far[np.searchsorted(full.far, 0, side="right")]
    rare = np.searchsorted(full.far, np.geomspace(rarest, 1, points - points // 2))
    keep = np.unique(np.minimum(np.concatenate([along, rare]), count - 1))
    return Roc(full.threshold[keep], full.far[keep], full.tar[keep])


def full_roc(items: CompareAll) -> Roc:
    """The ROC at up to BINS thresholds: its memory does not grow with the number of pairs."""
    low, high = np.inf, -np.inf
    for rows, cosines, _ in items.blocks():
        high = max(high, cosines.max())
        cosines[np.arange(len(rows)), rows] = np.inf
        low = min(low, cosines.min())
    edges = np.linspace(low, max(high, low + 1), BINS + 1)
    same, different = pair_counts(items, edges)
    used = np.flatnonzero(same + different)[::-1]
    far, tar = np.cumsum(different[used]) / different.sum(), np.cumsum(same[used]) / same.sum()
    return Roc(
        np.concatenate([[np.inf], edges[used] / GRID]),
        np.concatenate([[0], far]),
        np.concatenate([[0], tar]),
    )


def pair_counts(items: CompareAll, edges: Floats) -> tuple[Ints, Ints]:
    """Same and different pairs in the equal bins between ``edges`` (in grid units); the last bin is closed.

    Each pair counts twice, as in the matrix, which no rate sees.
    """
    bins = len(edges) - 1
    scale = bins / (edges[-1] - edges[0])
    counts = np.zeros((2, bins), np.intp)
    for _, cosines, same in items.blocks():
        for row, wanted in enumerate((same, ~same & np.isfinite(cosines))):
            index = ((cosines[wanted] - edges[0]) * scale).astype(np.intp)
            counts[row] += np.bincount(np.minimum(index, bins - 1), minlength=bins)
    return counts[0], counts[1]


def equal_error_rate(curve: Roc) -> float:
    """The equal error rate: where FAR = 1 - TAR on the ROC drawn with straight lines."""
    gap = 1 - curve.tar - curve.far  # falls from 1 to -1
    after = int(np.argmax(gap <= 0))
    share = gap[after - 1] / (gap[after - 1] - gap[after])
    return float(curve.far[after - 1] + share * (curve.far[after] - curve.far[after - 1]))


def tar_at_far(curve: Roc, far: float) -> float:
    """The best TAR of a threshold whose FAR is at most ``far``."""
    return float(curve.tar[np.searchsorted(curve.far, far, side="right") - 1])


def min_dcf(curve: Roc, prior: float = 0.01) -> float:
    """NIST's least detection cost, a miss and a false alarm costing 1, over that of a constant answer."""
    cost = prior * (1 - curve.tar) + (1 - prior) * curve.far
    return float(cost.min() / min(prior, 1 - prior))


@dataclass(frozen=True)
class SimilarityHistogram:
    """Shares of the same-class and of the different-class pairs in equal bins of the cosine from -1 to 1."""

    edges: Floats
    same: Floats
    different: Floats


def similarity_histogram(embeddings: ArrayLike, labels: ArrayLike, *, bins: int = 60) -> SimilarityHistogram:
    """How alike items of the same class are, and items of different classes."""
    edges = np.linspace(-1, 1, bins + 1)
    same, different = pair_counts(compare_all(embeddings, labels), edges * GRID)
    return SimilarityHistogram(edges, same / same.sum(), different / different.sum())
