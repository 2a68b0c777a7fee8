"""Judge: which losses differ, and how sure that is, given that both seeds and test units vary.

All losses share seeds and test units, so they are compared by paired differences, whose spread over seeds and over
units is estimated from the table of both (`two_way`), at each look (`sequential`). There are three families of claims,
each with the whole level (`corrections`): which losses differ, over all pairs, because the best is picked after seeing
the data; which are equal within the margin, also over all pairs; and whether *every* loss beats a free baseline, where
"all" costs nothing. For the methods and reasons, see docs/decisions/0002.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

import numpy as np

from lossary.lab.run.record import Record, Role
from lossary.lab.run.stopping import not_learned, to_come
from lossary.lab.stats import words
from lossary.lab.stats.chances import chances
from lossary.lab.stats.corrections import beats_all, hochberg, holm, of_winner, pair_steps
from lossary.lab.stats.equivalence import default_margin
from lossary.lab.stats.sequential import looks, next_look, shares, smallest, spent
from lossary.lab.stats.two_way import PRIOR, Bools, Floats, TwoWay, loss_variances, moderated
from lossary.lab.stats.verdict import Comparison, Lack, Standing, Status, Verdict, may_turn
from lossary.lab.tasks.measures import Metric

#: From p-values, and whether a is ahead in each pair, to adjusted ones and the levels of the intervals.
Correct = Callable[[Floats, Bools], tuple[Floats, Floats]]


@dataclass(frozen=True)
class _Entrant:
    """The runs of one loss in one role: scores of the test units by seed."""

    loss: str
    role: Role
    runs: dict[int, Floats]
    rising: int  # of its runs
    to_come: float  # see `Standing`
    seconds: float
    free: bool  # a baseline that has learned nothing

    @property
    def table(self) -> Floats:
        return self.of(sorted(self.runs))

    def of(self, seeds: Sequence[int]) -> Floats:
        return np.stack([self.runs[seed] for seed in seeds])


@dataclass(frozen=True)
class _Pair:
    """Two entrants and their difference (seeds, units) on the seeds that both have."""

    a: _Entrant
    b: _Entrant
    seeds: tuple[int, ...]
    table: Floats

    @classmethod
    def of(cls, a: _Entrant, b: _Entrant) -> "_Pair | None":
        """A baseline with one run is taken as fixed. None without a common seed."""
        if b.role == "baseline" and len(b.runs) == 1:
            return cls(a, b, tuple(sorted(a.runs)), a.table - b.table)
        shared = tuple(sorted(a.runs.keys() & b.runs.keys()))
        return cls(a, b, shared, a.of(shared) - b.of(shared)) if shared else None

    def first(self, seeds: Sequence[int]) -> Floats:
        return self.table[: sum(seed in seeds for seed in self.seeds)]


@dataclass(frozen=True)
class _Rules:
    """The settings behind all claims of a study."""

    metric: Metric
    margin: float
    level: float
    seeds: tuple[int, ...]  # of the trained losses, in the order of the looks
    independent: int

    @property
    def looks(self) -> tuple[int, ...]:
        return looks(len(self.seeds))

    def measured(self, pairs: Sequence[_Pair], seeds: Sequence[int]) -> TwoWay:
        return TwoWay.of([pair.first(seeds) for pair in pairs], self.independent)


def further(verdict: Verdict, records: Sequence[Record], metrics: Sequence[Metric]) -> list[Verdict]:
    """The same losses judged by other metrics in the records, each at its own level.

    Whether a loss has learned is decided by the metric that training watched.
    """
    return [judge([r.by(m.name) for r in records], m, asleep=verdict.not_learned) for m in metrics]


def judge(
    records: list[Record],
    metric: Metric,
    *,
    margin: float | None = None,
    level: float = 0.05,
    asleep: Mapping[str, str] | None = None,
) -> Verdict:
    """Compare the losses of a study.

    The tuned runs are compared, or those at the defaults if nothing was tuned, at the looks of `sequential` for which
    there are seeds. A continued study is judged again by the same function, and its claims stand. If losses are equal,
    a study claims any difference with a probability of at most ``level``; if a difference is the margin or more, the
    same holds for claiming that it is less (measured: docs/decisions/0002).

    Args:
        records: Of one run folder.
        metric: The metric of ``Record.units``.
        margin: The largest difference that does not matter, in the metric's own scale (0.01 is one point); by default
            `default_margin`.
        level: Of each family of claims.
        asleep: The losses that have not learned yet, and why; by default `not_learned` reads the curves.

    Raises:
        ValueError: if the records have different test units, or there are none.
    """
    entrants = _entrants(records, metric)
    role = "tuned" if any(e.role == "tuned" for e in entrants) else "default"
    trained = [e for e in entrants if e.role == role]
    found = not_learned(records, metric) if asleep is None else asleep
    asleep = {loss: why for loss, why in found.items() if loss in [e.loss for e in trained]}
    awake = [e for e in trained if e.loss not in asleep]
    rules = _Rules(
        metric,
        default_margin(metric, records) if margin is None else margin,
        level,
        tuple(sorted({seed for e in trained for seed in e.runs})),
        max(r.independent for r in records),
    )
    among = [*_among(awake, rules), *(_unclaimed(a, b) for a, b in combinations(trained, 2) if _asleep(a, b, asleep))]
    below = [_against(b, trained, asleep, rules) for b in entrants if b.role == "baseline"] if trained else []
    return _verdict(entrants, trained, asleep, among, below, rules)


def _entrants(records: list[Record], metric: Metric) -> list[_Entrant]:
    """Best mean first."""
    sizes = {len(r.units) for r in records}
    if len(sizes) != 1:
        raise ValueError(f"records: wanted the same test units in all; got {sorted(sizes) or 'no records'}")
    grouped: dict[tuple[str, Role], list[Record]] = {}
    for record in records:
        grouped.setdefault((record.loss, record.role), []).append(record)
    found = [
        _Entrant(
            loss,
            role,
            {r.seed: np.asarray(r.units, np.float64) for r in sorted(runs, key=lambda r: r.seed)},
            sum(r.still_rising for r in runs),
            to_come(runs, metric),
            median(r.seconds_per_step for r in runs) * median(r.steps for r in runs),
            role == "baseline" and not any(r.fitted for r in runs),
        )
        for (loss, role), runs in grouped.items()
    ]
    return sorted(found, key=lambda e: e.table.mean(), reverse=metric.higher_is_better)


def _among(losses: list[_Entrant], rules: _Rules) -> list[Comparison]:
    """Every loss against every other: the best against the rest first."""
    pairs = [pair for a, b in combinations(losses, 2) if (pair := _Pair.of(a, b))]
    if not pairs:
        return []
    effects = [_shared_spread(losses, pairs, rules.seeds[:look], rules) for look in rules.looks]
    places = {loss.loss: place for place, loss in enumerate(losses)}
    a, b = np.array([(places[pair.a.loss], places[pair.b.loss]) for pair in pairs]).T

    def correct(p: Floats, ahead: Bools) -> tuple[Floats, Floats]:
        adjusted, tested = holm(p, rules.level, pair_steps(len(losses), len(p)))
        of_best = of_winner(len(losses), np.where(ahead, a, b), np.where(ahead, b, a))
        if of_best.any():
            whole, at = beats_all(p[of_best], len(losses), rules.level)
            adjusted[of_best] = np.minimum(adjusted[of_best], whole)
            if whole <= rules.level:
                tested[of_best] = np.maximum(tested[of_best], at)
        return adjusted, tested

    return _compare(pairs, effects, rules, correct)


def _shared_spread(losses: list[_Entrant], pairs: list[_Pair], seeds: tuple[int, ...], rules: _Rules) -> TwoWay:
    """The differences at one look; from three losses on, each loss's spread over seeds is estimated from all."""
    effects = rules.measured(pairs, seeds)
    whole = [loss for loss in losses if loss.runs.keys() >= set(seeds)]
    if len(whole) < 3:
        return effects
    spread = moderated(loss_variances(np.array([loss.of(seeds).mean(axis=1) for loss in whole])), len(seeds) - 1)
    found = {loss.loss: value for loss, value in zip(whole, spread, strict=True)}
    both = np.array([found.get(p.a.loss, np.nan) + found.get(p.b.loss, np.nan) for p in pairs])
    return effects.with_seed_variance(both, PRIOR + len(seeds) - 1, ~np.isnan(both))


