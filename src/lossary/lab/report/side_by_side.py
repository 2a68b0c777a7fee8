"""Runs side by side: the result of each, and how a loss did in all of them. Nothing is judged across runs."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from statistics import fmean

from lossary.lab.report.drawing import Palette
from lossary.lab.report.evidence import Evidence
from lossary.lab.report.run_figures import number
from lossary.lab.report.sections import ranking
from lossary.lab.report.views import Figure, Group, Section, Sentences, Summary, Table, TableRow
from lossary.lab.run.plan import Resolved
from lossary.lab.stats import words
from lossary.lab.stats.verdict import Standing, Verdict
from lossary.lab.tasks import measures_of

#: Fields of a plan on which no result depends, or which are shown elsewhere.
_UNSAID = frozenset({"out", "workers", "minutes", "fingerprint", "losses", "data", "quick", "epochs"})
_CREDIT = "Made by Lossary. The charts are drawn by Vega, which this file carries."


@dataclass(frozen=True)
class Runs:
    """Several runs, in the order in which they were named."""

    each: Sequence[Evidence]
    folders: Sequence[Path]
    together: Verdict | None = None  # if they are several splits of the same data

    @cached_property
    def names(self) -> list[str]:
        """The shortest distinguishing ends of the runs' paths."""
        paths = [folder.resolve().parts for folder in self.folders]
        for length in range(1, max(map(len, paths))):
            found = ["/".join(parts[-length:]) for parts in paths]
            if len(set(found)) == len(found):
                return found
        return [str(folder) for folder in self.folders]

    @cached_property
    def losses(self) -> list[str]:
        """All losses that were compared anywhere, starting with those in most runs."""
        ranked = [loss for evidence in self.each for loss in evidence.ranked]
        return sorted(dict.fromkeys(ranked), key=lambda loss: -ranked.count(loss))

    @cached_property
    def palette(self) -> Palette:
        return Palette(tuple(self.losses))

    @property
    def comparable(self) -> bool:
        """Whether all were scored by one metric on exactly the same data."""
        each = {(e.plan.fingerprint or e.plan.data, e.plan.outliers, e.metric.name) for e in self.each}
        return len(each) == 1  # a built-in data set has no fingerprint, and one name


def summary(runs: Runs) -> Summary:
    if runs.together:
        return Summary(
            data=runs.each[0].plan.data,
            headline=runs.together.headline,
            sentence=f"Of {len(runs.each)} random splits of the same data: claims hold for other training and test "
            f"data of this size. {runs.together.recommendation}",
            credit=_CREDIT,
        )
    same = (
        "All use the same data and metric, so scores may be compared; differences between runs were not tested "
        "against chance."
        if runs.comparable
        else "They use different data or metrics: compare losses within each run, not numbers across runs."
    )
    return Summary(
        data="runs side by side",
        headline=f"{len(runs.each)} runs side by side: {', '.join(runs.names)}",
        sentence=same,
        credit=_CREDIT,
    )


def sections(runs: Runs) -> list[Section]:
    makers = (_together, _verdicts, _scores, _rankings, _differences)
    return [section for make in makers if (section := make(runs))]


def _together(runs: Runs) -> Section | None:
    """What the splits say about each pair with the best loss, and about the others."""
    verdict = runs.together
    if verdict is None or not verdict.comparisons:
        return None
    scale = 100 if verdict.metric.percent else 1
    rows = tuple(
        TableRow(
            (
                f"{scale * c.difference:+.3g}".replace("-", "−"),
                f"{scale * c.low:.3g} to {scale * c.high:.3g}".replace("-", "−"),
                words.sentence(c, verdict.metric, verdict.margin),
            ),
            note=f"{c.a} − {c.b}",
        )
        for c in verdict.comparisons
    )
    caption = (
        "The mean of the splits' differences, with the interval at the level at which the pair was tested. Splits "
        "share most of their data, so each further one adds less (Nadeau and Bengio, 2003)."
    )
    warned = (Sentences(verdict.warnings, "warning"),) if verdict.warnings else ()
    head = ("Pair", verdict.metric.label, "Interval", "Said")
    return Section(
        "together", "What all splits say", sentences=warned, tables=(Table(caption, head, rows, style="words"),)
    )


