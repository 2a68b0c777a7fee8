"""Figures: Vega-Lite specifications of the report's pictures, from plain rows.

Rows are lists of dicts whose keys are ours; names of losses and classes are only ever values, which Vega
draws as text. Vega keeps them as keys of plain objects too, and in expressions, where "constructor" is found before
it is put there: `_text` makes such a name another one that looks the same. Ink and background are left to the page, so
that one specification serves light and dark.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor, isfinite, log10
from typing import Any, Literal

import altair as alt
from scipy.stats import norm

from lossary.lab.tasks.measures import Metric

Spec = dict[str, Any]
Row = dict[str, Any]

# Okabe and Ito's colours, told apart by colour-blind readers, darkened where they were too pale for a thin
# line on white; then others. Beyond ten losses the colours come again with dashes.
_COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#d99000"),
    *("#3da5e0", "#7b61c9", "#8a7a00", "#b2473e", "#4d8a8a"),
)
_DASHES = ((1, 0), (6, 3), (2, 2), (8, 2, 2, 2))
GREY = "#8b929c"
#: What every object of JavaScript has, and a character without width.
_INHERITED = frozenset(
    {
        *("constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString", "toString"),
        *("valueOf", "__proto__", "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__"),
    }
)
_WORD_JOINER = "\u2060"


@dataclass(frozen=True)
class Palette:
    """One colour (and dash) a loss, the same in every picture; whatever is not a loss is grey."""

    losses: tuple[str, ...]

    def colour(self, name: str) -> str:
        return _COLOURS[self.losses.index(name) % len(_COLOURS)] if name in self.losses else GREY

    def dash(self, name: str) -> tuple[int, ...]:
        turn = self.losses.index(name) // len(_COLOURS) if name in self.losses else 0
        return _DASHES[turn % len(_DASHES)]

    def scale(self, names: Iterable[str]) -> alt.Scale:
        names = list(dict.fromkeys(names))
        return alt.Scale(domain=list(map(_text, names)), range=[self.colour(name) for name in names])

    def dashes(self, names: Iterable[str]) -> alt.Scale:
        names = list(dict.fromkeys(names))
        return alt.Scale(domain=list(map(_text, names)), range=[list(self.dash(name)) for name in names])


def _data(rows: Sequence[Row]) -> alt.Data:
    return alt.Data(values=[{key: _plain(value) for key, value in row.items()} for row in rows])


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity; and seven digits are more than a picture shows."""
    if isinstance(value, float):
        return float(f"{value:.7g}") if isfinite(value) else None
    return _text(value) if isinstance(value, str) else value


def _text(name: str) -> str:
    r"""A name as Vega is given it.

    >>> _text("cat"), _text("constructor")
    ('cat', 'constructor\u2060')
    """
    return name + _WORD_JOINER if name in _INHERITED else name


def _spec(layers: Sequence[alt.Chart], description: str, height: int | Literal["container"]) -> Spec:
    chart = alt.layer(*layers).properties(width="container", height=height, description=description)
    spec = chart.to_dict()
    for ours in ("$schema", "config"):  # the page knows the version and brings the colours of its theme
        spec.pop(ours, None)
    return spec


def _format(metric: Metric) -> str:
    return ".1%" if metric.percent else ".3~g"


def _metric_axis(field: str, metric: Metric) -> dict[str, Any]:
    better = "more is better" if metric.higher_is_better else "less is better"
    return {
        "shorthand": f"{field}:Q",
        "title": f"{metric.label} ({better})",
        "scale": alt.Scale(zero=False, nice=True, padding=10),
        "axis": alt.Axis(format="~%" if metric.percent else "~r", tickCount=5, labelSeparation=8),
    }


def _colour(palette: Palette, rows: Sequence[Row]) -> alt.Color:
    """The legend is the page's: it wraps on a phone and is drawn once for all pictures."""
    return alt.Color("loss:N", scale=palette.scale(row["loss"] for row in rows), legend=None)


def _in_order(names: Iterable[str]) -> dict[str, Any]:
    """Names along an axis, in their order."""
    return {"sort": None, "scale": alt.Scale(domain=list(dict.fromkeys(map(_text, names))))}


