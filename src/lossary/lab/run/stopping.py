"""When a training run may end, and which losses had not learned by then.

Everything is read off the learning curve: the validation metric at each look. Class heads with a margin fall below the
untrained network before they rise, so a curve without a new best has not necessarily converged: it may be in such a
dip, or on its way out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from statistics import fmean, median

from lossary.lab.run.record import Point, Record
from lossary.lab.tasks.measures import Metric

#: The share of its own size by which a metric must move to count as better or worse; less is chance.
NOTICEABLE = 0.01
#: The rate at which a curve counts as rising, as a share of its size per number of steps taken so far.
RATE = 0.08
#: Minimum number of steps without a noticeably better look that ends a run. On the emoji, supcon stays within 2 % for
#: 280 steps and then gains 6 points.
PATIENCE = 400
#: The distance between looks, as a share of the steps done, once that exceeds the initial distance.
SPACING = 0.05
#: A run whose best weights are from this first share of its steps has hardly learned.
EARLY = 0.2
#: How many times the gain of its last sixth a curve may still gain up to four times its steps. Curves level off: with 2
#: no more claims turn round than without any over what rises (docs/decisions/0010).
GAINS_TO_COME = 2.0
#: The same for a curve that was below its first look: its rise began late. If it continues as it ended, gaining as much
#: with each fifth more steps, it is log(4) / log(6/5) times.
GAINS_AFTER_A_DIP = 7.6


@dataclass(frozen=True)
class Curve:
    """A learning curve, oriented so that higher is better."""

    steps: tuple[int, ...]
    values: tuple[float, ...]

    @classmethod
    def of(cls, points: Sequence[Point], *, higher_is_better: bool) -> "Curve":
        sign = 1 if higher_is_better else -1
        return cls(tuple(p.step for p in points), tuple(sign * p.valid for p in points))

    @property
    def best(self) -> int:
        """The step of the best look, the first of equals."""
        return self.steps[self.values.index(max(self.values))]

    @property
    def settled(self) -> int:
        """The step of the last look that was noticeably better than those before it."""
        step, reached = self.steps[0], self.values[0]
        for at, value in zip(self.steps, self.values, strict=True):
            if _above(value, reached):
                step, reached = at, value
        return step

    @property
    def end(self) -> float:
        """The mean over the last sixth of the steps, because single looks vary by chance."""
        return fmean(self.sixths()[0])

    @property
    def rising(self) -> bool:
        """Whether the last sixth of the steps is better than the sixth before, at a rate that counts; True at first."""
        return self.gain > RATE / 6 * abs(fmean(self.sixths()[1] or (0.0,)))

    @property
    def gain(self) -> float:
        """How much better the last sixth of the steps is than the sixth before; infinite at first."""
        last, before = self.sixths()
        return fmean(last) - fmean(before) if before else inf

    def sixths(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The looks in the last sixth of the steps and in the sixth before; if a sixth has none, the look before it."""
        since = [sum(step <= share * self.steps[-1] for step in self.steps) for share in (4 / 6, 5 / 6)]
        first, last = min(since[0], max(since[1] - 1, 0)), since[1]
        return self.values[last:], self.values[first:last]

    @property
    def in_dip(self) -> bool:
        """Whether the curve ends noticeably below its first look, when training had hardly begun."""
        return _above(self.values[0], self.end)

    @property
    def fell(self) -> bool:
        """Whether the curve was ever noticeably below its first look."""
        return _above(self.values[0], min(self.values))

    @property
    def unfinished(self) -> bool:
        """Whether stopping here would stop in a dip, or on the way up."""
        return self.in_dip or self.rising


def _above(one: float, other: float) -> bool:
    return one - other > NOTICEABLE * abs(other)


class Watch:
    """Follows one run: when to look, which look was best, and when the curve has stopped rising.

    A run ends after 400 steps without a noticeably better look, or a third of the steps that the best look took,
    whichever is more; but not in a dip, nor while it rises. Nothing here depends on the bound on a run's steps: a run
    that ended below it would have ended there under any other bound.

    Args:
        every: Steps between looks. The distance grows with the steps done, because slow change needs fewer looks.
    """

    def __init__(self, every: int, *, higher_is_better: bool) -> None:
        self.every = every
        self.higher_is_better = higher_is_better
        self.points: list[Point] = []
        self.best: Point | None = None

    def due(self, step: int) -> bool:
        """Whether to look after this step."""
        last = self.points[-1].step if self.points else 0
        return step - last >= max(self.every, SPACING * last)

    def look(self, point: Point) -> bool:
        """Record a look; returns whether it is the best so far."""
        self.points.append(point)
        sign = 1 if self.higher_is_better else -1
        new_best = self.best is None or sign * point.valid > sign * self.best.valid
        if new_best:
            self.best = point
        return new_best

    @property
    def curve(self) -> Curve:
        return Curve.of(self.points, higher_is_better=self.higher_is_better)

    @property
    def finished(self) -> bool:
        curve = self.curve
        patience = max(PATIENCE, curve.settled / 3)
        return curve.steps[-1] - curve.settled >= patience and not curve.unfinished

    @property
    def still_rising(self) -> bool:
        """Stopped by the bound while rising, or in a dip."""
        return self.curve.unfinished


