"""How far the networks are off, and in which direction."""

import numpy as np

from lossary.lab.report import figures
from lossary.lab.report.drawing import Row
from lossary.lab.report.evidence import Arrays, Evidence
from lossary.lab.report.views import Figure, Group, Section


def _predictions(evidence: Evidence, outputs: dict[str, Arrays]) -> Section:
    targets = evidence.test["targets"]
    every = np.concatenate([targets, *(kept["predictions"] for kept in outputs.values())])
    domain = (float(every.min()), float(every.max()))
    plots: list[Figure] = []
    for number, (loss, kept) in enumerate(outputs.items()):
        pairs = zip(targets.tolist(), kept["predictions"].tolist(), strict=True)
        rows: list[Row] = [{"true": true, "predicted": predicted} for true, predicted in pairs]
        spec = figures.predictions(rows, evidence.palette.colour(loss), domain)
        plots.append(Figure(f"predictions-{number}", spec, loss=loss))
    lead = (
        "Each dot is a test sample; on the dashed line the prediction is exact. A cloud flatter than the line means "
        "that the network stays close to the mean. One seed of each loss."
    )
    return Section("predictions", "Predicted against true", lead, groups=(Group(tuple(plots), "small"),))


def _residuals(evidence: Evidence, outputs: dict[str, Arrays]) -> Section:
    errors = {loss: kept["predictions"] - evidence.test["targets"] for loss, kept in outputs.items()}
    reach = float(max(np.abs(error).max() for error in errors.values()))
    plots: list[Figure] = []
    for number, (loss, error) in enumerate(errors.items()):
        rows: list[Row] = [{"residual": value} for value in error.tolist()]
        spec = figures.residuals(rows, evidence.palette.colour(loss), (-reach, reach))
        title = f"median {np.median(error):+.3g}".replace("-", "−")
        plots.append(Figure(f"residuals-{number}", spec, title=title, loss=loss))
    lead = "Predicted minus true: left of the dashed line too low, right of it too high. One seed of each loss."
    return Section("residuals", "Residuals", lead, groups=(Group(tuple(plots), "small"),))


SECTIONS = (_predictions, _residuals)