def ranking(rows: Sequence[Row], palette: Palette, metric: Metric, floor: float | None) -> Spec:
    """Means with intervals; rows: loss, mean, low, high, best first. ``floor``: the best baseline."""
    order = _in_order(row["loss"] for row in rows)
    axis = alt.Axis(labelLimit=150, domain=False, ticks=False)
    base = alt.Chart(_data(rows)).encode(
        y=alt.Y("loss:N", title=None, axis=axis, **order),
        tooltip=[
            alt.Tooltip("loss:N"),
            alt.Tooltip("mean:Q", title=metric.label, format=_format(metric)),
            alt.Tooltip("low:Q", title="from", format=_format(metric)),
            alt.Tooltip("high:Q", title="to", format=_format(metric)),
        ],
    )
    marks = base.encode(color=_colour(palette, rows))
    text = alt.Text("mean:Q", format=_format(metric))
    layers = [
        marks.mark_rule(strokeWidth=7, strokeCap="round", opacity=0.32).encode(
            x=alt.X(**_metric_axis("low", metric)), x2="high:Q"
        ),
        marks.mark_point(filled=True, size=120, opacity=1).encode(x="mean:Q"),
        base.mark_text(dy=-14, fontSize=12, fontWeight=600).encode(x="mean:Q", text=text),
    ]
    if floor is not None:
        free = alt.Chart(_data([{"mean": floor}])).mark_rule(color=GREY, strokeDash=[4, 3])
        layers.insert(0, free.encode(x="mean:Q"))
    return _spec(layers, f"Ranking of losses by {metric.label}, with intervals", 44 * len(rows))


def learning(seeds: Sequence[Row], means: Sequence[Row], palette: Palette, metric: Metric) -> Spec:
    """Validation metric against steps; rows of ``seeds``: loss, seed, step, valid; of ``means``: no seed."""
    x = alt.X("step:Q", title="training steps", axis=alt.Axis(tickCount=5, format=",d"))
    y = alt.Y(**_metric_axis("valid", metric))
    thin = alt.Chart(_data(seeds)).mark_line(strokeWidth=1, opacity=0.4).encode(x=x, y=y, detail="seed:N")
    thick = alt.Chart(_data(means)).mark_line(strokeWidth=2.8).encode(x=x, y=y)
    colour = _colour(palette, means)
    dash = alt.StrokeDash("loss:N", scale=palette.dashes(row["loss"] for row in means), legend=None)
    tips = [alt.Tooltip("loss:N"), alt.Tooltip("step:Q"), alt.Tooltip("valid:Q", format=_format(metric))]
    layers = (thin.encode(color=colour), thick.encode(color=colour, strokeDash=dash, tooltip=tips))
    return _spec(layers, f"Learning curves: {metric.label} against training steps, by loss", 320)


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _value_axis(values: Sequence[Any]) -> alt.X:
    """Numbers on a line, by powers of ten where they span a factor of 20; anything else side by side."""
    if not _are_numbers(values):
        return alt.X("value:N", title=None, axis=alt.Axis(labelAngle=0, labelLimit=90))
    axis: dict[str, Any] = {"format": "~r", "labelOverlap": "greedy", "labelSeparation": 6}
    low, high = min(values), max(values)
    if low > 0 and high / low >= 20:
        axis["values"] = _round_numbers(low, high)
        return alt.X("value:Q", title=None, scale=alt.Scale(type="log", padding=8), axis=axis)
    axis["tickCount"] = 4
    return alt.X("value:Q", title=None, scale=alt.Scale(zero=False, padding=8), axis=axis)


def _round_numbers(low: float, high: float) -> list[float]:
    """1, 2, 5, 10 and so on within a range; powers of ten alone where they are enough."""
    powers = range(floor(log10(low)), floor(log10(high)) + 1)
    tens = [float(f"1e{power}") for power in powers if low <= float(f"1e{power}") <= high]
    if len(tens) > 2:
        return tens
    return [tick for power in powers for lead in (1, 2, 5) if low <= (tick := float(f"{lead}e{power}")) <= high]


