"""How often a claim after a run that was too short no longer holds later, and what that asks of a claim.

    python -m board.turned

Every run on the board is cut at a quarter of its comparison's longest one, and its pairs of losses are followed to the
end, by the best validation scores of their seeds. Two claims are counted. That one loss is better, of pairs that are
clearly apart at the cut: wrong if the other one is clearly ahead at the end. That two are equal, of pairs that are
within a point at the cut: wrong if they are clearly further apart at the end. They are made by several rules about
losses that were still rising: about all; about none that rises (as in 0.2); or unless `may_turn` says that the claim
may not hold, for several values of `GAINS_TO_COME`. So that the value need not be chosen by the tables it is judged by,
every other comparison is counted apart. docs/decisions/0010 has the tables.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from board import RESULTS, tasks
from board.stored import Stored
from lossary.lab.data.builtin import BUILTIN
from lossary.lab.run.record import Record
from lossary.lab.run.stopping import GAINS_TO_COME, Curve, to_come
from lossary.lab.stats.equivalence import POINT
from lossary.lab.stats.verdict import may_turn
from lossary.lab.tasks import measures_of
from lossary.lab.tasks.measures import Metric

SHARE = 1 / 4
LOOKS = 4  # at least, before the cut
CLEAR = 4, 2  # standard errors over seeds that the losses are apart at the cut, and at the end
LEAST = 0.005  # what they are apart at the cut, in the metric's own units
FACTORS = 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 7.6, np.inf


@dataclass(frozen=True)
class Pair:
    """Two losses of a comparison: the mean difference at the cut and at the end, each with its standard error."""

    half: int
    metric: Metric
    now: tuple[float, float]
    end: tuple[float, float]
    gains: tuple[float, float]  # `to_come` in units of `GAINS_TO_COME`, of the one ahead at the cut and of the other

    @property
    def apart(self) -> bool:
        return abs(self.now[0]) > max(LEAST, CLEAR[0] * self.now[1])

    @property
    def equal(self) -> bool:
        return self.metric.percent and abs(self.now[0]) + CLEAR[1] * self.now[1] < POINT

    @property
    def turned(self) -> bool:
        return np.sign(self.now[0]) * self.end[0] < -CLEAR[1] * self.end[1]

    @property
    def parted(self) -> bool:
        return abs(self.end[0]) - CLEAR[1] * self.end[1] > POINT

    def held_back(self, factor: float, margin: float | None) -> bool:
        ahead, behind = (factor * gain if gain else 0.0 for gain in self.gains)
        return bool(factor) and may_turn(self.now[0], ahead, behind, margin)


def followed() -> Iterator[tuple[Metric, list[Record]]]:
    """Of each comparison the runs with the final options."""
    for path in sorted((RESULTS / "tables").glob("*.npz")):
        stored = Stored.load(Path(path))
        metric = measures_of(stored.task).metrics[0]
        yield metric, [record for record in stored.records(metric.name) if record.card]
    for task in tasks.done():
        metric = measures_of(BUILTIN[task.data].task).metrics[0]
        yield metric, [r for r in tasks.records(task) if r.card and r.role == "tuned" and r.curve]


def pairs(half: int, metric: Metric, records: list[Record]) -> Iterator[Pair]:
    """The pairs of one comparison that have enough looks before the cut."""
    last = max((r.curve[-1].step for r in records), default=0)
    runs: dict[str, list[Record]] = {}
    for record in records:
        runs.setdefault(record.loss, []).append(record)
    short = {loss: [_cut(r, SHARE * last, metric) for r in each] for loss, each in runs.items()}
    gains = {loss: to_come(each, metric) / GAINS_TO_COME for loss, each in short.items()}
    known = [loss for loss, each in short.items() if all(len(r.curve) >= LOOKS for r in each)]
    for a, b in combinations(known, 2):
        seeds = min(len(runs[a]), len(runs[b]))
        now, end = (_best(of[a], metric)[:seeds] - _best(of[b], metric)[:seeds] for of in (short, runs))
        ahead, behind = (a, b) if now.mean() > 0 else (b, a)
        yield Pair(half, metric, _summary(now), _summary(end), (gains[ahead], gains[behind]))


def _cut(record: Record, last: float, metric: Metric) -> Record:
    curve = [point for point in record.curve if point.step <= last]
    rising = not curve or Curve.of(curve, higher_is_better=metric.higher_is_better).unfinished
    return replace(record, curve=curve, still_rising=rising)


def _best(runs: list[Record], metric: Metric) -> np.ndarray:
    """Of each run the best look, more being better."""
    return np.array([max(Curve.of(r.curve, higher_is_better=metric.higher_is_better).values) for r in runs])


def _summary(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5)


def counts(claims: Iterable[tuple[int, bool]]) -> str:
    """Cells: claims and how many of them were wrong, of all comparisons and of either half."""
    found = Counter(claims)
    cells = []
    for halves in ((0, 1), (0,), (1,)):
        right, wrong = (sum(found[half, failed] for half in halves) for failed in (False, True))
        cells += [f"{right + wrong:,}", f"{wrong} ({100 * wrong / max(1, right + wrong):.1f} %)"]
    return " | ".join(cells)


def rule(factor: float) -> str:
    if factor in (0.0, np.inf):
        return "about all" if factor == 0 else "about none that rises"
    return f"gains to come: {factor:g}" + (" (the lab's)" if factor == GAINS_TO_COME else "")


def main() -> None:
    found = [pair for place, one in enumerate(followed()) for pair in pairs(place % 2, *one)]
    for claimed, failed, margin in (("better", "turned round", None), ("equal", "parted", POINT)):
        print(f"\n| {claimed}, claimed at a quarter | claims | {failed} | one half | {failed} | the other | {failed} |")
        print("| --- |" + " --- |" * 6)
        of = [p for p in found if (p.apart if margin is None else p.equal)]
        for factor in FACTORS:
            made = [(p.half, p.turned if margin is None else p.parted) for p in of if not p.held_back(factor, margin)]
            print(f"| {rule(factor)} | {counts(made)} |")


if __name__ == "__main__":
    main()
