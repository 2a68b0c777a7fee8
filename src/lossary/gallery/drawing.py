"""Pictures of exhibits: curves over x, one frame for each position of a slider, all computed by the library."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import altair as alt
from torch import Tensor

from lossary.gallery.exhibit import Results
from lossary.lab.report.drawing import GREY, Palette, Row, Spec, data_of, in_order, spec_of

Frames = Mapping[float, Mapping[str, Tensor]]


def curves(
    x: str, y: str, slider: str = "", *, start: float = 0.0, bottom: float | None = None, top: float | None = None
) -> Callable[[Results], Spec]:
    """Draw ``{"x": x, "frames": {position: {name: y}}}`` as lines; ``points``, if any, as dots.

    Args:
        x: Title of the axis.
        y: Of the other.
        slider: What is moved; nothing where there is one frame.
        start: The slider's position at first.
        bottom: The smallest y that is drawn; else the smallest there is, or 0.
        top: The largest; else the largest there is.
    """

    def draw(results: Results) -> Spec:
        rows = list(rows_of(results["x"], results["frames"]))
        names = list(dict.fromkeys(row["curve"] for row in rows))
        low = min(0.0, *(row["y"] for row in rows)) if bottom is None else bottom
        high = max(row["y"] for row in rows) if top is None else top
        line = _moved(alt.Chart(data_of(rows)), results["frames"], slider, start).mark_line(clip=True, strokeWidth=2.5)
        line = line.encode(
            x=alt.X("x:Q", title=x, scale=alt.Scale(nice=False), axis=alt.Axis(tickCount=6)),
            y=alt.Y("y:Q", title=y, scale=alt.Scale(domain=[low, high]), axis=alt.Axis(tickCount=5)),
            color=_colour(names, "stroke"),
            order="x:Q",
        )
        return spec_of([line, *_dots(results)], f"{y} by {x}: {', '.join(names)}", 320)

    return draw


def bars(y: str, slider: str, *, start: float) -> Callable[[Results], Spec]:
    """Draw the same as bars, one for each place of x."""

    def draw(results: Results) -> Spec:
        rows = [{**row, "x": f"{row['x']:g}"} for row in rows_of(results["x"], results["frames"])]
        bar = _moved(alt.Chart(data_of(rows)), results["frames"], slider, start).mark_bar()
        names = list(dict.fromkeys(row["curve"] for row in rows))
        bar = bar.encode(
            x=alt.X("x:N", title="score", axis=alt.Axis(labelAngle=0), **in_order(row["x"] for row in rows)),
            xOffset=alt.XOffset("curve:N", sort=names),
            y=alt.Y("y:Q", title=y, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(tickCount=5)),
            color=_colour(names, "square"),
        )
        return spec_of([bar], f"{y}: {', '.join(names)}", 280)

    return draw


def rows_of(x: Tensor, frames: Frames) -> Iterator[Row]:
    places = x.tolist()
    for position, frame in frames.items():
        for name, values in frame.items():
            for place, value in zip(places, values.tolist(), strict=True):
                yield {"x": place, "y": value, "curve": name, "at": float(position)}


def _moved(chart: alt.Chart, frames: Frames, slider: str, start: float) -> alt.Chart:
    """With a slider, where there is more than one frame: only the frame at its position is drawn."""
    if not slider:
        return chart
    positions = sorted(frames)
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    bind = alt.binding_range(min=positions[0], max=positions[-1], step=step, name=f"{slider} ")
    moved = alt.param(name="position", value=start, bind=bind)
    return chart.add_params(moved).transform_filter(f"abs(datum.at - position) < {step / 2}")


def _colour(names: list[str], symbol: str) -> alt.Color:
    legend = alt.Legend(title=None, orient="bottom", columns=2, symbolType=symbol)
    return alt.Color("curve:N", scale=Palette(tuple(names)).scale(names), legend=legend, sort=names)


def _dots(results: Results) -> list[alt.Chart]:
    if "points" not in results:
        return []
    rows: list[dict[str, Any]] = [{"x": x, "y": y} for x, y in results["points"].tolist()]
    return [alt.Chart(data_of(rows)).mark_point(color=GREY, filled=True, size=50, clip=True).encode(x="x:Q", y="y:Q")]