def tuning(rows: Sequence[Row], colour: str, metric: Metric, domain: tuple[float, float]) -> Spec:
    """One hyperparameter of one loss against the validation metric; rows: value, valid, best, number."""
    axis = _metric_axis("valid", metric)
    axis |= {"title": None, "scale": alt.Scale(domain=list(domain), nice=True, clamp=True)}
    if not _are_numbers([row["value"] for row in rows]):
        rows = [row | {"value": str(row["value"])} for row in rows]  # as it is passed: None would be read as missing
    points = (
        alt.Chart(_data(rows))
        .mark_point(filled=True, color=colour, size=60)
        .encode(
            x=_value_axis([row["value"] for row in rows]),
            y=alt.Y(**axis),
            opacity=alt.condition("datum.best", alt.value(1), alt.value(0.6)),
            size=alt.condition("datum.best", alt.value(170), alt.value(55)),
            tooltip=[
                alt.Tooltip("number:Q", title="trial"),
                alt.Tooltip("value:N", title="value"),
                alt.Tooltip("valid:Q", title=metric.label, format=_format(metric)),
            ],
        )
    )
    return _spec((points,), f"Tuning trials: {metric.label} on the validation split against the hyperparameter", 150)


def against_defaults(rows: Sequence[Row], palette: Palette, metric: Metric) -> Spec:
    """What tuning was worth; rows: loss, default, tuned, low and high of tuned, best first."""
    order = _in_order(row["loss"] for row in rows)
    axis = _metric_axis("default", metric)
    base = alt.Chart(_data(rows)).encode(
        y=alt.Y("loss:N", title=None, axis=alt.Axis(labelLimit=150, domain=False, ticks=False), **order),
        color=_colour(palette, rows),
        tooltip=[
            alt.Tooltip("loss:N"),
            alt.Tooltip("default:Q", title="library defaults", format=_format(metric)),
            alt.Tooltip("tuned:Q", format=_format(metric)),
        ],
    )
    layers = (
        base.mark_rule(strokeWidth=7, strokeCap="round", opacity=0.25).encode(x="low:Q", x2="high:Q"),
        base.mark_rule(strokeWidth=2, opacity=0.6).encode(x=alt.X(**axis), x2="tuned:Q"),
        base.mark_point(filled=False, size=90, strokeWidth=2, opacity=1).encode(x="default:Q"),
        base.mark_point(filled=True, size=110, opacity=1).encode(x="tuned:Q"),
    )
    return _spec(layers, f"{metric.label} at the library's defaults and tuned, by loss", 34 * len(rows))


def similarities(rows: Sequence[Row], colour: str) -> Spec:
    """Same against different pairs; rows: similarity, share, pairs ("same class" or "different classes")."""
    kinds = ["different classes", "same class"]
    axis = alt.Axis(tickCount=4, format="~r", labelOverlap="greedy", labelSeparation=6)
    area = (
        alt.Chart(_data(rows))
        .mark_area(interpolate="step", opacity=0.55, line={"strokeWidth": 1.2})
        .encode(
            x=alt.X("similarity:Q", title="cosine similarity", axis=axis, scale=alt.Scale(zero=False, nice=False)),
            y=alt.Y("share:Q", title=None, stack=None, axis=None),
            color=alt.Color("pairs:N", scale=alt.Scale(domain=kinds, range=[GREY, colour]), legend=None),
        )
    )
    return _spec((area,), "Histogram of cosine similarities of same-class and different-class pairs", 130)


def roc(rows: Sequence[Row], palette: Palette) -> Spec:
    """Same pairs accepted against different pairs accepted; rows: loss, far, tar, order (far > 0)."""
    far = alt.X(
        "far:Q",
        title="false accept rate (log)",
        scale=alt.Scale(type="log", domainMax=1),
        axis=alt.Axis(format="~%", tickCount=4),
    )
    tar = alt.Y("tar:Q", title="true accept rate", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="~%"))
    return _spec((_lines(rows, palette, far, tar),), "ROC: true accepts against false accepts, by loss", 280)


_RATES = (0.001, 0.01, 0.05, 0.2, 0.5, 0.8)  # ticks of the DET's axes


