"""Pictures of a run as a whole, for any task: Vega-Lite specifications from plain rows."""

from collections.abc import Sequence
from math import floor, log10
from typing import Any

import altair as alt

from lossary.lab.report.drawing import (
    GREY,
    ROUND,
    Palette,
    Row,
    Spec,
    colour_of,
    data_of,
    metric_axis,
    names_axis,
    number_format,
    spec_of,
)
from lossary.lab.tasks.measures import Metric


def number(value: float, metric: Metric) -> str:
    """A score as text."""
    return f"{100 * value:.1f} %" if metric.percent else f"{value:.3g}"


def ranking(rows: Sequence[Row], palette: Palette, metric: Metric, floor: float | None) -> Spec:
    """Means with intervals; rows: loss, mean, low, high, best first. ``floor``: the best baseline."""
    base = alt.Chart(data_of(rows)).encode(
        y=names_axis(row["loss"] for row in rows),
        tooltip=[
            alt.Tooltip("loss:N"),
            alt.Tooltip("mean:Q", title=metric.label, format=number_format(metric)),
            alt.Tooltip("low:Q", title="from", format=number_format(metric)),
            alt.Tooltip("high:Q", title="to", format=number_format(metric)),
        ],
    )
    marks = base.encode(color=colour_of(palette, rows))
    text = alt.Text("mean:Q", format=number_format(metric))
    layers = [
        marks.mark_rule(strokeWidth=7, strokeCap="round", opacity=0.32).encode(
            x=alt.X(**metric_axis("low", metric)), x2="high:Q"
        ),
        marks.mark_point(filled=True, size=120, opacity=1).encode(x="mean:Q"),
        base.mark_text(dy=-14, fontSize=12, fontWeight=600).encode(x="mean:Q", text=text),
    ]
    if floor is not None:
        free = alt.Chart(data_of([{"mean": floor}])).mark_rule(color=GREY, strokeDash=[4, 3])
        layers.insert(0, free.encode(x="mean:Q"))
    return spec_of(layers, f"Ranking of losses by {metric.label}, with intervals", 44 * len(rows))


def differences(rows: Sequence[Row], palette: Palette, metric: Metric, margin: float) -> Spec:
    """How far each loss is from the best, and the margin within which that does not matter.

    Rows: loss, difference, low, high, oriented so that lower is worse, in points if the metric is a share.
    """
    scale = 100 if metric.percent else 1
    unit = " in points" if metric.percent else ""
    lowest = min([-margin * scale, *(row["low"] for row in rows if row["low"] is not None)])
    highest = max([margin * scale, *(row["high"] for row in rows if row["high"] is not None)])
    title = f"{metric.label}: difference to the best{unit} (left is worse)"
    scaled = alt.Scale(domain=[lowest, highest], nice=True)
    axis = alt.X("from:Q", title=title, scale=scaled, axis=alt.Axis(tickCount=5, format=f"+{ROUND}"))
    band = alt.Chart(alt.Data(values=[{"from": -margin * scale, "to": margin * scale}]))
    base = alt.Chart(data_of(rows)).encode(
        y=names_axis(row["loss"] for row in rows),
        tooltip=["loss:N", *(alt.Tooltip(f"{name}:Q", format="+.3~g") for name in ("difference", "low", "high"))],
    )
    marks = base.encode(color=colour_of(palette, rows))
    layers = (
        band.mark_rect(color=GREY, opacity=0.16).encode(x=axis, x2="to:Q"),
        marks.mark_rule(strokeWidth=7, strokeCap="round", opacity=0.32).encode(x="low:Q", x2="high:Q"),
        marks.mark_point(filled=True, size=120, opacity=1).encode(x="difference:Q"),
    )
    return spec_of(layers, f"Differences in {metric.label} to the best loss, with intervals", 44 * len(rows))


def learning(
    seeds: Sequence[Row], means: Sequence[Row], palette: Palette, metric: Metric, *, over: str = "training steps"
) -> Spec:
    """Validation metric against steps or time; rows of ``seeds``: loss, seed, at, valid; of ``means``: no seed."""
    x = alt.X("at:Q", title=over, axis=alt.Axis(tickCount=5, format=ROUND))
    y = alt.Y(**metric_axis("valid", metric))
    thin = alt.Chart(data_of(seeds)).mark_line(strokeWidth=1, opacity=0.4).encode(x=x, y=y, detail="seed:N")
    thick = alt.Chart(data_of(means)).mark_line(strokeWidth=2.8).encode(x=x, y=y)
    colour = colour_of(palette, means)
    dash = alt.StrokeDash("loss:N", scale=palette.dashes(row["loss"] for row in means), legend=None)
    tips = [
        alt.Tooltip("loss:N"),
        alt.Tooltip("at:Q", title=over),
        alt.Tooltip("valid:Q", format=number_format(metric)),
    ]
    layers = (thin.encode(color=colour), thick.encode(color=colour, strokeDash=dash, tooltip=tips))
    return spec_of(layers, f"Learning curves: {metric.label} against {over}, by loss", 320)


