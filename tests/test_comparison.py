"""The comparison with other libraries: every cell has its evidence, and what can be looked up here stands there."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "scripts"))  # which are not installed
import comparison_page  # noqa: E402

ROWS = comparison_page.facts()["row"]
LIBRARIES = {library["id"]: library for library in comparison_page.facts()["library"]}
CELLS = [(row, name) for row in ROWS for name in LIBRARIES]
EVIDENCE = {"proof", "lines", "absent", "commit", "prints"}


@pytest.mark.parametrize(("row", "name"), CELLS, ids=[f"{row['title']}-{name}" for row, name in CELLS])
def test_every_cell_has_its_evidence(row: dict[str, Any], name: str) -> None:
    cell = row[name]
    assert cell["mark"]
    kinds = EVIDENCE & cell.keys()
    assert kinds == {"proof"} if name == "lossary" else kinds - {"proof"}
    assert cell.keys() <= EVIDENCE | {"mark", "says"}
    for cited in cell.get("lines", ()):
        place, _, text = cited.partition(": ")
        assert not text or "#L" in place
    for commit in cell.get("commit", ()):
        assert len(commit) == 40


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["title"])
def test_what_is_said_of_lossary_has_a_page_or_a_test(row: dict[str, Any]) -> None:
    for proof in row["lossary"]["proof"]:
        path, _, name = proof.partition("::")
        assert (ROOT / path).is_file()
        functions = (
            {node.name for node in ast.parse((ROOT / path).read_text()).body if hasattr(node, "name")}
            if name
            else set()
        )
        assert not name or name in functions


def test_what_is_run_prints_what_is_said() -> None:
    printed = [row[name]["prints"] for row, name in CELLS if "prints" in row[name]]
    assert printed
    for code, said in printed:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
        assert done.stdout.strip() == said


def test_lines_of_torch_hold_what_is_cited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.version.git_version != LIBRARIES["torch"]["commit"]:
        pytest.skip("another torch than the page is about")
    monkeypatch.setattr(comparison_page, "others", lambda: [LIBRARIES["torch"]])
    assert not list(comparison_page.wrong(tmp_path))
    monkeypatch.setitem(
        ROWS[0], "torch", {"mark": "1", "says": "", "lines": ["torch/nn/modules/loss.py#L1: __all__ = ["]}
    )
    (found,) = comparison_page.wrong(tmp_path)
    assert "lines 15 do" in found