def det(rows: Sequence[Row], palette: Palette) -> Spec:
    """The two error rates on normal-deviate axes; rows: loss, far, tar, order, all rates within (0, 1)."""
    low, high = _deviate(_RATES[0] / 2), _deviate(_RATES[-1] + 0.1)
    points = [
        row | {"far_z": _deviate(row["far"]), "frr_z": _deviate(1 - row["tar"])}
        for row in rows
        if 0 < row["far"] < 1 and 0 < row["tar"] < 1
    ]
    seen = [row for row in points if low <= row["far_z"] <= high and low <= row["frr_z"] <= high]
    ticks = [_deviate(rate) for rate in _RATES]
    axis = alt.Axis(values=ticks, labelExpr=_percent_labels(ticks))
    scale = alt.Scale(domain=[low, high], nice=False)
    far = alt.X("far_z:Q", title="false accept rate", scale=scale, axis=axis)
    frr = alt.Y("frr_z:Q", title="false reject rate", scale=scale, axis=axis)
    return _spec((_lines(seen, palette, far, frr),), "DET: false rejects against false accepts, by loss", 280)


def _deviate(rate: float) -> float:
    return float(norm.ppf(rate))


def _percent_labels(ticks: Sequence[float]) -> str:
    """A Vega expression that writes each tick as the rate it stands for."""
    cases = (f"abs(datum.value - {z:.6f}) < 1e-3 ? '{100 * r:g}%'" for z, r in zip(ticks, _RATES, strict=True))
    return " : ".join(cases) + " : ''"


def _lines(rows: Sequence[Row], palette: Palette, x: alt.X, y: alt.Y) -> alt.Chart:
    dash = alt.StrokeDash("loss:N", scale=palette.dashes(row["loss"] for row in rows), legend=None)
    tips = [alt.Tooltip("loss:N")]
    if rows and "far" in rows[0]:
        tips += [
            alt.Tooltip("far:Q", title="false accepts", format=".2%"),
            alt.Tooltip("tar:Q", title="true accepts", format=".1%"),
        ]
    mark = alt.Chart(_data(rows)).mark_line(strokeWidth=2)
    return mark.encode(x=x, y=y, color=_colour(palette, rows), strokeDash=dash, order="order:Q", tooltip=tips)


def image_map(rows: Sequence[Row]) -> Spec:
    """Unseen classes in two dimensions; rows: x, y, label, class, order; image (a data URI), else dots."""
    scale = alt.Scale(zero=False, nice=False, padding=16)
    data = alt.Chart(_data(rows)).encode(
        x=alt.X("x:Q", axis=None, scale=scale),
        y=alt.Y("y:Q", axis=None, scale=scale),
        tooltip=alt.Tooltip("label:N", title="class"),
    )
    lines = data.mark_line(strokeWidth=1, opacity=0.5, color=GREY).encode(detail="class:N", order="order:Q")
    if all("image" in row for row in rows):
        side = alt.expr("width < 500 ? 17 : 26")
        marks = data.mark_image(width=side, height=side).encode(url="image:N")
    else:
        marks = data.mark_circle(size=28, opacity=0.8, color=_COLOURS[0])
    text = "Map of the unseen classes: items near each other have similar embeddings"
    return _spec((lines, marks), text, "container")


def confusion(rows: Sequence[Row], names: Sequence[str]) -> Spec:
    """True against predicted class; rows: true, predicted, share (of the true class), count, right."""
    axis = alt.Axis(labelAngle=0, labelLimit=70, labelOverlap=True, grid=False)
    base = alt.Chart(_data(rows)).encode(
        x=alt.X("predicted:N", title="predicted class", axis=axis, **_in_order(names)),
        y=alt.Y("true:N", title="true class", axis=axis, **_in_order(names)),
        tooltip=["true:N", "predicted:N", "count:Q", alt.Tooltip("share:Q", format=".1%")],
    )
    hues = alt.Scale(domain=[True, False], range=[_COLOURS[0], _COLOURS[1]])
    shade = alt.Opacity("share:Q", scale=alt.Scale(type="sqrt", domain=[0, 1], range=[0, 0.6]), legend=None)
    cells = base.mark_rect().encode(color=alt.Color("right:N", scale=hues, legend=None), opacity=shade)
    counts = base.transform_filter("datum.count > 0").mark_text(fontSize=11).encode(text="count:Q")
    return _spec((cells, counts), "Confusion matrix: true class by predicted class", 34 * len(names) + 20)


