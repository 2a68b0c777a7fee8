"""What thresholds on the networks' answers would find."""

import numpy as np
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve

from lossary.lab.report import figures
from lossary.lab.report.drawing import Row
from lossary.lab.report.evidence import Arrays, Evidence
from lossary.lab.report.views import Figure, Group, Section
from lossary.lab.tasks._tiles import BINS

_CURVE_POINTS = 200


def _precision_recall(evidence: Evidence, outputs: dict[str, Arrays]) -> Section:
    labels = evidence.test["labels"]
    rows: list[Row] = []
    for loss, kept in outputs.items():
        precision, recall, _ = precision_recall_curve(labels, kept["probabilities"], drop_intermediate=True)
        # The last point accepts nothing: its precision is a convention.
        shown = np.unique(np.linspace(0, len(recall) - 2, _CURVE_POINTS).astype(int))
        points = zip(recall[shown].tolist(), precision[shown].tolist(), strict=True)
        rows += [{"loss": loss, "recall": r, "precision": p, "order": i} for i, (r, p) in enumerate(points)]
    caption = (
        "The share of samples called positive that are positive (precision), against the share of positives that are "
        "found (recall), at every threshold. The area under a curve is the average precision; the dashed line is "
        "chance."
    )
    figure = Figure("precision-recall", figures.precision_recall(rows, evidence.palette, float(labels.mean())), caption)
    lead = (
        f"What a threshold would find, and at what cost. Positive is {evidence.test['names'][1]}, "
        f"{labels.mean():.1%} of the test samples. One seed of each loss."
    )
    return Section("precision-recall", "Precision and recall", lead, tuple(outputs), (Group((figure,)),))


def _calibration(evidence: Evidence, outputs: dict[str, Arrays]) -> Section:
    rows: list[Row] = []
    for loss, kept in outputs.items():
        given = np.clip(kept["probabilities"], 0, 1)
        share, mean = calibration_curve(evidence.test["labels"], given, n_bins=BINS, strategy="quantile")
        rows += [
            {"loss": loss, "probability": float(p), "share": float(s), "order": i}
            for i, (p, s) in enumerate(zip(mean, share, strict=True))
        ]
    caption = (
        f"Test samples sorted by the probability of being positive, in up to {BINS} groups of equal size. On the "
        "dashed line the predicted share is positive; below it the network sees positives that are not there."
    )
    figure = Figure("calibration", figures.calibration(rows, evidence.palette), caption)
    lead = "Can the probabilities be trusted? Weighted and focal losses bend them on purpose. One seed of each loss."
    return Section("calibration", "Reliability", lead, tuple(outputs), (Group((figure,)),))


SECTIONS = (_precision_recall, _calibration)
