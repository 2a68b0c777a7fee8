"""What all pictures share: colours of losses, names in a form safe for Vega, axes of a metric.

Names of losses and classes are only ever values, which Vega draws as text. But Vega also uses them as keys of plain
objects, and in expressions, where "constructor" already exists: `shown` turns such a name into another one that looks
the same. Ink and background are left to the page, so one specification serves light and dark mode.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

import altair as alt

from lossary.lab.tasks.measures import Metric

Spec = dict[str, Any]
Row = dict[str, Any]

# Okabe and Ito's colours, which colour-blind readers can distinguish, darkened where they were too pale for a thin line
# on white; then others. Beyond ten losses the colours repeat with dashes.
COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#d99000"),
    *("#3da5e0", "#7b61c9", "#8a7a00", "#b2473e", "#4d8a8a"),
)
_DASHES = ((1, 0), (6, 3), (2, 2), (8, 2, 2, 2))
GREY = "#8b929c"
#: Numbers on an axis. With fewer digits, Vega shortens adjacent ticks to the same number.
ROUND = ".6~r"
#: Properties of every JavaScript object, and a character without width.
_INHERITED = frozenset(
    {
        *("constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString", "toString"),
        *("valueOf", "__proto__", "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__"),
    }
)
_WORD_JOINER = "\u2060"


@dataclass(frozen=True)
class Palette:
    """One colour (and dash) per loss, the same in every picture; anything that is not a loss is grey."""

    losses: tuple[str, ...]

    def colour(self, name: str) -> str:
        return COLOURS[self.losses.index(name) % len(COLOURS)] if name in self.losses else GREY

    def dash(self, name: str) -> tuple[int, ...]:
        turn = self.losses.index(name) // len(COLOURS) if name in self.losses else 0
        return _DASHES[turn % len(_DASHES)]

    def scale(self, names: Iterable[str]) -> alt.Scale:
        names = list(dict.fromkeys(names))
        return alt.Scale(domain=list(map(shown, names)), range=[self.colour(name) for name in names])

    def dashes(self, names: Iterable[str]) -> alt.Scale:
        names = list(dict.fromkeys(names))
        return alt.Scale(domain=list(map(shown, names)), range=[list(self.dash(name)) for name in names])


def data_of(rows: Sequence[Row]) -> alt.Data:
    return alt.Data(values=[{key: _plain(value) for key, value in row.items()} for row in rows])


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity; and seven digits are more than a picture shows."""
    if isinstance(value, float):
        return float(f"{value:.7g}") if isfinite(value) else None
    return shown(value) if isinstance(value, str) else value


def shown(name: str) -> str:
    r"""A name in the form given to Vega.

    >>> shown("cat"), shown("constructor")
    ('cat', 'constructor\u2060')
    """
    return name + _WORD_JOINER if name in _INHERITED else name


def spec_of(layers: Sequence[alt.Chart], description: str, height: int | Literal["container"]) -> Spec:
    chart = alt.layer(*layers).properties(width="container", height=height, description=description)
    spec = chart.to_dict()
    for ours in ("$schema", "config"):  # the page knows the version and brings the colours of its theme
        spec.pop(ours, None)
    return spec


def number_format(metric: Metric) -> str:
    return ".1%" if metric.percent else ".3~g"


def metric_axis(field: str, metric: Metric) -> dict[str, Any]:
    better = "higher is better" if metric.higher_is_better else "lower is better"
    return {
        "shorthand": f"{field}:Q",
        "title": f"{metric.label} ({better})",
        "scale": alt.Scale(zero=False, nice=True, padding=10),
        "axis": alt.Axis(format="~%" if metric.percent else ROUND, tickCount=5, labelSeparation=8),
    }


def colour_of(palette: Palette, rows: Sequence[Row]) -> alt.Color:
    """The legend belongs to the page: it wraps on a phone and is drawn once for all pictures."""
    return alt.Color("loss:N", scale=palette.scale(row["loss"] for row in rows), legend=None)


def in_order(names: Iterable[str]) -> dict[str, Any]:
    """Names along an axis, in their order."""
    return {"sort": None, "scale": alt.Scale(domain=list(dict.fromkeys(map(shown, names))))}


def names_axis(names: Iterable[str]) -> alt.Y:
    """Losses down the side, in order and uncut: a long name takes several lines."""
    given = list(dict.fromkeys(map(shown, names)))
    told = json.dumps([lines(name) for name in given])
    axis = alt.Axis(
        labelLimit=0, domain=False, ticks=False, labelExpr=f"{told}[indexof({json.dumps(given)}, datum.value)]"
    )
    return alt.Y("loss:N", title=None, axis=axis, sort=None, scale=alt.Scale(domain=given))


def lines(name: str, most: int = 22) -> list[str]:
    """A name broken at natural places, into lines of at most this many characters.

    >>> lines("cross_entropy + 0.01*center_loss")
    ['cross_entropy + ', '0.01*center_loss']
    """
    found = [""]
    for part in re.findall(rf"[^ _,+]{{1,{most}}}[ _,+]*|[ _,+]{{1,{most}}}", name):
        if len((found[-1] + part).rstrip()) <= most:
            found[-1] += part
        else:
            found.append(part)
    return found