def mostly(runs: int, of: int) -> bool:
    """Whether a finding about some runs of a loss is reported for the loss: a single one of many may be chance.

    >>> mostly(0, 1), mostly(2, 5), mostly(3, 6)
    (False, False, True)
    """
    return 0 < of <= 2 * runs


def to_come(runs: Sequence[Record], metric: Metric) -> float:
    """How much better a loss may still become with more steps; 0 if most of its runs had stopped rising.

    It is `GAINS_TO_COME` times what the loss gained in the last sixth of its steps, or `GAINS_AFTER_A_DIP` times if
    most of its runs had fallen before they rose. If most are in a dip, or there are no curves of this metric, nobody
    knows: the result is infinite.

    Args:
        runs: Of the loss, with curves of the metric.
    """
    if not mostly(sum(r.still_rising for r in runs), len(runs)):
        return 0.0
    curves = [Curve.of(r.curve, higher_is_better=metric.higher_is_better) for r in runs if r.curve]
    if not curves or mostly(sum(curve.in_dip for curve in curves), len(curves)):
        return inf
    return max(0.0, fmean(curve.gain for curve in curves)) * gains_to_come(curves)


def gains_to_come(curves: Sequence[Curve]) -> float:
    """How many times the gain of its last sixth a loss may still gain, by the curves of its runs."""
    return GAINS_AFTER_A_DIP if mostly(sum(curve.fell for curve in curves), len(curves)) else GAINS_TO_COME


def not_learned(records: Sequence[Record], metric: Metric) -> dict[str, str]:
    """The losses that have not learned yet, each with a clause that says why and what to change.

    A loss has not learned if at least half of its runs ended in a dip of the learning curve or on the way out of one,
    or if its best weights are from the first fifth of its runs and score no better on the test split than a free
    baseline (the untrained network, raw features, a constant). Nothing may be claimed over such a loss.

    Args:
        records: Of one run; the tuned runs of a loss count, or those at the defaults if there are no others.
        metric: The primary one.

    Example:
        >>> from lossary.lab.tasks.scoring import primary
        >>> not_learned([], primary("zero-shot"))
        {}
    """
    free = _free(records, metric)
    found = {}
    for loss in dict.fromkeys(r.loss for r in records if r.card):
        runs = [r for r in records if r.card and r.loss == loss]
        runs = [r for r in runs if r.role == "tuned"] or runs
        if reason := _why(runs, metric, free):
            found[loss] = reason
    return found


def _free(records: Sequence[Record], metric: Metric) -> dict[str, float]:
    """The mean score of each free baseline, oriented so that higher is better."""
    named: dict[str, list[float]] = {}
    for record in records:
        if not record.card and not record.fitted:
            named.setdefault(record.loss, []).append(_score(record, metric))
    return {name: fmean(scores) for name, scores in named.items()}


def _score(record: Record, metric: Metric) -> float:
    return record.metrics[metric.name] * (1 if metric.higher_is_better else -1)


def _why(runs: list[Record], metric: Metric, free: Mapping[str, float]) -> str:
    """Why a loss has not learned, and what to change; empty if it has."""
    curves = [Curve.of(r.curve, higher_is_better=metric.higher_is_better) for r in runs if r.curve]
    if not curves:
        return ""
    ended = int(median(curve.steps[-1] for curve in curves))
    more = f"more steps: --steps {_rounded(4 * ended)}"
    dipping = [c for c in curves if c.fell and c.rising and (c.in_dip or c.best <= EARLY * c.steps[-1])]
    if mostly(len(dipping), len(curves)):
        return f"it was still climbing out of a dip at step {ended}; {more}"
    kept = int(median(curve.best for curve in curves))
    score = fmean(_score(r, metric) for r in runs)
    unbeaten = max((name for name, value in free.items() if not score > value), key=free.__getitem__, default="")
    if kept > EARLY * ended or not unbeaten:
        return ""
    below = mostly(sum(curve.in_dip for curve in curves), len(curves))
    change = f"{more}, or a smaller learning rate" if below else "a smaller learning rate"
    return f"its best weights are from step {kept} of {ended} and do not beat {unbeaten}; {change}"


def _rounded(steps: int) -> int:
    """To two digits: nobody types 1187."""
    unit = 10 ** max(0, len(str(steps)) - 2)
    return -(-steps // unit) * unit
