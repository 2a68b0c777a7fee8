"""The verdict over several splits of the same data: for other training and test data of this size.

Each split has its own verdict, for its seeds and its test units. Here a split is one number per pair, the difference of
the losses' means over its seeds, and `resplit` accounts for what splits share. There are two families of claims, as in
`judge`, each with the whole level: which losses differ, and which are equal within the margin.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, median

import numpy as np

from lossary.lab.stats import words
from lossary.lab.stats.corrections import holm
from lossary.lab.stats.resplit import Resplit
from lossary.lab.stats.two_way import Floats
from lossary.lab.stats.verdict import Comparison, Lack, Standing, Status, Verdict, may_turn

LEVEL = 0.05


@dataclass(frozen=True)
class Sizes:
    """Items of a split, or the groups that are drawn."""

    train: int
    test: int


def over_splits(verdicts: Sequence[Verdict], sizes: Sizes) -> Verdict:
    """What the splits' verdicts show together.

    Losses that were trained in every split are compared. Nothing is claimed over one that has not learned in some
    split.

    Raises:
        ValueError: if there is none, or splits have different metrics.
    """
    if len({verdict.metric for verdict in verdicts}) != 1:
        raise ValueError(f"verdicts: wanted some, all by one metric; got {len(verdicts)}")
    metric, margin = verdicts[0].metric, fmean(verdict.margin for verdict in verdicts)
    role = verdicts[0].standings[0].role if verdicts[0].standings[0].role != "baseline" else "tuned"
    ranked = [{s.loss: s for s in verdict.standings if s.role == role} for verdict in verdicts]
    standings = [
        _standing([split[loss] for split in ranked], sizes)
        for loss in ranked[0]
        if all(loss in split for split in ranked)
    ]
    standings.sort(key=lambda s: s.mean, reverse=metric.higher_is_better)
    asleep = {loss: why for verdict in verdicts for loss, why in verdict.not_learned.items()}
    means = {s.loss: np.array([split[s.loss].mean for split in ranked]) for s in standings}
    learned = [s for s in standings if s.loss not in asleep]
    among = _among(learned, means, sizes, margin)
    of_best = [c for c in among if learned and learned[0].loss in (c.a, c.b)]
    recommended = _recommended(learned, of_best)
    return Verdict(
        metric,
        margin,
        tuple(standings),
        tuple(among),
        baselines=(),
        warnings=tuple(f"{loss} has not learned yet in some split: {why}." for loss, why in asleep.items()),
        said=words.headline(standings, asleep, among, [], metric, margin),
        recommended=recommended,
        recommendation=words.recommendation(learned[0].loss, recommended, of_best, metric, margin) if of_best else "",
        not_learned=asleep,
        settled=all(c.decided for c in of_best),
        next_look=None,
    )


def _standing(each: Sequence[Standing], sizes: Sizes) -> Standing:
    found = Resplit.of([s.mean for s in each], test=sizes.test, train=sizes.train)
    half = found.half_width(LEVEL) if len(each) > 1 else np.nan
    seconds = fmean(s.seconds for s in each)
    seeds = sum(s.seeds for s in each)
    return Standing(
        each[0].loss,
        each[0].role,
        found.mean,
        found.mean - half,
        found.mean + half,
        seeds,
        seconds,
        to_come=median(s.to_come for s in each),
    )


def _among(learned: Sequence[Standing], means: Mapping[str, Floats], sizes: Sizes, margin: float) -> list[Comparison]:
    """Every loss against every other, the best against the rest first."""
    pairs = list(combinations(learned, 2))
    if not pairs:
        return []
    found = [Resplit.of(means[a.loss] - means[b.loss], test=sizes.test, train=sizes.train) for a, b in pairs]
    p, within = (np.array(each) for each in ([one.p_value for one in found], [one.p_within(margin) for one in found]))
    adjusted, tested = holm(p, LEVEL)
    equal, _ = holm(within, LEVEL)
    return [
        _comparison(pair, one, float(p_), float(differs), float(same), float(level), margin)
        for pair, one, p_, differs, same, level in zip(pairs, found, p, adjusted, equal, tested, strict=True)
    ]


def _comparison(
    pair: tuple[Standing, Standing],
    found: Resplit,
    p: float,
    differs: float,
    within: float,
    level: float,
    margin: float,
) -> Comparison:
    a, b = pair  # the first has the better mean
    status: Status = "undecided"
    lacks: Lack = ""
    different, equal = differs <= LEVEL, within <= LEVEL
    if (different or equal) and may_turn(found.mean, a.to_come, b.to_come, None if different else margin):
        lacks = "steps"
    elif different:
        status = "better_within" if equal else "better"
    elif equal:
        status = "equal"
    else:
        lacks = "splits"
    half = found.half_width(level) if found.df else np.nan
    low, high = found.mean - half, found.mean + half
    better = a.loss if different else ""
    return Comparison(a.loss, b.loss, found.mean, low, high, p, differs, within, status, better, lacks)


def _recommended(learned: Sequence[Standing], of_best: Sequence[Comparison]) -> str:
    """The cheapest of the best loss and its equals."""
    if not of_best:
        return ""
    names = {learned[0].loss, *(c.b for c in of_best if c.status in ("equal", "better_within"))}
    return min((s for s in learned if s.loss in names), key=lambda s: s.seconds).loss