def _against(baseline: _Entrant, trained: list[_Entrant], asleep: dict[str, str], rules: _Rules) -> list[Comparison]:
    """All losses against one baseline, as its own family."""
    pairs = [pair for e in trained if e.loss not in asleep and (pair := _Pair.of(e, baseline))]
    effects = [_moderated_spread(pairs, rules.seeds[:look], rules) for look in rules.looks] if pairs else []
    claims = _compare(pairs, effects, rules, lambda p, _: hochberg(p, rules.level)) if pairs else []
    return [*claims, *(_unclaimed(e, baseline) for e in trained if e.loss in asleep)]


def _moderated_spread(pairs: list[_Pair], seeds: tuple[int, ...], rules: _Rules) -> TwoWay:
    """The differences from a baseline at one look. Here, an effect of the seed on all losses alike counts."""
    effects = rules.measured(pairs, seeds)
    whole = effects.seeds == len(seeds)
    if whole.sum() < 3:
        return effects
    spread = np.full(len(pairs), np.nan)
    spread[whole] = moderated(effects.seed_variance[whole], len(seeds) - 1)
    return effects.with_seed_variance(spread, PRIOR + len(seeds) - 1, whole)


def _compare(pairs: list[_Pair], effects: list[TwoWay], rules: _Rules, correct: Correct) -> list[Comparison]:
    """One family of comparisons, corrected together, over all looks."""
    share = shares(rules.looks)
    more = np.array([e.mean > 0 for e in effects], bool).reshape(len(effects), len(pairs))
    up = more if rules.metric.higher_is_better else ~more
    p = np.array([e.p_value for e in effects]).reshape(len(effects), len(pairs))
    ahead, behind = smallest(np.where(up, p, 1.0), share), smallest(np.where(up, 1.0, p), share)
    least = np.minimum(ahead, behind)
    adjusted, tested = correct(least, ahead <= behind)
    within = np.array([e.p_within(rules.margin) for e in effects]).reshape(len(effects), len(pairs))
    equal, _ = holm(smallest(within, share), rules.level)
    low, high = _intervals(effects, share, tested, len(pairs))
    futile = _futile(effects[-1], tested, rules) if effects else np.zeros(len(pairs), bool)
    return [
        _comparison(
            pair,
            (float(low[i]), float(high[i])),
            (float(least[i]), float(adjusted[i]), float(equal[i])),
            a_ahead=bool(ahead[i] <= behind[i]),
            futile=bool(futile[i]),
            rules=rules,
        )
        for i, pair in enumerate(pairs)
    ]


