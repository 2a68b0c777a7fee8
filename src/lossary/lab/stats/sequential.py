"""Sequential: looking at the data after 3 seeds, and again after more, without claiming more that is false.

Up to S seeds, a study may err with probability level x (1 - 2/S). Each look's share is the amount by which this grows,
and a hypothesis is tested by the smallest of its p-values, each divided by its look's share. By Bonferroni's inequality
this holds whatever the looks have in common, wherever one stops, and also if somebody continues later. The smallest
p-value can only become smaller, so claims persist.
"""

from collections.abc import Sequence

import numpy as np

from lossary.lab.stats.two_way import Floats

LOOKS = (3, 5, 7, 10, 14, 20, 28, 40, 56, 80)


def looks(seeds: int) -> tuple[int, ...]:
    """The looks that have taken place with this many seeds.

    >>> looks(2), looks(3), looks(8)
    ((), (3,), (3, 5, 7))
    """
    return tuple(look for look in LOOKS if look <= seeds)


def next_look(seeds: int) -> int | None:
    """How many seeds the next look needs; None if there is none left.

    >>> next_look(0), next_look(3), next_look(80)
    (3, 5, None)
    """
    return next((look for look in LOOKS if look > seeds), None)


def spent(seeds: int) -> float:
    """The share of the level that looks at up to this many seeds have used.

    >>> spent(2), spent(10)
    (0.0, 0.8)
    """
    return 1 - 2 / seeds


def shares(taken: Sequence[int]) -> Floats:
    """The share of the level of each look.

    >>> shares((3, 5)).round(3)
    array([0.333, 0.267])
    """
    return np.diff([0.0, *map(spent, taken)])


def smallest(p: Floats, share: Floats) -> Floats:
    """From the p-values of each look (looks, hypotheses), one that holds for all looks together; 1 before the first."""
    return np.min(p / share[:, None], axis=0, initial=1.0)