def by_class(rows: Sequence[Row], palette: Palette, names: Sequence[str], score: str) -> Spec:
    """A score of each class and loss; rows: class, loss, score."""
    axis = alt.Axis(labelLimit=150, domain=False, ticks=False, grid=True)
    shares = alt.Axis(format="~%", tickCount=5, labelOverlap="greedy", labelSeparation=8)
    base = alt.Chart(_data(rows)).encode(
        x=alt.X("score:Q", title=f"{score} (more is better)", axis=shares),
        y=alt.Y("class:N", title=None, axis=axis, **_in_order(names)),
        color=_colour(palette, rows),
        tooltip=[alt.Tooltip("loss:N"), alt.Tooltip("class:N"), alt.Tooltip("score:Q", title=score, format=".1%")],
    )
    return _spec(
        (base.mark_point(filled=True, size=110, opacity=0.85),), f"{score} of each class, by loss", 38 * len(names)
    )


#: Axes of shares that need not begin at 0.
_SHARES: dict[str, Any] = {"axis": alt.Axis(format="~%", tickCount=5), "scale": alt.Scale(zero=False)}


def reliability(rows: Sequence[Row], palette: Palette) -> Spec:
    """Accuracy against confidence; rows: loss, confidence, accuracy, order."""
    x = alt.X("confidence:Q", title="mean confidence", **_SHARES)
    y = alt.Y("accuracy:Q", title="accuracy", **_SHARES)
    low = min(min(row["confidence"], row["accuracy"]) for row in rows)
    return _spec(_believed(rows, palette, x, y, (low, 1.0)), "Reliability: accuracy against confidence, by loss", 320)


def calibration(rows: Sequence[Row], palette: Palette) -> Spec:
    """Share of positives against the probability given to them; rows: loss, probability, share, order."""
    x = alt.X("probability:Q", title="mean probability", **_SHARES)
    y = alt.Y("share:Q", title="share of positives", **_SHARES)
    high = max(max(row["probability"], row["share"]) for row in rows)
    return _spec(
        _believed(rows, palette, x, y, (0.0, high)), "Reliability: positives against probability, by loss", 320
    )


def _believed(
    rows: Sequence[Row], palette: Palette, x: alt.X, y: alt.Y, ends: tuple[float, float]
) -> tuple[alt.Chart, ...]:
    """What came true against what was said, with the diagonal on which the two agree."""
    dots = alt.Chart(_data(rows)).mark_point(filled=True, size=45).encode(x=x, y=y, color=_colour(palette, rows))
    return _diagonal(*ends), _lines(rows, palette, x, y), dots


def precision_recall(rows: Sequence[Row], palette: Palette, chance: float) -> Spec:
    """Precision against recall at every threshold; rows: loss, recall, precision, order."""
    axis, scale = alt.Axis(format="~%", tickCount=5), alt.Scale(domain=[0, 1])
    x = alt.X("recall:Q", title="recall", axis=axis, scale=scale)
    y = alt.Y("precision:Q", title="precision", axis=axis, scale=alt.Scale(domainMin=0))
    rule = alt.Chart(_data([{"y": chance}])).mark_rule(color=GREY, strokeDash=[4, 3]).encode(y="y:Q")
    return _spec((rule, _lines(rows, palette, x, y)), "Precision against recall, by loss", 320)


def _diagonal(low: float, high: float) -> alt.Chart:
    ends = [{"x": low, "y": low}, {"x": high, "y": high}]
    return alt.Chart(_data(ends)).mark_line(color=GREY, strokeDash=[4, 3], strokeWidth=1.2).encode(x="x:Q", y="y:Q")