def _intervals(effects: list[TwoWay], share: Floats, tested: Floats, count: int) -> tuple[Floats, Floats]:
    """The intersection of the intervals of all looks: it excludes 0 exactly if one of them does."""
    low, high = np.full(count, np.nan), np.full(count, np.nan)
    for effect, part in zip(effects, share, strict=True):
        half = effect.half_width(tested * part)
        low, high = np.fmax(low, effect.mean - half), np.fmin(high, effect.mean + half)
    return low, high


def _futile(last: TwoWay, tested: Floats, rules: _Rules) -> Bools:
    """Whether even endless seeds could not decide, wherever they moved the mean (within 95 %)."""
    left = tested * (1 - spent(rules.looks[-1]))
    reach = last.seed_error(0.05)
    differs = np.abs(last.mean) + reach > last.with_endless_seeds(left)
    equals = rules.margin - np.maximum(np.abs(last.mean) - reach, 0) > last.with_endless_seeds(2 * left)
    return ~np.isnan(reach) & ~differs & ~equals


def _comparison(
    pair: _Pair,
    interval: tuple[float, float],
    p: tuple[float, float, float],
    *,
    a_ahead: bool,
    futile: bool,
    rules: _Rules,
) -> Comparison:
    plain, adjusted, within = p
    differs, equal = adjusted <= rules.level, within <= rules.level
    winner, loser = (pair.a, pair.b) if a_ahead else (pair.b, pair.a)
    difference = float(pair.table.mean())
    status: Status = "undecided"
    lacks: Lack = ""
    if (differs or equal) and may_turn(difference, winner.to_come, loser.to_come, None if differs else rules.margin):
        lacks = "steps"
    elif differs:
        status = "better_within" if equal else "better"
    elif equal:
        status = "equal"
    else:
        lacks = "pairs" if np.isnan(interval[0]) else "units" if futile else "seeds"
    low, high = min(interval[0], difference), max(interval[1], difference)
    better = winner.loss if differs else ""
    return Comparison(pair.a.loss, pair.b.loss, difference, low, high, plain, adjusted, within, status, better, lacks)


