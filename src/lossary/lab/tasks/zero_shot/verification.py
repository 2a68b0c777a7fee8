"""Are two items of one class? The ROC over all pairs, and values read off it: EER, TAR at a FAR, minDCF.

On the ROC, tied pairs are accepted or rejected together; the EER interpolates between points, so a collapsed embedding
has an EER of 0.5.

Without a class, the ROC's points move at every threshold; a value read off it is followed along the curve's own slope,
from the point where it was read with all classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lossary.lab.tasks.measures import Floats, Ints, jackknifed
from lossary.lab.tasks.zero_shot._cosines import GRID, CompareAll, compare_all

BINS = 2**20  # thresholds of the ROC, over the range of the cosines


@dataclass(frozen=True)
class Roc:
    """Cosines of at least ``threshold``: the share of different pairs (FAR) and of same pairs (TAR)."""

    threshold: Floats  # descending, from infinity (nothing accepted)
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


@lru_cache(maxsize=1)  # every value is read off it, one run after another
def full_roc(items: CompareAll) -> Roc:
    """The ROC at each cosine, or at BINS thresholds if there are more: its memory does not grow with the pairs."""
    thresholds, different, same = (_accepted if len(items.classes) ** 2 <= BINS else _accepted_by_bins)(items)
    return Roc(
        np.concatenate([[np.inf], thresholds / GRID]),
        np.concatenate([[0], different / different[-1]]),
        np.concatenate([[0], same / same[-1]]),
    )


def _accepted(items: CompareAll) -> tuple[Floats, Ints, Ints]:
    """Descending thresholds in grid units, and how many different and same pairs each of them accepts."""
    found = []
    for rows, cosines, same in items.blocks():
        once = rows[:, None] < np.arange(len(items.classes))
        found.append((cosines[once], same[once]))
    cosines, same = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(-cosines)
    cosines, same = cosines[order], same[order]
    last = np.flatnonzero(np.diff(cosines, append=-np.inf))  # of those tied
    return cosines[last], np.cumsum(~same)[last], np.cumsum(same)[last]


def _accepted_by_bins(items: CompareAll) -> tuple[Floats, Ints, Ints]:
    low, high = np.inf, -np.inf
    for rows, cosines, _ in items.blocks():
        high = max(high, cosines.max())
        cosines[np.arange(len(rows)), rows] = np.inf
        low = min(low, cosines.min())
    edges = np.linspace(low, max(high, low + 1), BINS + 1)
    same, different = pair_counts(items, edges)
    used = np.flatnonzero(same + different)[::-1]
    return edges[used], np.cumsum(different[used]), np.cumsum(same[used])


def pair_counts(items: CompareAll, edges: Floats) -> tuple[Ints, Ints]:
    """Same and different pairs in the equal bins between ``edges`` (in grid units); the last bin is closed.

    Each pair counts twice, as in the matrix, which affects no rate.
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
    gap, after = 1 - curve.tar - curve.far, _past_equal(curve)
    share = gap[after - 1] / (gap[after - 1] - gap[after])
    return float(curve.far[after - 1] + share * (curve.far[after] - curve.far[after - 1]))


def _past_equal(curve: Roc) -> int:
    """The first point at which at least as many different pairs are accepted as same ones are rejected."""
    return int(np.argmax(1 - curve.tar - curve.far <= 0))  # the gap falls from 1 to -1


def tar_at_far(curve: Roc, far: float) -> float:
    """The best TAR of a threshold whose FAR is at most ``far``."""
    return float(curve.tar[_last_within(curve, far)])


def _last_within(curve: Roc, far: float) -> int:
    return int(np.searchsorted(curve.far, far, side="right")) - 1


def min_dcf(curve: Roc, prior: float = 0.01) -> float:
    """NIST's minimum detection cost, where a miss and a false alarm each cost 1, relative to a constant answer."""
    return float(_cost(curve.far, curve.tar, prior).min())


def _cost(far: Floats, tar: Floats, prior: float = 0.01) -> Floats:
    return (prior * (1 - tar) + (1 - prior) * far) / min(prior, 1 - prior)


class Reading(NamedTuple):
    """A value that is read off a ROC at one of its points."""

    of: Callable[[Roc], float]
    at: Callable[[Roc], int]
    moved: Callable[[Floats, Floats, float], Floats]  # if the point moves to these FAR and TAR, given a curve's slope


def _reading_at_far(far: float) -> Reading:
    return Reading(
        partial(tar_at_far, far=far),
        partial(_last_within, far=far),
        lambda moved, tar, slope: tar + slope * (far - moved),
    )


PAIRS: Mapping[str, Reading] = {
    "eer": Reading(equal_error_rate, _past_equal, lambda far, tar, slope: far + (1 - far - tar) / (1 + slope)),
    "tar@far=1%": _reading_at_far(0.01),
    "tar@far=0.1%": _reading_at_far(0.001),
    # At its minimum, a cost does not change along the curve.
    "min_dcf": Reading(
        min_dcf, lambda curve: int(_cost(curve.far, curve.tar).argmin()), lambda far, tar, slope: _cost(far, tar)
    ),
}


def without_classes(items: CompareAll, reading: Reading) -> Floats:
    """Pseudo-values of the classes: the value read off the ROC without the pairs of each."""
    curve = full_roc(items)
    at = reading.at(curve)
    accepted = np.zeros((2, len(items.sizes)))  # of each class's items with others: different pairs, same pairs
    for rows, cosines, same in items.blocks():
        near = cosines >= GRID * curve.threshold[at] - 1e-3  # cosines are whole, thresholds were divided
        for which, pairs in enumerate((near & ~same, near & same)):
            accepted[which] += np.bincount(items.classes[rows], pairs.sum(axis=1), len(items.sizes))
    pairs = items.sizes * np.stack([len(items.classes) - items.sizes, items.sizes - 1])
    ends = np.array([[2], [1]])  # a different pair disappears with either of its classes
    left = pairs.sum(axis=1, keepdims=True) - ends * pairs
    rates = np.array([[curve.far[at]], [curve.tar[at]]])
    far, tar = np.where(left > 0, (accepted.sum(axis=1, keepdims=True) - ends * accepted) / np.maximum(left, 1), rates)
    return jackknifed(reading.of(curve), reading.moved(far, tar, _slope(curve, at)))


def _slope(curve: Roc, at: int) -> float:
    """How fast the TAR rises with the FAR: between a quarter less and a quarter more of it, or the adjacent points."""
    low = min(int(np.searchsorted(curve.far, curve.far[at] / 1.25)), max(at - 1, 0))
    high = max(_last_within(curve, curve.far[at] * 1.25), min(at + 1, len(curve.far) - 1))
    run = curve.far[high] - curve.far[low]
    return float((curve.tar[high] - curve.tar[low]) / run) if run > 0 else 0.0


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