def _verdicts(runs: Runs) -> Section:
    rows = tuple(
        TableRow(
            (
                f"{evidence.plan.data}: {measures_of(evidence.task).task}",
                evidence.metric.label,
                evidence.verdict.headline,
                evidence.verdict.recommended or "none yet",
            ),
            note=name,
        )
        for name, evidence in zip(runs.names, runs.each, strict=True)
    )
    head = ("Run", "Data", "Metric", "Verdict", "Recommended")
    return Section("verdicts", "What each run found", tables=(Table("", head, rows, style="words"),))


def _scores(runs: Runs) -> Section:
    rows = tuple(
        TableRow(tuple(_cell(e, loss) for e in runs.each), loss, best=_best(runs, loss)) for loss in runs.losses
    )
    caption = (
        "Mean over seeds, and the difference to the run's best loss, which is in bold: in brackets if the data do "
        "not show it, = if the two are equal within the margin. A dash: not entered, or not finished."
    )
    head = ("Loss", *(f"{n} · {e.metric.label}" for n, e in zip(runs.names, runs.each, strict=True)))
    return Section("scores", "Every loss in every run", tables=(Table(caption, head, rows),))


def _standing(evidence: Evidence, loss: str) -> Standing | None:
    return next((s for s in evidence.verdict.standings if s.loss == loss and s.role == evidence.role), None)


def _best(runs: Runs, loss: str) -> frozenset[int]:
    return frozenset(place for place, evidence in enumerate(runs.each) if evidence.ranked[:1] == [loss])


def _cell(evidence: Evidence, loss: str) -> str:
    standing, best = _standing(evidence, loss), evidence.ranked[0] if evidence.ranked else ""
    if standing is None:
        return "–"
    metric = evidence.metric
    mean = number(standing.mean, metric)
    if loss == best:
        return mean
    if loss in evidence.verdict.not_learned:
        return f"{mean} not learned yet"
    comparison = evidence.verdict.of(best, loss)
    if comparison.status == "equal":
        return f"{mean} ="
    scale = 100 if metric.percent else 1
    difference = comparison.difference if comparison.b == best else -comparison.difference
    signed = f"{scale * difference:+.3g}".replace("-", "−")
    return f"{mean} {signed}" if comparison.claimed else f"{mean} ({signed})"


def _rankings(runs: Runs) -> Section:
    plots = tuple(
        Figure(f"ranking-{place}", spec, title=name)
        for place, (name, evidence) in enumerate(zip(runs.names, runs.each, strict=True))
        if (spec := ranking(evidence, runs.palette))
    )
    lead = (
        "A dot is the mean over seeds, the bar its 95 % interval for other seeds and other test data; grey rows are "
        "baselines that are not far off."
    )
    return Section("rankings", "Rankings", lead, groups=(Group(plots, "pair"),))


def _differences(runs: Runs) -> Section | None:
    """How the runs' settings differ, and what they cost."""
    names = [field.name for field in fields(Resolved) if field.name not in _UNSAID]
    asked = [
        (name, values)
        for name in names
        if len(set(values := tuple(_said(getattr(evidence.plan, name)) for evidence in runs.each))) > 1
    ]
    minutes = tuple(f"{sum(r.seconds for r in (*e.records, *e.trials)) / 60:.1f}" for e in runs.each)
    seeds = tuple(f"{fmean(len(e.runs(loss)) for loss in e.ranked):.3g}" if e.ranked else "0" for e in runs.each)
    facts = [*asked, ("seeds done per loss", seeds), ("minutes of training", minutes)]
    rows = tuple(TableRow(values, note=name) for name, values in facts)
    return Section("plans", "How they differ", tables=(Table("", ("", *runs.names), rows, style="words"),))


def _said(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value) if value else "–"
