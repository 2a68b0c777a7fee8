"""Sections that every report has, for any task. A section without data is omitted."""

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from math import isfinite
from statistics import fmean, median, stdev

from lossary.lab.report import run_figures as figures
from lossary.lab.report.drawing import Palette, Row, Spec
from lossary.lab.report.evidence import Evidence, interval
from lossary.lab.report.training import learning, training
from lossary.lab.report.tuning import against_defaults, rates_first, setting, tuning
from lossary.lab.report.views import Figure, Group, Section, Sentences, Summary, Table, TableRow, counted
from lossary.lab.run.options import Files, Training
from lossary.lab.run.plan import OWN_CODE, Resolved
from lossary.lab.run.record import Record, Role, Trial
from lossary.lab.stats import words
from lossary.lab.stats.verdict import Comparison, Standing
from lossary.lab.tasks import TASKS, measures_of
from lossary.lab.tasks.measures import Metric

#: How many times the losses' own range a baseline may lie outside it and still be drawn with them.
NEAR = 2.0


def before(evidence: Evidence) -> list[Section]:
    """What was found, and whether to trust it."""
    makers = (_ranking, _findings, _scores, learning, training, tuning, against_defaults)
    return [section for make in makers if (section := make(evidence))]


def after(evidence: Evidence) -> list[Section]:
    """What it cost, and how to repeat it."""
    return [section for make in (_cost, _provenance) if (section := make(evidence))]


def summary(evidence: Evidence) -> Summary:
    seeds = {r.seed for r in evidence.records if r.role == evidence.role}
    units = max((len(r.units) for r in evidence.records), default=0)
    measures = measures_of(evidence.task)
    losses = counted(evidence.ranked, "loss", "losses")
    sentence = (
        f"{losses} compared by {evidence.metric.label} on {units} {words.units_of(evidence.metric)}; "
        f"{counted(range(evidence.plan.trials), 'tuning trial')} and {counted(seeds, 'seed')} per loss."
    )
    credit = str(evidence.test["credit"]) + " " if "credit" in evidence.test else ""
    return Summary(
        data=f"{evidence.plan.data}: {measures.task}",
        headline=evidence.verdict.said[0],
        sentence=" ".join(filter(None, (*evidence.verdict.said[1:], evidence.verdict.recommendation, sentence))),
        credit=f"{credit}Made by Lossary. The charts are drawn by Vega, which this file carries.",
    )


def ranking(evidence: Evidence, palette: Palette) -> Spec | None:
    """Losses, and the baselines that are not far off, by their means; None if nothing is done."""
    rows: list[Row] = [
        {"loss": s.loss, "mean": s.mean, **interval(s, evidence.metric)}
        for s in evidence.verdict.standings
        if s.role == evidence.role or s in _near(evidence)
    ]
    return figures.ranking(rows, palette, evidence.metric, _floor(_near(evidence), evidence.metric)) if rows else None


def _baselines(evidence: Evidence) -> list[Standing]:
    return [s for s in evidence.verdict.standings if s.role == "baseline"]


def _near(evidence: Evidence) -> list[Standing]:
    """The baselines that are close enough for the losses to be distinguished in the same picture."""
    ends = [end for s in evidence.verdict.standings if s.role == evidence.role for end in (s.low, s.mean, s.high)]
    known = [end for end in ends if isfinite(end)]
    if not known:
        return _baselines(evidence)
    low, high = min(known), max(known)
    reach = NEAR * (high - low)
    return [s for s in _baselines(evidence) if low - reach <= s.mean <= high + reach]


def _floor(baselines: list[Standing], metric: Metric) -> float | None:
    best = max if metric.higher_is_better else min
    return best((s.mean for s in baselines), default=None)


def _ranking(evidence: Evidence) -> Section | None:
    spec = ranking(evidence, evidence.palette)
    if spec is None:
        return None
    caption = (
        "A dot is the mean over seeds; the bar is its 95 % interval for other seeds and other test data of the same "
        "kind."
    )
    if near := _near(evidence):
        caption += " Grey rows are baselines not trained with any loss; the dashed line is the best of them."
    if far := [s for s in _baselines(evidence) if s not in near]:
        scored = "; ".join(f"{s.loss} {figures.number(s.mean, evidence.metric)}" for s in far)
        caption += f" Too far off to draw: {scored}."
    against = _against_best(evidence)
    return Section("ranking", "Ranking", groups=(Group((Figure("ranking", spec, caption), *against), "pair"),))


