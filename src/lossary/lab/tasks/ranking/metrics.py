"""Ordering the candidates of a list: NDCG, and the position of the most relevant one. A test unit is a list.

Lists are padded: the target is NaN where there is no candidate. Relevance is the gain itself. Among candidates with
equal scores, the less relevant come first, so a network that scores all alike is not credited with guessing the order.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from lossary.lab.tasks.measures import Floats, Ints, Measures, Metric, Units, check_finite, means

TOP = 10  # places that NDCG looks at
_PAIRS = 2**20  # of candidates, held at a time: 1 MiB


def order(scores: Floats, targets: Floats) -> Ints:
    """(..., L): the candidates of each list, highest score first; padding last.

    >>> order(np.array([[0.5, 2.0, 0.5]]), np.array([[3.0, 0.0, 1.0]]))
    array([[1, 2, 0]])
    """
    there = ~np.isnan(targets)
    return np.lexsort((np.where(there, targets, 0), np.where(there, -scores, np.inf)))


def ndcg(scores: Floats, targets: Floats, top: int = TOP) -> Floats:
    """(...): the discounted gains of the first places, relative to those of the best order.

    >>> ndcg(np.array([[2.0, 1.0]]), np.array([[0.0, 1.0]])).round(3)
    array([0.631])
    """
    gains = np.nan_to_num(targets)
    best = -np.sort(-gains)
    return _discounted(np.take_along_axis(gains, order(scores, targets), -1), top) / _discounted(best, top)


def _discounted(gains: Floats, top: int) -> Floats:
    gains = gains[..., :top]
    return (gains / np.log2(2 + np.arange(gains.shape[-1]))).sum(-1)


def place_of_best(scores: Floats, targets: Floats) -> Ints:
    """(...): the position of the first of the most relevant candidates, from 1: after those that score higher.

    >>> place_of_best(np.array([[0.5, 2.0, 0.5]]), np.array([[3.0, 0.0, 1.0]]))
    array([3])
    """
    gains, there = np.nan_to_num(targets), ~np.isnan(targets)
    best = there & (gains == gains.max(-1, keepdims=True))
    score = np.where(best, scores, -np.inf).max(-1, keepdims=True)
    before = (scores > score) | ((scores == score) & ~best)
    return 1 + np.count_nonzero(before & there, axis=-1)


def kendall_tau(scores: Floats, targets: Floats) -> Floats:
    """(...): Kendall's tau-b, where ties count half; 0 if all scores, or all targets, are equal and there is no order.

    >>> kendall_tau(np.array([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]]), np.array([[0.0, 1.0, np.nan]] * 2)).round(9)
    array([1., 0.])
    """
    *shape, candidates = scores.shape
    step = max(1, _PAIRS // candidates**2)
    scores, targets = scores.reshape(-1, candidates), targets.reshape(-1, candidates)
    found = [_kendall(scores[at : at + step], targets[at : at + step]) for at in range(0, len(scores), step)]
    return np.concatenate(found).reshape(shape)


def _kendall(scores: Floats, targets: Floats) -> Floats:
    """The cosine between the signs of all differences in scores and in targets; each pair counts once."""
    there = ~np.isnan(targets)
    given = (scores[:, :, None] > scores[:, None]) & there[:, :, None] & there[:, None]
    wanted = targets[:, :, None] > targets[:, None]  # never true of NaN
    agree, contradict, ours, theirs = (
        np.count_nonzero(pairs.reshape(len(pairs), -1), axis=1).astype(np.float64)
        for pairs in (given & wanted, given & wanted.swapaxes(1, 2), given, wanted)
    )
    both, length = agree - contradict, np.sqrt(ours * theirs)
    return np.divide(both, length, out=np.zeros(len(both)), where=length > 0)


_Lists = tuple[Floats, Floats]  # scores and targets


def _checked(scores: ArrayLike, targets: ArrayLike) -> _Lists:
    given, wanted = np.asarray(scores, np.float64), np.asarray(targets, np.float64)
    if given.ndim != 2 or len(given) == 0:
        raise ValueError(f"scores: wanted shape (lists, candidates); got {given.shape}")
    if wanted.shape != given.shape:
        raise ValueError(f"targets: wanted shape {given.shape}; got {wanted.shape}")
    check_finite("scores", given)
    check_finite("targets", np.nan_to_num(wanted, posinf=np.inf, neginf=-np.inf))
    if np.nanmin(wanted, initial=0) < 0 or not (np.nan_to_num(wanted).max(1) > 0).all():
        raise ValueError("targets: wanted relevance of 0 or more, above 0 somewhere in each list; got other lists")
    return given, wanted


def _score(scores: ArrayLike, targets: ArrayLike) -> float:
    return float(ndcg(*_checked(scores, targets)).mean())


_OF_LISTS: dict[str, Callable[[Floats, Floats], ArrayLike]] = {
    "ndcg@10": ndcg,
    "best_first": lambda scores, targets: place_of_best(scores, targets) == 1,
    "mrr": lambda scores, targets: 1 / place_of_best(scores, targets),
    "kendall_tau": kendall_tau,
}
_PSEUDO_VALUES = {name: lambda given, each=each: Units.of(each(*given)) for name, each in _OF_LISTS.items()}

MEASURES = Measures(
    task="ranking the candidates of a list",
    units="test lists",
    metrics=(
        Metric("ndcg@10", "NDCG@10", True, True),
        Metric("best_first", "Best one first", True, True),
        Metric("mrr", "MRR of the best one", True, True),
        Metric("kendall_tau", "Kendall's tau", True, False, least=-1.0),
    ),
    read=_checked,
    values=means(_PSEUDO_VALUES),
    pseudo_values=_PSEUDO_VALUES,
    score=_score,
)
