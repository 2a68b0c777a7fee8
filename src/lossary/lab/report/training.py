"""Sections on the training: progress by steps and by time, and what the losses saw of their data."""

from collections.abc import Mapping, Sequence
from math import isfinite
from statistics import fmean, mode

from lossary.lab.report import run_figures as figures
from lossary.lab.report.drawing import Row
from lossary.lab.report.evidence import Evidence
from lossary.lab.report.views import Figure, Group, Section, Sentences, Table, TableRow
from lossary.lab.run.record import Record
from lossary.watching.advice import FACTS, OF_CLASSES, advice

#: If the longest run takes at most this many seconds, times are shown in seconds.
SHORT = 120


def learning(evidence: Evidence) -> Section | None:
    longest = max((r.seconds_per_step * r.steps for r in evidence.records), default=0)
    unit, seconds = ("minutes", 60) if longest >= SHORT else ("seconds", 1)
    by_step, by_time = _curves(evidence), _curves(evidence, seconds)
    if not by_step[1]:
        return None
    rising = [loss for loss in evidence.ranked if any(r.still_rising for r in evidence.runs(loss))]
    caption = (
        "Thin lines are single seeds, thick lines their mean for as long as all seeds were training. A "
        "run stops once the validation metric has stopped improving, and its best weights are kept."
    )
    if rising:
        caption += f" Still improving when the bound on steps stopped a run: {', '.join(rising)}."
    drawn = [Figure("learning", figures.learning(*by_step, evidence.palette, evidence.metric), caption)]
    if by_time[1]:
        spec = figures.learning(*by_time, evidence.palette, evidence.metric, over=f"{unit} of training")
        drawn.append(Figure("learning-time", spec, "The same by time, because some losses take longer per step."))
    losses = tuple(
        Figure(f"training-loss-{place}", figures.training_loss(rows, evidence.palette.colour(loss)), loss=loss)
        for place, loss in enumerate(evidence.ranked)
        if (rows := _training_losses(evidence, loss))
    )
    lead = "Were the runs long enough? Short runs can rank losses differently from long ones."
    groups = [Group(tuple(drawn), "pair")]
    if losses:
        note = "The losses themselves, on training batches: each has its own scale"
        groups.append(Group(losses, "small", note=note))
    return Section("learning", "Learning curves", lead, tuple(evidence.ranked), tuple(groups))


def _curves(evidence: Evidence, unit: float = 0) -> tuple[list[Row], list[Row]]:
    """Validation curves of all seeds, and their means where all seeds have a look.

    Args:
        unit: Seconds per unit of the time axis; 0: steps.
    """
    seeds: list[Row] = []
    means: list[Row] = []
    for loss in evidence.ranked:
        runs = [r for r in evidence.runs(loss) if r.curve and (r.seconds_per_step > 0 or not unit)]
        curves = [{p.step: p.valid for p in r.curve} for r in runs]
        each = [r.seconds_per_step / unit if unit else 1 for r in runs]
        for run, curve, step in zip(runs, curves, each, strict=True):
            seeds += [{"loss": loss, "seed": run.seed, "at": step * s, "valid": v} for s, v in curve.items()]
        shared = sorted(set.intersection(*map(set, curves))) if curves else []
        means += [{"loss": loss, "at": fmean(each) * s, "valid": fmean(c[s] for c in curves)} for s in shared]
    return seeds, means


def _training_losses(evidence: Evidence, loss: str) -> list[Row]:
    return [
        {"seed": run.seed, "step": point.step, "value": point.train_loss}
        for run in evidence.runs(loss)
        for point in run.curve
        if isfinite(point.train_loss)
    ]


def training(evidence: Evidence) -> Section | None:
    names = _names(evidence)
    facts = {loss: known for loss in evidence.ranked if (known := _facts(evidence.runs(loss), names))}
    if not facts:
        return None
    said = {loss: tuple(advice(known, names)) for loss, known in facts.items()}
    calm = [loss for loss, sentences in said.items() if not sentences]
    lists = [Sentences(sentences, "plain", loss) for loss, sentences in said.items() if sentences]
    if calm:
        title = "The others" if lists else ""
        lists.append(Sentences((f"Nothing out of the ordinary: {', '.join(calm)}.",), "plain", title))
    rows = tuple(
        TableRow(tuple(_cell(name, known, names) for known in facts.values()), note=meaning)
        for name, meaning in FACTS.items()
        if any(name in known for known in facts.values())
    )
    lead = (
        "What a loss sees in its training batches, and the gradient it gives them, at the weights that were kept; "
        "means over seeds."
    )
    table = Table("All measurements", ("", *facts), rows, folded=True)
    return Section("training", "What the training says", lead, sentences=tuple(lists), tables=(table,))


def _facts(runs: list[Record], names: Sequence[str]) -> dict[str, float]:
    """Each fact's mean over the runs that have it; for named classes, the one that most runs name."""
    asked = [name for name in FACTS if names or name not in OF_CLASSES]
    known = {name: [r.facts[name] for r in runs if name in r.facts] for name in asked}
    return {name: (mode if name in OF_CLASSES else fmean)(values) for name, values in known.items() if values}


def _names(evidence: Evidence) -> tuple[str, ...]:
    """Names of the training classes, if they are also those of the test split."""
    return () if evidence.task == "zero-shot" else tuple(map(str, evidence.test.get("names", ())))


def _cell(name: str, known: Mapping[str, float], names: Sequence[str]) -> str:
    if name not in known:
        return "–"
    return names[int(known[name])] if name in OF_CLASSES else f"{known[name]:.3g}"