def _against_best(evidence: Evidence) -> tuple[Figure, ...]:
    """Paired differences to the best loss, on which the verdict rests."""
    verdict, metric = evidence.verdict, evidence.metric
    rows: list[Row] = []
    for loss in evidence.ranked[1:]:
        comparison = verdict.of(evidence.ranked[0], loss)
        sign = (100 if metric.percent else 1) * (1 if (comparison.a == loss) == metric.higher_is_better else -1)
        ends = sorted((sign * comparison.low, sign * comparison.high)) if isfinite(comparison.low) else (None, None)
        rows.append({"loss": loss, "difference": sign * comparison.difference, "low": ends[0], "high": ends[1]})
    if not rows:
        return ()
    caption = (
        f"Each loss against {evidence.ranked[0]} on the same seeds and test data; the verdict rests on this. A bar "
        "left of 0 is surely worse; one within the grey band, the margin, is as good as equal. Bars are wider than "
        "plain 95 % intervals, because they allow for all pairs and for looking again with more seeds."
    )
    spec = figures.differences(rows, evidence.palette, metric, verdict.margin)
    return (Figure("differences", spec, caption),)


def _findings(evidence: Evidence) -> Section | None:
    verdict = evidence.verdict
    losses = set(evidence.ranked)
    pairs = [c for c in verdict.comparisons if {c.a, c.b} <= losses]
    of_best = [c for c in pairs if {c.a, c.b} & set(evidence.ranked[:1])]

    def said(comparisons: Iterable[Comparison]) -> tuple[str, ...]:
        return tuple(words.sentence(c, verdict.metric, verdict.margin) for c in comparisons)

    groups = (
        Sentences(tuple(_warnings(evidence)), "warning"),
        Sentences(said(c for c in of_best if c.decided), "sure", "What the data show"),
        Sentences(said(c for c in of_best if not c.decided), "unsure", "What they do not show"),
        Sentences(tuple(map(words.by_metric, evidence.further)), "plain", "By other metrics"),
        Sentences(verdict.baselines, "plain", "Against free baselines"),
    )
    sentences = tuple(group for group in groups if group.items)
    tables = [_pairs(evidence.ranked, pairs, evidence.metric)] if len(pairs) > len(of_best) else []
    if verdict.comparisons:
        tables.append(_comparisons(verdict.comparisons, evidence.metric))
    return Section("findings", "How sure", sentences=sentences, tables=tuple(tables)) if sentences else None


def _warnings(evidence: Evidence) -> Iterator[str]:
    yield from _failed(evidence)
    yield from words.disagreements(evidence.verdict, evidence.further)
    yield from evidence.verdict.warnings
    if evidence.verdict.none_learned and "images" in evidence.test:
        yield from filter(None, [evidence.plan.for_images(evidence.task)])


def _failed(evidence: Evidence) -> Iterator[str]:
    """Which entered losses are missing, and why."""
    for loss in evidence.entered:
        failures = [failure for failure in evidence.failures if failure.loss == loss]
        reasons = "; ".join(dict.fromkeys(failure.reason for failure in failures))
        because = f": {reasons}" if reasons else ""
        if loss not in evidence.ranked:
            yield f"{loss} was entered but has no finished run{because}."
        elif failures:
            seeds = ", ".join(str(failure.seed) for failure in failures)
            yield f"Of {loss}, the run{'s' if len(failures) > 1 else ''} with seed {seeds} failed{because}."


def _pairs(losses: list[str], comparisons: list[Comparison], metric: Metric) -> Table:
    """Every loss against every other: the difference, if it is certain."""
    scale = 100 if metric.percent else 1
    found = {(c.a, c.b): (c, 1) for c in comparisons} | {(c.b, c.a): (c, -1) for c in comparisons}
    rows = tuple(
        TableRow(tuple(_pair(*found[row, col], scale) if (row, col) in found else "" for col in losses), row)
        for row in losses
    )
    caption = (
        f"Every pair: {metric.label} of the row minus that of the column"
        f"{', in points' if metric.percent else ''}; in bold if the data show a difference, with a question mark if "
        "they do not."
    )
    sure = {pair for pair, (comparison, _) in found.items() if comparison.claimed}
    marked = tuple(
        replace(row, best=frozenset(i for i, col in enumerate(losses) if (row.loss, col) in sure)) for row in rows
    )
    return Table(caption, ("", *losses), marked)


def _pair(comparison: Comparison, sign: int, scale: int) -> str:
    return _signed(sign * scale * comparison.difference) + ("" if comparison.decided else " ?")


def _signed(value: float) -> str:
    return f"{value:+.3g}".replace("-", "−") if value else "0"


def _between(low: float, high: float) -> str:
    """Not a number: with one seed there is no interval."""
    return f"{_signed(low)} to {_signed(high)}" if isfinite(low) else "–"


