"""What several kinds of task show in the same way."""

from lossary.lab.report import pictures
from lossary.lab.report.evidence import Evidence
from lossary.lab.report.views import Tile

BINS = 10  # of a reliability diagram


def tile(evidence: Evidence, item: int, role: str, note: str = "", right: bool | None = None) -> Tile:
    image = pictures.data_uri(evidence.test["images"][item])
    return Tile(image, role, evidence.item_names[item], note, right)
