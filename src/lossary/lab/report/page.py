"""Report: one HTML file from a run folder, with everything inside it: no network, no server, no training."""

from functools import cache
from importlib import resources
from pathlib import Path

import jinja2
import vl_convert
from markupsafe import Markup

from lossary.lab.report.evidence import Arrays, Evidence, load
from lossary.lab.report.sections import after, before, summary
from lossary.lab.report.views import Section
from lossary.lab.run.stored import write_whole
from lossary.lab.tasks import sections_of


def render(folder: Path) -> Path:
    """Write ``report.html`` into a run folder from the records there; returns its path."""
    path = folder / "report.html"
    write_whole(path, page(load(folder)))
    return path


def page(evidence: Evidence) -> str:
    """The report's HTML, a pure function of the evidence."""
    sections = [*before(evidence), *_outcomes(evidence), *after(evidence)]
    figures = [figure for section in sections for group in section.groups for figure in group.figures]
    return _template().render(
        palette=evidence.palette,
        summary=summary(evidence),
        sections=sections,
        specs={figure.name: figure.spec for figure in figures},
        css=Markup(_text("report.css")),
        script=_script(),
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


@cache
def _script() -> Markup:
    """Our script with Vega, Vega-Lite and Vega-Embed inside."""
    return Markup(vl_convert.javascript_bundle(_text("report.js")))


def _text(name: str) -> str:
    return (resources.files(__package__ or "") / "templates" / name).read_text(encoding="utf-8")


def _template() -> jinja2.Template:
    return jinja2.Environment(
        loader=jinja2.PackageLoader(__package__ or ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    ).get_template("report.html")
