"""The page on what comes out of a comparison: its commands run in their order, and its Python reads what they wrote."""

import re
import shlex
from pathlib import Path

import pytest

from lossary.cli import main
from lossary.lab.run import jobs

PAGE = (Path(__file__).parents[2] / "docs" / "results.md").read_text()


@pytest.mark.slow
def test_the_page_s_commands_leave_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jobs, "run", jobs.run_here)  # other processes would take seconds to start
    commands = [
        line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, flags=re.M | re.S) for line in block.splitlines()
    ]
    assert len(commands) == 7
    for command in commands:
        main(shlex.split(command)[1:])
    assert "first, second" in Path("both.html").read_text()
    assert Path("units.csv").read_text().startswith("loss,role,seed,unit,score\n")
    assert Path("curves.json").exists()
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.M | re.S)
    capsys.readouterr()
    exec(compile(code, "the page's example", "exec"), {})
    assert "cross_entropy" in capsys.readouterr().out
