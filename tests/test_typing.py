"""What a type checker says of a user's file: nothing where it is right, one error on each line that is wrong."""

import json
import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "typing"


@pytest.mark.slow
def test_pyright_finds_the_errors_and_no_others() -> None:
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(FOLDER)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("{"), done.stderr[-800:]
    said = [d for d in json.loads(done.stdout)["generalDiagnostics"] if d["severity"] == "error"]
    found = Counter((Path(d["file"]).name, d["range"]["start"]["line"] + 1) for d in said)
    lines = enumerate((FOLDER / "wrong.py").read_text().splitlines(), 1)
    assert found == {("wrong.py", number): 1 for number, line in lines if "# error:" in line}, said


def test_right_uses_run() -> None:
    runpy.run_path(str(FOLDER / "right.py"))
