"""The average precision of a label, per test sample."""

import numpy as np

from lossary.lab.tasks.measures import Bools, Floats, Ints


def average_precision(p: Floats, positive: Bools, weights: Floats | None = None) -> Floats:
    """Pseudo-values (N,) of the precision at the samples that have the label, by their influence.

    With n, TP and FP counted over the samples that score at least as high (including ties), a sample adds

        negative k:  -1/P sum TP_i / n_i^2,    positive k:  1/P (precision_k - AP + sum FP_i / n_i^2),

    both sums over the positives i that score at most as high as k. The precisions at the positives share all negatives,
    so treating them as independent is wrong (docs/decisions/0011). If samples have weights, with a mean of 1, all
    counts are sums of weights, and a sample adds its contribution times its weight.

    >>> average_precision(np.array([0.9, 0.6, 0.3]), np.array([True, False, True])).mean().round(3)
    np.float64(0.833)
    """
    place, right, wrong = tied(p, positive, weights)
    above, false = right[::-1].cumsum()[::-1], wrong[::-1].cumsum()[::-1]
    accepted, positives = above + false, above[0]
    accepted += accepted == 0  # where nothing that counts scores as high
    precision = above / accepted
    score = (right * precision).sum() / positives
    lost, held = (np.cumsum(right * counted / accepted**2) for counted in (above, false))
    influence = np.where(positive, (precision - score + held)[place], -lost[place]) / positives
    return score + len(place) * (influence if weights is None else weights * influence)


def tied(p: Floats, positive: Bools, weights: Floats | None = None) -> tuple[Ints, Floats, Floats]:
    """The place of each sample among the different probabilities; the positives and negatives at each place."""
    found, place = np.unique(p, return_inverse=True)
    counted = np.ones(len(p)) if weights is None else weights
    right, wrong = (np.bincount(place, counted * which, len(found)) for which in (positive, ~positive))
    return place, right.astype(np.float64), wrong.astype(np.float64)
