"""What the package's pages share: files next to the code, escaping templates, Vega and the drawing script."""

from functools import cache
from importlib import resources

import jinja2
import vl_convert
from markupsafe import Markup


def text(package: str, name: str) -> str:
    """A file of a package's ``templates``."""
    return (resources.files(package) / "templates" / name).read_text(encoding="utf-8")


def stylesheet() -> str:
    """Colours of both themes, type, tables."""
    return text("lossary.lab.report", "report.css")


@cache
def script() -> Markup:
    """Our script with Vega, Vega-Lite and Vega-Embed inside."""
    return Markup(vl_convert.javascript_bundle(text("lossary.lab.report", "report.js")))


def template(package: str, name: str) -> jinja2.Template:
    """A template of a package: everything inserted is escaped."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    ).get_template(name)
