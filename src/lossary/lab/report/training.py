"""The section on what the losses saw of their training data: facts in a table, and what they mean in sentences."""

from statistics import fmean

from lossary.advice import FACTS, advice
from lossary.lab.record import Record
from lossary.lab.report.evidence import Evidence
from lossary.lab.report.views import Section, Sentences, Table, TableRow


def training(evidence: Evidence) -> Section | None:
    facts = {loss: known for loss in evidence.ranked if (known := _facts(evidence.runs(loss)))}
    if not facts:
        return None
    said = {loss: tuple(advice(known)) for loss, known in facts.items()}
    calm = [loss for loss, sentences in said.items() if not sentences]
    lists = [Sentences(sentences, "plain", loss) for loss, sentences in said.items() if sentences]
    if calm:
        lists.append(Sentences((f"Nothing out of the ordinary: {', '.join(calm)}.",)))
    rows = tuple(
        TableRow(tuple(f"{known[name]:.3g}" if name in known else "–" for known in facts.values()), note=meaning)
        for name, meaning in FACTS.items()
        if any(name in known for known in facts.values())
    )
    lead = (
        "What a loss sees of its training batches, and which gradient it gives them, at the weights that were kept; "
        "means over seeds."
    )
    table = Table("All that was measured", ("", *facts), rows, folded=True)
    return Section("training", "What the training says", lead, sentences=tuple(lists), tables=(table,))


def _facts(runs: list[Record]) -> dict[str, float]:
    """Each fact's mean over the runs that have it."""
    known = {name: [r.facts[name] for r in runs if name in r.facts] for name in FACTS}
    return {name: fmean(values) for name, values in known.items() if values}
