"""Words: a verdict in sentences. Statuses in, English out; nothing parses it."""

from collections.abc import Iterable, Mapping, Sequence

from lossary.lab.stats.sequential import LOOKS, looks, next_look
from lossary.lab.stats.verdict import Comparison, Standing, Verdict
from lossary.lab.tasks import TASKS, measures_of
from lossary.lab.tasks.measures import Metric


def sentence(c: Comparison, metric: Metric, margin: float) -> str:
    """What is known about one pair."""
    a, b = quoted(c.a), quoted(c.b)
    better, worse = (b, a) if c.better == c.b else (a, b)
    if c.claimed:
        within = f", within the margin of {bound(margin, metric)}" if c.status == "better_within" else ""
        return f"{better} beats {worse} by {size(c.difference, metric)}{within}"
    if c.status == "equal":
        if c.difference == c.low == c.high == 0:
            return f"{a} and {b} score the same"
        return f"{a} and {b} are equal within {bound(margin, metric)}"
    if c.status == "not_learned":
        return f"nothing is claimed about {a} and {b}: one of them has not learned yet"
    if c.lacks == "steps" and not c.better:
        return f"{a} and {b} are level so far, but at least one was still rising"
    if c.lacks == "steps":
        return f"{better} is {size(c.difference, metric)} ahead of {worse}, which was still rising"
    return f"cannot tell {a} from {b}{_what_would(c, metric)}"


def _what_would(c: Comparison, metric: Metric) -> str:
    """What would tell a pair apart, or several pairs that lack the same."""
    if c.lacks == "pairs":
        return ": that needs at least 3 seeds, and 2 that both have"
    if c.lacks == "units":
        return f": that needs more {units_of(metric)}, not more seeds"
    return "; more data may help, and perhaps more splits" if c.lacks == "splits" else "; more seeds may help"


def quoted(baseline: str) -> str:
    """A baseline's name, set off where it would not read as a noun.

    >>> quoted("linear model"), quoted("always the mean")
    ('linear model', '"always the mean"')
    """
    return f'"{baseline}"' if baseline.startswith("always ") else baseline


def baseline_sentence(baseline: str, comparisons: Sequence[Comparison], metric: Metric, margin: float) -> str:
    """Does every trained loss beat one baseline?"""
    beat = [c.a for c in comparisons if c.claimed and c.better == c.a]
    lost = [c.a for c in comparisons if c.claimed and c.better == baseline]
    asleep = [c.a for c in comparisons if c.status == "not_learned"]
    rest = [c for c in comparisons if c.a not in (*beat, *lost, *asleep)]
    name = quoted(baseline)
    if len(beat) == len(comparisons):
        return f"Every trained loss beats {name}."
    parts = [f"{join(beat)} {plural(len(beat), 'beats', 'beat')} {name}"] if beat else []
    parts += [f"{name} beats {_named(lost, comparisons, 'every loss')}"] if lost else []
    parts += _undecided(rest, name, comparisons, metric, margin)
    parts += [f"{join(asleep)} {plural(len(asleep), 'has', 'have')} not learned yet"] if asleep else []
    return f"Against {name}: {'; '.join(parts)}."


def _named(losses: Sequence[str], among: Sequence[Comparison], everyone: str) -> str:
    """Losses by name, or as ``everyone`` if it is all of several."""
    return everyone if len(losses) == len(among) > 1 else join(losses)


def _undecided(
    comparisons: Sequence[Comparison], baseline: str, among: Sequence[Comparison], metric: Metric, margin: float
) -> list[str]:
    """Losses that lack the same thing are named together."""
    alike: dict[tuple[str, str], list[Comparison]] = {}
    for c in comparisons:
        apart = c.status != "undecided" or c.lacks == "steps"
        alike.setdefault((c.a, "") if apart else ("", c.lacks), []).append(c)
    return [
        sentence(group[0], metric, margin)
        if len(group) == 1
        else f"cannot tell {_named([c.a for c in group], among, 'any loss')} from {baseline}"
        f"{_what_would(group[0], metric)}"
        for group in alike.values()
    ]


def headline(
    trained: Sequence[Standing],
    asleep: Mapping[str, str],
    comparisons: Sequence[Comparison],
    below: Sequence[Sequence[Comparison]],
    metric: Metric,
    margin: float,
) -> tuple[str, ...]:
    """The verdict in a sentence or two: ``trained`` best first, ``below`` the losses against each baseline."""
    learned = [s for s in trained if s.loss not in asleep]
    said = [_of_losses(learned, comparisons, metric, margin, asleep=bool(asleep))] if learned else []
    if not trained:
        said = ["No loss was trained."]
    elif not learned:
        said = ["No loss has learned yet."]
    elif sleepers := [s.loss for s in trained if s.loss in asleep]:
        said.append(f"{join(sleepers)} {plural(len(sleepers), 'has', 'have')} not learned yet.")
    above = [family for family in below if learned and not any(c.claimed and c.better == c.a for c in family)]
    if unbeaten := _unbeaten([family for family in above if _tried(family)], metric):
        said.append(unbeaten)
    return tuple(said)


