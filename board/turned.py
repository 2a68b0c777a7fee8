"""How often a claim after a run that was too short no longer holds later, and what that asks of a claim.

    python -m board.turned

Every run on the board is cut at a quarter of its comparison's longest one, and its pairs of losses are followed to the
end, by the best validation scores of their seeds. Two claims are counted. That one loss is better, of pairs that are
clearly apart at the cut: wrong if the other one is clearly ahead at the end. That two are equal, of pairs that are
within a point at the cut: wrong if they are clearly further apart at the end. They are made by several rules about
losses that were still rising: about all; about none that rises (as in 0.2); or unless `may_turn` says that the claim
may not hold, for several values of `GAINS_TO_COME`. So that the value need not be chosen by the tables it is judged by,
every other comparison is counted apart. A last table tells what the losses that were rising at the cut came to gain,
those apart that had fallen below their first look. docs/decisions/0010 has the tables.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np

from board import RESULTS, tasks
from board.stored import Stored
from lossary.lab.data.builtin import BUILTIN
from lossary.lab.run.record import Record
from lossary.lab.run.stopping import GAINS_AFTER_A_DIP, GAINS_TO_COME, Curve, gains_to_come, to_come
from lossary.lab.stats.equivalence import POINT
from lossary.lab.stats.verdict import may_turn
from lossary.lab.tasks import measures_of
from lossary.lab.tasks.measures import Metric

SHARE = 1 / 4
LOOKS = 4  # at least, before the cut
CLEAR = 4, 2  # standard errors over seeds that the losses are apart at the cut, and at the end
LEAST = 0.005  # what they are apart at the cut, in the metric's own units
#: Gains to come of a loss that never fell, and of one that did.
LAB = GAINS_TO_COME, GAINS_AFTER_A_DIP
RULES = *((k, k) for k in (0.0, 0.5, 1.0, 1.5, 2.0)), LAB, *((k, k) for k in (3.0, 4.0, 7.6, np.inf))


@dataclass(frozen=True)
class Rise:
    """How a loss was rising at the cut."""

    gain: float  # in the last sixth of its steps; 0 if it was level, infinite in a dip
    fell: bool  # below its first look
    later: float  # what it came to gain from the cut to the end

    @classmethod
    def of(cls, short: list[Record], whole: list[Record], metric: Metric) -> "Rise":
        curves = [Curve.of(r.curve, higher_is_better=metric.higher_is_better) for r in short]
        factor = gains_to_come(curves)
        later = float((_best(whole, metric) - _best(short, metric)).mean())
        return cls(to_come(short, metric) / factor, factor == GAINS_AFTER_A_DIP, later)


@dataclass(frozen=True)
class Pair:
    """Two losses of a comparison: the mean difference at the cut and at the end, each with its standard error."""

    half: int
    metric: Metric
    now: tuple[float, float]
    end: tuple[float, float]
    rises: tuple[Rise, Rise]  # of the one ahead at the cut and of the other

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

    def held_back(self, rule: tuple[float, float], margin: float | None) -> bool:
        ahead, behind = (rule[rise.fell] * rise.gain if rise.gain else 0.0 for rise in self.rises)
        return any(rule) and may_turn(self.now[0], ahead, behind, margin)


def followed() -> Iterator[tuple[Metric, list[Record]]]:
    """Of each comparison the runs with the final options."""
    for path in sorted((RESULTS / "tables").glob("*.npz")):
        stored = Stored.load(Path(path))
        metric = measures_of(stored.task).metrics[0]
        yield metric, [record for record in stored.records(metric.name) if record.card]
    for task in tasks.done():
        metric = measures_of(BUILTIN[task.data].task).metrics[0]
        yield metric, [r for r in tasks.records(task) if r.card and r.role == "tuned" and r.curve]


@dataclass(frozen=True)
class Comparison:
    """The runs of one comparison by loss, of losses that have enough looks before the cut."""

    metric: Metric
    whole: dict[str, list[Record]]
    short: dict[str, list[Record]]

    @classmethod
    def of(cls, metric: Metric, records: list[Record]) -> "Comparison":
        last = max((r.curve[-1].step for r in records), default=0)
        whole: dict[str, list[Record]] = {}
        for record in records:
            whole.setdefault(record.loss, []).append(record)
        short = {loss: [_cut(r, SHARE * last, metric) for r in each] for loss, each in whole.items()}
        return cls(metric, whole, {k: each for k, each in short.items() if all(len(r.curve) >= LOOKS for r in each)})

    @cached_property
    def rises(self) -> dict[str, Rise]:
        return {loss: Rise.of(short, self.whole[loss], self.metric) for loss, short in self.short.items()}

    def pairs(self, half: int) -> Iterator[Pair]:
        for a, b in combinations(self.short, 2):
            seeds = min(len(self.whole[a]), len(self.whole[b]))
            bests = ((_best(of[loss], self.metric)[:seeds] for loss in (a, b)) for of in (self.short, self.whole))
            now, end = (of_a - of_b for of_a, of_b in bests)
            ahead, behind = (a, b) if now.mean() > 0 else (b, a)
            yield Pair(half, self.metric, _summary(now), _summary(end), (self.rises[ahead], self.rises[behind]))


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


def named(rule: tuple[float, float]) -> str:
    if rule == LAB:
        return f"gains to come: {rule[0]:g}, after a dip {rule[1]:g} (the lab's)"
    if rule[0] in (0.0, np.inf):
        return "about all" if rule[0] == 0 else "about none that rises"
    return f"gains to come: {rule[0]:g}"


def gained(rises: list[Rise]) -> str:
    """Cells: how many, and quartiles of what they came to gain, in gains of the last sixth."""
    ratios = np.array([rise.later / rise.gain for rise in rises])
    cells = (f"{value:.1f}" for value in np.quantile(ratios, (0.25, 0.5, 0.75, 0.9)))
    return " | ".join([f"{len(ratios):,}", *cells, *(f"{100 * (ratios > limit).mean():.0f} %" for limit in LAB)])


def main() -> None:
    comparisons = [Comparison.of(*one) for one in followed()]
    found = [pair for place, one in enumerate(comparisons) for pair in one.pairs(place % 2)]
    for claimed, failed, margin in (("better", "turned round", None), ("equal", "parted", POINT)):
        print(f"\n| {claimed}, claimed at a quarter | claims | {failed} | one half | {failed} | the other | {failed} |")
        print("| --- |" + " --- |" * 6)
        of = [p for p in found if (p.apart if margin is None else p.equal)]
        for rule in RULES:
            made = [(p.half, p.turned if margin is None else p.parted) for p in of if not p.held_back(rule, margin)]
            print(f"| {named(rule)} | {counts(made)} |")
    rising = [rise for one in comparisons for rise in one.rises.values() if 0 < rise.gain < np.inf]
    above = " | ".join(f"above {limit:g}" for limit in LAB)
    print(f"\n| rising at a quarter | losses | a quarter gains up to | median | three quarters | 90 % | {above} |")
    print("| --- |" + " --- |" * 7)
    for fell in (False, True):
        of = [rise for rise in rising if rise.fell == fell]
        print(f"| {'came out of a dip' if fell else 'never below its first look'} | {gained(of)} |")


if __name__ == "__main__":
    main()
