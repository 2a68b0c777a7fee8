"""Sections on tuning: the trials, and what they gained."""

from collections import Counter
from statistics import median
from typing import Any

from lossary.lab.report import run_figures as figures
from lossary.lab.report.drawing import Row
from lossary.lab.report.evidence import Evidence, interval
from lossary.lab.report.views import Figure, Group, Section, Table, TableRow, counted
from lossary.lab.run.record import Trial
from lossary.lab.tasks.measures import Metric

#: From this many trials of a loss on, they are drawn.
DRAWN = 4


def tuning(evidence: Evidence) -> Section | None:
    done = [trial for trial in evidence.trials if trial.valid is not None]
    if not done:
        return None
    if max(Counter(trial.loss for trial in done).values()) < DRAWN:
        return _few_trials(evidence, done)
    domain = _domain([trial.valid for trial in done if trial.valid is not None], evidence.metric)
    groups = tuple(
        _tuned(evidence, number, loss, trials, domain)
        for number, loss in enumerate(evidence.ranked)
        if (trials := [trial for trial in done if trial.loss == loss])
    )
    lead = (
        f"Each dot is a tuning trial: a hyperparameter's value against {evidence.metric.label} on the validation "
        "split, with the same vertical scale everywhere (a dot on its edge may lie beyond it). The large dot is the "
        "chosen trial. If it lies at the edge of the searched range, a wider search may find a better one."
    )
    return Section("tuning", "Tuning", lead, groups=groups) if groups else None


def _few_trials(evidence: Evidence, done: list[Trial]) -> Section:
    """A table: drawing two dots per hyperparameter would fill a screen and show nothing."""
    best = max if evidence.metric.higher_is_better else min
    names = sorted({name for trial in done for name in trial.params}, key=rates_first)
    rows: list[TableRow] = []
    for loss in evidence.ranked:
        trials = [trial for trial in done if trial.loss == loss]
        chosen = best((trial.valid for trial in trials if trial.valid is not None), default=None)
        for trial in trials:
            values = (setting(trial.params[name]) if name in trial.params else "–" for name in names)
            scored = figures.number(trial.valid or 0.0, evidence.metric)
            marked = frozenset({len(names)}) if trial.valid == chosen else frozenset[int]()
            rows.append(TableRow((*values, scored), loss, f"trial {trial.number + 1}", marked))
    caption = "In bold: the trial whose hyperparameters were used, the best on the validation split."
    head = ("Loss", *names, f"{evidence.metric.label}, validation")
    return Section("tuning", "Tuning", tables=(Table(caption, head, tuple(rows)),))


def _tuned(evidence: Evidence, number: int, loss: str, trials: list[Trial], domain: tuple[float, float]) -> Group:
    sign = 1 if evidence.metric.higher_is_better else -1
    best = max(trials, key=lambda trial: sign * (trial.valid or 0.0))
    names = sorted({name for trial in trials for name in trial.params}, key=rates_first)
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
    note = f"{counted(trials, 'trial')}" + (f", {failed} failed" if failed else "")
    return Group(tuple(plots), "small", loss, note)


def rates_first(name: str) -> tuple[bool, bool, str]:
    return name != "lr", not name.endswith("lr"), name


def _domain(values: list[float], metric: Metric) -> tuple[float, float]:
    """The range of the trials, such that one completely failed trial does not flatten all others."""
    best, worst = (max(values), min(values)) if metric.higher_is_better else (min(values), max(values))
    reach = 4 * abs(median(values) - best)
    if reach > 0 and abs(worst - best) > reach:
        worst = best - reach if metric.higher_is_better else best + reach
    margin = 0.06 * abs(best - worst) or 0.01 * abs(best) or 1.0
    return min(best, worst) - margin, max(best, worst) + margin


def against_defaults(evidence: Evidence) -> Section | None:
    found = {(s.role, s.loss): s for s in evidence.verdict.standings}
    pairs = [
        (found["default", loss], found["tuned", loss])
        for loss in evidence.ranked
        if ("default", loss) in found and ("tuned", loss) in found
    ]
    rows: list[Row] = [
        {"loss": tuned.loss, "default": default.mean, "tuned": tuned.mean, **interval(tuned, evidence.metric)}
        for default, tuned in pairs
    ]
    if not rows:
        return None
    caption = (
        f"An open ring is the loss at the library's defaults ({counted(range(pairs[0][0].seeds), 'seed')}), a "
        f"full dot the loss as tuned ({counted(range(pairs[0][1].seeds), 'seed')}) with its 95 % interval. A ring "
        "far outside the interval means that this loss needs tuning, or that tuning on the validation split did not "
        "carry over."
    )
    spec = figures.against_defaults(rows, evidence.palette, evidence.metric)
    return Section("defaults", "Tuned against defaults", groups=(Group((Figure("defaults", spec, caption),)),))


def setting(value: Any) -> str:
    """A hyperparameter as text."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