def training_loss(rows: Sequence[Row], colour: str) -> Spec:
    """The loss on the training batches between two looks, of one loss; rows: seed, step, value."""
    x = alt.X("step:Q", title="training steps", axis=alt.Axis(tickCount=3, format="~s"))
    y = alt.Y("value:Q", title=None, axis=alt.Axis(tickCount=3, format=ROUND), scale=alt.Scale(zero=False, nice=True))
    tips = [alt.Tooltip("step:Q"), alt.Tooltip("value:Q", format=".3~g")]
    lines = alt.Chart(data_of(rows)).mark_line(strokeWidth=1.4, opacity=0.8, color=colour)
    return spec_of((lines.encode(x=x, y=y, detail="seed:N", tooltip=tips),), "The training loss against steps", 130)


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _value_axis(values: Sequence[Any]) -> alt.X:
    """Numbers on a line, on a log scale if they span a factor of 20; anything else side by side."""
    if not _are_numbers(values):
        return alt.X("value:N", title=None, axis=alt.Axis(labelAngle=0, labelLimit=90))
    axis: dict[str, Any] = {"format": ROUND, "labelOverlap": "greedy", "labelSeparation": 6}
    low, high = min(values), max(values)
    if low > 0 and high / low >= 20:
        axis["values"] = _round_numbers(low, high)
        return alt.X("value:Q", title=None, scale=alt.Scale(type="log", padding=8), axis=axis)
    axis["tickCount"] = 4
    return alt.X("value:Q", title=None, scale=alt.Scale(zero=False, padding=8), axis=axis)


def _round_numbers(low: float, high: float) -> list[float]:
    """1, 2, 5, 10 and so on within a range; only powers of ten if they are enough."""
    powers = range(floor(log10(low)), floor(log10(high)) + 1)
    tens = [float(f"1e{power}") for power in powers if low <= float(f"1e{power}") <= high]
    if len(tens) > 2:
        return tens
    return [tick for power in powers for lead in (1, 2, 5) if low <= (tick := float(f"{lead}e{power}")) <= high]


def tuning(rows: Sequence[Row], colour: str, metric: Metric, domain: tuple[float, float]) -> Spec:
    """One hyperparameter of one loss against the validation metric; rows: value, valid, best, number."""
    axis = metric_axis("valid", metric)
    axis |= {"title": None, "scale": alt.Scale(domain=list(domain), nice=True, clamp=True)}
    if not _are_numbers([row["value"] for row in rows]):
        rows = [
            row | {"value": str(row["value"])} for row in rows
        ]  # as the argument is written: None would be read as missing
    points = (
        alt.Chart(data_of(rows))
        .mark_point(filled=True, color=colour, size=60)
        .encode(
            x=_value_axis([row["value"] for row in rows]),
            y=alt.Y(**axis),
            opacity=alt.condition("datum.best", alt.value(1), alt.value(0.6)),
            size=alt.condition("datum.best", alt.value(170), alt.value(55)),
            tooltip=[
                alt.Tooltip("number:Q", title="trial"),
                alt.Tooltip("value:N", title="value"),
                alt.Tooltip("valid:Q", title=metric.label, format=number_format(metric)),
            ],
        )
    )
    return spec_of((points,), f"Tuning trials: {metric.label} on the validation split against the hyperparameter", 150)


def against_defaults(rows: Sequence[Row], palette: Palette, metric: Metric) -> Spec:
    """What tuning was worth; rows: loss, default, tuned, low and high of tuned, best first."""
    axis = metric_axis("default", metric)
    base = alt.Chart(data_of(rows)).encode(
        y=names_axis(row["loss"] for row in rows),
        color=colour_of(palette, rows),
        tooltip=[
            alt.Tooltip("loss:N"),
            alt.Tooltip("default:Q", title="library defaults", format=number_format(metric)),
            alt.Tooltip("tuned:Q", format=number_format(metric)),
        ],
    )
    layers = (
        base.mark_rule(strokeWidth=7, strokeCap="round", opacity=0.25).encode(x="low:Q", x2="high:Q"),
        base.mark_rule(strokeWidth=2, opacity=0.6).encode(x=alt.X(**axis), x2="tuned:Q"),
        base.mark_point(filled=False, size=90, strokeWidth=2, opacity=1).encode(x="default:Q"),
        base.mark_point(filled=True, size=110, opacity=1).encode(x="tuned:Q"),
    )
    return spec_of(layers, f"{metric.label} at the library's defaults and tuned, by loss", 34 * len(rows))


def cost(rows: Sequence[Row], palette: Palette) -> Spec:
    """Time of a whole training step; rows: loss, milliseconds, low, high."""
    order = [row["loss"] for row in sorted(rows, key=lambda row: row["milliseconds"])]
    scale = alt.Scale(domain=[0, 1.4 * max(row["high"] for row in rows)])  # room for the numbers
    axis = alt.Axis(tickCount=5)
    base = alt.Chart(data_of(rows)).encode(
        y=names_axis(order),
        x=alt.X("milliseconds:Q", title="milliseconds per step (lower is better)", scale=scale, axis=axis),
        tooltip=[alt.Tooltip("loss:N"), alt.Tooltip("milliseconds:Q", format=".3~g")],
    )
    bars = base.mark_bar(cornerRadiusEnd=3, height=14, opacity=0.85).encode(color=colour_of(palette, rows))
    ends = base.mark_rule(strokeWidth=1.5, color=GREY).encode(x="low:Q", x2="high:Q")
    text = base.mark_text(align="left", dx=5, fontSize=12).encode(
        x="high:Q", text=alt.Text("milliseconds:Q", format=".3~g")
    )
    return spec_of((bars, ends, text), "Milliseconds of a training step, by loss", 30 * len(rows))
