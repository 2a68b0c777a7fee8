"""The runs of several splits in one folder, read side by side and judged together."""

from pathlib import Path

from lossary.lab.report.evidence import load
from lossary.lab.report.side_by_side import Runs
from lossary.lab.run.record import finished
from lossary.lab.run.stored import check_own
from lossary.lab.run.stored import read as read_object
from lossary.lab.stats.over_splits import Sizes, over_splits

SIZES = "splits.json"


def folder_of(out: Path, number: int) -> Path:
    return out / f"split-{number}"


def are_in(folder: Path) -> bool:
    return (folder / SIZES).is_file()


def read(folder: Path) -> Runs:
    """All finished splits.

    Raises:
        Refused: if something else is stored there, or a split has no finished run.
    """
    check_own(folder)
    sizes = read_object(folder / SIZES, Sizes, "the sizes of splits")
    folders = []
    while (path := folder_of(folder, len(folders) + 1)).is_dir():
        finished(path)
        folders.append(path)
    each = [load(path) for path in folders]
    return Runs(each, folders, over_splits([evidence.verdict for evidence in each], sizes))