def _unbeaten(families: Sequence[Sequence[Comparison]], metric: Metric) -> str:
    """Baselines that no loss is known to beat: those ahead of every loss, then those behind one by too little."""
    behind, unclear = (
        join([quoted(family[0].b) for family in families if all_behind(family, metric) == ahead], "or")
        for ahead in (True, False)
    )
    if behind and unclear:
        return f"No loss scores better than {behind}; none is shown to beat {unclear}."
    if behind:
        return f"No loss scores better than {behind}."
    return f"No loss is shown to beat {unclear}." if unclear else ""


def all_behind(family: Sequence[Comparison], metric: Metric) -> bool:
    """Whether no loss scores better than the baseline it was compared with."""
    return all(c.difference <= 0 if metric.higher_is_better else c.difference >= 0 for c in family)


def _tried(family: Sequence[Comparison]) -> bool:
    """Whether there were enough seeds to show anything."""
    return any(c.lacks != "pairs" and c.status != "not_learned" for c in family)


def _of_losses(
    learned: Sequence[Standing], comparisons: Sequence[Comparison], metric: Metric, margin: float, *, asleep: bool
) -> str:
    best, others = learned[0].loss, [s.loss for s in learned[1:]]
    if not others:
        return f"Only {best} {'has learned' if asleep else 'was trained'}: there is nothing to compare it with."
    names = {best, *others}
    pairs = [c for c in comparisons if {c.a, c.b} <= names]
    if pairs and all(c.status == "equal" and c.difference == c.low == c.high == 0 for c in pairs):
        return f"{_all(len(names))} score the same."
    if _at_ceiling(learned, metric, margin):
        return f"{_all(len(names))} are at the ceiling: these test data are too easy to tell them apart."
    if pairs and all(c.status == "equal" for c in pairs):
        return f"{_all(len(names))} are equal within {bound(margin, metric)}."
    return _of_best(best, others, pairs, metric, margin)


def _of_best(best: str, others: Sequence[str], pairs: Sequence[Comparison], metric: Metric, margin: float) -> str:
    """What is known about the loss with the best mean."""
    mine = {(c.b if c.a == best else c.a): c for c in pairs if best in (c.a, c.b)}
    shown = {loss: c for loss, c in mine.items() if c.claimed}
    if beating := [loss for loss, c in shown.items() if c.better == loss]:
        verb = plural(len(beating), "beats", "beat")
        return f"{best} has the best mean, but {join(beating)} {verb} it on the seeds that both have."
    equal = [loss for loss, c in mine.items() if c.status == "equal"]
    rising = [loss for loss, c in mine.items() if c.lacks == "steps" and c.better]
    open_ = [loss for loss in others if loss not in (*shown, *equal, *rising)]
    if len(shown) == len(others):
        return f"{best} beats {plural(len(shown), join(shown), 'every other loss')}."
    if len(open_) == len(others) > 1:
        return f"{best} scores best, but cannot be told from any other loss."
    parts = [f"beats {some(shown)}"] if shown else []
    parts += [f"equals {some(equal)} within {bound(margin, metric)}"] if equal else []
    parts += [f"is ahead of {some(rising)}, still rising"] if rising else []
    known = f"{best} {join(parts)}" if parts else f"{best} scores best"
    if not open_:
        return f"{known}."
    return f"{known}{'; it' if parts else ', but'} cannot be told from {some(open_)}."


def _at_ceiling(learned: Sequence[Standing], metric: Metric, margin: float) -> bool:
    """Whether there is no room left for a difference that matters."""
    if metric.percent and metric.higher_is_better:
        return all(s.mean >= 1 - margin for s in learned)
    return not metric.higher_is_better and all(s.mean == 0 for s in learned)


