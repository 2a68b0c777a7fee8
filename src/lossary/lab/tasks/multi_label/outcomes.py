"""Which labels the networks find, and where they are confidently wrong."""

from statistics import fmean, stdev

import numpy as np

from lossary.lab.report import figures, pictures
from lossary.lab.report.drawing import Row
from lossary.lab.report.evidence import Arrays, Evidence
from lossary.lab.report.views import Figure, Gallery, Group, Section, Table, TableRow, Tile
from lossary.lab.tasks.multi_label.metrics import precisions

_LABELS = 24  # as many as a picture shows
_MISTAKES = 12


def _labels(evidence: Evidence, outputs: dict[str, Arrays]) -> Section:
    true = evidence.test["labels"] == 1
    sizes = true.sum(axis=0)
    there = np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)].tolist()
    names = {label: f"{evidence.test['names'][label]}, {true[:, label].mean():.1%}" for label in there}
    rows: list[Row] = []
    lines: list[TableRow] = []
    for loss in outputs:
        kept = [kept for run in evidence.runs(loss) if (kept := evidence.outputs(run))]
        scores = [precisions(found["probabilities"], true) for found in kept]
        by_label = {label: [float(score[label]) for score in scores] for label in there}
        rows += [{"loss": loss, "class": names[label], "score": fmean(by_label[label])} for label in there[:_LABELS]]
        lines.append(TableRow(tuple(map(_spread, by_label.values())), loss))
    shown = "each label" if len(there) <= _LABELS else f"each of the {_LABELS} most common labels"
    caption = (
        f"Average precision of {shown}, behind the share of test samples that have it, which is what chance finds."
    )
    spec = figures.by_class(rows, evidence.palette, [names[label] for label in there[:_LABELS]], "average precision")
    table = Table(
        "Percent, mean and standard deviation over seeds", ("Loss", *names.values()), tuple(lines), folded=True
    )
    lead = "Which loss suits which label? Losses differ most on rare labels."
    figure = Figure("labels", spec, caption)
    return Section("labels", "Label by label", lead, tuple(outputs), (Group((figure,)),), tables=(table,))


def _spread(values: list[float]) -> str:
    mean = f"{100 * fmean(values):.1f}"
    return f"{mean} ± {100 * stdev(values):.1f}" if len(values) > 1 else mean


def _mistakes(evidence: Evidence, outputs: dict[str, Arrays]) -> Section | None:
    if "images" not in evidence.test:
        return None
    loss, kept = next(iter(outputs.items()))
    true, p, names = evidence.test["labels"] == 1, kept["probabilities"], evidence.test["names"]
    wrong = np.abs(p - true)
    worst = np.argsort(-wrong.max(axis=1), kind="stable")[:_MISTAKES].tolist()
    tiles = tuple(_mistake(evidence, item, int(wrong[item].argmax()), p[item]) for item in worst)
    rows = tuple((tile,) for tile in tiles if not tile.right)
    if not rows:
        return None
    lead = f"The answers of {loss} that are furthest off among the {len(names)} labels, one for each test sample."
    return Section("mistakes", "Surest mistakes", lead, galleries=(Gallery("Wrong", rows),))


def _mistake(evidence: Evidence, item: int, label: int, p: np.ndarray) -> Tile:
    true = evidence.test["labels"][item] == 1
    names = [str(name) for name in evidence.test["names"][true]]
    said = f"{evidence.test['names'][label]} {p[label]:.0%}"
    image = pictures.data_uri(evidence.test["images"][item])
    return Tile(image, "true labels", ", ".join(names) or "none", said, bool((p[label] > 0.5) == true[label]))


SECTIONS = (_labels, _mistakes)