def predictions(rows: Sequence[Row], colour: str, domain: tuple[float, float]) -> Spec:
    """Predicted against true values of one loss; rows: true, predicted."""
    scale = alt.Scale(domain=list(domain), nice=True)
    x = alt.X("true:Q", title="true", scale=scale, axis=alt.Axis(tickCount=4, format="~s"))
    y = alt.Y("predicted:Q", title="predicted", scale=scale, axis=alt.Axis(tickCount=4, format="~s"))
    tips = [alt.Tooltip("true:Q", format=".4~g"), alt.Tooltip("predicted:Q", format=".4~g")]
    dots = alt.Chart(_data(rows)).mark_circle(size=26, opacity=0.5, color=colour).encode(x=x, y=y, tooltip=tips)
    return _spec((_diagonal(*domain), dots), "Predicted against true values", 220)


def residuals(rows: Sequence[Row], colour: str, domain: tuple[float, float]) -> Spec:
    """Histogram of predicted minus true of one loss; rows: residual."""
    step = float(f"{max(map(abs, domain)) / 2:.1g}")
    axis = alt.Axis(values=[-step, 0, step], format="~s", grid=False)
    bins = alt.Bin(extent=list(domain), maxbins=30)
    x = alt.X("residual:Q", bin=bins, title="predicted − true", axis=axis)
    zero = alt.Chart(_data([{"x": 0}])).mark_rule(color=GREY, strokeDash=[4, 3]).encode(x="x:Q")
    bars = alt.Chart(_data(rows)).mark_bar(color=colour, opacity=0.75).encode(x=x, y=alt.Y("count()", title="samples"))
    return _spec((bars, zero), "Histogram of residuals", 130)


def found_within(rows: Sequence[Row], palette: Palette) -> Spec:
    """How often the best candidate is among the first few; rows: loss, places, share, order."""
    x = alt.X("places:Q", title="first places looked at", axis=alt.Axis(format="d", tickMinStep=1))
    y = alt.Y("share:Q", title="lists whose best candidate is there", **_SHARES)
    dots = alt.Chart(_data(rows)).mark_point(filled=True, size=30).encode(x=x, y=y, color=_colour(palette, rows))
    return _spec((_lines(rows, palette, x, y), dots), "Lists whose best candidate is among the first, by loss", 320)


def ranks(rows: Sequence[Row], colour: str, order: Sequence[str]) -> Spec:
    """At which rank the right document comes, by one loss; rows: rank (a range of them), queries, share."""
    axis = alt.Axis(labelAngle=0, labelFontSize=9, labelOverlap="greedy", ticks=False)
    shares = alt.Axis(format="~%", tickCount=3)
    bars = (
        alt.Chart(_data(rows))
        .mark_bar(color=colour, opacity=0.75)
        .encode(
            x=alt.X("rank:N", title="rank", axis=axis, **_in_order(order)),
            y=alt.Y("share:Q", title="queries", axis=shares, scale=alt.Scale(domain=[0, 1])),
            tooltip=["rank:N", "queries:Q", alt.Tooltip("share:Q", format=".1%")],
        )
    )
    return _spec((bars,), "Histogram of the rank of the first right document", 130)


def cost(rows: Sequence[Row], palette: Palette) -> Spec:
    """Time of a whole training step; rows: loss, milliseconds."""
    order = _in_order(row["loss"] for row in sorted(rows, key=lambda row: row["milliseconds"]))
    scale = alt.Scale(domain=[0, 1.15 * max(row["milliseconds"] for row in rows)])  # room for the numbers
    axis = alt.Axis(tickCount=5)
    base = alt.Chart(_data(rows)).encode(
        y=alt.Y("loss:N", title=None, axis=alt.Axis(labelLimit=150, domain=False, ticks=False), **order),
        x=alt.X("milliseconds:Q", title="milliseconds a step (less is better)", scale=scale, axis=axis),
        tooltip=[alt.Tooltip("loss:N"), alt.Tooltip("milliseconds:Q", format=".3~g")],
    )
    bars = base.mark_bar(cornerRadiusEnd=3, height=14, opacity=0.85).encode(color=_colour(palette, rows))
    text = base.mark_text(align="left", dx=5, fontSize=12).encode(text=alt.Text("milliseconds:Q", format=".3~g"))
    return _spec((bars, text), "Milliseconds of a training step, by loss", 30 * len(rows))
