"""Queries that search a gallery for the right items, and what the others find without some of them.

Queries and items come in groups that are drawn together: the classes of a zero-shot test, or texts that belong
together. Without a group, its queries are not asked, and its items do not stand before those that the others look for.
A bootstrap would not work here: an item that is drawn twice finds itself.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lossary.lab.tasks.measures import Bools, Floats, Ints, Units, jackknifed


class Gain(NamedTuple):
    """A query's score is a sum: the gain of each right item, which is lower the later it is found."""

    of: Callable[[Floats, int, Floats], NDArray[Any]]  # at a rank from 1; which of the right ones; how many are right
    reach: int  # the last rank with any gain
    nth: int  # for this many right items, nearest first


class Block(NamedTuple):
    """Some of the queries."""

    rows: Ints  # (b,)
    distance: Floats  # (b, items), those tied but right behind; inf: not searched
    right: Bools  # (b, items)


class Gained(NamedTuple):
    """What the queries of one group would gain without another, if it is not 0."""

    cell: Ints  # group of the queries x groups + group left out
    score: Floats

    @classmethod
    def none(cls) -> "Gained":
        return cls(np.zeros(0, np.intp), np.zeros(0))

    @classmethod
    def summed(cls, parts: Iterable["Gained"]) -> "Gained":
        """Each cell once."""
        cells, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
        cell, place = np.unique(cells, return_inverse=True)
        return cls(cell, _sums(place, scores, len(cell)))

    def without(self, groups: int) -> tuple[Floats, Floats]:
        """(groups,) what all queries gain without each, and the sum of squares of the query groups' parts of it."""
        left_out = self.cell % groups
        return _sums(left_out, self.score, groups), _sums(left_out, self.score**2, groups)


@dataclass(frozen=True)
class Gallery:
    """The group of each query and each item. A query without a right item is not asked."""

    of_queries: Ints
    of_items: Ints
    answers: Ints  # right items per query

    def units(self, blocks: Iterable[Block], gain: Gain) -> Units:
        """The mean of the queries' scores, per group: pseudo-values of the jackknife that leaves out a group."""
        groups = int(self.of_items.max()) + 1
        total, asked, gained = np.zeros(groups), np.zeros(groups), Gained.none()
        for rows, distance, right in blocks:
            asks = self.answers[rows] > 0
            block = Block(rows[asks], distance[asks], right[asks])
            own = self.of_queries[block.rows]
            scores, without = self._scored(block, gain, groups)
            total += np.bincount(own, scores, groups)
            asked += np.bincount(own, minlength=groups)
            gained = Gained.summed([gained, *without])
        score, left = total.sum() / asked.sum(), asked.sum() - asked
        kept = total.sum() - total + beyond_chance(*gained.without(groups))
        without = np.divide(kept, left, out=np.full(groups, score), where=left > 0)
        return Units(jackknifed(score, without), asked > 0)

    def _scored(self, block: Block, gain: Gain, groups: int) -> tuple[Floats, list[Gained]]:
        """The scores of some queries, and what the queries of each group would gain without each."""
        largest = int(np.bincount(self.of_items).max())
        group, right = self._nearest(block, gain.reach + largest)
        answers, own = self.answers[block.rows].astype(float), self.of_queries[block.rows]
        cell, seen = np.arange(len(own))[:, None] * groups + group, right.cumsum(axis=1)
        before = np.zeros((len(own), groups))  # wrong items of each group that stand before the nth right one
        scores, gained = np.zeros(len(own)), []
        for nth in range(1, min(gain.nth, int(answers.max(initial=0))) + 1):
            passed = cell[(seen == nth - 1) & ~right]
            before += np.bincount(passed, minlength=before.size).reshape(before.shape)
            found = seen[:, -1] >= nth
            rank = np.where(found, 1.0 + np.argmax(seen == nth, axis=1), np.inf)
            now = gain.of(rank, nth, answers)
            scores += now
            # Most rows are ones that no group can help.
            may = np.flatnonzero(found & (gain.of(np.maximum(rank - largest, nth), nth, answers) != now))
            others = before[may] * (own[may, None] != np.arange(groups))
            more = gain.of(rank[may, None] - others, nth, answers[may, None]) - now[may, None]
            row, without = np.nonzero(more)
            gained.append(Gained(own[may][row] * groups + without, more[row, without]))
        return scores, gained

    def _nearest(self, block: Block, count: int) -> tuple[Ints, Bools]:
        """The groups of the nearest items of each query, nearest first, and which of them are right."""
        count = min(count, block.distance.shape[1])
        top = np.argpartition(block.distance, count - 1, axis=1)[:, :count]
        top = np.take_along_axis(top, np.argsort(np.take_along_axis(block.distance, top, 1), axis=1), 1)
        return self.of_items[top], np.take_along_axis(block.right, top, 1)


def _sums(places: Ints, values: Floats, count: int) -> Floats:
    return np.bincount(places, values, count).astype(np.float64)


def beyond_chance(total: Floats, squares: Floats) -> Floats:
    """What all queries would gain without each group, shrunk toward the mean by the share of chance in it.

    Which group stands before an answer is mostly chance. That chance is already in the query's score, which belongs to
    its own group. Leaving out the other group counts it again, so the jackknife overestimates by a sixth to a half
    (Efron and Stein, 1981). The share of chance is estimated from how the gain without a group is composed: from a few
    of the query groups, or from all alike.

    Args:
        total: (groups,) what all queries gain without each.
        squares: (groups,) the sum of squares of each query group's contribution.
    """
    chance, found = (squares - total**2 / len(total)).mean(), total.var(ddof=1)
    kept = np.sqrt(max(1 - chance / found, 0)) if found > 0 else 1.0
    return total.mean() + kept * (total - total.mean())
