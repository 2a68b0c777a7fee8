"""Sections that every report has, whatever the task. One without data is left out, not empty."""

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from math import isfinite
from statistics import fmean, median, stdev
from typing import Any

from lossary.lab.report import figures
from lossary.lab.report.evidence import Evidence
from lossary.lab.report.figures import Palette, Row, Spec
from lossary.lab.report.training import training
from lossary.lab.report.views import Figure, Group, Section, Sentences, Summary, Table, TableRow
from lossary.lab.run.plan import OWN_CODE, Resolved
from lossary.lab.run.record import Record, Role, Trial
from lossary.lab.stats import words
from lossary.lab.stats.verdict import Comparison, Standing
from lossary.lab.tasks import measures_of
from lossary.lab.tasks.measures import Metric


def before(evidence: Evidence) -> list[Section]:
    """What was found, and whether to believe it."""
    makers = (_ranking, _findings, _scores, _learning, training, _tuning, _defaults)
    return [section for make in makers if (section := make(evidence))]


def after(evidence: Evidence) -> list[Section]:
    """What it cost, and how to do it again."""
    return [section for make in (_cost, _provenance) if (section := make(evidence))]


def summary(evidence: Evidence) -> Summary:
    seeds = {r.seed for r in evidence.records if r.role == evidence.role}
    units = max((len(r.units) for r in evidence.records), default=0)
    measures = measures_of(evidence.task)
    sentence = (
        f"{_count(evidence.ranked, 'loss', 'losses')} compared by {evidence.metric.label} on {units} {measures.units}; "
        f"{_count(range(evidence.plan.trials), 'tuning trial')} and {_count(seeds, 'seed')} a loss."
    )
    credit = str(evidence.test["credit"]) + " " if "credit" in evidence.test else ""
    return Summary(
        data=f"{evidence.plan.data}: {measures.task}",
        headline=evidence.verdict.headline,
        sentence=sentence,
        credit=f"{credit}Made by Lossary. The charts are drawn by Vega, which this file carries.",
    )


def _count(things: Iterable[Any], one: str, many: str = "") -> str:
    number = len(list(things))
    return f"{number} {one if number == 1 else many or one + 's'}"


def ranking(evidence: Evidence, palette: Palette) -> Spec | None:
    """Losses and baselines by their means, with the best baseline as a line; None where nothing is done."""
    standings = [s for s in evidence.verdict.standings if s.role != "default" or evidence.role == "default"]
    rows: list[Row] = [{"loss": s.loss, "mean": s.mean, **_interval(s, evidence.metric)} for s in standings]
    return figures.ranking(rows, palette, evidence.metric, _best_free(evidence)) if rows else None


def _best_free(evidence: Evidence) -> float | None:
    """The mean of the best baseline."""
    free = [s.mean for s in evidence.verdict.standings if s.role == "baseline"]
    best = max if evidence.metric.higher_is_better else min
    return best(free) if free else None


def _ranking(evidence: Evidence) -> Section | None:
    spec = ranking(evidence, evidence.palette)
    if spec is None:
        return None
    caption = (
        "A dot is the mean over seeds, the bar its 95 % interval: where the mean would lie for other "
        "seeds and other test data of the same kind. Bars that overlap do not mean that two losses are "
        "equal: the paired comparisons below are sharper, because all losses shared seeds and test data."
    )
    if _best_free(evidence) is not None:
        caption += " Grey rows are baselines that no loss has trained; the dashed line is the best of them."
    return Section("ranking", "Ranking", groups=(Group((Figure("ranking", spec, caption),)),))


def _interval(standing: Standing, metric: Metric) -> dict[str, float]:
    return {"low": metric.possible(standing.low), "high": metric.possible(standing.high)}


def _findings(evidence: Evidence) -> Section | None:
    verdict = evidence.verdict
    losses = set(evidence.ranked)
    pairs = [c for c in verdict.comparisons if {c.a, c.b} <= losses]
    of_best = [c for c in pairs if {c.a, c.b} & set(evidence.ranked[:1])]

    def said(comparisons: Iterable[Comparison]) -> tuple[str, ...]:
        return tuple(words.sentence(c, verdict.metric, verdict.margin) for c in comparisons)

    groups = (
        Sentences((*_failed(evidence), *verdict.warnings), "warning"),
        Sentences(said(c for c in of_best if c.decided), "sure", "What the data show"),
        Sentences(said(c for c in of_best if not c.decided), "unsure", "What they do not show"),
        Sentences(verdict.baselines, "plain", "Against what costs nothing"),
    )
    sentences = tuple(group for group in groups if group.items)
    tables = [_pairs(evidence.ranked, pairs, evidence.metric)] if len(pairs) > len(of_best) else []
    if verdict.comparisons:
        tables.append(_comparisons(verdict.comparisons, evidence.metric))
    return Section("findings", "How sure", sentences=sentences, tables=tuple(tables)) if sentences else None


