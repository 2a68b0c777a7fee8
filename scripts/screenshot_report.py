"""Write a run folder's report and photograph its top: ``python scripts/screenshot_report.py FOLDER OUT.png``."""

import sys
from pathlib import Path

from chromium import Page

from lossary.lab.report.page import render

WIDTH, HEIGHT = 1280, 1600


def main(folder: Path, out: Path) -> None:
    report = render(folder)
    with Page(report.resolve().as_uri(), width=WIDTH, height=HEIGHT) as page:
        page.wait_for("document.documentElement.dataset.drawn")
        page.screenshot(out, whole=False)
    print(f"{out}: {WIDTH} x {HEIGHT} of {report}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
