"""Sections that show what the trained networks do on the test data, one file a kind of task."""

from collections.abc import Callable, Mapping

from lossary.lab.metrics import Kind
from lossary.lab.report.evidence import Arrays, Evidence
from lossary.lab.report.outcomes import binary, classification, ranking, regression, retrieval, segmentation, zero_shot
from lossary.lab.report.views import Section

#: Each makes a section of the evidence and of one run's outputs a loss, best loss first; None where there is nothing.
SECTIONS: Mapping[Kind, tuple[Callable[[Evidence, dict[str, Arrays]], Section | None], ...]] = {
    "zero-shot": zero_shot.SECTIONS,
    "classification": classification.SECTIONS,
    "binary": binary.SECTIONS,
    "regression": regression.SECTIONS,
    "ranking": ranking.SECTIONS,
    "segmentation": segmentation.SECTIONS,
    "retrieval": retrieval.SECTIONS,
}


def outcomes(evidence: Evidence) -> list[Section]:
    """The task's own sections, for the runs whose outputs were kept."""
    outputs = {loss: kept for loss in evidence.ranked if (kept := _outputs(evidence, loss))}
    if not outputs or not evidence.test:
        return []
    return [section for make in SECTIONS[evidence.kind] if (section := make(evidence, outputs))]


def _outputs(evidence: Evidence, loss: str) -> Arrays:
    """The outputs of a loss's first seed; one run is a picture, the average of several is not."""
    return next((kept for run in evidence.runs(loss) if (kept := evidence.outputs(run))), {})
