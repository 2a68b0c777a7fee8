"""Which classes the networks confuse, and how confident they are."""

from collections import Counter

import numpy as np
from sklearn.calibration import calibration_curve

from lossary.lab.report import figures, pictures
from lossary.lab.report.drawing import Row
from lossary.lab.report.evidence import Arrays, Evidence
from lossary.lab.report.views import Figure, Gallery, Group, Section, Tile
from lossary.lab.tasks._tiles import BINS, tile

_CONFUSION_CLASSES = 30


def _confusion(evidence: Evidence, outputs: dict[str, Arrays]) -> Section | None:
    names = [str(name) for name in evidence.test["names"]]
    if len(names) > _CONFUSION_CLASSES:
        return None
    loss, kept = next(iter(outputs.items()))
    labels = evidence.test["labels"].tolist()
    counts = Counter(zip(labels, kept["probabilities"].argmax(1).tolist(), strict=True))
    sizes = Counter(labels)
    rows: list[Row] = [
        {
            "true": names[true],
            "predicted": names[predicted],
            "count": counts[true, predicted],
            "share": counts[true, predicted] / max(1, sizes[true]),
            "right": true == predicted,
        }
        for true in range(len(names))
        for predicted in range(len(names))
    ]
    caption = (
        "Rows are the true classes, columns the predicted ones; the numbers count test samples. Right "
        "answers lie on the diagonal (blue), mistakes off it (orange); the fuller the colour, the larger "
        "the share of its row."
    )
    figure = Figure("confusion", figures.confusion(rows, names), caption, loss=loss)
    lead = "Which classes the best loss confuses. One seed."
    return Section("confusion", "Confusion matrix", lead, groups=(Group((figure,), "narrow"),))


def _reliability(evidence: Evidence, outputs: dict[str, Arrays]) -> Section:
    rows: list[Row] = []
    for loss, kept in outputs.items():
        p = kept["probabilities"]
        right, confidence = p.argmax(1) == evidence.test["labels"], np.clip(p.max(1), 0, 1)
        accuracy, mean = calibration_curve(right, confidence, n_bins=BINS, strategy="quantile")
        rows += [
            {"loss": loss, "confidence": float(c), "accuracy": float(a), "order": i}
            for i, (c, a) in enumerate(zip(mean, accuracy, strict=True))
        ]
    caption = (
        f"Test samples sorted by the probability given to the predicted class, in up to {BINS} groups of "
        "equal size. On the dashed line 80 % sure is right 80 % of the time; below it the network is too "
        "sure of itself."
    )
    figure = Figure("reliability", figures.reliability(rows, evidence.palette), caption)
    lead = "Can the probabilities be trusted? One seed of each loss."
    return Section("reliability", "Reliability", lead, tuple(outputs), (Group((figure,)),))


def _mistakes(evidence: Evidence, outputs: dict[str, Arrays]) -> Section | None:
    if "images" not in evidence.test:
        return None
    loss, kept = next(iter(outputs.items()))
    p, labels, names = kept["probabilities"], evidence.test["labels"], evidence.test["names"]
    predicted = p.argmax(1)
    wrong = np.flatnonzero(predicted != labels)
    surest = wrong[np.argsort(-p[wrong, predicted[wrong]], kind="stable")][:12].tolist()
    if not surest:
        return None
    rows = tuple(
        (
            tile(evidence, item, "true class"),
            Tile(
                pictures.data_uri(evidence.test["images"][np.flatnonzero(labels == predicted[item])[0]]),
                "predicted",
                str(names[predicted[item]]),
                f"{100 * p[item, predicted[item]]:.0f} %",
                right=False,
            ),
        )
        for item in surest
        if (labels == predicted[item]).any()
    )
    lead = f"The mistakes of which {loss} was most certain, next to a test sample of the predicted class."
    return Section("mistakes", "Surest mistakes", lead, galleries=(Gallery("Wrong", rows),))


SECTIONS = (_confusion, _reliability, _mistakes)
