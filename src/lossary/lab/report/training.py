"""The section on what the losses saw of their training data: facts in a table, and what they mean in sentences."""

from collections.abc import Mapping, Sequence
from statistics import fmean, mode

from lossary.lab.report.evidence import Evidence
from lossary.lab.report.views import Section, Sentences, Table, TableRow
from lossary.lab.run.record import Record
from lossary.watching.advice import FACTS, OF_CLASSES, advice


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
        "What a loss sees of its training batches, and which gradient it gives them, at the weights that were kept; "
        "means over seeds."
    )
    table = Table("All that was measured", ("", *facts), rows, folded=True)
    return Section("training", "What the training says", lead, sentences=tuple(lists), tables=(table,))


def _facts(runs: list[Record], names: Sequence[str]) -> dict[str, float]:
    """Each fact's mean over the runs that have it; of classes, where they have names, the one that most runs name."""
    asked = [name for name in FACTS if names or name not in OF_CLASSES]
    known = {name: [r.facts[name] for r in runs if name in r.facts] for name in asked}
    return {name: (mode if name in OF_CLASSES else fmean)(values) for name, values in known.items() if values}


def _names(evidence: Evidence) -> tuple[str, ...]:
    """Names of the training classes, where they are those of the test split too."""
    return () if evidence.task == "zero-shot" else tuple(map(str, evidence.test.get("names", ())))


def _cell(name: str, known: Mapping[str, float], names: Sequence[str]) -> str:
    if name not in known:
        return "–"
    return names[int(known[name])] if name in OF_CLASSES else f"{known[name]:.3g}"