def _comparisons(comparisons: Iterable[Comparison], metric: Metric) -> Table:
    scale, unit = (100, " (points)") if metric.percent else (1, "")
    rows = tuple(
        TableRow(
            note=f"{c.a} against {c.b}",
            cells=(
                _signed(scale * c.difference),
                _between(scale * c.low, scale * c.high),
                f"{c.p:.2g}",
                f"{c.p_adjusted:.2g}",
            ),
        )
        for c in comparisons
    )
    head = ("Comparison", f"Difference in {metric.label}{unit}", "Interval", "p", "p, corrected")
    return Table("All comparisons in numbers", head, rows, folded=True)


_ROLES: tuple[tuple[Role, str], ...] = (
    ("tuned", ""),
    ("default", "library defaults"),
    ("baseline", "baseline"),
)


def _scores(evidence: Evidence) -> Section | None:
    judged = [evidence.metric, *(verdict.metric for verdict in evidence.further)]
    described = dict.fromkeys([*judged, *measures_of(evidence.task).metrics])
    metrics = [m for m in described if any(m.name in r.metrics for r in evidence.records)]
    order = {(s.role, s.loss): place for place, s in enumerate(evidence.verdict.standings)}
    lines: list[tuple[str, Role, str, list[Record]]] = []
    for role, note in _ROLES:
        names = {r.loss for r in evidence.records if r.role == role}
        ranked = sorted(names, key=lambda name: order[role, name])
        for name in ranked:
            lines.append((name, role, note, evidence.runs(name, role)))
    compared = [runs for _, role, _, runs in lines if role == evidence.role]
    best = [(max if metric.higher_is_better else min)(_mean(metric, runs) for runs in compared) for metric in metrics]
    rows = tuple(
        TableRow(
            cells=tuple(_spread(metric, runs) for metric in metrics),
            loss=name,
            note=note,
            best=frozenset(
                i for i, metric in enumerate(metrics) if role == evidence.role and _mean(metric, runs) == best[i]
            ),
            aside=role != evidence.role,
        )
        for name, role, note, runs in lines
    )
    head = (
        "Loss",
        *(f"{m.label}{' (%)' if m.percent else ''}\u00a0{'↑' if m.higher_is_better else '↓'}" for m in metrics),
    )
    caption = (
        "Mean over seeds ± standard deviation between seeds, on the test split. ↑ higher is better, ↓ lower is better."
    )
    return Section("scores", "All metrics", tables=(Table(caption, head, rows),)) if rows else None


def _mean(metric: Metric, runs: list[Record]) -> float:
    return fmean(r.metrics[metric.name] for r in runs)


def _spread(metric: Metric, runs: list[Record]) -> str:
    values = [r.metrics[metric.name] * (100 if metric.percent else 1) for r in runs if metric.name in r.metrics]
    digits, spread = (".1f", ".1f") if metric.percent else (".3g", ".2g")
    if not values:
        return "–"
    mean = f"{fmean(values):{digits}}"
    return f"{mean} ± {stdev(values):{spread}}" if len(values) > 1 else mean


def _cost(evidence: Evidence) -> Section | None:
    rows: list[Row] = []
    lines: list[TableRow] = []
    for loss in evidence.ranked:
        runs = [r for r in evidence.runs(loss) if r.seconds_per_step > 0]
        if runs:
            each = sorted(1000 * r.seconds_per_step for r in runs)
            rows.append({"loss": loss, "milliseconds": median(each), "low": each[0], "high": each[-1]})
            steps, seconds = median(r.steps for r in runs), median(r.seconds for r in runs)
            lines.append(
                TableRow((_from_to(each), f"{steps:.0f}", f"{seconds:.3g}", f"{_minutes(evidence, loss):.3g}"), loss)
            )
    if not rows:
        return None
    caption = (
        "Whole steps: forward pass, loss, backward pass and update, on the machine named below. A bar is the median "
        "over seeds; the line spans the fastest to the slowest."
    )
    figure = Figure("cost", figures.cost(rows, evidence.palette), caption)
    head = ("Loss", "Milliseconds per step", "Steps per run", "Seconds per run", "Minutes in total")
    table = Table("Medians over seeds; the total includes tuning and the runs at the defaults", head, tuple(lines))
    return Section("cost", "Cost", groups=(Group((figure,)),), tables=(table,))


def _from_to(values: Sequence[float]) -> str:
    """The middle of sorted values, and where they end.

    >>> _from_to([1.0, 2.0, 4.0])
    '2 (1 to 4)'
    """
    middle = f"{median(values):.3g}"
    return f"{middle} ({values[0]:.3g} to {values[-1]:.3g})" if len(values) > 1 else middle


