"""Draw a run's verdict in words, with the ranking beside it: the README's picture.

``python scripts/verdict_picture.py FOLDER docs/images/verdict.png``; FOLDER is that of ``lossary compare digits``.
"""

import io
import sys
import textwrap
from html import escape
from pathlib import Path

import vl_convert
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lossary.lab.report.evidence import Evidence, load
from lossary.lab.report.sections import ranking, summary

WIDTH, HEIGHT, TEXT, CHART = 1000, 300, 320, 440
INK, PALE = "#1a1a24", "#5d6470"


def main(folder: Path, out: Path) -> None:
    evidence = load(folder)
    drawn = Image.open(io.BytesIO(vl_convert.svg_to_png(picture(evidence), scale=2)))
    said = PngInfo()  # a test compares it with what the README says the picture shows
    said.add_text("Title", summary(evidence).headline)
    drawn.convert("RGB").quantize(256).save(out, optimize=True, pnginfo=said)


def picture(evidence: Evidence) -> str:
    told = summary(evidence)
    words = [
        *lines(f"$ lossary compare {evidence.plan.data}", 40, 15, 30, f'fill="{PALE}" font-family="monospace"'),
        *lines(told.headline, 20, 30, 42, f'fill="{INK}" font-weight="bold"'),
        *lines(told.sentence, 44, 15, 23, f'fill="{PALE}"'),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
        f'<text transform="translate(20 14)">{"".join(words)}</text>'
        f'<g transform="translate({TEXT + 30} 10)">{chart(evidence)}</g></svg>'
    )


def lines(text: str, most: int, size: int, height: int, style: str) -> list[str]:
    """``text`` in lines of at most ``most`` characters."""
    return [
        f'<tspan x="0" dy="{height}" font-size="{size}" {style}>{escape(line)}</tspan>'
        for line in textwrap.wrap(text, most)
    ]


def chart(evidence: Evidence) -> str:
    spec = ranking(evidence, evidence.palette)
    if spec is None:
        raise SystemExit(f"{evidence.folder}: no finished run to draw")
    config = {"view": {"stroke": None}, "axis": {"labelFontSize": 13, "titleFontSize": 12, "labelColor": INK}}
    return vl_convert.vegalite_to_svg({**spec, "width": CHART, "height": 232, "config": config})


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