def _asleep(a: _Entrant, b: _Entrant, asleep: dict[str, str]) -> bool:
    return a.loss in asleep or b.loss in asleep


def _unclaimed(a: _Entrant, b: _Entrant) -> Comparison:
    """A pair without a claim."""
    difference = float(a.table.mean() - b.table.mean())
    return Comparison(a.loss, b.loss, difference, np.nan, np.nan, 1.0, 1.0, 1.0, "not_learned")


def _verdict(
    entrants: list[_Entrant],
    trained: list[_Entrant],
    asleep: dict[str, str],
    among: list[Comparison],
    below: list[list[Comparison]],
    rules: _Rules,
) -> Verdict:
    metric, margin = rules.metric, rules.margin
    awake = [e for e in trained if e.loss not in asleep]
    odds = chances([e.runs for e in awake], higher_is_better=metric.higher_is_better)
    p_best = {(e.loss, e.role): p for e, p in zip(awake, odds, strict=True)}
    standings = tuple(_standing(e, p_best.get((e.loss, e.role), np.nan)) for e in entrants)
    of_best = [c for c in among if awake and awake[0].loss in (c.a, c.b) and c.status != "not_learned"]
    said = [family for family in below if family]
    free = {e.loss for e in entrants if e.free}
    unbeaten = [family[0].b for family in said if family[0].b in free and words.all_behind(family, metric)]
    recommended, recommendation = _recommended(awake, of_best, unbeaten, rules)
    ranked = [s for e, s in zip(entrants, standings, strict=True) if e in trained]
    return Verdict(
        metric,
        margin,
        standings,
        (*among, *(c for family in said for c in family)),
        tuple(words.baseline_sentence(family[0].b, family, metric, margin) for family in said),
        _warnings(trained, asleep, of_best, rules),
        words.headline(ranked, asleep, among, said, metric, margin),
        recommended,
        recommendation,
        asleep,
        settled=bool(rules.looks) and all(c.lacks not in ("seeds", "pairs") for c in of_best),
        next_look=next_look(len(rules.seeds)),
    )


def _standing(entrant: _Entrant, p_best: float) -> Standing:
    score = TwoWay.of([entrant.table])
    mean, half = float(score.mean[0]), float(score.half_width(0.05)[0])
    return Standing(
        entrant.loss,
        entrant.role,
        mean,
        mean - half,
        mean + half,
        len(entrant.runs),
        entrant.seconds,
        p_best,
        to_come=entrant.to_come,
    )


def _recommended(
    awake: list[_Entrant], of_best: list[Comparison], unbeaten: list[str], rules: _Rules
) -> tuple[str, str]:
    """The cheapest of the best loss and its equals within the margin, and why; empty before the first look.

    It is also empty if some free baseline scores better than every loss.
    """
    if not of_best or not rules.looks:
        return "", ""
    if unbeaten:
        return "", words.no_recommendation(unbeaten, rising=any(e.to_come > 0 for e in awake))
    equal = [c.b for c in of_best if c.status in ("equal", "better_within")]
    cheapest = min((e for e in awake if e.loss in (awake[0].loss, *equal)), key=lambda e: e.seconds).loss
    return cheapest, words.recommendation(awake[0].loss, cheapest, of_best, rules.metric, rules.margin)


def _warnings(
    trained: list[_Entrant], asleep: dict[str, str], of_best: list[Comparison], rules: _Rules
) -> tuple[str, ...]:
    missing = {e.loss: sorted(set(rules.seeds) - e.runs.keys()) for e in trained}
    rising = {e.loss: (e.rising, len(e.runs)) for e in trained if e.rising}
    return tuple(
        words.warnings(
            rules.seeds,
            {loss: seeds for loss, seeds in missing.items() if seeds},
            rising,
            len(trained),
            asleep,
            [c for c in of_best if c.lacks == "units"],
            rules.metric,
        )
    )