def _minutes(evidence: Evidence, loss: str) -> float:
    """Everything that was trained for a loss."""
    runs = [run for run in (*evidence.records, *evidence.trials) if run.loss == loss]
    return sum(run.seconds for run in runs) / 60


def _provenance(evidence: Evidence) -> Section:
    facts = [*_plan_facts(evidence), *_environment_facts([*evidence.trials, *evidence.records])]
    rows = tuple(TableRow((value,), note=name) for name, value in facts)
    tables = [Table("", (), rows, style="facts")]
    if found := _found(evidence):
        tables.append(found)
    note = "In a new folder this repeats the run; in the finished run's folder it only rewrites the report."
    return Section("provenance", "What was run", tables=tuple(tables), command=command(evidence.plan), note=note)


def _plan_facts(evidence: Evidence) -> list[tuple[str, str]]:
    plan = evidence.plan
    roles = Counter(r.role for r in evidence.records)
    seeds = sorted({r.seed for r in evidence.records if r.role == evidence.role})
    facts = [
        (
            "data",
            plan.data + (f", {plan.outliers:.0%} of the training targets corrupted" if plan.outliers else ""),
        ),
        ("left out", "; ".join(map(str, evidence.test.get("left_out", ())))),
        ("losses", ", ".join(plan.losses)),
        ("protocol", plan.protocol),
        ("training", f"{plan.optimizer}, {plan.schedule} learning rate, weight decay {plan.weight_decay:g}"),
        ("batch", str(plan.batch or "")),
        ("device", f"{plan.device}, {plan.precision}"),
        ("tuning trials per loss", str(plan.trials)),
        ("bound on steps", str(plan.steps or "")),
        ("bound on epochs", str("" if plan.steps else plan.epochs)),
        ("seeds", ", ".join(map(str, seeds))),
        ("runs on the test split", ", ".join(f"{count} {role}" for role, count in sorted(roles.items()))),
        ("workers", str(plan.workers)),
    ]
    return [(name, text) for name, text in facts if text]


def _environment_facts(runs: Sequence[Trial | Record]) -> list[tuple[str, str]]:
    """Versions and machine; if the runs differ (a run may continue elsewhere), all that occur."""
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        for name, value in run.environment.items():
            found.setdefault(name, {})[value] = None
    return [(name, "; ".join(values)) for name, values in found.items()]


def _found(evidence: Evidence) -> Table | None:
    best = {loss: runs[0].params for loss in evidence.ranked if (runs := evidence.runs(loss)) and runs[0].params}
    names = sorted({name for params in best.values() for name in params}, key=rates_first)
    rows = tuple(
        TableRow(tuple(setting(params[name]) if name in params else "–" for name in names), loss)
        for loss, params in best.items()
    )
    return Table("Hyperparameters found by tuning", ("Loss", *names), rows) if names else None


def command(plan: Resolved) -> str:
    """The command line of a plan, quoted for a shell; complete, because defaults change between versions."""
    of_groups = {part.name for group in (Files, Training) for part in fields(group)}
    parts = sorted(fields(Resolved), key=lambda part: part.name in of_groups)
    asked = {part.name: value for part in parts if (value := getattr(plan, part.name)) or part.default}
    # Fingerprints follow from the contents, the bound is stored in steps, and time limits are not reproducible.
    for name in ("data", "code", "fingerprint", "minutes", *(("epochs",) if plan.steps else ())):
        asked.pop(name, None)
    if plan.megapixels == Resolved.megapixels:
        del asked["megapixels"]
    if plan.data == OWN_CODE:
        training = [part.name for part in fields(Training) if asked.get(part.name) != part.default]
        known = ("losses", "task", "protocol", "seeds", "trials", "steps", "epochs", "margin", *training, "out")
        options = [f"{name}={asked[name]!r}" for name in known if name in asked]
        return f"lossary.lab.compare(model, data, {', '.join(_metric(plan.metric) + options)})"
    asked["seeds"] = "..".join(map(str, dict.fromkeys(plan.seeds)))  # 3..10, or 5
    words = ["lossary", "compare", plan.data]
    for name, value in asked.items():
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words.append(",".join(value) if isinstance(value, tuple) else str(value))
    return shlex.join(words)


def _metric(names: Sequence[str]) -> list[str]:
    """As Python has it: a function of the caller's, or names of the lab's metrics."""
    known = {metric.name for task in TASKS for metric in measures_of(task).metrics}
    return [f"metric={names[0]}" if set(names) - known else f"metric={','.join(names)!r}"] if names else []
