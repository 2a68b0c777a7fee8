"""Report: one HTML file from a run folder, with everything inside it: no network, no server, no training."""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from lossary.lab.report import assets, over_splits, side_by_side
from lossary.lab.report.drawing import Palette
from lossary.lab.report.evidence import Arrays, Evidence, load
from lossary.lab.report.sections import after, before, summary
from lossary.lab.report.views import Section, Summary
from lossary.lab.run.record import finished
from lossary.lab.run.stored import Refused, write_whole
from lossary.lab.tasks import sections_of


def render(folder: Path) -> Path:
    """Write ``report.html`` into a run folder from the records there; returns its path."""
    path = folder / "report.html"
    write_whole(path, page(load(folder)))
    return path


def page(evidence: Evidence) -> str:
    """The report's HTML, a pure function of the evidence."""
    sections = [*before(evidence), *_outcomes(evidence), *after(evidence)]
    return _html(evidence.palette, summary(evidence), sections)


def write(folders: Sequence[Path], path: Path) -> None:
    """Write the report of a run or of several splits to a path, or one page of several runs side by side.

    Raises:
        Refused: if a folder has no run, or the page cannot be written.
    """
    _write(path, _of(folders))


def write_splits(runs: side_by_side.Runs, path: Path) -> None:
    """Write the report of several splits in memory.

    Raises:
        Refused: if the page cannot be written.
    """
    _write(path, _page_of(runs))


def _write(path: Path, made: str) -> None:
    try:
        write_whole(path, made)
    except OSError as error:
        raise Refused(f"to: cannot write {path}: {error.strerror or error}") from error


def _of(folders: Sequence[Path]) -> str:
    if len(folders) == 1 and over_splits.are_in(folders[0]):
        return _page_of(over_splits.read(folders[0]))
    for folder in folders:
        finished(folder)
    each = [load(folder) for folder in folders]
    return page(each[0]) if len(each) == 1 else _page_of(side_by_side.Runs(each, folders))


def _page_of(runs: side_by_side.Runs) -> str:
    return _html(runs.palette, side_by_side.summary(runs), side_by_side.sections(runs))


def _html(palette: Palette, head: Summary, sections: list[Section]) -> str:
    figures = [figure for section in sections for group in section.groups for figure in group.figures]
    return assets.template("lossary.lab.report", "report.html").render(
        palette=palette,
        summary=head,
        sections=sections,
        specs={figure.name: figure.spec for figure in figures},
        css=Markup(assets.stylesheet()),
        script=assets.script(),
    )


def _outcomes(evidence: Evidence) -> list[Section]:
    """The task's own sections, for the runs whose outputs were kept."""
    outputs = {loss: kept for loss in evidence.ranked if (kept := _outputs(evidence, loss))}
    if not outputs or not evidence.test:
        return []
    return [section for make in sections_of(evidence.task) if (section := make(evidence, outputs))]


def _outputs(evidence: Evidence, loss: str) -> Arrays:
    """The outputs of a loss's first seed; one run is a picture, the average of several is not."""
    return next((kept for run in evidence.runs(loss) if (kept := evidence.outputs(run))), {})
