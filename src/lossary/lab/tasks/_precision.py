"""The average precision of a label, per test sample."""

import numpy as np

from lossary.lab.tasks.measures import Bools, Floats, Ints, counted


def average_precision(p: Floats, positive: Bools, weights: Floats | None = None) -> Floats:
    """Pseudo-values (..., N) of the precision at the samples that have the label, by their influence.

    With n, TP and FP counted over the samples that score at least as high (including ties), a sample adds

        negative k:  -1/P sum TP_i / n_i^2,    positive k:  1/P (precision_k - AP + sum FP_i / n_i^2),

    both sums over the positives i that score at most as high as k. The precisions at the positives share all negatives,
    so treating them as independent is wrong (docs/decisions/0011). If samples have weights, with a mean of 1, all
    counts are sums of weights, and a sample adds its contribution times its weight.

    >>> average_precision(np.array([0.9, 0.6, 0.3]), np.array([True, False, True])).mean().round(3)
    np.float64(0.833)
    """
    place, right, wrong = tied(p, positive, weights)
    above, false = (which[..., ::-1].cumsum(axis=-1)[..., ::-1] for which in (right, wrong))
    accepted, positives = above + false, above[..., :1]
    accepted += accepted == 0  # where nothing that counts scores as high
    precision = above / accepted
    score = (right * precision).sum(axis=-1, keepdims=True) / positives
    lost, held = (np.cumsum(right * which / accepted**2, axis=-1) for which in (above, false))
    gained, lost = (np.take_along_axis(of, place, -1) for of in (precision - score + held, lost))
    influence = np.where(positive, gained, -lost) / positives
    return score + place.shape[-1] * (influence if weights is None else weights * influence)


def tied(p: Floats, positive: Bools, weights: Floats | None = None) -> tuple[Ints, Floats, Floats]:
    """The place of each sample among the different probabilities; the positives and negatives at each place: (..., N).

    Where samples are tied there are fewer places than samples: nothing is at the last ones.
    """
    order = np.argsort(p, axis=-1)
    ranked = np.take_along_axis(p, order, -1)
    place = np.zeros(p.shape, np.intp)
    np.put_along_axis(place, order[..., 1:], (ranked[..., 1:] != ranked[..., :-1]).cumsum(axis=-1), -1)
    counts = 1.0 if weights is None else weights
    right, wrong = (counted(place, counts * which, p.shape[-1]) for which in (positive, ~positive))
    return place, right, wrong
