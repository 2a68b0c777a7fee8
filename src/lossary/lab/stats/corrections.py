"""Corrections: the cost of asking many questions of the same data. p-values in, adjusted p-values out.

Each function returns the adjusted p-values and the level at which each hypothesis was finally tested: the interval at
that level excludes 0 exactly if the adjusted p-value is at most ``level``.
"""

import numpy as np
from numpy.typing import NDArray

from lossary.lab.stats.two_way import Bools, Floats

Ints = NDArray[np.intp]

#: Share of the level for "this loss is better than every other", with 3 losses or more.
BEST = 0.5


def holm(p: Floats, level: float, steps: Floats | None = None) -> tuple[Floats, Floats]:
    """Holm's step-down test; ``steps`` says how many hypotheses may still be true at each step, all of them if None."""
    order = np.argsort(p)
    left = np.arange(len(p), 0.0, -1) if steps is None else steps
    kept = np.append(p[order] > level / left, True)
    stop = int(np.argmax(kept))
    adjusted, tested = np.empty_like(p), np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(left * p[order]), 1)
    tested[order] = level / np.maximum(left, left[min(stop, len(p) - 1)])
    return adjusted, tested


def hochberg(p: Floats, level: float) -> tuple[Floats, Floats]:
    """Like ``holm``, but from the largest p-value down: "all of them" costs no correction.

    Valid for positively dependent hypotheses, such as comparisons with the same baseline.
    """
    order, steps = np.argsort(p), np.arange(len(p), 0, -1)
    rejected = np.flatnonzero(p[order] <= level / steps)
    last = rejected[-1] if len(rejected) else 0
    adjusted, tested = np.empty_like(p), np.empty_like(p)
    adjusted[order] = np.minimum(np.minimum.accumulate((steps * p[order])[::-1])[::-1], 1)
    tested[order] = level / np.minimum(steps, steps[last])
    return adjusted, tested


def pair_steps(losses: int, tests: int) -> Floats:
    """How many of the pairs of ``losses`` may be equal once some are shown not to be (Shaffer, 1986), for ``holm``.

    If one pair differs, not all can be equal any more: of 6 losses 15 pairs may be, then 10. Together with
    ``beats_all``, which uses half of the level if the two best are equal, pairs among the others use the other half.

    >>> pair_steps(3, 3).tolist(), pair_steps(4, 6).tolist()
    ([3.0, 1.0, 1.0], [6.0, 3.0, 3.0, 3.0, 2.0, 1.0])
    """
    among, others = _equal_pairs(losses), _equal_pairs(max(losses - 2, 0))

    def steps(left: int) -> float:
        beside_best = max(n for n in others if n <= left - 1)
        possible = max(n for n in among if n <= left)
        return max(possible, beside_best / BEST)

    return np.array([steps(left) for left in range(tests, 0, -1)], np.float64)


def _equal_pairs(losses: int) -> set[int]:
    """The possible numbers of equal pairs: losses fall into groups of equals."""
    found = [{0}]
    for count in range(1, losses + 1):
        found.append({k * (k - 1) // 2 + n for k in range(1, count + 1) for n in found[count - k]})
    return found[losses]


def of_winner(losses: int, ahead: Ints, behind: Ints) -> Bools:
    """Which pairs belong to the loss that is ahead of every other; none if there is no such loss.

    >>> of_winner(3, np.array([0, 2, 2]), np.array([1, 0, 1])).tolist()
    [False, True, True]
    """
    wins, tests = np.bincount(ahead, minlength=losses), np.bincount(behind, minlength=losses)
    winner = int(wins.argmax())
    return (ahead == winner) & (wins[winner] == losses - 1) & (tests[winner] == 0)


def beats_all(p: Floats, losses: int, level: float) -> tuple[float, float]:
    """The test of "the loss that is ahead of every other is better than all of them", from its pairs with them.

    Picking it after seeing the data costs nothing: to be wrong about the best, a loss must beat the true best or its
    equal, and every other loss that it also has to beat makes that rarer (Gutmann and Maymin, 1987).
    """
    share = BEST if losses > 2 else 1.0
    return min(float(np.max(p)) / share, 1.0), level * share