def _failed(evidence: Evidence) -> Iterator[str]:
    """What is missing of the losses that were entered, and why."""
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
    """Every loss against every other: the difference where it is sure."""
    scale = 100 if metric.percent else 1
    found = {(c.a, c.b): (c, 1) for c in comparisons} | {(c.b, c.a): (c, -1) for c in comparisons}
    rows = tuple(
        TableRow(tuple(_pair(*found[row, col], scale) if (row, col) in found else "" for col in losses), row)
        for row in losses
    )
    caption = (
        f"Every pair: {metric.label} of the row minus that of the column"
        f"{', in points' if metric.percent else ''}; in bold where the data show a difference, with a "
        "question mark where they do not."
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
    described = dict.fromkeys([evidence.metric, *measures_of(evidence.task).metrics])
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
        "Mean over seeds ± standard deviation between seeds, on the test split. ↑ more is better, ↓ less is better."
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


def _learning(evidence: Evidence) -> Section | None:
    seeds: list[Row] = []
    means: list[Row] = []
    for loss in evidence.ranked:
        curves = {r.seed: {p.step: p.valid for p in r.curve} for r in evidence.runs(loss) if r.curve}
        for seed, curve in curves.items():
            seeds += [{"loss": loss, "seed": seed, "step": step, "valid": valid} for step, valid in curve.items()]
        shared = sorted(set.intersection(*(set(curve) for curve in curves.values()))) if curves else []
        means += [{"loss": loss, "step": s, "valid": fmean(c[s] for c in curves.values())} for s in shared]
    if not means:
        return None
    rising = [loss for loss in evidence.ranked if any(r.still_rising for r in evidence.runs(loss))]
    caption = (
        "Thin lines are single seeds, thick lines their mean for as long as all seeds were training. A "
        "run stops once the validation metric has stopped improving, and its best weights are kept."
    )
    if rising:
        caption += f" Still improving when the bound on steps stopped a run: {', '.join(rising)}."
    figure = Figure("learning", figures.learning(seeds, means, evidence.palette, evidence.metric), caption)
    lead = "Were the runs long enough? Short runs can rank losses otherwise than long ones."
    return Section("learning", "Learning curves", lead, tuple(evidence.ranked), (Group((figure,)),))


def _tuning(evidence: Evidence) -> Section | None:
    done = [trial for trial in evidence.trials if trial.valid is not None]
    if not done:
        return None
    domain = _domain([trial.valid for trial in done if trial.valid is not None], evidence.metric)
    groups = tuple(
        _tuned(evidence, number, loss, trials, domain)
        for number, loss in enumerate(evidence.ranked)
        if (trials := [trial for trial in done if trial.loss == loss])
    )
    lead = (
        f"Each dot is a tuning trial: a hyperparameter's value against {evidence.metric.label} on the "
        "validation split, on the same vertical scale everywhere (a dot on its edge may lie beyond). The large dot "
        "is the trial that was chosen. If it lies at the edge of the range that was searched, a wider search may find "
        "better."
    )
    return Section("tuning", "Tuning", lead, groups=groups) if groups else None


def _tuned(evidence: Evidence, number: int, loss: str, trials: list[Trial], domain: tuple[float, float]) -> Group:
    sign = 1 if evidence.metric.higher_is_better else -1
    best = max(trials, key=lambda trial: sign * (trial.valid or 0.0))
    names = sorted({name for trial in trials for name in trial.params}, key=_rates_first)
    plots: list[Figure] = []
    for place, name in enumerate(names):
        rows: list[Row] = [
            {"value": t.params[name], "valid": t.valid, "best": t is best, "number": t.number}
            for t in trials
            if name in t.params
        ]
        spec = figures.tuning(rows, evidence.palette.colour(loss), evidence.metric, domain)
        plots.append(Figure(f"tuning-{number}-{place}", spec, title=name))
    failed = sum(trial.loss == loss and trial.valid is None for trial in evidence.trials)
    note = f"{_count(trials, 'trial')}" + (f", {failed} failed" if failed else "")
    return Group(tuple(plots), "small", loss, note)


def _rates_first(name: str) -> tuple[bool, bool, str]:
    return name != "lr", not name.endswith("lr"), name


def _domain(values: list[float], metric: Metric) -> tuple[float, float]:
    """The range of the trials, but a trial that went wrong altogether may not flatten all others."""
    best, worst = (max(values), min(values)) if metric.higher_is_better else (min(values), max(values))
    reach = 4 * abs(median(values) - best)
    if reach > 0 and abs(worst - best) > reach:
        worst = best - reach if metric.higher_is_better else best + reach
    margin = 0.06 * abs(best - worst) or 0.01 * abs(best) or 1.0
    return min(best, worst) - margin, max(best, worst) + margin


def _defaults(evidence: Evidence) -> Section | None:
    found = {(s.role, s.loss): s for s in evidence.verdict.standings}
    pairs = [
        (found["default", loss], found["tuned", loss])
        for loss in evidence.ranked
        if ("default", loss) in found and ("tuned", loss) in found
    ]
    rows: list[Row] = [
        {"loss": tuned.loss, "default": default.mean, "tuned": tuned.mean, **_interval(tuned, evidence.metric)}
        for default, tuned in pairs
    ]
    if not rows:
        return None
    caption = (
        f"An open ring is the loss at the library's defaults ({_count(range(pairs[0][0].seeds), 'seed')}), a "
        f"full dot the loss as tuned ({_count(range(pairs[0][1].seeds), 'seed')}) with its 95 % interval. A ring "
        "far outside the interval says that this loss must be tuned, or that tuning on the validation split "
        "did not carry over."
    )
    spec = figures.against_defaults(rows, evidence.palette, evidence.metric)
    return Section("defaults", "Tuned against defaults", groups=(Group((Figure("defaults", spec, caption),)),))


def _cost(evidence: Evidence) -> Section | None:
    rows: list[Row] = []
    lines: list[TableRow] = []
    for loss in evidence.ranked:
        runs = [r for r in evidence.runs(loss) if r.seconds_per_step > 0]
        if runs:
            step = 1000 * median(r.seconds_per_step for r in runs)
            rows.append({"loss": loss, "milliseconds": step})
            steps, seconds = median(r.steps for r in runs), median(r.seconds for r in runs)
            lines.append(TableRow((f"{step:.3g}", f"{steps:.0f}", f"{seconds:.3g}"), loss))
    if not rows:
        return None
    caption = "Whole steps: forward pass, loss, backward pass and update, on the machine named below."
    figure = Figure("cost", figures.cost(rows, evidence.palette), caption)
    head = ("Loss", "Milliseconds a step", "Steps a run", "Seconds a run")
    table = Table("Medians over seeds", head, tuple(lines), folded=True)
    return Section("cost", "Cost", groups=(Group((figure,)),), tables=(table,))


def _provenance(evidence: Evidence) -> Section:
    facts = [*_plan_facts(evidence), *_environment_facts([*evidence.trials, *evidence.records])]
    rows = tuple(TableRow((value,), note=name) for name, value in facts)
    tables = [Table("", (), rows, style="facts")]
    if found := _found(evidence):
        tables.append(found)
    note = "In a new folder this repeats the run; where the finished run is, it only writes the report again."
    return Section("provenance", "What was run", tables=tuple(tables), command=command(evidence.plan), note=note)


def _plan_facts(evidence: Evidence) -> list[tuple[str, str]]:
    plan = evidence.plan
    roles = Counter(r.role for r in evidence.records)
    seeds = sorted({r.seed for r in evidence.records if r.role == evidence.role})
    facts = [
        (
            "data",
            plan.data + (f", {plan.outliers:.0%} of the training targets spoilt" if plan.outliers else ""),
        ),
        ("left out", "; ".join(map(str, evidence.test.get("left_out", ())))),
        ("losses", ", ".join(plan.losses)),
        ("protocol", plan.protocol),
        ("tuning trials a loss", str(plan.trials)),
        ("bound on steps", str(plan.steps or "")),
        ("bound on epochs", str("" if plan.steps else plan.epochs)),
        ("seeds", ", ".join(map(str, seeds))),
        ("runs on the test split", ", ".join(f"{count} {role}" for role, count in sorted(roles.items()))),
        ("workers", str(plan.workers)),
    ]
    return [(name, text) for name, text in facts if text]


def _environment_facts(runs: Sequence[Trial | Record]) -> list[tuple[str, str]]:
    """Versions and machine; where the runs differ (a run may go on elsewhere), all that occur."""
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        for name, value in run.environment.items():
            found.setdefault(name, {})[value] = None
    return [(name, "; ".join(values)) for name, values in found.items()]


def _found(evidence: Evidence) -> Table | None:
    best = {loss: runs[0].params for loss in evidence.ranked if (runs := evidence.runs(loss)) and runs[0].params}
    names = sorted({name for params in best.values() for name in params}, key=_rates_first)
    rows = tuple(
        TableRow(tuple(_value(params[name]) if name in params else "–" for name in names), loss)
        for loss, params in best.items()
    )
    return Table("Hyperparameters found by tuning", ("Loss", *names), rows) if names else None


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def command(plan: Resolved) -> str:
    """The command line of a plan, quoted for a shell; complete, for defaults change from version to version."""
    asked = {part.name: value for part in fields(Resolved) if (value := getattr(plan, part.name))}
    # The data tell the metric and the fingerprint, the bound is stored in steps, and the clock never says the same.
    for name in ("data", "metric", "fingerprint", "minutes", *(("epochs",) if plan.steps else ())):
        asked.pop(name, None)
    if plan.megapixels == Resolved.megapixels:
        del asked["megapixels"]
    if plan.data == OWN_CODE:
        own = [f"metric={plan.metric}"] if plan.metric else []
        known = ("losses", "task", "protocol", "seeds", "trials", "steps", "epochs", "margin", "out")
        options = [f"{name}={asked[name]!r}" for name in known if name in asked]
        return f"lossary.lab.compare(model, data, {', '.join(own + options)})"
    asked["seeds"] = "..".join(map(str, dict.fromkeys(plan.seeds)))  # 3..10, or 5
    words = ["lossary", "compare", plan.data]
    for name, value in asked.items():
        words.append(f"--{name}")
        if value is not True:
            words.append(",".join(value) if isinstance(value, tuple) else str(value))
    return shlex.join(words)
