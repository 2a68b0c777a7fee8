"""Judge: which losses differ, and how sure that is, given that seeds and test units both vary.

All losses share seeds and test units, so they are compared by paired differences, whose spread over seeds and
over units is estimated from the table of both (`crossed`). The best loss is picked after seeing the data, so
its claims are corrected for all pairs that it might have been picked from (Holm). Against the free baselines
the question is whether *every* loss beats them: a family of its own, in which "all" costs nothing (Hochberg).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from lossary.lab.crossed import Crossed, Floats, hochberg, holm, pool_seeds
from lossary.lab.metrics import MEASURES, Metric
from lossary.lab.record import Record, Role


@dataclass(frozen=True)
class Standing:
    """One loss alone: its mean over seeds and test units, with a 95 % interval for new seeds and new units.

    Two of these intervals may overlap although the paired difference is clear. NaN where one seed gives none.
    """

    loss: str
    role: Role
    mean: float
    low: float
    high: float
    seeds: int


@dataclass(frozen=True)
class Comparison:
    """Loss a against loss b on the seeds that both have, as the paired difference a - b."""

    a: str  # the one with the better mean, unless b is a baseline
    b: str
    difference: float
    low: float  # at the level at which the pair was tested: leaves 0 out where there is a claim; NaN: one seed
    high: float
    p: float
    p_adjusted: float
    claim: Literal["a", "b", "none"]
    sentence: str
    more_seeds: int | None  # seeds to add before a claim could be expected; None: claimed, or seeds alone will not do


@dataclass(frozen=True)
class Verdict:
    """What the comparison of losses has shown, and what it has not."""

    metric: Metric
    standings: tuple[Standing, ...]  # best first
    comparisons: tuple[Comparison, ...]  # best against the rest, the other pairs, losses against baselines
    baselines: tuple[str, ...]  # sentences: does every trained loss beat what costs nothing?
    warnings: tuple[str, ...]
    headline: str


@dataclass(frozen=True)
class _Entrant:
    """The runs of one loss in one role: scores of the test units a seed."""

    loss: str
    role: Role
    runs: dict[int, Floats]
    rising: int

    @property
    def table(self) -> Floats:
        return np.stack([self.runs[seed] for seed in sorted(self.runs)])

    def minus(self, other: "_Entrant") -> Crossed | None:
        """The paired difference; a baseline with one run is taken as fixed. None without a seed in common."""
        if other.role == "baseline" and len(other.runs) == 1:
            return Crossed.of(self.table - other.table)
        shared = sorted(self.runs.keys() & other.runs.keys())
        return Crossed.of(np.stack([self.runs[s] - other.runs[s] for s in shared])) if shared else None


def judge(records: list[Record], metric: Metric, *, level: float = 0.05) -> Verdict:
    """Compare the losses of a study.

    Compared are the tuned runs, or those at the defaults where nothing was tuned. Where losses are equal, a
    study claims any difference with a probability of at most ``level``, unless one of many losses varies far more
    between seeds than the rest and there are but 2 or 3 seeds (measured: docs/decisions/0002).
    """
    entrants = _entrants(records, metric)
    role = "tuned" if any(e.role == "tuned" for e in entrants) else "default"
    trained = [e for e in entrants if e.role == role]
    free = [e for e in entrants if e.role == "baseline"]

    pairs = [(a, b, d) for a, b in combinations(trained, 2) if (d := a.minus(b))]
    pooled = pool_seeds([d for _, _, d in pairs], len(trained))
    met = [(a, b, d) for (a, b, _), d in zip(pairs, pooled, strict=True)]
    among = _compare(met, metric, level, holm)
    against = [(a, b, d) for b in free for a in trained if (d := a.minus(b))]
    below = _compare(against, metric, level, hochberg)
    return Verdict(
        metric,
        tuple(_standing(e) for e in entrants),
        (*among, *below),
        tuple(_baseline_sentence(b.loss, [c for c in below if c.b == b.loss]) for b in free if trained),
        _warnings(entrants, trained),
        _headline(trained, among),
    )


def _entrants(records: list[Record], metric: Metric) -> list[_Entrant]:
    """Best mean first."""
    sizes = {len(r.units) for r in records}
    if len(sizes) != 1:
        raise ValueError(f"records: wanted the same test units in all; got {sorted(sizes) or 'no records'}")
    found: dict[tuple[str, Role], _Entrant] = {}
    for r in sorted(records, key=lambda r: r.seed):
        old = found.get((r.loss, r.role), _Entrant(r.loss, r.role, {}, 0))
        runs = old.runs | {r.seed: np.asarray(r.units, np.float64)}
        found[r.loss, r.role] = _Entrant(r.loss, r.role, runs, old.rising + r.still_rising)
    return sorted(found.values(), key=lambda e: e.table.mean(), reverse=metric.higher_is_better)


def _standing(entrant: _Entrant) -> Standing:
    score = Crossed.of(entrant.table)
    half = score.half_width(0.05)
    return Standing(entrant.loss, entrant.role, score.mean, score.mean - half, score.mean + half, score.seeds)


def _compare(
    pairs: list[tuple[_Entrant, _Entrant, Crossed]],
    metric: Metric,
    level: float,
    correct: Callable[[Floats, float], tuple[Floats, Floats]],
) -> list[Comparison]:
    """One family of comparisons, corrected together."""
    if not pairs:
        return []
    adjusted, tested = correct(np.array([d.p_value for _, _, d in pairs]), level)
    return [
        _comparison(
            a.loss,
            b.loss,
            difference,
            metric,
            p_adjusted=float(p),
            level=level,
            tested=float(at),
            rising=tuple(e.loss for e in (a, b) if e.rising),
        )
        for (a, b, difference), p, at in zip(pairs, adjusted, tested, strict=True)
    ]


def _comparison(
    a: str,
    b: str,
    difference: Crossed,
    metric: Metric,
    *,
    p_adjusted: float,
    level: float,
    tested: float,
    rising: tuple[str, ...],
) -> Comparison:
    better = (difference.mean > 0) == metric.higher_is_better
    claim = "none" if p_adjusted > level else "a" if better else "b"
    more_seeds = difference.more_seeds(tested) if claim == "none" else None
    half = difference.half_width(tested)
    low, high = difference.mean - half, difference.mean + half
    if claim == "none":
        sentence = f"cannot tell {a} from {b}{_what_would(difference, metric, tested, more_seeds)}"
    else:
        winner, loser = (a, b) if claim == "a" else (b, a)
        sentence = f"{winner} beats {loser} by {_size(difference.mean, metric)}"
        if loser in rising:
            # It may catch up: a run at four times the steps has turned such a pair round.
            claim = "none"
            sentence = f"{winner} is {_size(difference.mean, metric)} ahead of {loser}, which was still rising"
    return Comparison(a, b, difference.mean, low, high, difference.p_value, p_adjusted, claim, sentence, more_seeds)


def _what_would(difference: Crossed, metric: Metric, tested: float, more_seeds: int | None) -> str:
    if difference.seeds < 2:
        return ": it takes at least 2 seeds that both have"
    if difference.mean == 0:
        return ": they score the same"
    if more_seeds:
        return f"; about {more_seeds} more {_plural(more_seeds, 'seed')} would"
    if difference.units_too_few(tested):
        units = next((m.units for m in MEASURES.values() if m.metrics[0] == metric), "test samples")
        return f"; more seeds alone will not, more {units} would"
    return "; it would take more than 50 more seeds"


def _baseline_sentence(baseline: str, comparisons: list[Comparison]) -> str:
    beat = [c.a for c in comparisons if c.claim == "a"]
    lost = [c.a for c in comparisons if c.claim == "b"]
    open_ = [c for c in comparisons if c.claim == "none"]
    if len(beat) == len(comparisons):
        return f"Every trained loss beats {baseline}."
    parts = [f"{_join(beat)} {_plural(len(beat), 'beats', 'beat')} {baseline}"] if beat else []
    parts += [f"{baseline} beats {_join(lost)}"] if lost else []
    parts += [c.sentence for c in open_]
    return f"Not every trained loss is shown to beat {baseline}: {'; '.join(parts)}."


def _warnings(entrants: list[_Entrant], trained: list[_Entrant]) -> tuple[str, ...]:
    said = []
    seeds = {seed for e in trained for seed in e.runs}
    if len(seeds) == 1:
        said.append(
            "One seed: what another seed would change is unknown, so no loss can be said to beat another. "
            "Two seeds allow a test, five a good one."
        )
    for e in trained:
        missing = sorted(seeds - e.runs.keys())
        if missing:
            said.append(
                f"{e.loss} has {len(e.runs)} of {len(seeds)} seeds ({_join(map(str, missing))} missing): "
                "it is compared on those that it has."
            )
    rising = [
        f"{e.loss if e in trained else f'{e.loss} ({e.role})'} in {e.rising} of {len(e.runs)} "
        f"{_plural(len(e.runs), 'run')}"
        for e in entrants
        if e.rising
    ]
    if rising:
        said.append(f"Still rising when stopped: {_join(rising)}. With more epochs the order may change.")
    return tuple(said)


def _headline(trained: list[_Entrant], among: list[Comparison]) -> str:
    """What is known of the loss with the best mean. It is ``a`` in its comparisons, since they go by mean."""
    if not trained:
        return "No loss was trained."
    best = trained[0].loss
    if len(trained) == 1:
        return f"Only {best} was trained: there is nothing to compare it with."
    beaten = [c.b for c in among if c.a == best and c.claim == "a"]
    beating = [c.b for c in among if c.a == best and c.claim == "b"]
    if beating:
        return f"{best} has the best mean, but {_join(beating)} beats it on the seeds that both have."
    rising = [c.b for c in among if c.a == best and c.sentence.endswith("still rising")]
    if len(beaten) == len(trained) - 1:
        return f"{best} beats {_plural(len(beaten), beaten[0], 'every other loss')}."
    rest = [e.loss for e in trained[1:] if e.loss not in beaten and e.loss not in rising]
    known = [f"beats {_join(beaten)}"] if beaten else ["scores best"]
    known += [f"is ahead of {_join(rising)}, still rising"] if rising else []
    if not rest:
        return f"{best} {' and '.join(known)}."
    if known == ["scores best"]:
        return f"{best} scores best, but cannot be told from {_join(rest)}."
    return f"{best} {' and '.join(known)}; it cannot be told from {_join(rest)}."


def _size(difference: float, metric: Metric) -> str:
    return f"{abs(100 * difference):.1f} points" if metric.percent else f"{abs(difference):.3g}"


def _plural(count: int, one: str, many: str = "") -> str:
    return one if count == 1 else many or f"{one}s"


def _join(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
