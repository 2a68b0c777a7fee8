"""Pictures of the networks' predictions: Vega-Lite specifications from plain rows.

Rows are lists of dicts whose keys are ours; `drawing` defines what they may contain.
"""

from collections.abc import Sequence
from typing import Any

import altair as alt
from scipy.stats import norm

from lossary.lab.report.drawing import (
    COLOURS,
    GREY,
    ROUND,
    Palette,
    Row,
    Spec,
    colour_of,
    data_of,
    in_order,
    spec_of,
)


def similarities(rows: Sequence[Row], colour: str) -> Spec:
    """Same against different pairs; rows: similarity, share, pairs ("same class" or "different classes")."""
    kinds = ["different classes", "same class"]
    axis = alt.Axis(tickCount=4, format=ROUND, labelOverlap="greedy", labelSeparation=6)
    area = (
        alt.Chart(data_of(rows))
        .mark_area(interpolate="step", opacity=0.55, line={"strokeWidth": 1.2})
        .encode(
            x=alt.X("similarity:Q", title="cosine similarity", axis=axis, scale=alt.Scale(zero=False, nice=False)),
            y=alt.Y("share:Q", title=None, stack=None, axis=None),
            color=alt.Color("pairs:N", scale=alt.Scale(domain=kinds, range=[GREY, colour]), legend=None),
        )
    )
    return spec_of((area,), "Histogram of cosine similarities of same-class and different-class pairs", 130)


def roc(rows: Sequence[Row], palette: Palette) -> Spec:
    """Same pairs accepted against different pairs accepted; rows: loss, far, tar, order (far > 0)."""
    far = alt.X(
        "far:Q",
        title="false accept rate (log)",
        scale=alt.Scale(type="log", domainMax=1),
        axis=alt.Axis(format="~%", tickCount=4),
    )
    tar = alt.Y("tar:Q", title="true accept rate", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="~%"))
    return spec_of((_lines(rows, palette, far, tar),), "ROC: true accepts against false accepts, by loss", 280)


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
    return spec_of((_lines(seen, palette, far, frr),), "DET: false rejects against false accepts, by loss", 280)


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
    mark = alt.Chart(data_of(rows)).mark_line(strokeWidth=2)
    return mark.encode(x=x, y=y, color=colour_of(palette, rows), strokeDash=dash, order="order:Q", tooltip=tips)


def image_map(rows: Sequence[Row]) -> Spec:
    """Unseen classes in two dimensions; rows: x, y, label, class, order; image (a data URI), else dots."""
    scale = alt.Scale(zero=False, nice=False, padding=16)
    data = alt.Chart(data_of(rows)).encode(
        x=alt.X("x:Q", axis=None, scale=scale),
        y=alt.Y("y:Q", axis=None, scale=scale),
        tooltip=alt.Tooltip("label:N", title="class"),
    )
    lines = data.mark_line(strokeWidth=1, opacity=0.5, color=GREY).encode(detail="class:N", order="order:Q")
    if all("image" in row for row in rows):
        side = alt.expr("width < 500 ? 17 : 26")
        marks = data.mark_image(width=side, height=side).encode(url="image:N")
    else:
        marks = data.mark_circle(size=28, opacity=0.8, color=COLOURS[0])
    text = "Map of the unseen classes: items near each other have similar embeddings"
    return spec_of((lines, marks), text, "container")


def confusion(rows: Sequence[Row], names: Sequence[str]) -> Spec:
    """True against predicted class; rows: true, predicted, share (of the true class), count, right."""
    axis = alt.Axis(labelAngle=0, labelLimit=70, labelOverlap=True, grid=False)
    base = alt.Chart(data_of(rows)).encode(
        x=alt.X("predicted:N", title="predicted class", axis=axis, **in_order(names)),
        y=alt.Y("true:N", title="true class", axis=axis, **in_order(names)),
        tooltip=["true:N", "predicted:N", "count:Q", alt.Tooltip("share:Q", format=".1%")],
    )
    hues = alt.Scale(domain=[True, False], range=[COLOURS[0], COLOURS[1]])
    shade = alt.Opacity("share:Q", scale=alt.Scale(type="sqrt", domain=[0, 1], range=[0, 0.6]), legend=None)
    cells = base.mark_rect().encode(color=alt.Color("right:N", scale=hues, legend=None), opacity=shade)
    counts = base.transform_filter("datum.count > 0").mark_text(fontSize=11).encode(text="count:Q")
    return spec_of((cells, counts), "Confusion matrix: true class by predicted class", 34 * len(names) + 20)


def by_class(rows: Sequence[Row], palette: Palette, names: Sequence[str], score: str) -> Spec:
    """A score per class and loss; rows: class, loss, score."""
    axis = alt.Axis(labelLimit=150, domain=False, ticks=False, grid=True)
    shares = alt.Axis(format="~%", tickCount=5, labelOverlap="greedy", labelSeparation=8)
    base = alt.Chart(data_of(rows)).encode(
        x=alt.X("score:Q", title=f"{score} (higher is better)", axis=shares),
        y=alt.Y("class:N", title=None, axis=axis, **in_order(names)),
        color=colour_of(palette, rows),
        tooltip=[alt.Tooltip("loss:N"), alt.Tooltip("class:N"), alt.Tooltip("score:Q", title=score, format=".1%")],
    )
    return spec_of(
        (base.mark_point(filled=True, size=110, opacity=0.85),), f"{score} of each class, by loss", 38 * len(names)
    )


#: Axes of shares that need not begin at 0.
_SHARES: dict[str, Any] = {"axis": alt.Axis(format="~%", tickCount=5), "scale": alt.Scale(zero=False)}