def warnings(
    seeds: Sequence[int],
    missing: Mapping[str, Sequence[int]],
    rising: Mapping[str, tuple[int, int]],
    losses: int,
    asleep: Mapping[str, str],
    short_of_units: Sequence[Comparison],
    metric: Metric,
) -> list[str]:
    """What to know before believing the verdict.

    Args:
        missing: Seeds by loss.
        rising: For each loss that was still rising, the number of such runs, and of all its runs.
        losses: The number of losses.
    """
    said = []
    if 0 < len(seeds) < LOOKS[0]:
        said.append(
            f"{len(seeds)} {plural(len(seeds), 'seed')}: the effect of other seeds is unknown, so no loss can be "
            f"said to beat another. {LOOKS[0]} seeds allow a first verdict, ten a good one."
        )
    elif len(seeds) < LOOKS[-1] and len(seeds) not in LOOKS:
        said.append(
            f"{len(seeds)} seeds: the verdict is that of the first {looks(len(seeds))[-1]}, the others count from "
            f"{next_look(len(seeds))} on."
        )
    for loss, seeds_missing in missing.items():
        said.append(
            f"{loss} has {len(seeds) - len(seeds_missing)} of {len(seeds)} seeds ({join(map(str, seeds_missing))} "
            "missing): it is compared on those that it has."
        )
    said += [f"{loss} has not learned yet: {why}." for loss, why in asleep.items()]
    if rising:
        if len(rising) == losses > 1:
            runs, all_runs = zip(*rising.values(), strict=True)
            rising = {"every loss": (sum(runs), sum(all_runs))}
        named = [
            f"{loss} in {runs} of {all_runs} {plural(all_runs, 'run')}" for loss, (runs, all_runs) in rising.items()
        ]
        said.append(f"Still rising when stopped: {join(named)}. With more steps the order may change.")
    others: dict[str, list[str]] = {}
    for c in short_of_units:
        others.setdefault(c.a, []).append(c.b)
    for loss, names in others.items():
        said.append(f"Telling {loss} from {join(names)} needs more {units_of(metric)}, not more seeds.")
    return said


def recommendation(best: str, recommended: str, of_best: Sequence[Comparison], metric: Metric, margin: float) -> str:
    """Which loss to train with, given what is known about the best one's pairs."""
    if recommended != best:
        return f"Train with {recommended}: within {bound(margin, metric)} of {best}, and cheapest."
    if all(c.claimed or c.status == "equal" for c in of_best):
        equal = any(c.status != "better" for c in of_best)
        return f"Train with {best}: the best{', and cheapest of its equals' if equal else ''}."
    return f"Train with {best}, until more is known: it has the best mean."


def no_recommendation(unbeaten: Sequence[str], *, rising: bool) -> str:
    """Why no loss is recommended: all are behind these free baselines."""
    advice = "train longer (--steps)" if rising else "look at the data and the learning rate"
    return f"Choose none of them yet: none scores better than {join(map(quoted, unbeaten), 'or')}; {advice} first."


def size(difference: float, metric: Metric) -> str:
    return f"{abs(100 * difference):.1f} points" if metric.percent else f"{abs(difference):.3g}"


def bound(margin: float, metric: Metric) -> str:
    """A margin as the user wrote it: 1 point, not 1.0 points."""
    if not metric.percent:
        return f"{margin:.3g}"
    return f"{100 * margin:.3g} {plural(round(100 * margin, 9) == 1, 'point')}"


def units_of(metric: Metric) -> str:
    """What a metric is the mean of, and what there would have to be more of."""
    return metric.units or next((m.units for m in map(measures_of, TASKS) if metric in m.metrics), "test samples")


def by_metric(verdict: Verdict) -> str:
    """What one of the further metrics says."""
    return f"By {verdict.metric.label}: {verdict.headline}"


def disagreements(verdict: Verdict, others: Iterable[Verdict]) -> list[str]:
    """The pairs of losses for which other metrics have shown the opposite."""
    return [
        f"Metrics disagree: {_by(claim, verdict)}, {_by(opposite, other)}."
        for other in others
        for claim in verdict.comparisons
        for opposite in other.comparisons
        if claim.claimed and opposite.claimed and (claim.better, claim.worse) == (opposite.worse, opposite.better)
    ]


def _by(c: Comparison, verdict: Verdict) -> str:
    return f"by {verdict.metric.label} {sentence(c, verdict.metric, verdict.margin)}"


def plural(count: int, one: str, many: str = "") -> str:
    return one if count == 1 else many or f"{one}s"


def join(names: Iterable[str], last_by: str = "and") -> str:
    """Names as a list in a sentence.

    >>> join("abc"), join("ab", "or"), join("a"), join("")
    ('a, b and c', 'a or b', 'a', '')
    """
    *first, last = [*names] or [""]
    return f"{', '.join(first)} {last_by} {last}" if first else last


def some(losses: Iterable[str]) -> str:
    """Names, or their number if a sentence would consist only of names.

    >>> some(["a", "b", "c"]), some("abcd")
    ('a, b and c', '4 others')
    """
    names = list(losses)
    return join(names) if len(names) <= 3 else f"{len(names)} others"


def _all(count: int) -> str:
    return "Both losses" if count == 2 else f"All {count} losses"
