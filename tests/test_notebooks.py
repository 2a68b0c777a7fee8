"""The notebooks of the docs: their code runs from top to bottom, in a time that a reader waits for."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parent.parent / "docs"
NOTEBOOKS = sorted(DOCS.rglob("*.ipynb"))


@pytest.mark.sample(3)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_in_under_a_minute(path: Path) -> None:
    notebook: dict[str, Any] = json.loads(path.read_text())
    codes = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert codes
    names: dict[str, Any] = {"__name__": path.stem}
    # Of processor time: other work on the machine is not the notebook's.
    start = time.thread_time()
    for place, code in enumerate(codes):
        exec(compile(code, f"{path.name}, code cell {place}", "exec"), names)
    assert time.thread_time() - start < 60


def test_every_tutorial_is_listed_and_ends_with_a_comparison() -> None:
    page = (DOCS / "tutorials.md").read_text()
    for path in (DOCS / "tutorials").glob("*.ipynb"):
        assert f"(tutorials/{path.name})" in page
        assert "compare(" in "".join(json.loads(path.read_text())["cells"][-1]["source"])