def reliability(rows: Sequence[Row], palette: Palette) -> Spec:
    """Accuracy against confidence; rows: loss, confidence, accuracy, order."""
    x = alt.X("confidence:Q", title="mean confidence", **_SHARES)
    y = alt.Y("accuracy:Q", title="accuracy", **_SHARES)
    low = min(min(row["confidence"], row["accuracy"]) for row in rows)
    return spec_of(_believed(rows, palette, x, y, (low, 1.0)), "Reliability: accuracy against confidence, by loss", 320)


def calibration(rows: Sequence[Row], palette: Palette) -> Spec:
    """Share of positives against the probability given to them; rows: loss, probability, share, order."""
    x = alt.X("probability:Q", title="mean probability", **_SHARES)
    y = alt.Y("share:Q", title="share of positives", **_SHARES)
    high = max(max(row["probability"], row["share"]) for row in rows)
    return spec_of(
        _believed(rows, palette, x, y, (0.0, high)), "Reliability: positives against probability, by loss", 320
    )


def _believed(
    rows: Sequence[Row], palette: Palette, x: alt.X, y: alt.Y, ends: tuple[float, float]
) -> tuple[alt.Chart, ...]:
    """Observed against predicted frequency, with the diagonal on which the two agree."""
    dots = alt.Chart(data_of(rows)).mark_point(filled=True, size=45).encode(x=x, y=y, color=colour_of(palette, rows))
    return _diagonal(*ends), _lines(rows, palette, x, y), dots


def precision_recall(rows: Sequence[Row], palette: Palette, chance: float) -> Spec:
    """Precision against recall at every threshold; rows: loss, recall, precision, order."""
    axis, scale = alt.Axis(format="~%", tickCount=5), alt.Scale(domain=[0, 1])
    x = alt.X("recall:Q", title="recall", axis=axis, scale=scale)
    y = alt.Y("precision:Q", title="precision", axis=axis, scale=alt.Scale(domainMin=0))
    rule = alt.Chart(data_of([{"y": chance}])).mark_rule(color=GREY, strokeDash=[4, 3]).encode(y="y:Q")
    return spec_of((rule, _lines(rows, palette, x, y)), "Precision against recall, by loss", 320)


def _diagonal(low: float, high: float) -> alt.Chart:
    ends = [{"x": low, "y": low}, {"x": high, "y": high}]
    return alt.Chart(data_of(ends)).mark_line(color=GREY, strokeDash=[4, 3], strokeWidth=1.2).encode(x="x:Q", y="y:Q")


def predictions(rows: Sequence[Row], colour: str, domain: tuple[float, float]) -> Spec:
    """Predicted against true values of one loss; rows: true, predicted."""
    scale = alt.Scale(domain=list(domain), nice=True)
    x = alt.X("true:Q", title="true", scale=scale, axis=alt.Axis(tickCount=4, format="~s"))
    y = alt.Y("predicted:Q", title="predicted", scale=scale, axis=alt.Axis(tickCount=4, format="~s"))
    tips = [alt.Tooltip("true:Q", format=".4~g"), alt.Tooltip("predicted:Q", format=".4~g")]
    dots = alt.Chart(data_of(rows)).mark_circle(size=26, opacity=0.5, color=colour).encode(x=x, y=y, tooltip=tips)
    return spec_of((_diagonal(*domain), dots), "Predicted against true values", 220)


def residuals(rows: Sequence[Row], colour: str, domain: tuple[float, float]) -> Spec:
    """Histogram of predicted minus true of one loss; rows: residual."""
    step = float(f"{max(map(abs, domain)) / 2:.1g}")
    axis = alt.Axis(values=[-step, 0, step], format="~s", grid=False)
    bins = alt.Bin(extent=list(domain), maxbins=30)
    x = alt.X("residual:Q", bin=bins, title="predicted − true", axis=axis)
    zero = alt.Chart(data_of([{"x": 0}])).mark_rule(color=GREY, strokeDash=[4, 3]).encode(x="x:Q")
    bars = (
        alt.Chart(data_of(rows)).mark_bar(color=colour, opacity=0.75).encode(x=x, y=alt.Y("count()", title="samples"))
    )
    return spec_of((bars, zero), "Histogram of residuals", 130)


def found_within(rows: Sequence[Row], palette: Palette) -> Spec:
    """How often the best candidate is among the first few; rows: loss, places, share, order."""
    x = alt.X("places:Q", title="first places looked at", axis=alt.Axis(format="d", tickMinStep=1))
    y = alt.Y("share:Q", title="lists whose best candidate is there", **_SHARES)
    dots = alt.Chart(data_of(rows)).mark_point(filled=True, size=30).encode(x=x, y=y, color=colour_of(palette, rows))
    return spec_of((_lines(rows, palette, x, y), dots), "Lists whose best candidate is among the first, by loss", 320)


def ranks(rows: Sequence[Row], colour: str, order: Sequence[str]) -> Spec:
    """The rank of the right document, for one loss; rows: rank (a range of ranks), queries, share."""
    axis = alt.Axis(labelAngle=0, labelFontSize=9, labelOverlap="greedy", ticks=False)
    shares = alt.Axis(format="~%", tickCount=3)
    bars = (
        alt.Chart(data_of(rows))
        .mark_bar(color=colour, opacity=0.75)
        .encode(
            x=alt.X("rank:N", title="rank", axis=axis, **in_order(order)),
            y=alt.Y("share:Q", title="queries", axis=shares, scale=alt.Scale(domain=[0, 1])),
            tooltip=["rank:N", "queries:Q", alt.Tooltip("share:Q", format=".1%")],
        )
    )
    return spec_of((bars,), "Histogram of the rank of the first right document", 130)
