"""Queries that look for the right ones among the items of a gallery, and what the others find without some of them.

Queries and items come in groups that are drawn at once: the classes of a zero-shot test, texts that belong together.
Without a group its queries are not asked and its items do not stand before those that the others look for. A bootstrap
would not do here: an item that is drawn twice finds itself.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csc_array

from lossary.lab.tasks.measures import Bools, Floats, Ints, Units, jackknifed


class Gain(NamedTuple):
    """What a query's score is the sum of: the gain of each right item, the less the later it is found."""

    of: Callable[[Floats, int, Floats], NDArray[Any]]  # at a rank from 1; which of the right ones; how many are right
    reach: int  # the last rank at which there is any
    nth: int  # of how many right items, nearest first


class Block(NamedTuple):
    """Some of the queries."""

    rows: Ints  # (b,)
    distance: Floats  # (b, items), those tied but right behind; inf: not searched
    right: Bools  # (b, items)


@dataclass(frozen=True)
class Gallery:
    """Which group each query and each item is of. A query without a right item is not asked."""

    of_queries: Ints
    of_items: Ints
    answers: Ints  # right items a query

    def units(self, blocks: Iterable[Block], gain: Gain) -> Units:
        """The mean of the queries' scores, a group: pseudo-values of the jackknife that leaves a group out."""
        groups = int(self.of_items.max()) + 1
        total, asked, gained = np.zeros(groups), np.zeros(groups), csc_array((groups, groups))
        for rows, distance, right in blocks:
            asks = self.answers[rows] > 0
            block = Block(rows[asks], distance[asks], right[asks])
            own = self.of_queries[block.rows]
            scores, without = self._scored(block, gain, groups)
            total += np.bincount(own, scores, groups)
            asked += np.bincount(own, minlength=groups)
            gained += without
        score, left = total.sum() / asked.sum(), asked.sum() - asked
        kept = total.sum() - total + beyond_chance(gained)
        without = np.divide(kept, left, out=np.full(groups, score), where=left > 0)
        return Units(jackknifed(score, without), asked > 0)

    def _scored(self, block: Block, gain: Gain, groups: int) -> tuple[Floats, csc_array]:
        """The scores of some queries, and what the queries of each group (rows) would gain without each (columns)."""
        largest = int(np.bincount(self.of_items).max())
        group, right = self._nearest(block, gain.reach + largest)
        answers, own = self.answers[block.rows].astype(float), self.of_queries[block.rows]
        cell, seen = np.arange(len(own))[:, None] * groups + group, right.cumsum(axis=1)
        before = np.zeros((len(own), groups))  # wrong items of each group that stand before the nth right one
        scores, gained = np.zeros(len(own)), csc_array((groups, groups))
        for nth in range(1, min(gain.nth, int(answers.max(initial=0))) + 1):
            passed = cell[(seen == nth - 1) & ~right]
            before += np.bincount(passed, minlength=before.size).reshape(before.shape)
            found = seen[:, -1] >= nth
            rank = np.where(found, 1.0 + np.argmax(seen == nth, axis=1), np.inf)
            now = gain.of(rank, nth, answers)
            scores += now
            # Rows that no group can help are most of them.
            may = np.flatnonzero(found & (gain.of(np.maximum(rank - largest, nth), nth, answers) != now))
            others = before[may] * (own[may, None] != np.arange(groups))
            more = gain.of(rank[may, None] - others, nth, answers[may, None]) - now[may, None]
            row, without = np.nonzero(more)
            gained += coo_array((more[row, without], (own[may][row], without)), shape=gained.shape)
        return scores, gained

    def _nearest(self, block: Block, count: int) -> tuple[Ints, Bools]:
        """The groups of the nearest items of each query, nearest first, and which of them are right."""
        count = min(count, block.distance.shape[1])
        top = np.argpartition(block.distance, count - 1, axis=1)[:, :count]
        top = np.take_along_axis(top, np.argsort(np.take_along_axis(block.distance, top, 1), axis=1), 1)
        return self.of_items[top], np.take_along_axis(block.right, top, 1)


def beyond_chance(gained: csc_array) -> Floats:
    """What all queries would gain without each of the groups, nearer to the mean as far as that is chance.

    Which group stands before an answer is mostly chance, and that is in the query's score, which is its own group's. To
    leave out the other group counts it again, so that the jackknife tells a sixth to a half too much (Efron and Stein,
    1981). How much is chance is told by how the gain without a group comes together: from a few of the groups of
    queries, or from all alike.

    Args:
        gained: (groups of the queries, groups left out).
    """
    total, squares = (np.asarray(part.sum(axis=0)).ravel() for part in (gained, gained**2))
    chance, found = (squares - total**2 / len(total)).mean(), total.var(ddof=1)
    kept = np.sqrt(max(1 - chance / found, 0)) if found > 0 else 1.0
    return total.mean() + kept * (total - total.mean())
